package server

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/lent"
	"github.com/interlock-go/interlock/internal/wire"
	"github.com/interlock-go/interlock/middleware"
)

const maxAvailable = 200

func (s *Server) listEvents(c *gin.Context, actor interlock.Actor) error {
	q, err := reading(c, "denied")
	if err != nil {
		return err
	}
	denied, err := q.flag("denied", true)
	if err != nil {
		return err
	}
	ref, err := s.instance(c)
	if err != nil {
		return err
	}
	found, err := s.gate.Available(lent.To(c.Request.Context()), actor, ref)
	if err != nil {
		return err
	}
	if tag := s.gate.ETag(found.Instance); tag != "" {
		c.Header("Interlock-ETag", tag)
	}
	return reply(c, http.StatusOK, func(b []byte) ([]byte, error) {
		b, err := wire.Server.Options(append(b, `{"events":`...), found.Options, denied)
		return append(b, '}'), err
	})
}

func (s *Server) fireEvent(c *gin.Context, actor interlock.Actor) error {
	q, err := reading(c, "dry_run")
	if err != nil {
		return err
	}
	dryRun, err := q.flag("dry_run", false)
	if err != nil {
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
	var in wire.Event
	if err := body(c, &in, false); err != nil {
		return err
	}
	if in.Event == "" {
		return &middleware.Problem{Code: codeMalformed, Errors: []fsm.FieldError{{Pointer: "/event", Message: "must be there"}}}
	}
	result, err := s.gate.Fire(lent.To(c.Request.Context()), actor, interlock.Request{
		Machine: ref.Machine, ID: ref.ID, Event: in.Event, To: in.To, Note: in.Note, Input: in.Input,
		DryRun: dryRun, RequestID: asked(c), IfMatch: cond.IfMatch, IdempotencyKey: cond.IdempotencyKey,
	})
	if err != nil {
		return err
	}
	return s.committed(c, http.StatusOK, result, dryRun)
}

func (s *Server) listAvailable(c *gin.Context, actor interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	var in wire.Refs
	if err := body(c, &in, false); err != nil {
		return err
	}
	switch {
	case in.Instances == nil:
		return &middleware.Problem{Code: codeMalformed, Errors: []fsm.FieldError{{Pointer: "/instances", Message: "must be there"}}}
	case len(in.Instances) > maxAvailable:
		return &middleware.Problem{Code: codeInvalid, Stage: interlock.StageInput, Errors: []fsm.FieldError{
			{Pointer: "/instances", Message: fmt.Sprintf("must be at most %d", maxAvailable)},
		}}
	}
	refs := make([]interlock.Ref, len(in.Instances))
	for i, ref := range in.Instances {
		if !interlock.ValidID(ref.ID) {
			return badID(fmt.Sprintf("/instances/%d/id", i))
		}
		refs[i] = ref
		if m, ok := s.gate.Machine(ref.Machine); ok {
			refs[i].Machine = m.Name()
		}
	}
	var menus []*interlock.Menu
	if len(refs) > 0 {
		var err error
		if menus, err = s.gate.AvailableMany(lent.To(c.Request.Context()), actor, refs); err != nil {
			return err
		}
	}
	if len(menus) != len(refs) {
		return fmt.Errorf("the gate answered %d menus to %d instances", len(menus), len(refs))
	}
	return reply(c, http.StatusOK, func(b []byte) ([]byte, error) { return wire.Available(b, in.Instances, menus) })
}

func badID(pointer string) error {
	return &middleware.Problem{Code: "id_invalid", Stage: interlock.StageInput, Errors: []fsm.FieldError{
		{Pointer: pointer, Message: "must be like [A-Za-z0-9][A-Za-z0-9._~-]{0,127}"},
	}}
}
