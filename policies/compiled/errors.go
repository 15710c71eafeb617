package compiled

import (
	"context"
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// ErrNotCompiled is what a NotCompiledError is, to errors.Is.
var ErrNotCompiled = errors.New("not compiled")

// ErrStepLimit is why an evaluation ended that took more steps than it may.
var ErrStepLimit = errors.New("step limit reached")

// NotCompiledError names the first thing in a plan that this package doesn't
// compile. Nothing of the plan is compiled then: hand all of it to topdown.
type NotCompiledError struct {
	Construct string
	Location  string // file:row:column in the policy, empty if the plan has none
}

func (e *NotCompiledError) Error() string {
	if e.Location == "" {
		return "not compiled: " + e.Construct
	}
	return e.Location + ": not compiled: " + e.Construct
}

// Is makes every NotCompiledError match ErrNotCompiled.
func (e *NotCompiledError) Is(target error) bool { return target == ErrNotCompiled }

func (c *compiler) notCompiled(at ir.Stmt, format string, args ...any) error {
	e := &NotCompiledError{Construct: fmt.Sprintf(format, args...)}
	if at != nil {
		if loc := c.location(at.GetLocation()); loc.Row > 0 {
			e.Location = place(loc)
		}
	}
	return e
}

func place(l *ast.Location) string { return fmt.Sprintf("%s:%d:%d", l.File, l.Row, l.Col) }

// location is a place in a plan as OPA's errors give it.
func (c *compiler) location(l *ir.Location) *ast.Location {
	loc := &ast.Location{Row: l.Row, Col: l.Col, Text: []byte(l.Text)}
	if files := c.policy.Static.Files; l.File >= 0 && l.File < len(files) {
		loc.File = files[l.File].Value
	}
	return loc
}

// fail ends the evaluation with an error.
func (m *Machine) fail(err error) signal {
	if m.err == nil {
		m.err = err
	}
	return failed
}

func conflict(loc *ast.Location, format string, args ...any) error {
	return &topdown.Error{Code: topdown.ConflictErr, Message: fmt.Sprintf(format, args...), Location: loc}
}

func internal(loc *ast.Location, format string, args ...any) error {
	return &topdown.Error{Code: topdown.InternalErr, Message: fmt.Sprintf(format, args...), Location: loc}
}

func cancelled(cause error) error {
	e := &topdown.Error{Code: topdown.CancelErr, Message: "caller cancelled query execution"}
	if cause == nil {
		return e
	}
	e.Message = cause.Error()
	return e.Wrap(cause)
}

// canceller tells OPA's built-ins what the evaluation knows of being cancelled.
type canceller struct {
	ctx   context.Context
	outer topdown.Cancel
}

func (c *canceller) Cancel() {}

func (c *canceller) Cancelled() bool {
	return c.ctx != nil && c.ctx.Err() != nil || c.outer != nil && c.outer.Cancelled()
}
