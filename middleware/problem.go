package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/jsonvalue"
	"github.com/interlock-go/interlock/internal/wire"
)

// Problem is an answer that says no (RFC 9457) and, as an error, a way to choose
// it: a handler of [Do] that returns one is answered with it. A Status that
// isn't an error's (400 to 599) becomes 500.
type Problem struct {
	Type     string `json:"type"`   // URI of the kind of problem; "": by Code
	Title    string `json:"title"`  // "": by Code, else the status text
	Status   int    `json:"status"` // 0: by Code, else 500
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance"` // path of the request

	Code        string             `json:"code"`
	Stage       interlock.Stage    `json:"stage,omitempty"`
	Reasons     []interlock.Reason `json:"reasons,omitempty"`
	LegalEvents []string           `json:"legal_events,omitzero"` // empty but there: nothing leaves this state
	Errors      []fsm.FieldError   `json:"errors,omitempty"`
	State       string             `json:"state,omitempty"` // as it stands, for who may read it
	Version     int64              `json:"version,omitempty"`

	PolicyRevision string `json:"policy_revision,omitempty"`
	TraceID        string `json:"trace_id,omitempty"` // stands beside the cause where that is logged

	Cause error `json:"-"` // for c.Errors, and the log where Status is 500 or more; never for the caller
}

func (p *Problem) Error() string {
	s := p.Detail
	if s == "" {
		s = p.Title
	}
	if s == "" {
		s = p.Code
	}
	for _, f := range p.Errors {
		s += "; " + f.Pointer + ": " + f.Message
	}
	if p.Cause != nil {
		s += ": " + p.Cause.Error()
	}
	return s
}

// Problems are the kinds of problem that [WriteProblem] answers with, as
// documentation: Type is the path under the problem base ([Config.ProblemBase]),
// Detail explains.
func Problems() []Problem {
	all := make([]Problem, 0, len(kinds))
	for _, k := range kinds {
		all = append(all, Problem{Type: slug(k.code), Title: k.title, Status: k.status, Code: k.code, Stage: k.stage, Detail: k.about})
	}
	return all
}

// WriteProblem answers any error and aborts the chain. A [*Problem] is answered
// as it says, an [*interlock.Refusal] by its stage and code, everything else by
// 500 without a word of the error. The error goes to c.Errors, and to the log
// when it is the server's fault: status 500 or more. It writes nothing when an
// answer has begun.
func WriteProblem(c *gin.Context, err error) {
	c.Abort()
	s := settingsOf(c)
	if err == nil {
		err = errors.New("a problem without an error")
	}
	p := problemOf(err)
	var r *interlock.Refusal
	if errors.As(err, &r) && r.Cause != nil {
		err = fmt.Errorf("%w: %w", err, r.Cause) // a refusal's own text leaves it out
	}
	_ = c.Error(err)
	p.complete(c, s)
	if p.Status >= 500 {
		s.logProblem(c, p, err)
	}
	if c.Writer.Written() {
		return
	}
	h := c.Writer.Header()
	switch p.Status {
	case http.StatusUnauthorized:
		if h.Get("WWW-Authenticate") == "" { // RFC 9110, 15.5.2: at least one challenge
			h.Set("WWW-Authenticate", "Bearer")
		}
	case http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	}
	if p.Code == "key_in_progress" && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "1")
	}
	if r != nil && r.Stage == interlock.StageConflict && r.Instance != nil && s.etag != nil {
		if tag := s.etag(*r.Instance); tag != "" {
			h.Set("ETag", tag) // what it has become, for who may read it
		}
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if s.errorHandler != nil {
		other := s.errorHandler(c, p, err)
		if c.Writer.Written() {
			return
		}
		if other != nil {
			writeJSON(c, p.Status, jsonType, other)
			return
		}
	}
	write(c, p.Status, "application/problem+json", p.appendJSON)
}

// problemOf looks for a refusal first: its cause may be anything, a Problem too,
// and must not become the answer. A Problem doesn't unwrap.
func problemOf(err error) *Problem {
	var r *interlock.Refusal
	if errors.As(err, &r) {
		return refused(r)
	}
	var p *Problem
	if errors.As(err, &p) {
		copied := *p
		return &copied
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Problem{Code: codeTooLarge}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Problem{Code: codeTimeout, Cause: err}
	}
	return &Problem{Code: codeInternal, Cause: err}
}

