package policies

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

const (
	maxTraceSteps = 2000
	maxTraceLine  = 500
)

// tracer writes a line a step, the first ones only. A nil tracer has no lines.
type tracer struct {
	steps   []string
	dropped bool
	depth   map[uint64]int // by the engine's query id
}

func newTracer() *tracer { return &tracer{depth: map[uint64]int{}} }

func (t *tracer) Enabled() bool               { return true }
func (t *tracer) Config() topdown.TraceConfig { return topdown.TraceConfig{PlugLocalVars: true} }

// TraceEvent leaves out the gate's own query and the engine's bookkeeping: a
// reader follows rules entered and left, what was asked, and what failed with
// which values.
func (t *tracer) TraceEvent(e topdown.Event) {
	if t.dropped || e.Location == nil || e.Location.File == "" {
		return
	}
	depth, ok := t.depth[e.QueryID]
	if !ok {
		if parent, ok := t.depth[e.ParentID]; ok {
			depth = parent + 1
		}
		t.depth[e.QueryID] = depth
	}
	what := step(&e)
	if what == "" {
		return
	}
	line := fmt.Sprintf("%s:%d %s%s", e.Location.File, e.Location.Row, strings.Repeat("  ", min(depth, 20)), what)
	if len(line) > maxTraceLine {
		line = strings.ToValidUTF8(line[:maxTraceLine], "") + "…"
	}
	switch n := len(t.steps); {
	case n > 0 && t.steps[n-1] == line: // one expression is several to the engine
	case n == maxTraceSteps:
		t.dropped = true
	default:
		t.steps = append(t.steps, line)
	}
}

func step(e *topdown.Event) string {
	if r, ok := e.Node.(*ast.Rule); ok {
		switch e.Op {
		case topdown.EnterOp:
			return "enter " + ruleName(r)
		case topdown.ExitOp:
			return "leave " + ruleName(r) + ", defined"
		case topdown.FailOp:
			return "leave " + ruleName(r) + ", undefined"
		}
		return ""
	}
	x, ok := e.Node.(*ast.Expr)
	if !ok {
		return ""
	}
	text := strings.Join(strings.Fields(string(e.Location.Text)), " ")
	switch e.Op {
	case topdown.EvalOp:
		return "ask " + text
	case topdown.FailOp:
		return "fail " + text + values(e, x)
	}
	return ""
}

// values are what a failed expression was asked of.
func values(e *topdown.Event, x *ast.Expr) string {
	if !x.IsCall() || e.Locals == nil {
		return ""
	}
	var out []string
	for _, o := range x.Operands() {
		v := o.Value
		if bound := e.Locals.Get(v); bound != nil {
			v = bound
		}
		if _, free := v.(ast.Var); !free {
			out = append(out, v.String())
		}
	}
	return "   with " + strings.Join(out, ", ")
}

func (t *tracer) lines() []string {
	switch {
	case t == nil:
		return nil
	case t.dropped:
		return append(t.steps, "… and more steps")
	}
	return t.steps
}
