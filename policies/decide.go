package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/interlock-go/interlock"
)

var (
	// ErrTimeout is matched by errors of evaluations that didn't end in time.
	ErrTimeout = errors.New("the evaluation took too long")
	// ErrBusy is matched by errors of decisions that were not begun, because
	// too many evaluations run on past their deadline.
	ErrBusy = errors.New("too many evaluations run on past their deadline")
)

// Decide evaluates what q asks for, in one go. An error is every "don't know":
// the caller must refuse.
func (r *Rules) Decide(ctx context.Context, q *interlock.Query) (interlock.Verdict, error) {
	if q == nil || q.Input == nil {
		return interlock.Verdict{}, errors.New("policies: a query needs an input")
	}
	m := r.machines[q.Input.Machine]
	if m == nil {
		return interlock.Verdict{}, fmt.Errorf("policies: no rules were compiled for machine %q", q.Input.Machine)
	}
	v, err := r.decide(ctx, m, q)
	if err != nil {
		return interlock.Verdict{}, fmt.Errorf("policies: machine %s: %w", m.name, err)
	}
	return v, nil
}

func (r *Rules) decide(ctx context.Context, m *machineRules, q *interlock.Query) (interlock.Verdict, error) {
	for _, names := range [][]string{q.Checks, q.Grants} {
		for _, name := range names {
			if _, ok := m.titles[name]; !ok {
				return interlock.Verdict{}, fmt.Errorf("there is no rule %q", name)
			}
		}
	}
	if len(q.Checks)+len(q.Grants) == 0 && !(q.Deny && m.deny) && !(q.Target && m.target) {
		return interlock.Verdict{}, nil
	}
	prepared, err := m.query(q, r.opts)
	if err != nil {
		return interlock.Verdict{}, err
	}
	result, trace, err := r.answer(ctx, m, prepared, q)
	if err != nil {
		return interlock.Verdict{}, err
	}
	v, err := m.verdict(q, result)
	if err != nil {
		return interlock.Verdict{}, err
	}
	v.Trace = trace.lines()
	return v, nil
}

// evaluation is one way to an answer.
type evaluation func(ctx context.Context, cancel topdown.Cancel) (*ast.Term, error)

type outcome struct {
	value *ast.Term
	err   error
}

// Of an evaluation that is shared by its goroutine and the one that waits.
const (
	running int32 = iota
	ended
	abandoned
)

// evaluate runs in a goroutine of its own: cancellation is cooperative, and a
// single built-in may run on for seconds. The caller waits no longer than the
// deadline and the wall behind it; who still runs then is counted until it ends.
func (r *Rules) evaluate(ctx context.Context, run evaluation) (*ast.Term, error) {
	if err := r.source.Ready(ctx); err != nil {
		return nil, err
	}
	timeout := r.opts.timeout
	if deadline, ok := ctx.Deadline(); timeout == 0 && ok {
		timeout = time.Until(deadline)
	}
	ctx, stop := context.WithTimeout(ctx, cmp.Or(timeout, DefaultTimeout))
	defer stop()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	}
	cancel := topdown.NewCancel()
	done := make(chan outcome, 1)
	var state atomic.Int32
	go func() {
		out := outcome{err: errors.New("the evaluation ended without an answer")}
		defer func() {
			if p := recover(); p != nil {
				out = outcome{err: fmt.Errorf("the evaluation panicked: %v", p)}
			}
			done <- out
			if !state.CompareAndSwap(running, ended) {
				r.source.leaked.Add(-1)
			}
		}()
		out.value, out.err = run(ctx, cancel)
	}()
	select {
	case out := <-done:
		if out.err != nil && (topdown.IsCancel(out.err) || ctx.Err() != nil) {
			return nil, fmt.Errorf("%w: %w", ErrTimeout, out.err)
		}
		return out.value, out.err
	case <-ctx.Done():
	}
	cancel.Cancel()
	wall := time.NewTimer(r.opts.wall)
	defer wall.Stop()
	select {
	case <-done:
		return nil, fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	case <-wall.C:
	}
	r.source.leaked.Add(1)
	if !state.CompareAndSwap(running, abandoned) {
		r.source.leaked.Add(-1) // it ended just now
	}
	return nil, fmt.Errorf("%w, can't be stopped and was abandoned: %w", ErrTimeout, ctx.Err())
}

// topdown is OPA's usual evaluation.
func (r *Rules) topdown(m *machineRules, q *query, input *ast.Term, now time.Time, trace *tracer) evaluation {
	return func(ctx context.Context, cancel topdown.Cancel) (*ast.Term, error) {
		return r.ask(ctx, r.engine(m, q, input, now, cancel, trace))
	}
}

func (r *Rules) engine(m *machineRules, q *query, input *ast.Term, now time.Time, cancel topdown.Cancel, trace *tracer) *topdown.Query {
	t := topdown.NewQuery(q.body).
		WithQueryCompiler(q.compiler).
		WithCompiler(m.compiler).
		WithStore(r.store).
		WithTransaction(r.txn).
		WithInput(input).
		WithTime(now).
		WithCancel(cancel).
		WithStrictBuiltinErrors(true).
		WithIndexing(r.opts.indexing)
	if r.opts.builtins != nil {
		t = t.WithBuiltins(r.opts.builtins)
	}
	if trace != nil {
		t = t.WithQueryTracer(trace)
	}
	return t
}

func (*Rules) ask(ctx context.Context, t *topdown.Query) (*ast.Term, error) {
	var value *ast.Term
	answers := 0
	err := t.Iter(ctx, func(result topdown.QueryResult) error {
		answers++
		value = result[answer]
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case answers != 1 || value == nil:
		return nil, fmt.Errorf("the query has %d answers, not one", answers)
	}
	return value, nil
}
