package interlock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/interlock-go/interlock/internal/lent"
)

// maxLooks bounds how often one request is decided: once on cached facts, and
// again after each lost race; after maxFree of them under the row's lock.
const (
	maxLooks = 5
	maxFree  = 3
)

// Fire decides the event and commits it. The error is a *[Refusal]; the answer
// comes after the commit.
func (g *Gate) Fire(ctx context.Context, actor Actor, req Request) (Result, error) {
	ctx, brief := lent.Of(ctx)
	q, no := g.askEvent(opFire, actor, req)
	if no != nil {
		return Result{}, no
	}
	q.lent = brief
	return g.runOnce(ctx, q)
}

func (g *Gate) runOnce(ctx context.Context, q *question) (Result, error) {
	out, err := g.once(ctx, q, func() (outcome, error) {
		res, err := g.run(ctx, q)
		return outcome{res: res}, err
	})
	return q.answered(out.res), err
}

// Create makes an instance in the machine's initial state. A machine that is
// bound to a table needs its row there before, in that state: see [CreateWith].
func (g *Gate) Create(ctx context.Context, actor Actor, req CreateRequest) (Result, error) {
	ctx, _ = lent.Of(ctx)
	q, no := g.askCreate(actor, req)
	if no != nil {
		return Result{}, no
	}
	return g.runOnce(ctx, q)
}

// EditFacts decides and commits a change of facts.
func (g *Gate) EditFacts(ctx context.Context, actor Actor, req FactsRequest) (Result, error) {
	ctx, _ = lent.Of(ctx)
	q, no := g.askAs(opFacts, actor, Ref{req.Machine, req.ID}, req.RequestID, req.DryRun)
	if no != nil {
		return Result{}, no
	}
	if no := q.fill("$facts", "", req.Note, req.Patch); no != nil {
		return Result{}, no
	}
	if no := q.withKey(req.IdempotencyKey, nil); no != nil {
		return Result{}, no
	}
	q.ifMatch = req.IfMatch
	return g.runOnce(ctx, q)
}

func (g *Gate) askEvent(op operation, actor Actor, req Request) (*question, *Refusal) {
	q, no := g.askAs(op, actor, Ref{req.Machine, req.ID}, req.RequestID, req.DryRun)
	if no != nil {
		return nil, no
	}
	if no := q.withKey(req.IdempotencyKey, req.Besides); no != nil {
		return nil, no
	}
	q.ifMatch = req.IfMatch
	return q, q.fill(req.Event, req.To, req.Note, req.Input)
}

func (g *Gate) askCreate(actor Actor, req CreateRequest) (*question, *Refusal) {
	q, no := g.askAs(opCreate, actor, Ref{req.Machine, req.ID}, req.RequestID, req.DryRun)
	if no != nil {
		return nil, no
	}
	if q.asked = q.ref; q.ref.ID == "" {
		q.ref.ID = newID(q.now)
	}
	if no := q.withKey(req.IdempotencyKey, req.Besides); no != nil {
		return nil, no
	}
	if !ValidID(q.ref.ID) {
		return nil, &Refusal{Stage: StageInput, Code: "id_invalid", Message: "an id must match [A-Za-z0-9][A-Za-z0-9._~-]{0,127}"}
	}
	q.mustBeNew = req.IfNoneMatch
	return q, q.fill("$create", "", req.Note, req.Facts)
}

