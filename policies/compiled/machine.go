package compiled

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
	"github.com/open-policy-agent/opa/v1/topdown/cache"
	"github.com/open-policy-agent/opa/v1/topdown/print"
)

// Query is one question to a Program. The zero value asks its first plan
// without input or data, at the present time.
type Query struct {
	Plan  string // its name; empty: the first
	Input Value  // nil: undefined
	Data  Value  // the base documents; nil: an empty object

	// Again goes on from the machine's Eval before: what a rule or function came to
	// there, of which it is known that it reads nothing of the input but fields that
	// are the same, isn't evaluated again. Fields at the top are the same by value
	// where they are scalars, and by identity else, so that the input before must
	// still be valid. Nothing else depends on it but the time that it takes, and that
	// the machine needs memory for the results of both.
	Again bool

	// StrictBuiltinErrors ends the evaluation at the first error of a built-in
	// function; otherwise such a call is undefined.
	StrictBuiltinErrors bool

	// MaxSteps bounds the evaluation: calls and turns of loops. It ends with
	// ErrStepLimit then. 0: only the context does.
	MaxSteps int64

	// Cancel ends the evaluation besides the context; may be nil.
	Cancel topdown.Cancel

	// Deadline ends it, too, without a timer: it is looked at every few dozen
	// steps. Zero: there is none.
	Deadline time.Time

	// What built-in functions are told; all may be left out.
	Time                        time.Time // zero: now
	Seed                        io.Reader
	Runtime                     ast.Value
	Metrics                     metrics.Metrics
	PrintHook                   print.Hook
	Capabilities                *ast.Capabilities
	NDBuiltinCache              builtins.NDBCache
	InterQueryBuiltinCache      cache.InterQueryCache
	InterQueryBuiltinValueCache cache.InterQueryValueCache
}

// Machine evaluates a Program, one Query after the other. It comes from the
// Program's pool and holds what an evaluation needs, so that the next one finds
// it there. It isn't for concurrent use: take one for each goroutine.
type Machine struct {
	arena   arena
	inputs  arena // of the builder
	builder Builder
	program *Program

	frames    [][]Value // one for each depth of calls
	deepest   int       // frames in use since the machine was taken
	depth     int
	memos     []memo
	joins     []joined
	collected []collected
	args      [most]Value // of the native function that is being called
	results   set

	steps, maxSteps int64
	spared          int64 // turns
	look            int64 // the step at which to look whether there may be more
	done            <-chan struct{}
	cancel          canceller
	strict          bool
	query           Query
	ctx             context.Context
	builtinCache    builtins.Cache
	time            *ast.Term
	err             error
	before          before
}

// maxDepth bounds calls within calls. Rego's rules can't recur, so that only a
// plan that nobody planned gets there.
const maxDepth = 2000

// Machine takes a machine from the pool. Give it back with Release.
func (p *Program) Machine() *Machine {
	m := p.machines.Get().(*Machine)
	return m
}

// Release gives the machine back; what it returned is no longer valid.
func (m *Machine) Release() {
	m.clear()
	for i := 0; i < m.deepest; i++ {
		clear(m.frames[i]) // don't hold on to anybody's input
	}
	m.deepest = 0
	m.builder.Reset()
	m.program.machines.Put(m)
}

func (m *Machine) clear() {
	m.arena.reset()
	for i := range m.memos {
		m.memos[i].clear()
	}
	m.before = before{}
	m.forget()
}

// forget leaves nothing of an evaluation but what it made and what its functions gave.
func (m *Machine) forget() {
	clear(m.joins)
	for i := range m.collected {
		m.collected[i].clear()
		m.collected[i].hits = 0
	}
	m.results, m.args = set{}, [most]Value{}
	m.query, m.ctx, m.err, m.time, m.builtinCache = Query{}, nil, nil, nil, nil
	m.cancel = canceller{}
	m.depth, m.steps, m.spared, m.look = 0, 0, 0, 0
}

// Eval answers a query: an object of variables' values for every way in which
// it holds, none if it doesn't. They are valid until the machine's next Eval or
// Release. The error is a *topdown.Error where topdown would give one too.
func (m *Machine) Eval(ctx context.Context, q Query) (results []Value, err error) {
	if !m.again(&q) {
		m.clear()
	}
	blocks, frame, err := m.program.plan(q.Plan)
	if err != nil {
		return nil, err
	}
	m.start(ctx, q)
	defer func() {
		if r := recover(); r != nil {
			results, err = nil, internal(nil, "the evaluation panicked: %v", r)
		}
	}()
	if m.check() != next {
		return nil, m.err
	}
	f := m.frame(frame)
	f[input], f[data] = q.Input, q.Data
	if q.Data == nil {
		f[data] = noData
	}
	for _, b := range blocks {
		if b.run(m, f) == failed {
			return nil, m.err
		}
	}
	order := m.results.order()
	for i := range order {
		results = append(results, at(m.results.list, order, i))
	}
	if order == nil {
		results = m.results.list
	}
	m.ended(&q)
	return results, nil
}