func refused(r *interlock.Refusal) *Problem {
	p := &Problem{
		Status: statusOf(r), Detail: r.Message, Code: r.Code, Stage: r.Stage,
		Reasons: r.Reasons, Errors: r.Fields, PolicyRevision: r.Revision, Cause: r.Cause,
	}
	if p.Status == http.StatusConflict && r.Stage == interlock.StageGraph {
		p.LegalEvents = append([]string{}, r.LegalEvents...)
	}
	if r.Instance != nil {
		p.State, p.Version = r.Instance.State, r.Instance.Version
	}
	return p
}

// complete fills in what the code implies and what the request tells.
func (p *Problem) complete(c *gin.Context, s *settings) {
	k, known := kindOf(p.Code)
	if p.Status == 0 && known {
		p.Status = k.status
	}
	if p.Status < 400 || p.Status > 599 {
		p.Status = http.StatusInternalServerError
	}
	if p.Type == "" {
		p.Type = "about:blank" // RFC 9457, 4.2.1
		if known {
			p.Type = s.problemBase + slug(p.Code)
		}
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
		if known {
			p.Title = k.title
		}
	}
	if p.Code == "" {
		p.Code = codeInternal
		if p.Status < 500 {
			p.Code = strings.ReplaceAll(strings.ToLower(http.StatusText(p.Status)), " ", "_")
		}
	}
	if p.Detail == "" && known {
		p.Detail = k.about
	}
	if p.Instance == "" && c.Request != nil {
		p.Instance = c.Request.URL.EscapedPath()
	}
	if p.TraceID == "" {
		p.TraceID = traceID(c)
	}
}

func (s *settings) logProblem(c *gin.Context, p *Problem, err error) {
	ctx := context.Background()
	method := ""
	if c.Request != nil {
		ctx, method = c.Request.Context(), c.Request.Method
	}
	s.log().LogAttrs(ctx, slog.LevelError, "request failed",
		slog.String("code", p.Code), slog.Int("status", p.Status), slog.String("method", method),
		slog.String("route", c.FullPath()), slog.String("trace_id", p.TraceID), slog.String("error", err.Error()))
}

// writeJSON answers only what could be encoded: a status is not sent before its body exists.
func writeJSON(c *gin.Context, status int, contentType string, body any) {
	b, err := json.Marshal(body)
	writeBytes(c, status, contentType, b, err)
}

// write is writeJSON of what appended adds.
func write(c *gin.Context, status int, contentType string, appended func(b []byte) ([]byte, error)) {
	jsonvalue.Borrowed(func(buffer []byte) []byte {
		b, err := appended(buffer)
		writeBytes(c, status, contentType, b, err)
		return b
	})
}

func writeBytes(c *gin.Context, status int, contentType string, b []byte, err error) {
	if err != nil {
		_ = c.Error(err)
		status, contentType = http.StatusInternalServerError, "application/problem+json"
		b = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal"}`)
	}
	if h := c.Writer.Header(); len(h["Content-Type"]) == 0 { // as Gin does
		wire.SetHeaders(h, "Content-Type", contentType)
	}
	c.Status(status)
	if _, err := c.Writer.Write(b); err != nil {
		_ = c.Error(err)
		c.Abort()
	}
}

// appendJSON is what json.Marshal makes of p.
func (p *Problem) appendJSON(b []byte) ([]byte, error) {
	text := func(name, value string) {
		b = jsonvalue.AppendString(append(b, name...), value, jsonvalue.HTML)
	}
	some := func(name, value string) {
		if value != "" {
			text(name, value)
		}
	}
	text(`{"type":`, p.Type)
	text(`,"title":`, p.Title)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	some(`,"detail":`, p.Detail)
	text(`,"instance":`, p.Instance)
	text(`,"code":`, p.Code)
	some(`,"stage":`, string(p.Stage))
	if len(p.Reasons) > 0 {
		var err error
		if b, err = wire.Middleware.Reasons(append(b, `,"reasons":`...), p.Reasons); err != nil {
			return b, err
		}
	}
	if p.LegalEvents != nil {
		b = jsonvalue.AppendStrings(append(b, `,"legal_events":`...), p.LegalEvents, jsonvalue.HTML)
	}
	for i, f := range p.Errors {
		if i == 0 {
			b = append(b, `,"errors":[`...)
		} else {
			b = append(b, ',')
		}
		text(`{"pointer":`, f.Pointer)
		text(`,"message":`, f.Message)
		b = append(b, '}')
		if i == len(p.Errors)-1 {
			b = append(b, ']')
		}
	}
	some(`,"state":`, p.State)
	if p.Version != 0 {
		b = strconv.AppendInt(append(b, `,"version":`...), p.Version, 10)
	}
	some(`,"policy_revision":`, p.PolicyRevision)
	some(`,"trace_id":`, p.TraceID)
	return append(b, '}'), nil
}
