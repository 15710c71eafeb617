package policies

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

// answer asks topdown alone, the compiled rules first, or both as a whole.
func (r *Rules) answer(ctx context.Context, m *machineRules, p *query, q *interlock.Query) (interlock.Verdict, error) {
	now := time.Unix(0, q.Input.Now.NS).UTC()
	twice := p.program != nil && !q.Trace
	if twice && rand.Int64N(r.opts.shadow) != 0 {
		v, err := r.quickly(ctx, m, p, q, now)
		if err == nil || final(err) {
			return v, err
		}
	}
	if !twice {
		return r.slowly(ctx, m, p, q, now, nil)
	}
	return r.anew(ctx, m, p, q, now)
}

// anew asks both evaluators as a whole.
func (r *Rules) anew(ctx context.Context, m *machineRules, p *query, q *interlock.Query, now time.Time) (interlock.Verdict, error) {
	mine, err := r.quick(m, p, q.Input, now)
	if err != nil {
		return interlock.Verdict{}, err
	}
	return r.slowly(ctx, m, p, q, now, &claim{mine.ask, mine.machine.Release})
}

// claim is what the compiled rules say, whose value is valid until the release.
type claim struct {
	ask     asking
	release func()
}

// drop releases what nobody will ask; nil is nothing.
func (c *claim) drop() {
	if c != nil {
		c.release()
	}
}

// slowly asks topdown, and fails where it and mine, unless that is nil, differ.
func (r *Rules) slowly(ctx context.Context, m *machineRules, p *query, q *interlock.Query, now time.Time, mine *claim) (interlock.Verdict, error) {
	input, err := encode(m.encoder, terms{}, q.Input)
	if err != nil {
		mine.drop()
		return interlock.Verdict{}, err
	}
	ctx, stop, err := r.limited(ctx)
	if err != nil {
		mine.drop()
		return interlock.Verdict{}, err
	}
	defer stop()
	var trace *tracer
	if q.Trace {
		trace = newTracer()
	}
	ask := r.topdown(m, p, input, now, trace)
	if mine != nil {
		ask = r.both(m, p, mine, ask)
	}
	asked := *q // who is given up may read it later
	v, err := r.watched(ctx, func(ctx context.Context, cancel topdown.Cancel) (interlock.Verdict, error) {
		value, err := ask(ctx, cancel)
		if err != nil {
			return interlock.Verdict{}, err
		}
		return m.verdict(&asked, value)
	})
	if err == nil {
		v.Trace = trace.lines()
	}
	return v, err
}

// final tells whether asking again is of no use.
func final(err error) bool { return errors.Is(err, ErrTimeout) || errors.Is(err, ErrBusy) }

var errUnconfirmed = errors.New("the yes isn't confirmed")

// Topdown's yes needs nobody to wait for it elsewhere up to so many steps of the
// compiled rules, with those that they were spared, and so large an input: it takes
// about as many, of a microsecond each, and none goes through more than the input.
const (
	mostSteps = 4096
	mostBytes = 16 << 10
)

// quickly asks the compiled rules, and then topdown for a yes to what is no draft.
// Any error that isn't final is that both are to be asked for everything.
//
// Rules that end soon after they are told to need nobody to wait for them in a
// goroutine of its own; neither does topdown, where they took few steps and neither
// the input nor what they make can be so large that a single step of topdown's takes long.
func (r *Rules) quickly(ctx context.Context, m *machineRules, p *query, q *interlock.Query, now time.Time) (interlock.Verdict, error) {
	if !p.program.Prompt() {
		return r.elsewhere(ctx, m, p, q, now)
	}
	quick, err := r.quick(m, p, q.Input, now)
	if err != nil {
		return interlock.Verdict{}, err
	}
	timeout, err := r.begin(ctx)
	if err != nil {
		quick.machine.Release()
		return interlock.Verdict{}, err
	}
	quick.deadline, quick.ctx = time.Now().Add(timeout), ctx
	said, err := quick.here(m, q)
	if err != nil || !m.unsettled(q, &said) {
		return said, err
	}
	yes, err := m.confirmation(p, q, &said)
	if err != nil {
		return interlock.Verdict{}, err
	}
	input, bytes, err := narrow(m.encoder, q.Input)
	if err != nil {
		return interlock.Verdict{}, err
	}
	confirm := func(ctx context.Context, cancel topdown.Cancel) (interlock.Verdict, error) {
		return said, r.confirm(ctx, m, yes, input, now, cancel)
	}
	if p.light && quick.steps <= mostSteps && bytes <= mostBytes {
		return here(&limit{ctx: ctx, deadline: quick.deadline}, confirm)
	}
	return r.evaluate(ctx, confirm)
}