// run takes a question through facts, decision and commit, and again where a
// race was lost, under one snapshot of machines and rules.
func (g *Gate) run(ctx context.Context, q *question) (Result, error) {
	snap, fresh := g.snap.Load(), false
	var seen *facts // database facts that a commit was lost on
	var lost *facts // facts that the commit before was lost on
	for look := 1; look <= maxLooks; look++ {
		f, no := g.facts(ctx, q, snap, fresh)
		if no != nil {
			return g.refuse(ctx, q, nil, look, no)
		}
		if no := g.outdated(ctx, f, lost); no != nil {
			return g.refuse(ctx, q, f, look, no)
		}
		if no := g.moved(ctx, seen, f, q); no != nil {
			out, err := g.refuseUnlessDone(ctx, q, f, look, no)
			return out.res, err
		}
		r := g.decide(ctx, f, q)
		if r.refusal != nil {
			if f.cached {
				fresh = true // a no on cached facts is said only on the store's
				continue
			}
			out, err := g.refuseUnlessDone(ctx, q, f, look, r.refusal)
			return out.res, err
		}
		if no := g.veto(ctx, f, q, r); no != nil {
			return g.refuse(ctx, q, f, look, no)
		}
		if q.dryRun {
			if q.rehearsal != nil {
				*q.rehearsal = decided{f, r}
				return Result{}, nil
			}
			g.observed(ctx, q, f, look, nil)
			return g.wouldBe(f, q, r), nil
		}
		fresh = true
		if f.isBound && !f.adopted() && q.op != opCreate {
			if no := g.adopt(ctx, f, q); no != nil {
				return g.refuse(ctx, q, f, look, no)
			}
			continue
		}
		if time.Since(f.read) > g.cfg.DecisionAge {
			continue // too old to be committed
		}
		c := g.commitFor(f, q, r)
		err := g.commit(ctx, c)
		switch {
		case err == nil:
			return g.committed(ctx, f, q, c, look, true), nil
		case errors.Is(err, ErrStale):
			if no := g.keyStands(ctx, q); no != nil {
				return g.refuse(ctx, q, f, look, no)
			}
			if !f.cached {
				seen = f
			}
			lost, snap = f, g.snap.Load() // it is decided again, by the rules of now
			if look == maxFree {
				// Too many others: wait for the row's lock, then nobody is in between.
				out, err := g.within(ctx, q, &transaction{seen: seen})
				return out.res, err
			}
		default:
			out, err := g.failed(ctx, q, f, look, err)
			return out.res, err
		}
	}
	return g.refuse(ctx, q, nil, maxLooks, g.exhausted(ctx, q, snap))
}

// wouldBe answers a dry run.
func (g *Gate) wouldBe(f *facts, q *question, r ruling) Result {
	next := f.after(q, r)
	if !q.lent {
		next = f.next(q, r)
	}
	t := q.transition(r, next, f.m.revision)
	t.ID = ""
	after := overlay(&next, f.bound)
	t.Facts = after.Facts
	return Result{Instance: *after, Transition: t}
}

// moved refuses when a decision on the store's facts lost its race to a change
// of state: what the caller asked for was asked of another state, and is not
// asked again silently.
func (g *Gate) moved(ctx context.Context, seen, f *facts, q *question) *Refusal {
	if seen == nil || seen.inst == nil || q.op == opCreate || q.namesVersion() {
		return nil // who names the version is told that it isn't the one any more
	}
	if f.inst != nil && f.inst.State == seen.inst.State {
		return nil
	}
	asked := *q
	asked.op = opRead
	if r := g.decide(ctx, f, &asked); r.refusal != nil {
		return r.refusal
	}
	return &Refusal{Stage: StageConflict, Code: "state_changed", Instance: f.inst.own(), Revision: f.m.revision,
		Message: fmt.Sprintf("it was %s when you asked and is %s now", seen.inst.State, f.inst.State)}
}

// failed maps what a commit answered besides nil and ErrStale.
func (g *Gate) failed(ctx context.Context, q *question, f *facts, look int, err error) (outcome, error) {
	var no *Refusal
	switch {
	case errors.Is(err, ErrExists):
		no = q.exists()
	case errors.Is(err, ErrBusy):
		no = unavailable("busy", "the store has too much to write already; nothing was done", err)
	case errors.Is(err, ErrNoRow):
		no = &Refusal{Stage: StageConflict, Code: "drift", Message: "the application's row of this instance is gone"}
	case errors.Is(err, ErrKeyUsed):
		no = inProgress()
	case !errors.As(err, &no):
		no = unavailable("store_failed", "the store did not commit", err)
	}
	return g.refuseUnlessDone(ctx, q, f, look, no)
}

// exhausted says why a request lost every time.
func (g *Gate) exhausted(ctx context.Context, q *question, snap *snapshot) *Refusal {
	no, err := g.outOfForce(ctx, snap.machines[q.ref.Machine])
	if no != nil {
		return no
	}
	return unavailable("busy", "others changed it at the same time, again and again", err)
}

// outdated refuses where a commit was lost and nothing that it was decided on has
// changed, but the rules are no longer in force: trying again is hopeless.
func (g *Gate) outdated(ctx context.Context, f, lost *facts) *Refusal {
	if lost == nil || lost.m != f.m || !f.like(lost) {
		return nil
	}
	no, _ := g.outOfForce(ctx, f.m)
	return no
}

