package middleware

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/lent"
	"github.com/interlock-go/interlock/internal/wire"
)

// Fire fires the event that the body names, {"event", "to"?, "note"?, "input"?},
// and answers after the commit. `?dry_run=true` only decides. It never walks
// around the side effects of a [Do]: an event that a Do of the same machine does
// by name is refused, 409 other_route, with the route where it is done; beside a
// Do of all events Fire is an error of [Interlock.Validate]. If-Match and
// Idempotency-Key hold as [ReadConditions] reads them; the answer has an ETag.
func (il *Interlock) Fire() gin.HandlerFunc {
	return il.FireEvent("")
}

// FireEvent fires this event; the body is {"to"?, "note"?, "input"?} or empty.
// With event "" it is Fire. Beside a [Do] of the event it is an error of
// [Interlock.Validate].
func (il *Interlock) FireEvent(event string) gin.HandlerFunc {
	s := spec{kind: fires, event: event}
	return il.handler(s, func(c *gin.Context, g *Group, actor interlock.Actor) {
		req, err := il.request(c, g, s)
		if err != nil {
			WriteProblem(c, err)
			return
		}
		res, err := il.gate.Fire(il.asking(c), actor, req)
		if err != nil {
			WriteProblem(c, err)
			return
		}
		il.answer(c, eventAnswer(req.DryRun), res, nil)
	})
}

// Do fires the event with the application's own writes in the same transaction:
// see [interlock.Do]. It stands in the way of this Interlock's other routes only:
// an HTTP API (package server) or another Interlock on the same gate commits the
// event without the handler, so nobody who reaches those may fire it. The body is
// that of FireEvent. The answer, after the commit, is the handler's value, or what
// Fire answers when that is nil. The handler's error rolls back: a [*Problem] is answered as it says, others by 500.
//
// With event "" the body is that of Fire, and names any event that no other Do
// of the machine does by name. Writes that hang on a target rather than on an
// event belong there, looking at t.To: an override, too, may lead into approved.
func Do[Tx any](il *Interlock, event string, handler func(context.Context, Tx, interlock.Transition) (any, error)) gin.HandlerFunc {
	s := spec{kind: fires, event: event, does: true}
	return il.handler(s, func(c *gin.Context, g *Group, actor interlock.Actor) {
		req, err := il.request(c, g, s)
		if err != nil {
			WriteProblem(c, err)
			return
		}
		res, value, err := interlock.Do(il.asking(c), il.gate, actor, req, handler)
		if err != nil {
			WriteProblem(c, err)
			return
		}
		il.answer(c, eventAnswer(req.DryRun), res, value)
	})
}

// Check lets the next handlers run if the event, with no note and no form, would
// be allowed now. It promises nothing against races: by the time they run, state
// and roles may have changed. What must not happen then belongs in Do.
func (il *Interlock) Check(event string) gin.HandlerFunc {
	return il.handler(spec{kind: checks, event: event}, func(c *gin.Context, g *Group, actor interlock.Actor) {
		ref, err := il.ref(c, g)
		if err == nil {
			// The next handlers go by it.
			_, err = il.gate.Fire(interlock.Strong(c.Request.Context()), actor, interlock.Request{
				Machine: ref.Machine, ID: ref.ID, Event: event, DryRun: true, RequestID: traceID(c),
			})
		}
		if err != nil {
			WriteProblem(c, err)
		}
	})
}

// Gated marks a route whose own handler asks the gate (by [interlock.Do], say),
// and why it does so itself. Like Ungated, it asks nothing: the handler must.
func (il *Interlock) Gated(why string) gin.HandlerFunc {
	return il.handler(spec{kind: gated, why: why}, nil)
}

// Ungated marks a route that changes nothing that the machine guards, and why.
func (il *Interlock) Ungated(why string) gin.HandlerFunc {
	return il.handler(spec{kind: ungated, why: why}, nil)
}

// Available answers with the menu, {"events": […]}; `?denied=false` leaves out
// what is denied. The header Interlock-ETag is the instance's entity tag, for
// If-Match; the menu itself has none, since it changes with roles and rules, too.
func (il *Interlock) Available() gin.HandlerFunc {
	return il.handler(spec{kind: reads}, func(c *gin.Context, g *Group, actor interlock.Actor) {
		ref, err := il.ref(c, g)
		denied := true
		if err == nil {
			denied, err = flag(c, "denied", true)
		}
		var menu interlock.Menu
		if err == nil {
			menu, err = il.gate.Available(lent.To(c.Request.Context()), actor, ref)
		}
		if err != nil {
			WriteProblem(c, err)
			return
		}
		if tag := il.gate.ETag(menu.Instance); tag != "" {
			wire.SetHeaders(c.Writer.Header(), "Interlock-Etag", tag)
		}
		wire.SetHeaders(c.Writer.Header(), "Cache-Control", "no-store")
		write(c, http.StatusOK, jsonType, func(b []byte) ([]byte, error) {
			b, err := wire.Middleware.Options(append(b, `{"events":`...), menu.Options, denied)
			return append(b, '}'), err
		})
	})
}

