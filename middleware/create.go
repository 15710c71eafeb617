package middleware

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/interlock-go/interlock"
)

// Create makes an instance; the body is {"id"?, "facts"?, "note"?} or empty.
// Where the path has the parameter of the id (Config.Param), that is the id and
// the body has none; without either one is made. The answer is 201 with the
// instance or what Config.Represent makes of it, an ETag, and a Location where a GET of
// it is declared in a [Group]. `?dry_run=true` only decides. A machine that is
// bound to a table takes [CreateWith].
func (il *Interlock) Create() gin.HandlerFunc {
	return il.handler(spec{kind: creates}, func(c *gin.Context, g *Group, actor interlock.Actor) {
		req, err := creation(il, c, g, &struct{}{})
		if err == nil {
			req.DryRun, err = flag(c, "dry_run", false)
		}
		var res interlock.Result
		if err == nil {
			res, err = il.gate.Create(c.Request.Context(), actor, req)
		}
		switch {
		case err != nil:
			WriteProblem(c, err)
		case req.DryRun:
			il.answer(c, wouldBe, res, nil)
		default:
			il.created(c, res, nil)
		}
	})
}

// CreateWith makes an instance with the application's own writes in the same
// transaction, such as the row of a bound table: see [interlock.CreateWith]. The
// body is that of Create and, beside it, the members of Body, a struct or map of
// the application's (struct{} for none), read as by [DecodeJSON]. The handler
// finds its id in t.Instance and the state to insert in t.To. Its value and error
// are answered as those of [Do], with 201. There is no dry run.
func CreateWith[Tx, Body any](il *Interlock, handler func(context.Context, Tx, interlock.Transition, Body) (any, error)) gin.HandlerFunc {
	s := spec{kind: creates}
	if err := json.Unmarshal([]byte(`{}`), new(Body)); err != nil {
		s.wrong = fmt.Errorf("CreateWith reads a JSON object, which a %s can't take; give a struct or a map", reflect.TypeFor[Body]())
	}
	return il.handler(s, func(c *gin.Context, g *Group, actor interlock.Actor) {
		var body Body
		req, err := creation(il, c, g, &body)
		if err == nil && len(c.QueryArray("dry_run")) > 0 {
			err = &Problem{Code: codeMalformed, Detail: "dry_run is not supported here: what the application writes is part of the decision."}
		}
		if err != nil {
			WriteProblem(c, err)
			return
		}
		res, value, err := interlock.CreateWith(c.Request.Context(), il.gate, actor, req,
			func(ctx context.Context, tx Tx, t interlock.Transition) (any, error) {
				return handler(ctx, tx, t, body)
			})
		if err != nil {
			WriteProblem(c, err)
			return
		}
		il.created(c, res, value)
	})
}

// creation reads what is asked; other takes the members that aren't the gate's.
func creation(il *Interlock, c *gin.Context, g *Group, other any) (interlock.CreateRequest, error) {
	req := interlock.CreateRequest{Machine: g.machine, RequestID: traceID(c)}
	cond, err := ReadConditions(c.Request)
	if err == nil {
		err = cond.OfCreation()
	}
	if err != nil {
		return req, err
	}
	req.IfNoneMatch, req.IdempotencyKey = len(cond.IfNoneMatch) > 0, cond.IdempotencyKey
	var ours struct {
		ID    *string        `json:"id"`
		Facts map[string]any `json:"facts"`
		Note  string         `json:"note"`
	}
	names := []string{"id", "facts", "note"}
	if id, inPath := c.Params.Get(il.cfg.Param); inPath {
		ours.ID, names = &id, names[1:]
	}
	if req.Besides, err = decodeParts(c, names, &ours, other); err != nil {
		return req, err
	}
	if ours.ID != nil {
		if !interlock.ValidID(*ours.ID) {
			return req, badID()
		}
		req.ID = *ours.ID
	}
	req.Facts, req.Note = ours.Facts, ours.Note
	return req, nil
}

// decodeParts reads the members of these names into v and all others into other,
// which it returns, too, by the order of their names.
func decodeParts(c *gin.Context, names []string, v, other any) (besides []byte, err error) {
	var rest map[string]jsontext.Value
	if err := decode(c, &rest, true); err != nil {
		return nil, err
	}
	part := map[string]jsontext.Value{}
	for _, name := range names {
		if raw, ok := rest[name]; ok {
			part[name] = raw
			delete(rest, name)
		}
	}
	if rest == nil {
		rest = map[string]jsontext.Value{}
	}
	for _, p := range []struct {
		members map[string]jsontext.Value
		into    any
	}{{part, v}, {rest, other}} {
		besides, err = json.Marshal(p.members, json.Deterministic(true))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(besides, p.into, strict); err != nil {
			return nil, misfit(err)
		}
	}
	return besides, nil
}

// created says where the instance is, if it can be read there.
func (il *Interlock) created(c *gin.Context, res interlock.Result, value any) {
	at, one := c.Request.URL.EscapedPath(), c.FullPath()
	if _, inPath := c.Params.Get(il.cfg.Param); !inPath {
		at = strings.TrimSuffix(at, "/") + "/" + res.Instance.ID
		one = strings.TrimSuffix(one, "/") + "/:" + il.cfg.Param
	}
	if il.routes[route{"GET", one}] {
		c.Header("Location", at)
	}
	il.answer(c, created, res, value)
}
