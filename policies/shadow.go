package policies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/interlock-go/interlock"
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
	policy, err := compiled.Plan(context.Background(), rego.Compiler(m.compiler), rego.Query(text), rego.SetRegoVersion(ast.RegoV1))
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

// answer asks topdown alone, the compiled rules alone, or both: a draft needs the
// compiled rules only, and so does a no; a yes needs topdown's as well.
func (r *Rules) answer(ctx context.Context, m *machineRules, p *query, q *interlock.Query) (interlock.Verdict, error) {
	now := time.Unix(0, q.Input.Now.NS).UTC()
	twice := p.program != nil && !q.Trace
	var quick interlock.Verdict
	settled := false
	if twice && rand.Int64N(r.opts.shadow) != 0 {
		v, err := r.draft(ctx, m, p, q, now)
		yes := err == nil && m.isYes(q, &v)
		if err == nil && (q.Draft || !yes && !q.Target) || err != nil && final(err) {
			return v, err // of several targets a no may rule out one, and so choose another
		}
		quick, settled = v, yes
	}
	input, err := encode(m.encoder, terms{}, q.Input)
	if err != nil {
		return interlock.Verdict{}, err
	}
	if settled {
		if err := r.confirm(ctx, m, q, &quick, input, now); err == nil || final(err) {
			return quick, err
		}
	}
	var trace *tracer
	if q.Trace {
		trace = newTracer()
	}
	ask := r.topdown(m, p, input, now, trace)
	if twice {
		other, err := r.quick(m, p, q.Input, now)
		if err != nil {
			return interlock.Verdict{}, err
		}
		ask = r.both(m, p, other, ask)
	}
	v, err := r.evaluate(ctx, func(ctx context.Context, cancel topdown.Cancel) (interlock.Verdict, error) {
		value, err := ask(ctx, cancel)
		if err != nil {
			return interlock.Verdict{}, err
		}
		return m.verdict(q, value)
	})
	if err == nil {
		v.Trace = trace.lines()
	}
	return v, err
}

// final tells whether asking again is of no use.
func final(err error) bool { return errors.Is(err, ErrTimeout) || errors.Is(err, ErrBusy) }

// isYes tells whether all that was asked for holds. A target that isn't a state of
// the machine is nobody's.
func (m *machineRules) isYes(q *interlock.Query, v *interlock.Verdict) bool {
	return len(v.Passed) == len(q.Checks) && (len(v.Granted) > 0 || len(q.Grants) == 0) && len(v.Deny) == 0 &&
		(v.Target == "" || m.states[v.Target])
}

var errUnconfirmed = errors.New("the yes isn't confirmed")

// confirm asks topdown whether it says yes to all that the compiled rules say yes
// to, and no more than that: a no needs nobody's consent. An error is that it
// doesn't, and both are to be asked for everything.
func (r *Rules) confirm(ctx context.Context, m *machineRules, q *interlock.Query, v *interlock.Verdict, input *ast.Term, now time.Time) error {
	yes, err := m.confirmation(q, v)
	if err != nil {
		return err
	}
	_, err = r.evaluate(ctx, func(ctx context.Context, cancel topdown.Cancel) (interlock.Verdict, error) {
		answers := 0
		err := r.engine(m, yes, input, now, cancel, nil).Iter(ctx, func(topdown.QueryResult) error {
			answers++
			return nil
		})
		if err == nil && answers != 1 {
			err = errUnconfirmed
		}
		return interlock.Verdict{}, err
	})
	return err
}

// draft asks the compiled rules alone. Those that end soon after they are told to
// need nobody to wait for them in a goroutine of their own.
func (r *Rules) draft(ctx context.Context, m *machineRules, p *query, q *interlock.Query, now time.Time) (interlock.Verdict, error) {
	quick, err := r.quick(m, p, q.Input, now)
	if err != nil {
		return interlock.Verdict{}, err
	}
	run := func(ctx context.Context, cancel topdown.Cancel) (interlock.Verdict, error) {
		defer quick.machine.Release()
		value, err := quick.ask(ctx, cancel)
		if err != nil {
			return interlock.Verdict{}, err
		}
		return m.verdict(q, value) // read before the machine is given back
	}
	if !q.Draft || !p.program.Prompt() { // what isn't a draft may hold up a transaction
		return r.evaluate(ctx, run)
	}
	timeout, err := r.begin(ctx)
	if err != nil {
		return interlock.Verdict{}, err
	}
	quick.deadline = time.Now().Add(timeout)
	v, err := guarded(context.WithoutCancel(ctx), cancelled{ctx}, run)
	if err != nil && (topdown.IsCancel(err) || ctx.Err() != nil) {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return v, err
}

// cancelled looks whether a context has ended. Its channel would cost a timer.
type cancelled struct{ ctx context.Context }

func (c cancelled) Cancelled() bool { return c.ctx.Err() != nil }
func (cancelled) Cancel()           {}

// both is topdown's answer, where the compiled rules don't give another.
func (r *Rules) both(m *machineRules, p *query, quick *quick, slow asking) asking {
	return func(ctx context.Context, cancel topdown.Cancel) (compiled.Value, error) {
		defer quick.machine.Release()
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
		r.opts.difference(Difference{Machine: m.name, Query: p.text, Compiled: told(mine, quickErr), Topdown: told(value, err)})
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

func told(v compiled.Value, err error) string {
	if err != nil {
		return err.Error()
	}
	return compiled.ToAST(v).String()
}

// quick is one evaluation of the compiled query. Its machine is its own until it
// is released, which may be after everybody has given the evaluation up.
type quick struct {
	machine  *compiled.Machine
	input    compiled.Value
	data     compiled.Value
	now      time.Time
	deadline time.Time // zero: ask is told when to end
}

func (r *Rules) quick(m *machineRules, p *query, in *interlock.Input, now time.Time) (*quick, error) {
	machine := p.program.Machine()
	input, err := encode(m.encoder, own{machine.Builder()}, in)
	if err != nil {
		machine.Release()
		return nil, err
	}
	return &quick{machine: machine, input: input, data: r.data, now: now}, nil
}

// ask gives a value that is valid until the machine's release.
func (q *quick) ask(ctx context.Context, cancel topdown.Cancel) (compiled.Value, error) {
	results, err := q.machine.Eval(ctx, compiled.Query{
		Input: q.input, Data: q.data, Time: q.now, Cancel: cancel, Deadline: q.deadline, StrictBuiltinErrors: true,
	})
	switch {
	case err != nil:
		return nil, err
	case len(results) != 1:
		return nil, fmt.Errorf("the compiled query has %d answers, not one", len(results))
	}
	return compiled.Get(results[0], string(answer)), nil
}