// asking is the context of a request whose answer goes to the wire at once: not
// where the application makes its own of the instance.
func (il *Interlock) asking(c *gin.Context) context.Context {
	if il.cfg.Represent != nil {
		return c.Request.Context()
	}
	return lent.To(c.Request.Context())
}

// History answers with committed rows, oldest first: {"history": […],
// "archived_before", "next_cursor"}; `?limit=` (1 to 200, default 50) and `?cursor=`.
func (il *Interlock) History() gin.HandlerFunc {
	return il.handler(spec{kind: reads}, func(c *gin.Context, g *Group, actor interlock.Actor) {
		ref, err := il.ref(c, g)
		after, limit := int64(0), int64(50)
		if err == nil {
			after, err = number(c, "cursor", 0, 0, 1<<62)
		}
		if err == nil {
			limit, err = number(c, "limit", limit, 1, 200)
		}
		var rows []interlock.Transition
		if err == nil {
			rows, err = il.gate.History(c.Request.Context(), actor, ref, after, int(limit)+1)
		}
		if err != nil {
			WriteProblem(c, err)
			return
		}
		respond(c, viewHistory(rows, after, int(limit)))
	})
}

// ref is the instance that the route is about.
func (il *Interlock) ref(c *gin.Context, g *Group) (interlock.Ref, error) {
	id := c.Param(il.cfg.Param)
	if !interlock.ValidID(id) {
		return interlock.Ref{}, badID()
	}
	return interlock.Ref{Machine: g.machine, ID: id}, nil
}

func badID() error {
	return &interlock.Refusal{
		Stage: interlock.StageInput, Code: "id_invalid",
		Message: "An id is 1 to 128 of A-Z a-z 0-9 . _ ~ - and begins with a letter or digit.",
	}
}

// request reads what is asked of a handler that fires.
func (il *Interlock) request(c *gin.Context, g *Group, s spec) (interlock.Request, error) {
	ref, err := il.ref(c, g)
	if err != nil {
		return interlock.Request{}, err
	}
	req := interlock.Request{Machine: ref.Machine, ID: ref.ID, Event: s.event, RequestID: traceID(c)}
	cond, err := ReadConditions(c.Request)
	if err == nil {
		err = cond.OfEvent()
	}
	if err != nil {
		return req, err
	}
	req.IfMatch, req.IdempotencyKey = cond.IfMatch, cond.IdempotencyKey
	if req.DryRun, err = flag(c, "dry_run", false); err != nil {
		return req, err
	}
	var body struct {
		To    string         `json:"to"`
		Note  string         `json:"note"`
		Input map[string]any `json:"input"`
	}
	if s.event != "" {
		err = decode(c, &body, true)
	} else {
		var named wire.Event
		err = DecodeJSON(c, &named)
		if err == nil && named.Event == "" {
			err = &Problem{Code: codeMalformed, Errors: []fsm.FieldError{{Pointer: "/event", Message: "is missing"}}}
		}
		req.Event, body.To, body.Note, body.Input = named.Event, named.To, named.Note, named.Input
	}
	req.To, req.Note, req.Input = body.To, body.Note, body.Input
	if err == nil {
		err = il.refuseElsewhere(g.machine, req.Event, s)
	}
	return req, err
}

// flag reads a parameter of the query that is true or false, once.
func flag(c *gin.Context, name string, standard bool) (bool, error) {
	switch c.Request.URL.RawQuery { // what is asked most often
	case "":
		return standard, nil
	case name + "=true":
		return true, nil
	}
	values := c.QueryArray(name)
	switch {
	case len(values) == 0:
		return standard, nil
	case len(values) == 1 && (values[0] == "true" || values[0] == "false"):
		return values[0] == "true", nil
	}
	return false, &Problem{Code: codeMalformed, Detail: fmt.Sprintf("Want %s=true or %s=false, once.", name, name)}
}

func number(c *gin.Context, name string, standard, low, high int64) (int64, error) {
	values := c.QueryArray(name)
	if len(values) == 0 {
		return standard, nil
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if len(values) > 1 || err != nil || n < low || n > high {
		return 0, &Problem{Code: codeMalformed, Detail: fmt.Sprintf("Want %s once, a whole number from %d to %d.", name, low, high)}
	}
	return n, nil
}

func respond(c *gin.Context, body any) {
	c.Header("Cache-Control", "no-store")
	writeJSON(c, http.StatusOK, jsonType, body)
}
