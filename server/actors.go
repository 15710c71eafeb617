package server

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
)

func (s *Server) getActor(c *gin.Context, by interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	id, err := actorID(c)
	if err != nil {
		return err
	}
	found, err := s.gate.Actor(c.Request.Context(), by, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, actorRow(found))
}

func (s *Server) patchActor(c *gin.Context, by interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	id, err := actorID(c)
	if err != nil {
		return err
	}
	var in map[string]any
	if err := body(c, &in, true); err != nil {
		return err
	}
	attrs, active, err := actorPatch(in)
	if err != nil {
		return err
	}
	changed, err := s.gate.SetActor(c.Request.Context(), by, id, attrs, active)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, actorChanged(changed))
}

// actorPatch reads the two members that a patch may have. null, which in a merge
// patch removes, fits neither.
func actorPatch(in map[string]any) (attrs map[string]any, active *bool, err error) {
	var wrong []fsm.FieldError
	for name, value := range in {
		fits := false
		switch name {
		case "attrs":
			attrs, fits = value.(map[string]any)
		case "active":
			var on bool
			on, fits = value.(bool)
			active = &on
		}
		if !fits {
			wrong = append(wrong, fsm.FieldError{Pointer: "/" + name, Message: "want attrs (an object) or active (a boolean)"})
		}
	}
	if len(in) == 0 {
		wrong = append(wrong, fsm.FieldError{Pointer: "", Message: "want attrs, active or both"})
	}
	if wrong != nil {
		slices.SortFunc(wrong, func(a, b fsm.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
		return nil, nil, &middleware.Problem{Code: codeMalformed, Errors: wrong}
	}
	return attrs, active, nil
}

func (s *Server) grantRole(c *gin.Context, by interlock.Actor) error {
	return s.setRole(c, by, s.gate.Grant)
}

func (s *Server) revokeRole(c *gin.Context, by interlock.Actor) error {
	return s.setRole(c, by, s.gate.Revoke)
}

func (s *Server) setRole(c *gin.Context, by interlock.Actor,
	set func(context.Context, interlock.Actor, string, string, interlock.Scope) (interlock.ActorRecord, error),
) error {
	q, err := reading(c, "scope")
	if err != nil {
		return err
	}
	id, err := actorID(c)
	if err != nil {
		return err
	}
	scope, err := s.scope(q)
	if err != nil {
		return err
	}
	changed, err := set(c.Request.Context(), by, id, c.Param("role"), scope)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, actorChanged(changed))
}

// scope takes a machine by name or slug and passes its name on, so that one
// machine is one scope.
func (s *Server) scope(q query) (interlock.Scope, error) {
	text, err := q.some("scope")
	if err != nil {
		return interlock.Scope{}, err
	}
	scope, err := interlock.ParseScope(text)
	if err != nil {
		return interlock.Scope{}, malformed("The parameter scope must be tenant, machine:NAME or instance:NAME/ID.")
	}
	if scope.Machine != "" {
		m, known := s.gate.Machine(scope.Machine)
		if !known {
			return interlock.Scope{}, malformed("The parameter scope names a machine that there isn't.")
		}
		scope.Machine = m.Name()
	}
	return scope, nil
}

func actorID(c *gin.Context) (string, error) {
	id := c.Param("id")
	if !interlock.ValidID(id) {
		return "", &middleware.Problem{Code: "id_invalid", Stage: interlock.StageInput}
	}
	return id, nil
}