func (m *Machine) start(ctx context.Context, q Query) {
	m.query, m.ctx, m.strict = q, ctx, q.StrictBuiltinErrors
	m.done, m.maxSteps = ctx.Done(), q.MaxSteps
	m.cancel = canceller{ctx, q.Cancel}
}

// frame is the memory of the function that is being entered, all undefined.
func (m *Machine) frame(size int) []Value {
	if m.depth == len(m.frames) {
		m.frames = append(m.frames, make([]Value, max(size, 16)))
	}
	f := m.frames[m.depth]
	if cap(f) < size {
		f = make([]Value, size)
		m.frames[m.depth] = f
	}
	f = f[:size]
	clear(f)
	m.deepest = max(m.deepest, m.depth+1)
	return f
}

// tick counts a step, and now and then looks whether there may be more.
func (m *Machine) tick() signal {
	m.steps++
	return m.pause()
}

// pause is for what counts its work and is no step by itself.
func (m *Machine) pause() signal {
	if m.steps < m.look {
		return next
	}
	m.look = m.steps + 32
	return m.check()
}

// work counts what is gone through in one, before that begins.
func (m *Machine) work(n int) {
	m.steps += int64(n)
}

// spare counts turns of loops that what is known by now made needless.
func (m *Machine) spare(n int64) {
	const most = 1 << 40 // loops in loops multiply
	m.spared = min(m.spared+n, most)
}

// Spared is how many turns of loops the last Eval didn't take, where one who looks
// through all does: by a table, or by what it remembered of a comprehension.
func (m *Machine) Spared() int64 { return m.spared }

// Steps is how many the last Eval took: calls, turns of loops, and what functions and
// comparisons went through.
func (m *Machine) Steps() int64 { return m.steps }

func (m *Machine) check() signal {
	if m.maxSteps > 0 && m.steps > m.maxSteps {
		return m.fail(cancelled(ErrStepLimit))
	}
	if m.done != nil {
		select {
		case <-m.done:
			return m.fail(cancelled(m.ctx.Err()))
		default:
		}
	}
	if c := m.query.Cancel; c != nil && c.Cancelled() {
		return m.fail(cancelled(m.ctx.Err()))
	}
	if d := m.query.Deadline; !d.IsZero() && !time.Now().Before(d) {
		return m.fail(cancelled(context.DeadlineExceeded))
	}
	return next
}

// builtinContext is what a built-in function of OPA's is told.
func (m *Machine) builtinContext(loc *ast.Location) topdown.BuiltinContext {
	if m.time == nil {
		now := m.query.Time
		if now.IsZero() {
			now = time.Now()
		}
		m.time = ast.NumberTerm(json.Number(strconv.FormatInt(now.UnixNano(), 10)))
	}
	if m.builtinCache == nil {
		m.builtinCache = builtins.Cache{}
	}
	if m.query.Metrics == nil {
		m.query.Metrics = metrics.NoOp()
	}
	if m.query.Seed == nil {
		m.query.Seed = cryptoSeed
	}
	var runtime *ast.Term
	if m.query.Runtime != nil {
		runtime = ast.NewTerm(m.query.Runtime)
	}
	return topdown.BuiltinContext{
		Context:                     m.ctx,
		Metrics:                     m.query.Metrics,
		Seed:                        m.query.Seed,
		Time:                        m.time,
		Cancel:                      &m.cancel,
		Runtime:                     runtime,
		Cache:                       m.builtinCache,
		InterQueryBuiltinCache:      m.query.InterQueryBuiltinCache,
		InterQueryBuiltinValueCache: m.query.InterQueryBuiltinValueCache,
		NDBuiltinCache:              m.query.NDBuiltinCache,
		Location:                    loc,
		PrintHook:                   m.query.PrintHook,
		Capabilities:                m.query.Capabilities,
	}
}

func (p *Program) plan(name string) ([]block, int, error) {
	for i := range p.plans {
		if name == "" || p.plans[i].name == name {
			return p.plans[i].blocks, p.plans[i].frame, nil
		}
	}
	return nil, 0, fmt.Errorf("compiled: there is no plan %q", name)
}
