package server

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// stamp is a time on the wire: RFC 3339, UTC, always six digits.
type stamp time.Time

func (s stamp) MarshalText() ([]byte, error) {
	return time.Time(s).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000000Z"), nil
}

type instanceJSON struct {
	Machine   string         `json:"machine"`
	ID        string         `json:"id"`
	State     string         `json:"state"`
	Version   int64          `json:"version"`
	Facts     map[string]any `json:"facts"`
	CreatedBy string         `json:"created_by"`
	CreatedAt stamp          `json:"created_at"`
	Since     stamp          `json:"since"`
	UpdatedAt stamp          `json:"updated_at"`
	Events    []optionJSON   `json:"events,omitzero"`
}

func represent(i interlock.Instance) instanceJSON {
	return instanceJSON{
		Machine: i.Machine, ID: i.ID, State: i.State, Version: i.Version, Facts: members(i.Facts),
		CreatedBy: i.CreatedBy, CreatedAt: stamp(i.CreatedAt), Since: stamp(i.Since), UpdatedAt: stamp(i.UpdatedAt),
	}
}

type optionJSON struct {
	Event       string          `json:"event"`
	Title       string          `json:"title"`
	Allowed     bool            `json:"allowed"`
	Needs       []string        `json:"needs"`
	To          []targetJSON    `json:"to"`
	Note        fsm.NoteMode    `json:"note"`
	Override    bool            `json:"override"`
	InputSchema json.RawMessage `json:"input_schema"`
	UI          map[string]any  `json:"ui"`
}

type targetJSON struct {
	State   string       `json:"state"`
	Title   string       `json:"title"`
	Self    bool         `json:"self,omitempty"`
	Stay    bool         `json:"stay,omitempty"`
	Allowed bool         `json:"allowed"`
	Reasons []reasonJSON `json:"reasons"`
}

type reasonJSON struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Params  map[string]any `json:"params"`
}

// menu keeps the denied events and targets only when they are asked for.
func menu(options []interlock.Option, denied bool) []optionJSON {
	out := make([]optionJSON, 0, len(options))
	for _, o := range options {
		if !o.Allowed && !denied {
			continue
		}
		one := optionJSON{
			Event: o.Event, Title: o.Title, Allowed: o.Allowed, Needs: list(o.Needs), To: []targetJSON{},
			Note: o.Note, Override: o.Override, InputSchema: o.InputSchema, UI: members(o.UI),
		}
		for _, t := range o.To {
			if t.Allowed || denied {
				one.To = append(one.To, targetJSON{t.State, t.Title, t.Self, t.Stay, t.Allowed, reasons(t.Reasons)})
			}
		}
		out = append(out, one)
	}
	return out
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
	h.Set("Interlock-Revision", r.Transition.Revision)
	if !dryRun {
		h.Set("Interlock-Transition", r.Transition.ID)
		h.Set("Interlock-Sequence", strconv.FormatInt(r.Transition.Seq, 10))
		if tag := s.gate.ETag(r.Instance); tag != "" {
			h.Set("ETag", tag)
		}
	}
	return answer(c, status, represent(r.Instance))
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
