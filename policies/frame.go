package policies

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

// frame answers drafts that are asked one after the other: what their inputs have in
// common is made once, in the memory of the first machine, and rules that read nothing
// that has changed from one to the next are evaluated once.
type frame struct {
	rules *Rules

	mu      sync.Mutex
	ended   bool // nobody will give anything back any more
	held    []*held
	builder *compiled.Builder
	common  []common
	asked   int
}

// frame is that of the questions that q is one of, locked; nil where it stands alone.
func (r *Rules) frame(q *interlock.Query) *frame {
	if q.Held == nil || !q.Draft || q.Trace || !r.opts.compiled {
		return nil
	}
	kept, ok := q.Held.Load(r)
	f, isFrame := kept.(*frame)
	switch {
	case !ok:
		f = &frame{rules: r}
		f.mu.Lock()
		q.Held.Store(r, f)
		return f
	case !isFrame || !f.mu.TryLock(): // who wraps these rules may ask in goroutines of his own
		return nil
	case f.ended:
		f.mu.Unlock()
		return nil
	}
	return f
}

// Release is the end of the questions.
func (f *frame) Release() {
	if f.mu.TryLock() {
		defer f.mu.Unlock()
		f.ended = true
		f.end()
	}
}

// held is a question that was asked of a machine's rules.
type held struct {
	machineRules *machineRules
	query        *query
	checks       []string
	grants       []string
	deny, target bool

	quick quick // its machine is nil where nothing is compiled
}

// common is what is the same in all inputs with one memo.
type common struct {
	of      *interlock.Memo
	encoder *encoder
	part    made[asked[compiled.Value]]
}

// Most that a frame holds. With more questions it begins anew.
const mostHeld, mostCommon, mostAsked = 16, 4, 256

// answer is as that of Rules. What the frame holds was given by evaluations that
// ended well: it is given up after any other, and with what topdown is to confirm, who
// may be abandoned.
func (f *frame) answer(ctx context.Context, m *machineRules, q *interlock.Query) (interlock.Verdict, error) {
	h, err := f.hold(m, q)
	if err != nil {
		return interlock.Verdict{}, err
	}
	if h.query.program == nil || !h.query.program.Prompt() {
		return f.rules.answer(ctx, m, h.query, q)
	}
	now := time.Unix(0, q.Input.Now.NS).UTC()
	if err := f.prepare(h, q.Input, now); err != nil {
		return interlock.Verdict{}, err
	}
	if rand.Int64N(f.rules.opts.shadow) == 0 {
		h.quick.ctx, h.quick.deadline = nil, time.Time{} // of the question before; it is told when to end
		return f.rules.slowly(ctx, m, h.query, q, now, &claim{h.quick.ask, f.leave()})
	}
	timeout, err := f.rules.begin(ctx)
	if err != nil {
		return interlock.Verdict{}, err
	}
	h.quick.ctx, h.quick.deadline = ctx, time.Now().Add(timeout)
	v, err := h.quick.evaluate(m, q)
	if err == nil {
		return v, nil
	}
	f.end()
	if final(err) {
		return v, err
	}
	return f.rules.anew(ctx, m, h.query, q, now)
}

// hold finds the question among those that were asked.
func (f *frame) hold(m *machineRules, q *interlock.Query) (*held, error) {
	if f.asked++; f.asked > mostAsked || len(f.common) == mostCommon && f.commonTo(m.encoder, q.Input) == nil {
		f.end() // what was made for others stays in memory until then
	}
	for _, h := range f.held {
		if h.machineRules == m && h.deny == q.Deny && h.target == q.Target && slices.Equal(h.checks, q.Checks) && slices.Equal(h.grants, q.Grants) {
			return h, nil
		}
	}
	if len(f.held) == mostHeld {
		f.end()
	}
	p, err := m.query(q, f.rules.opts)
	if err != nil {
		return nil, err
	}
	h := &held{machineRules: m, query: p, checks: slices.Clone(q.Checks), grants: slices.Clone(q.Grants), deny: q.Deny, target: q.Target}
	f.held = append(f.held, h)
	return h, nil
}

// prepare makes the input of the next evaluation.
func (f *frame) prepare(h *held, in *interlock.Input, now time.Time) (err error) {
	if h.quick.machine == nil {
		h.quick = quick{machine: h.query.program.Machine(), data: f.rules.data, again: true}
	}
	if f.builder == nil {
		f.builder = h.quick.machine.Builder()
	}
	h.quick.now = now
	h.quick.input, err = f.input(h.machineRules.encoder, in)
	return err
}

func (f *frame) input(e *encoder, in *interlock.Input) (out compiled.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, madeBadly(p)
		}
	}()
	b := newBuild(e, maker[compiled.Value](own{f.builder}), maxInputBytes)
	return b.input(in, f.shared(b, in))
}

// shared is made once for all questions with one memo.
func (f *frame) shared(b *build[compiled.Value], in *interlock.Input) asked[compiled.Value] {
	const at = "input"
	if in.Memo == nil {
		return b.asked(in)
	}
	if one := f.commonTo(b.encoder, in); one != nil {
		return takes(b, at, &one.part)
	}
	part := alone(newBuild(b.encoder, b.maker, b.limit), func(b *build[compiled.Value]) asked[compiled.Value] { return b.asked(in) })
	f.common = append(f.common, common{in.Memo, b.encoder, part})
	return takes(b, at, &part)
}

func (f *frame) commonTo(e *encoder, in *interlock.Input) *common {
	for i := range f.common {
		if one := &f.common[i]; one.of == in.Memo && one.encoder == e {
			return one
		}
	}
	return nil
}

// leave empties the frame, and gives what gives back all that it held.
func (f *frame) leave() (release func()) {
	held := f.held
	f.held, f.builder, f.common, f.asked = nil, nil, nil, 0
	return func() {
		for _, h := range held {
			if h.quick.machine != nil {
				h.quick.machine.Release()
			}
		}
	}
}

func (f *frame) end() { f.leave()() }