func (g *Gate) outOfForce(ctx context.Context, m *machine) (*Refusal, error) {
	if m == nil {
		return notFound(), nil
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	revisions, err := g.cfg.Store.Revisions(limited, m.Name())
	if err == nil && statusOf(m.revision, revisions) == "retired" {
		return unavailable("revision_retired", "this replica's rules are no longer in force", nil), nil
	}
	return nil, err
}

func (g *Gate) refuse(ctx context.Context, q *question, f *facts, look int, no *Refusal) (Result, error) {
	g.attempt(f, q, no)
	g.observed(ctx, q, f, look, no)
	if no.Stage == StageUnavailable {
		g.log.LogAttrs(ctx, slog.LevelWarn, "interlock: "+no.Message, slog.String("code", no.Code), slog.String("machine", q.ref.Machine), slog.Any("error", no.Cause))
	}
	return Result{}, no
}

// refuseUnlessDone refuses, unless the same request was carried out under its
// idempotency key since this one's lease ran out: then it is that which is in the way.
func (g *Gate) refuseUnlessDone(ctx context.Context, q *question, f *facts, look int, no *Refusal) (outcome, error) {
	if no.Stage != StageUnavailable {
		if row := g.done(ctx, q); row != nil {
			return g.replay(ctx, q, row)
		}
	}
	_, err := g.refuse(ctx, q, f, look, no)
	return outcome{}, err
}

// veto asks the host's Before hooks.
func (g *Gate) veto(ctx context.Context, f *facts, q *question, r ruling) *Refusal {
	if len(g.cfg.Before) == 0 {
		return nil
	}
	if q.tid == "" { // of a dry run there is none
		q.tid = newID(q.now)
	}
	t := q.transition(r, f.after(q, r), f.m.revision)
	for _, before := range g.cfg.Before {
		if err := before(ctx, t.own()); err != nil {
			var no *Refusal
			if errors.As(err, &no) {
				return no
			}
			return &Refusal{Stage: StagePolicy, Code: "vetoed", Message: "the application refuses it", Cause: err,
				Reasons: []Reason{{Code: "vetoed", Message: err.Error()}}}
		}
	}
	return nil
}

// committed tells everybody. keep is false when the application may have
// changed the bound row besides.
func (g *Gate) committed(ctx context.Context, f *facts, q *question, c *Commit, look int, keep bool) Result {
	g.flights.forget()
	after := facts{snap: f.snap, m: f.m, epoch: f.epoch, isBound: f.isBound, read: f.read}
	after.stored = &c.Instance.Next
	if f.bound != nil {
		after.bound = &BoundRow{State: c.Instance.Next.State, Facts: f.bound.Facts}
	}
	after.inst = overlay(after.stored, after.bound)
	for _, chk := range c.Actors { // the others were put when they were read
		if chk.Change != nil {
			after.actors = append(after.actors, chk.Change.Next)
		}
	}
	if keep {
		g.cachePut(&after)
	} else {
		g.floor(ctx, f.epoch, instanceKey(after.stored.Tenant, Ref{after.stored.Machine, after.stored.ID}), after.stored.Version)
	}
	t := c.Instance.Record.Transition
	g.tell(ctx, t)
	g.observed(ctx, q, f, look, nil)
	return Result{Instance: *after.inst, Transition: t}
}

func (g *Gate) tell(ctx context.Context, t Transition) {
	for _, after := range g.cfg.After {
		func() {
			defer func() {
				if p := recover(); p != nil {
					g.log.LogAttrs(ctx, slog.LevelError, "interlock: an After hook panicked; the commit stands", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
				}
			}()
			after(ctx, t.own())
		}()
	}
}

// adopt makes the instance of a bound row that the gate has never seen. The
// row must be in the initial state; any other value is drift, and was refused.
func (g *Gate) adopt(ctx context.Context, f *facts, q *question) *Refusal {
	err := g.commit(ctx, g.adoption(f, q))
	var no *Refusal
	switch {
	case err == nil, errors.Is(err, ErrExists), errors.Is(err, ErrStale):
		return nil // adopted, or changed meanwhile: look again
	case errors.Is(err, ErrNoRow):
		return &Refusal{Stage: StageConflict, Code: "drift", Message: "the application's row of this instance is gone"}
	case errors.As(err, &no):
		return no
	}
	return unavailable("store_failed", "the store did not commit", err)
}

func (g *Gate) adoption(f *facts, q *question) *Commit {
	sys := question{op: opCreate, actor: SystemActor(q.actor.Tenant, "interlock"), ref: q.ref, form: map[string]any{}, now: q.now, tid: newID(q.now)}
	sys.actor.Person = sys.actor.ID
	initial := f.m.State(f.m.Initial()).Name
	return g.commitFor(f, &sys, ruling{event: "$adopt", from: initial, to: initial, stay: true})
}
