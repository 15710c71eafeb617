package server

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/jsonvalue"
	"github.com/interlock-go/interlock/internal/wire"
)

// stamp is a time on the wire: RFC 3339, UTC, always six digits.
type stamp time.Time

func (s stamp) MarshalText() ([]byte, error) {
	return time.Time(s).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000000Z"), nil
}

type reasonJSON struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Params  map[string]any `json:"params"`
}

func reasons(all []interlock.Reason) []reasonJSON {
	out := make([]reasonJSON, 0, len(all))
	for _, r := range all {
		out = append(out, reasonJSON{r.Code, r.Message, members(r.Params)})
	}
	return out
}

type transitionJSON struct {
	ID               string         `json:"id"`
	Seq              int64          `json:"seq"`
	Event            string         `json:"event"`
	From             string         `json:"from"`
	To               string         `json:"to"`
	Override         bool           `json:"override"`
	Actor            string         `json:"actor"`
	Person           string         `json:"person"`
	OnBehalfOf       string         `json:"on_behalf_of,omitempty"`
	OnBehalfOfPerson string         `json:"on_behalf_of_person,omitempty"`
	Note             *string        `json:"note"`
	Input            map[string]any `json:"input"`
	Time             stamp          `json:"time"`
	Revision         string         `json:"revision"`
	Hash             string         `json:"hash"`
}

func historyRows(rows []interlock.Transition) []transitionJSON {
	out := make([]transitionJSON, 0, len(rows))
	for _, t := range rows {
		out = append(out, transitionJSON{
			ID: t.ID, Seq: t.Seq, Event: t.Event, From: t.From, To: t.To, Override: t.Override,
			Actor: t.Actor, Person: t.Person, OnBehalfOf: t.OnBehalfOf, OnBehalfOfPerson: t.OnBehalfOfPerson,
			Note: orNull(t.Note), Input: t.Input, Time: stamp(t.Time), Revision: t.Revision, Hash: hex.EncodeToString(t.Hash),
		})
	}
	return out
}

type attemptJSON struct {
	Event    string          `json:"event"`
	To       *string         `json:"to"`
	State    string          `json:"state"`
	Actor    string          `json:"actor"`
	Person   string          `json:"person"`
	Stage    interlock.Stage `json:"stage"`
	Code     string          `json:"code"`
	Reasons  []string        `json:"reasons"`
	Time     stamp           `json:"time"`
	Revision string          `json:"revision"`
}

func attemptRows(rows []interlock.Attempt) []attemptJSON {
	out := make([]attemptJSON, 0, len(rows))
	for _, a := range rows {
		out = append(out, attemptJSON{
			a.Event, orNull(a.To), a.State, a.Actor, a.Person, a.Stage, a.Code, list(a.Reasons), stamp(a.Time), a.Revision,
		})
	}
	return out
}

type actorJSON struct {
	ID      string         `json:"id"`
	Person  *string        `json:"person"`
	Active  bool           `json:"active"`
	Attrs   map[string]any `json:"attrs"`
	Roles   []grantJSON    `json:"roles"`
	Version int64          `json:"version"`

	CacheInvalidated *bool `json:"cache_invalidated,omitempty"` // of changes
}

type grantJSON struct {
	Role  string          `json:"role"`
	Scope interlock.Scope `json:"scope"`
	Since stamp           `json:"since"`
	By    string          `json:"by"`
}

func actorRow(a interlock.ActorRecord) actorJSON {
	out := actorJSON{
		ID: a.ID, Person: orNull(a.Person), Active: a.Active, Attrs: members(a.Attrs), Roles: []grantJSON{}, Version: a.Version,
	}
	for _, g := range a.Grants {
		out.Roles = append(out.Roles, grantJSON{g.Role, g.Scope, stamp(g.Since), g.By})
	}
	return out
}

// actorChanged says besides whether reads and menus show the change at once.
func actorChanged(a interlock.ActorRecord) actorJSON {
	out, told := actorRow(a), !a.ReadsLag
	out.CacheInvalidated = &told
	return out
}

// A list is never null and neither is an object, unless the document says so.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func members[M ~map[string]any](m M) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// reply is answer of what appended adds.
func reply(c *gin.Context, status int, appended func(b []byte) ([]byte, error)) (err error) {
	jsonvalue.Borrowed(func(buffer []byte) []byte {
		b, failed := appended(buffer)
		if failed != nil {
			err = fmt.Errorf("encode the answer: %w", failed)
			return b
		}
		if h := c.Writer.Header(); len(h["Content-Type"]) == 0 { // as Gin does
			wire.SetHeaders(h, "Content-Type", mediaJSON)
		}
		c.Status(status)
		if _, failed = c.Writer.Write(b); failed != nil {
			_ = c.Error(failed)
			c.Abort()
		}
		return b
	})
	return err
}

func replyInstance(c *gin.Context, status int, i *interlock.Instance) error {
	return reply(c, status, func(b []byte) ([]byte, error) { return wire.Instance(b, i) })
}

// answer encodes before it writes: a status is not sent before its body exists.
func answer(c *gin.Context, status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	c.Data(status, mediaJSON, data)
	return nil
}

// committed answers a write with the representation that GET returns.
func (s *Server) committed(c *gin.Context, status int, r interlock.Result, dryRun bool) error {
	h := c.Writer.Header()
	wire.SetHeaders(h, "Interlock-Revision", r.Transition.Revision)
	if !dryRun {
		wire.SetHeaders(h, "Interlock-Transition", r.Transition.ID, "Interlock-Sequence", strconv.FormatInt(r.Transition.Seq, 10))
		if tag := s.gate.ETag(r.Instance); tag != "" {
			wire.SetHeaders(h, "Etag", tag)
		}
	}
	return replyInstance(c, status, &r.Instance)
}

// page adds the link to the next page (RFC 8288).
func page(c *gin.Context, next string) *string {
	if next == "" {
		return nil
	}
	u := *c.Request.URL
	values := u.Query()
	values.Set("cursor", next)
	u.RawQuery = values.Encode()
	c.Header("Link", "<"+u.RequestURI()+`>; rel="next"`)
	return &next
}
