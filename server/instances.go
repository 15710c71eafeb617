package server

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/jsonvalue"
	"github.com/interlock-go/interlock/internal/lent"
	"github.com/interlock-go/interlock/internal/wire"
	"github.com/interlock-go/interlock/middleware"
)

func (s *Server) listInstances(c *gin.Context, actor interlock.Actor) error {
	q, err := reading(c, "state", "actor", "updated_since", "limit", "cursor")
	if err != nil {
		return err
	}
	m, err := s.machine(c)
	if err != nil {
		return err
	}
	req := interlock.ListRequest{Machine: m.Name(), State: q["state"]}
	if req.Limit, err = q.limit(); err != nil {
		return err
	}
	if req.Actor, err = q.id("actor"); err != nil {
		return err
	}
	if req.UpdatedSince, err = q.time("updated_since"); err != nil {
		return err
	}
	if _, given := q["state"]; given {
		if _, known := m.StateByName(req.State); !known {
			return malformed("The machine has no state of that name.")
		}
	}
	question := []string{"list", tenant(actor), m.Name(), req.State, req.Actor, req.UpdatedSince.Format(time.RFC3339Nano)}
	if req.After, err = s.position(q["cursor"], question...); err != nil {
		return err
	}
	found, next, err := s.gate.List(c.Request.Context(), actor, req)
	if err != nil {
		return err
	}
	if next != "" {
		next = s.cursor(next, question...)
	}
	after := page(c, next)
	return reply(c, http.StatusOK, func(b []byte) (_ []byte, err error) {
		b = append(b, `{"instances":[`...)
		for i := range found {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = wire.Instance(b, &found[i]); err != nil {
				return b, err
			}
		}
		b, err = jsonvalue.AppendAny(append(b, `],"next_cursor":`...), after, jsonvalue.HTML)
		return append(b, '}'), err
	})
}

func tenant(a interlock.Actor) string {
	if a.Tenant == "" {
		return interlock.DefaultTenant
	}
	return a.Tenant
}

func (s *Server) createInstance(c *gin.Context, actor interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	m, err := s.machine(c)
	if err != nil {
		return err
	}
	var in struct {
		ID    *string        `json:"id"`
		Facts map[string]any `json:"facts"`
		Note  string         `json:"note"`
	}
	if err := body(c, &in, false); err != nil {
		return err
	}
	cond, err := middleware.ReadConditions(c.Request)
	if err == nil {
		err = cond.OfCreation()
	}
	if err != nil {
		return err
	}
	req := interlock.CreateRequest{Machine: m.Name(), Facts: in.Facts, Note: in.Note, RequestID: asked(c),
		IfNoneMatch: len(cond.IfNoneMatch) > 0, IdempotencyKey: cond.IdempotencyKey}
	if in.ID != nil {
		if req.ID = *in.ID; !interlock.ValidID(req.ID) {
			return badID("/id")
		}
	}
	result, err := s.gate.Create(c.Request.Context(), actor, req)
	if err != nil {
		return err
	}
	c.Header("Location", "/v1/machines/"+url.PathEscape(m.Slug())+"/instances/"+url.PathEscape(result.Instance.ID))
	return s.committed(c, http.StatusCreated, result, false)
}

func (s *Server) getInstance(c *gin.Context, actor interlock.Actor) error {
	q, err := reading(c, "events")
	if err != nil {
		return err
	}
	withMenu, err := q.flag("events", false)
	if err != nil {
		return err
	}
	ref, err := s.instance(c)
	if err != nil {
		return err
	}
	if withMenu {
		found, err := s.gate.Available(lent.To(c.Request.Context()), actor, ref)
		if err != nil {
			return err
		}
		return reply(c, http.StatusOK, func(b []byte) ([]byte, error) {
			return wire.InstanceWithEvents(b, &found.Instance, found.Options)
		})
	}
	found, err := s.gate.Get(lent.To(c.Request.Context()), actor, ref)
	if err != nil {
		return err
	}
	return s.tagged(c, found)
}

// tagged answers an instance unless it is the one that the caller has, or isn't
// the one that the caller means (RFC 9110, 13.2.2: If-Match goes first).
func (s *Server) tagged(c *gin.Context, found interlock.Instance) error {
	tag := s.gate.ETag(found)
	if tag != "" {
		c.Header("ETag", tag)
	}
	cond, err := middleware.ReadConditions(c.Request)
	switch {
	case err != nil:
		return err
	case len(cond.IfMatch) > 0 && !slices.Contains(cond.IfMatch, "*") && (tag == "" || !slices.Contains(cond.IfMatch, tag)):
		return &middleware.Problem{Code: "precondition_failed", Stage: interlock.StageConflict}
	case cond.Unchanged(tag):
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return nil
	}
	return replyInstance(c, http.StatusOK, &found)
}

func (s *Server) editFacts(c *gin.Context, actor interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	ref, err := s.instance(c)
	if err != nil {
		return err
	}
	cond, err := middleware.ReadConditions(c.Request)
	if err == nil {
		err = cond.OfEvent()
	}
	if err != nil {
		return err
	}
	var patch map[string]any
	if err := body(c, &patch, true); err != nil {
		return err
	}
	result, err := s.gate.EditFacts(c.Request.Context(), actor, interlock.FactsRequest{
		Machine: ref.Machine, ID: ref.ID, Patch: patch, RequestID: asked(c), IfMatch: cond.IfMatch, IdempotencyKey: cond.IdempotencyKey,
	})
	if err != nil {
		return inPatch(err)
	}
	return s.committed(c, http.StatusOK, result, false)
}

// inPatch turns the gate's pointers, which begin at the instance, into those of
// the body, which is the facts themselves.
func inPatch(err error) error {
	var r *interlock.Refusal
	if !errors.As(err, &r) || len(r.Fields) == 0 {
		return err
	}
	moved := *r
	moved.Fields = make([]fsm.FieldError, 0, len(r.Fields))
	for _, f := range r.Fields {
		moved.Fields = append(moved.Fields, fsm.FieldError{Pointer: strings.TrimPrefix(f.Pointer, "/facts"), Message: f.Message})
	}
	return &moved
}

// asked is the request's id as it was answered.
func asked(c *gin.Context) string { return c.Writer.Header().Get("X-Request-Id") }
