package policies

import (
	"context"
	"errors"
	"log/slog"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/interlock-go/interlock/policies/compiled"
)

// DefaultShadow is of how many answers one is given by both evaluators as a whole.
const DefaultShadow = 1000

// ErrDifference is matched by errors of decisions on which the compiled rules
// and the engine don't agree.
var ErrDifference = errors.New("the compiled rules answer otherwise than the engine")

// Difference is that the two evaluators of one policy don't agree. Nothing is
// decided then: Decide gives an error, which is a refusal.
type Difference struct {
	Machine  string
	Query    string // what was asked, in Rego
	Compiled string // the compiled rules' answer
	Topdown  string // OPA's answer, or its error
}

// WithCompiled turns the compiled rules off, or on, the default: then drafts (see
// interlock.Query) are answered by the policy compiled to Go, and so is every no; a
// yes to anything else needs the yes of OPA's usual evaluator as well. A
// policy with anything that isn't compiled is evaluated as if this were off.
func WithCompiled(on bool) Option { return func(o *options) { o.compiled = on } }

// Shadow says of how many answers one is given by both evaluators as a whole, who
// must agree: [DefaultShadow] by default, 1 is every one.
func Shadow(n int) Option {
	return func(o *options) {
		if n > 0 {
			o.shadow = int64(n)
		}
	}
}

// OnDifference is told when the evaluators differ, besides the error that the
// caller gets. The default logs to slog.Default. It must be quick.
func OnDifference(f func(Difference)) Option { return func(o *options) { o.difference = f } }

func logDifference(d Difference) {
	slog.Error("policies: the compiled rules and the engine differ: nothing is decided; turn the compiled rules off and report it",
		"machine", d.Machine, "query", d.Query, "compiled", d.Compiled, "topdown", d.Topdown)
}

// Differences is how often the evaluators differed.
func (s *Source) Differences() int { return int(s.differences.Load()) }

// program is the query compiled; nil where it isn't.
func (m *machineRules) program(text string, opts options) *compiled.Program {
	if !opts.compiled || m.topdownOnly {
		return nil
	}
	own := *m.compiler // planning sets its mode, which others read meanwhile
	policy, err := compiled.Plan(context.Background(), rego.Compiler(&own), rego.Query(text), rego.SetRegoVersion(ast.RegoV1))
	if err != nil {
		return nil // the planner can't: topdown can
	}
	p, err := compiled.Compile(policy, compiled.Options{Builtins: opts.builtins})
	if err != nil {
		return nil
	}
	return p
}

// onlyTopdown tells whether a policy holds what its plan wouldn't: errors that
// the planner passes over, or rules that it plans anew for each "with" that
// replaces something besides the input, which may be more than anybody can wait for.
func onlyTopdown(c *ast.Compiler) bool {
	if compiled.Planned(c) != nil {
		return true
	}
	only := false
	for _, m := range c.Modules {
		ast.WalkWiths(m, func(w *ast.With) bool {
			ref, ok := w.Target.Value.(ast.Ref)
			only = only || !ok || !ref.HasPrefix(ast.InputRootRef)
			return only
		})
	}
	return only
}

// both is topdown's answer, where the compiled rules don't give another.
func (r *Rules) both(m *machineRules, p *query, quick *claim, slow asking) asking {
	return func(ctx context.Context, cancel topdown.Cancel) (compiled.Value, error) {
		defer quick.release()
		mine, quickErr := quick.ask(ctx, cancel)
		if topdown.IsCancel(quickErr) {
			return nil, quickErr
		}
		value, err := slow(ctx, cancel)
		switch {
		case topdown.IsCancel(err):
			return nil, err
		case quickErr != nil && (err != nil || passedBy(quickErr)):
			return value, err
		case quickErr == nil && err == nil && compiled.Equal(mine, value):
			return value, nil
		}
		r.source.differences.Add(1)
		r.opts.difference(Difference{Machine: m.name, Query: p.text, Compiled: asText(mine, quickErr), Topdown: asText(value, err)})
		return nil, ErrDifference
	}
}

// passedBy tells whether topdown may have an answer in spite of this error: it
// leaves out rules that its index excludes, with the errors in them.
func passedBy(err error) bool {
	var e *topdown.Error
	return errors.Is(err, compiled.ErrNotCompiled) ||
		errors.As(err, &e) && (e.Code == topdown.ConflictErr || e.Code == topdown.BuiltinErr || e.Code == topdown.TypeErr)
}

func asText(v compiled.Value, err error) string {
	if err != nil {
		return err.Error()
	}
	return compiled.ToAST(v).String()
}
