package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
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
	if len(q.Checks)+len(q.Grants) == 0 && !(q.Deny && m.deny) && !(q.Target && m.target) {
		return interlock.Verdict{}, nil
	}
	v, err := r.decide(ctx, m, q)
	if err != nil {
		return interlock.Verdict{}, fmt.Errorf("policies: machine %s: %w", m.name, err)
	}
	return v, nil
}

func (r *Rules) decide(ctx context.Context, m *machineRules, q *interlock.Query) (interlock.Verdict, error) {
	if f := r.frame(q); f != nil {
		defer f.mu.Unlock()
		return f.answer(ctx, m, q)
	}
	prepared, err := m.query(q, r.opts)
	if err != nil {
		return interlock.Verdict{}, err
	}
	return r.answer(ctx, m, prepared, q)
}

// asking is one way to an answer.
type asking func(ctx context.Context, cancel topdown.Cancel) (compiled.Value, error)

// evaluation is one way to a verdict.
type evaluation func(ctx context.Context, cancel topdown.Cancel) (interlock.Verdict, error)

type outcome struct {
	verdict interlock.Verdict
	err     error
}

// guarded makes an error of a panic.
func guarded(ctx context.Context, cancel topdown.Cancel, run evaluation) (v interlock.Verdict, err error) {
	defer func() {
		if err = panicked(recover(), err); err != nil {
			v = interlock.Verdict{}
		}
	}()
	return run(ctx, cancel)
}

func panicked(p any, err error) error {
	if p != nil {
		return fmt.Errorf("the evaluation panicked: %v", p)
	}
	return err
}

// inTime tells errors of evaluations whose time was up, and gives no verdict with any.
func inTime(ctx context.Context, v interlock.Verdict, err error) (interlock.Verdict, error) {
	if err == nil {
		return v, nil
	}
	if (topdown.IsCancel(err) || ctx.Err() != nil) && !errors.Is(err, ErrTimeout) {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return interlock.Verdict{}, err
}

// Of an evaluation that is shared by its goroutine and the one that waits.
const (
	running int32 = iota
	ended
	abandoned
)

// begin tells how long an evaluation that begins now may take.
func (r *Rules) begin(ctx context.Context) (time.Duration, error) {
	if err := r.source.Ready(ctx); err != nil {
		return 0, err
	}
	timeout := r.opts.timeout
	if deadline, ok := ctx.Deadline(); timeout == 0 && ok {
		timeout = time.Until(deadline)
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return cmp.Or(timeout, DefaultTimeout), nil
}

// evaluate runs in a goroutine of its own: cancellation is cooperative, and a
// single built-in may run on for seconds. The caller waits no longer than the
// deadline and the wall behind it; who still runs then is counted until it ends.
func (r *Rules) evaluate(ctx context.Context, run evaluation) (interlock.Verdict, error) {
	ctx, stop, err := r.limited(ctx)
	if err != nil {
		return interlock.Verdict{}, err
	}
	defer stop()
	return r.watched(ctx, run)
}

// limited is the context of an evaluation that begins now. With an error, none may.
func (r *Rules) limited(ctx context.Context) (context.Context, context.CancelFunc, error) {
	timeout, err := r.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithTimeout(ctx, timeout)
	if err := ctx.Err(); err != nil {
		stop()
		return nil, nil, fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return ctx, stop, nil
}

// watched is evaluate within a limit. It always runs, and may go on when this has returned.
func (r *Rules) watched(ctx context.Context, run evaluation) (interlock.Verdict, error) {
	none := interlock.Verdict{}
	cancel := topdown.NewCancel()
	done := make(chan outcome, 1)
	var state atomic.Int32
	go func() {
		out := outcome{err: errors.New("the evaluation ended without an answer")}
		defer func() {
			done <- out
			if !state.CompareAndSwap(running, ended) {
				r.source.leaked.Add(-1)
			}
		}()
		out.verdict, out.err = guarded(ctx, cancel, run)
	}()
	select {
	case out := <-done:
		if deadline, _ := ctx.Deadline(); out.err == nil {
			out.err = late(deadline)
		}
		return inTime(ctx, out.verdict, out.err)
	case <-ctx.Done():
	}
	cancel.Cancel()
	wall := time.NewTimer(r.opts.wall)
	defer wall.Stop()
	select {
	case <-done:
		return none, fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	case <-wall.C:
	}
	r.source.leaked.Add(1)
	if !state.CompareAndSwap(running, abandoned) {
		r.source.leaked.Add(-1) // it ended just now
	}
	return none, fmt.Errorf("%w, can't be stopped and was abandoned: %w", ErrTimeout, ctx.Err())
}

// here evaluates in the caller's goroutine what ends soon after the limit tells it to.
func here(l *limit, run evaluation) (interlock.Verdict, error) {
	v, err := guarded(context.WithoutCancel(l.ctx), l, run)
	if err == nil {
		err = late(l.deadline)
	}
	return inTime(l.ctx, v, err)
}

// late is the error of an answer that comes after its deadline. Who was told to end
// may have come to one nevertheless, without asking again.
func late(deadline time.Time) error {
	if time.Now().Before(deadline) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrTimeout, context.DeadlineExceeded)
}

// limit tells one evaluation, which asks at each of its steps, when its time is up.
// It looks at the clock now and then, at first at once.
type limit struct {
	ctx      context.Context
	deadline time.Time
	asked    uint
	over     bool
}

const stepsPerLook = 8

func (l *limit) Cancelled() bool {
	if !l.over && l.asked%stepsPerLook == 0 {
		l.over = !time.Now().Before(l.deadline) || l.ctx.Err() != nil
	}
	l.asked++
	return l.over
}

func (*limit) Cancel() {}

// topdown is OPA's usual evaluation.
func (r *Rules) topdown(m *machineRules, q *query, input *ast.Term, now time.Time, trace *tracer) asking {
	return func(ctx context.Context, cancel topdown.Cancel) (compiled.Value, error) {
		value, err := r.ask(ctx, r.engine(m, q, input, now, cancel, trace))
		if err != nil {
			return nil, err
		}
		return compiled.FromAST(value.Value), nil
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
		WithMetrics(metrics.NoOp()).
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
