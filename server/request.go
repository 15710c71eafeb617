package server

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
)

const (
	defaultLimit = 50
	maxLimit     = 200
	mediaJSON    = "application/json"
	mediaPatch   = "application/merge-patch+json"
	invalidToken = `Bearer realm="interlock", error="invalid_token"` // RFC 6750, 3
)

// as wraps a handler that needs to know who asks: Identify stands before it.
func (s *Server) as(handle func(*gin.Context, interlock.Actor) error) gin.HandlerFunc {
	return s.open(func(c *gin.Context) error {
		actor, ok := middleware.ActorFrom(c)
		if !ok {
			return errors.New("a route that nobody is identified for")
		}
		return handle(c, actor)
	})
}

// open wraps a handler for everybody. Every error becomes an answer here.
func (s *Server) open(handle func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := handle(c); err != nil {
			middleware.WriteProblem(c, err)
		}
	}
}

// conditional are the writes that keep conditions and idempotency keys.
var conditional = map[address]bool{
	{"POST", "/v1/machines/:machine/instances"}:            true,
	{"POST", "/v1/machines/:machine/instances/:id/events"}: true,
	{"PATCH", "/v1/machines/:machine/instances/:id/facts"}: true,
}

type address struct{ method, route string }

// plain refuses what would be read in two ways, and conditions that would not be kept.
func plain(r *http.Request, route string) error {
	for _, name := range [...]string{"Authorization", "Content-Type", "Content-Encoding", "If-Match", "If-None-Match", "Idempotency-Key"} {
		if len(r.Header[name]) > 1 {
			return malformed("The header %s stands there more than once.", name)
		}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodPut || r.Method == http.MethodDelete {
		if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			return malformed("This address takes no body with %s.", r.Method)
		}
	}
	if r.Method == http.MethodGet || conditional[address{r.Method, route}] {
		return nil
	}
	for _, name := range [...]string{"If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since", "Idempotency-Key"} {
		if len(r.Header[name]) > 0 {
			return malformed("%s is not supported here; the request was not carried out, because it would not have been kept.", name)
		}
	}
	return nil
}

func malformed(format string, args ...any) error {
	return &middleware.Problem{Code: codeMalformed, Detail: fmt.Sprintf(format, args...)}
}

// identify turns every way of not knowing who asks into a refusal. What the
// identity said is told only in words made for the caller.
func (s *Server) identify(c *gin.Context) (interlock.Actor, error) {
	actor, err := s.whoAsks(c.Request)
	if err == nil && actor.Kind == interlock.System {
		err = errors.New("identity: an actor of the kind system from outside")
	}
	if err == nil {
		return actor, nil
	}
	var refusal *interlock.Refusal
	if errors.As(err, &refusal) {
		if refusal.Stage == interlock.StageIdentity {
			c.Header("WWW-Authenticate", invalidToken)
		}
		return interlock.Actor{}, refusal
	}
	var problem *middleware.Problem
	if errors.As(err, &problem) && problem.Code == codeNoKeys {
		c.Header("Retry-After", retryAfterKeys)
		return interlock.Actor{}, problem
	}
	nobody := &middleware.Problem{Code: codeNobody, Stage: interlock.StageIdentity}
	var told credentialError
	switch {
	case errors.Is(err, ErrNoCredentials):
		c.Header("WWW-Authenticate", `Bearer realm="interlock"`)
		return interlock.Actor{}, nobody
	case errors.As(err, &told):
		nobody.Detail = sentence(string(told))
	default:
		nobody.Cause = err
	}
	c.Header("WWW-Authenticate", invalidToken)
	return interlock.Actor{}, nobody
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// machine finds the machine of the path.
func (s *Server) machine(c *gin.Context) (*fsm.Machine, error) {
	if m, ok := s.gate.Machine(c.Param("machine")); ok {
		return m, nil
	}
	return nil, &middleware.Problem{Code: codeNotFound, Stage: interlock.StageGraph}
}

// instance finds the machine and the instance's id of the path. Whether there is
// such an instance is the gate's to say.
func (s *Server) instance(c *gin.Context) (interlock.Ref, error) {
	id := c.Param("id")
	if !interlock.ValidID(id) {
		return interlock.Ref{}, &middleware.Problem{Code: "id_invalid", Stage: interlock.StageInput}
	}
	m, err := s.machine(c)
	if err != nil {
		return interlock.Ref{}, err
	}
	return interlock.Ref{Machine: m.Name(), ID: id}, nil
}

// query are the parameters of a request: each known, each once.
type query map[string]string

func parameters(c *gin.Context, known ...string) (query, error) {
	raw := c.Request.URL.RawQuery
	if raw == "" {
		return query{}, nil
	}
	if name, value, ok := strings.Cut(raw, "="); ok && slices.Contains(known, name) && (value == "true" || value == "false") {
		return query{name: value}, nil // what is asked most often
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, malformed("The query can't be read.")
	}
	q := query{}
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, malformed("There is no parameter %q here; known: %s.", clip(name), oneOf(known))
		case len(given) > 1:
			return nil, malformed("The parameter %s stands there more than once.", name)
		case strings.ContainsFunc(given[0], func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
			return nil, malformed("The parameter %s has a character that it can't have.", name)
		}
		q[name] = given[0]
	}
	return q, nil
}

func oneOf(known []string) string {
	if len(known) == 0 {
		return "none"
	}
	return strings.Join(known, ", ")
}

func clip(s string) string { return s[:min(len(s), 64)] }

func (q query) flag(name string, otherwise bool) (bool, error) {
	switch value, given := q[name]; {
	case !given:
		return otherwise, nil
	case value == "true":
		return true, nil
	case value == "false":
		return false, nil
	}
	return false, malformed("The parameter %s must be true or false.", name)
}

func (q query) limit() (int, error) {
	value, given := q["limit"]
	if !given {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxLimit || value != strconv.Itoa(n) {
		return 0, malformed("The parameter limit must be a whole number from 1 to %d.", maxLimit)
	}
	return n, nil
}

func (q query) time(name string) (time.Time, error) {
	value, given := q[name]
	if !given {
		return time.Time{}, nil
	}
	t, err := parseTime(value)
	if err != nil {
		return time.Time{}, malformed("The parameter %s must be a time like 2026-01-31T12:00:00Z (RFC 3339).", name)
	}
	return t, nil
}

var errNoTime = errors.New("no time of RFC 3339")

// parseTime is stricter than time.Parse, which takes a comma for a point.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1 || strings.Contains(s, ",") {
		return time.Time{}, errNoTime
	}
	return t.UTC(), nil
}

func (q query) id(name string) (string, error) {
	value, given := q[name]
	if given && !interlock.ValidID(value) {
		return "", malformed("The parameter %s must be an id.", name)
	}
	return value, nil
}

// some refuses a parameter that is there without a value.
func (q query) some(name string) (string, error) {
	value, given := q[name]
	if given && value == "" {
		return "", malformed("The parameter %s has no value.", name)
	}
	return value, nil
}

// body reads a strict JSON object; patch allows the merge patch's own media type.
func body(c *gin.Context, v any, patch bool) error {
	given := c.GetHeader("Content-Type")
	if given == mediaJSON {
		return middleware.DecodeJSON(c, v)
	}
	media, _, err := mime.ParseMediaType(given)
	if err != nil || media != mediaJSON && (!patch || media != mediaPatch) {
		want := mediaJSON
		if patch {
			want = mediaPatch + " or " + mediaJSON
		}
		return &middleware.Problem{Code: codeMediaType, Detail: "The body must be " + want + "."}
	}
	return middleware.DecodeJSON(c, v)
}