// elsewhere is quickly in a goroutine of its own.
func (r *Rules) elsewhere(ctx context.Context, m *machineRules, p *query, q *interlock.Query, now time.Time) (interlock.Verdict, error) {
	var input *ast.Term
	if !q.Draft {
		var err error
		if input, _, err = narrow(m.encoder, q.Input); err != nil { // now: who gave it up may change it
			return interlock.Verdict{}, err
		}
	}
	quick, err := r.quick(m, p, q.Input, now)
	if err != nil {
		return interlock.Verdict{}, err
	}
	ctx, stop, err := r.limited(ctx)
	if err != nil {
		quick.machine.Release()
		return interlock.Verdict{}, err
	}
	defer stop()
	asked := *q
	return r.watched(ctx, func(ctx context.Context, cancel topdown.Cancel) (interlock.Verdict, error) {
		defer quick.machine.Release()
		said, err := quick.verdict(ctx, cancel, m, &asked)
		if err != nil || !m.unsettled(&asked, &said) {
			return said, err
		}
		yes, err := m.confirmation(p, &asked, &said)
		if err != nil {
			return interlock.Verdict{}, err
		}
		return said, r.confirm(ctx, m, yes, input, now, cancel)
	})
}

// unsettled tells whether topdown has to be asked, too. A no needs nobody's consent.
func (m *machineRules) unsettled(q *interlock.Query, v *interlock.Verdict) bool {
	return !q.Draft && m.isYes(q, v)
}

// isYes tells whether all that was asked for holds. A target that isn't a state of
// the machine is nobody's.
func (m *machineRules) isYes(q *interlock.Query, v *interlock.Verdict) bool {
	return len(v.Passed) == len(q.Checks) && (len(v.Granted) > 0 || len(q.Grants) == 0) && len(v.Deny) == 0 &&
		(v.Target == "" || m.states[v.Target])
}

// confirm asks topdown whether it says yes to all that the compiled rules say yes
// to, and no more than that. An error is that it doesn't.
func (r *Rules) confirm(ctx context.Context, m *machineRules, yes *query, input *ast.Term, now time.Time, cancel topdown.Cancel) error {
	answers := 0
	err := r.engine(m, yes, input, now, cancel, nil).Iter(ctx, func(topdown.QueryResult) error {
		answers++
		return nil
	})
	if err == nil && answers != 1 {
		err = errUnconfirmed
	}
	return err
}

// quick is one evaluation of the compiled query. Its machine is its own until it
// is released, which may be after everybody has given the evaluation up.
type quick struct {
	machine  *compiled.Machine
	input    compiled.Value
	data     compiled.Value
	now      time.Time
	deadline time.Time // zero: ask is told when to end
	again    bool      // the machine goes on from its evaluation before

	// In the goroutine of a caller, whose context this is:
	ctx   context.Context
	steps int64 // that it took, or was spared
}

// Cancelled looks whether the context has ended. Its channel would cost a timer.
func (q *quick) Cancelled() bool { return q.ctx.Err() != nil }

// Cancel is for others: this one is told by its context.
func (*quick) Cancel() {}

// unending is the context but for its end, for functions that take no longer for it.
type unending quick

func (*unending) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*unending) Done() <-chan struct{}       { return nil }
func (*unending) Err() error                  { return nil }
func (u *unending) Value(key any) any         { return u.ctx.Value(key) }

// here evaluates in the caller's goroutine, and is the end of the machine.
func (q *quick) here(m *machineRules, asked *interlock.Query) (interlock.Verdict, error) {
	defer func() {
		q.steps = q.machine.Steps() + q.machine.Spared()
		q.machine.Release()
	}()
	return q.evaluate(m, asked)
}

// evaluate is here for a machine that is asked again.
func (q *quick) evaluate(m *machineRules, asked *interlock.Query) (v interlock.Verdict, err error) {
	defer func() { v, err = inTime(q.ctx, v, panicked(recover(), err)) }()
	return q.verdict((*unending)(q), q, m, asked)
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
		Input: q.input, Data: q.data, Time: q.now, Cancel: cancel, Deadline: q.deadline, StrictBuiltinErrors: true, Again: q.again,
	})
	switch {
	case err != nil:
		return nil, err
	case len(results) != 1:
		return nil, fmt.Errorf("the compiled query has %d answers, not one", len(results))
	}
	return compiled.Get(results[0], string(answer)), nil
}

// verdict reads the answer before the machine can be given back. An error is also a
// no that names a target: of several it may rule out one, and so choose another.
func (q *quick) verdict(ctx context.Context, cancel topdown.Cancel, m *machineRules, asked *interlock.Query) (interlock.Verdict, error) {
	value, err := q.ask(ctx, cancel)
	if err != nil {
		return interlock.Verdict{}, err
	}
	v, err := m.verdict(asked, value)
	if err == nil && !asked.Draft && asked.Target && !m.isYes(asked, &v) {
		return interlock.Verdict{}, errUnconfirmed
	}
	return v, err
}
