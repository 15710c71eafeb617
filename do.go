package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/interlock-go/interlock/internal/lent"
)

// Do decides the event and commits it in one transaction with the application's
// own writes: decide; lock, compare with what was decided on, apply, handler (once),
// commit, and only then the answer. What has changed meanwhile is decided again under
// the lock. Tx is the type of the store's transaction: pgx.Tx, or *sql.Tx. The
// handler sees the bound row with its new state, and may write whatever else
// belongs to the event, but not the state column. Its value is returned after
// the commit; its error, and a panic, roll back everything and come back as
// they are. Its context ends at Config.HandlerLimit. The value of a request that
// was replayed under its idempotency key is the [json.RawMessage] of the first.
func Do[Tx any](ctx context.Context, g *Gate, actor Actor, req Request, handler func(context.Context, Tx, Transition) (any, error)) (Result, any, error) {
	ctx, brief := lent.Of(ctx)
	q, no := g.askEvent(opFire, actor, req)
	if no != nil {
		return Result{}, nil, no
	}
	q.lent = brief
	out, err := g.once(ctx, q, func() (outcome, error) { return g.do(ctx, q, typed(handler)) })
	return q.answered(out.res), out.value, err
}

func (g *Gate) do(ctx context.Context, q *question, handler anyHandler) (outcome, error) {
	if q.dryRun {
		res, err := g.run(ctx, q)
		return outcome{res: res}, err
	}
	// Refused requests never open a writing transaction.
	said, err := g.rehearse(ctx, q)
	if err != nil {
		if row := g.done(ctx, q); row != nil {
			return g.replay(ctx, q, row)
		}
		return outcome{}, err
	}
	return g.within(ctx, q, &transaction{handler: handler, said: said})
}

// CreateWith is Create in one transaction with the application's own writes. The
// handler runs before the instance is decided and written, so that it may insert
// the row of the bound table; a refusal rolls its writes back. An id that is
// taken is told after the handler, so let its INSERT pass over a row that is there
// (ON CONFLICT DO NOTHING), or its own error comes first. A dry run runs no
// handler: of a bound machine it answers drift where the row isn't there yet.
func CreateWith[Tx any](ctx context.Context, g *Gate, actor Actor, req CreateRequest, handler func(context.Context, Tx, Transition) (any, error)) (Result, any, error) {
	ctx, _ = lent.Of(ctx)
	q, no := g.askCreate(actor, req)
	if no != nil {
		return Result{}, nil, no
	}
	out, err := g.once(ctx, q, func() (outcome, error) { return g.createWith(ctx, q, typed(handler)) })
	return q.answered(out.res), out.value, err
}

func (g *Gate) createWith(ctx context.Context, q *question, handler anyHandler) (outcome, error) {
	f, no := g.facts(ctx, q, g.snap.Load(), true)
	var dry ruling
	if no == nil && q.dryRun {
		dry = g.decide(ctx, f, q) // of a bound machine only where the row is there already
		no = dry.refusal
	} else if no == nil {
		no = g.mayCreate(f, q)
	}
	if no != nil {
		_, err := g.refuse(ctx, q, f, 1, no)
		return outcome{}, err
	}
	if q.dryRun {
		g.observed(ctx, q, f, 1, nil)
		return outcome{res: g.wouldBe(f, q, dry)}, nil
	}
	return g.within(ctx, q, &transaction{handler: handler, first: true})
}

// mayCreate asks only what needs no facts: identity, and a role where nothing
// else could grant. The whole is decided once the row is there.
func (g *Gate) mayCreate(f *facts, q *question) *Refusal {
	d := decider{g: g, f: f, q: q}
	if no := d.identity(); no != nil {
		return no
	}
	requires := f.m.Create().Requires
	held, grants := d.holds(requires)
	if held || len(grants) > 0 {
		return nil
	}
	return &Refusal{Stage: StagePolicy, Code: "denied", Message: "you may not create an instance of " + f.m.Name(), Revision: f.m.revision,
		Reasons: []Reason{{Code: "role_required", Message: requiresText(requires), Params: map[string]any{"any_of": slices.Clone(requires)}}}}
}

type anyHandler func(context.Context, any, Transition) (any, error)

func typed[Tx any](handler func(context.Context, Tx, Transition) (any, error)) anyHandler {
	return func(ctx context.Context, handle any, t Transition) (any, error) {
		tx, ok := handle.(Tx)
		if !ok {
			var want Tx
			return nil, fmt.Errorf("interlock: the handler takes a %T, the store gives a %T", &want, handle)
		}
		return handler(ctx, tx, t)
	}
}

// decided is a yes, and the facts that it rests on.
type decided struct {
	f *facts
	r ruling
}

// rehearse decides as Fire does, without committing.
func (g *Gate) rehearse(ctx context.Context, q *question) (*decided, error) {
	dry, said := *q, new(decided)
	dry.dryRun, dry.rehearsal = true, said
	_, err := g.run(ctx, &dry)
	var no *Refusal
	if errors.As(err, &no) && g.done(ctx, q) == nil {
		f, _ := g.facts(ctx, q, g.snap.Load(), false)
		g.attempt(f, q, no)
	}
	return said, err
}

// commits tells whether a decision that was made before the transaction may be
// committed in it as it stands, as Fire's is: the commit repeats all that it rests on.
func (d *decided) commits(g *Gate) bool {
	return d != nil && (!d.f.isBound || d.f.adopted()) && time.Since(d.f.read) <= g.cfg.DecisionAge
}

// within decides and commits under the row's lock: Do, CreateWith, and whoever
// lost too many races.
func (g *Gate) within(ctx context.Context, q *question, what *transaction) (outcome, error) {
	snap, said, seen := g.snap.Load(), what.said, what.seen
	for look := 1; look <= maxLooks; look++ {
		t := &transaction{g: g, q: q, snap: snap, handler: what.handler, first: what.first, seen: seen, said: said}
		err := g.transact(ctx, t)
		if said != nil && !said.f.cached {
			seen = said.f
		}
		said = nil // once: who lost that race is decided under the lock
		switch {
		case err == nil:
			keep := t.f.bound == nil || len(t.f.bound.Facts) == 0
			return outcome{g.committed(ctx, t.f, q, t.commit, look, keep), t.value}, nil
		case t.own != nil && errors.Is(err, t.own):
			return outcome{}, err // the application's own
		case t.refusal != nil:
			return g.refuseUnlessDone(ctx, q, t.f, look, t.refusal)
		case errors.Is(err, ErrStale):
			if no := g.keyStands(ctx, q); no != nil {
				_, err := g.refuse(ctx, q, t.f, look, no)
				return outcome{}, err
			}
			if !t.handled {
				snap = g.snap.Load() // it is decided again, by the rules of now
				continue
			}
		}
		return g.failed(ctx, q, t.f, look, err)
	}
	_, err := g.refuse(ctx, q, nil, maxLooks, g.exhausted(ctx, q, snap))
	return outcome{}, err
}

type transaction struct {
	g       *Gate
	q       *question
	snap    *snapshot
	handler anyHandler // nil: none
	first   bool       // the handler runs before the decision (creation)
	seen    *facts     // what a decision before rested on, whose commit lost its race
	said    *decided   // before the transaction; nil: it is decided in it

	f       *facts
	commit  *Commit
	value   any
	own     error // the handler's
	refusal *Refusal
	handled bool
}

// transact runs it detached from the caller, who may go away, and within the limits.
func (g *Gate) transact(ctx context.Context, t *transaction) error {
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.HandlerLimit+g.cfg.CommitTimeout)
	defer cancel()
	g.watch.writes()
	err := g.cfg.Store.Within(detached, func(tx Tx) error { return t.run(ctx, detached, tx) })
	var lost *UnknownOutcome
	if errors.As(err, &lost) && t.commit != nil {
		return g.resolve(ctx, t.commit, err, g.look)
	}
	return err
}

func (t *transaction) run(caller, ctx context.Context, tx Tx) error {
	m, ok := t.snap.machines[t.q.ref.Machine]
	if !ok {
		t.refusal = notFound()
		return t.refusal
	}
	t.q.ref.Machine = m.Name()
	if t.first {
		if err := t.handle(caller, tx, t.preview(m)); err != nil {
			return err
		}
	}
	r, err := t.decide(ctx, tx, m)
	if err != nil {
		return err
	}
	if t.refusal = t.g.veto(ctx, t.f, t.q, r); t.refusal != nil {
		return t.refusal
	}
	if t.f.isBound && !t.f.adopted() && t.q.op != opCreate {
		if err := tx.Apply(ctx, t.g.adoption(t.f, t.q)); err != nil {
			return err
		}
		if err := t.load(ctx, tx, m); err != nil {
			return err
		}
	}
	t.commit = t.g.commitFor(t.f, t.q, r)
	if t.first && t.commit.Idempotency != nil {
		t.commit.Idempotency.Answer = answerOf(t.value)
	}
	if err := tx.Apply(ctx, t.commit); err != nil {
		return err
	}
	if t.first || t.handler == nil {
		return nil
	}
	if err := t.handle(caller, tx, t.commit.Instance.Record.Transition); err != nil {
		return err
	}
	if err := t.unmoved(ctx, tx, r.to); err != nil {
		return err
	}
	if k := t.commit.Idempotency; k != nil {
		if answer := answerOf(t.value); answer != nil {
			return tx.Answer(ctx, *k, answer)
		}
	}
	return nil
}

// decide is on the rows as they are locked, unless the decision that was made before
// may be committed.
func (t *transaction) decide(ctx context.Context, tx Tx, m *machine) (ruling, error) {
	if t.said.commits(t.g) {
		t.f = t.said.f
		return t.said.r, nil
	}
	if err := t.load(ctx, tx, m); err != nil {
		return ruling{}, err
	}
	if t.refusal = t.g.moved(ctx, t.seen, t.f, t.q); t.refusal != nil {
		return ruling{}, t.refusal
	}
	r := t.g.decide(ctx, t.f, t.q)
	if t.refusal = r.refusal; t.refusal != nil {
		return r, t.refusal
	}
	return r, nil
}

func (t *transaction) load(ctx context.Context, tx Tx, m *machine) error {
	if !ValidID(t.q.ref.ID) {
		t.refusal = notFound()
		return t.refusal
	}
	s, err := tx.Load(ctx, t.q.actor.Tenant, t.q.ref, t.q.actorIDs())
	if err != nil {
		return err
	}
	t.f = newFacts(t.snap, m, s, t.q)
	return nil
}

// handle runs the application's handler: once a request, since nothing is
// retried after it.
func (t *transaction) handle(caller context.Context, tx Tx, tr Transition) error {
	ctx, cancel := context.WithTimeout(caller, t.g.cfg.HandlerLimit)
	defer cancel()
	t.handled = true
	t.value, t.own = t.handler(ctx, tx.Handle(), tr.own())
	if t.own == nil && ctx.Err() != nil {
		t.own = fmt.Errorf("interlock: the handler took longer than it may, or the caller went away: %w", context.Cause(ctx))
	}
	return t.own
}

// unmoved refuses a handler that wrote the bound column itself.
func (t *transaction) unmoved(ctx context.Context, tx Tx, to string) error {
	state, bound, err := tx.BoundState(ctx, t.q.actor.Tenant, t.q.ref)
	if err != nil && !errors.Is(err, ErrNoRow) {
		return err
	}
	if err != nil || bound && state != to {
		t.own = fmt.Errorf("interlock: the handler changed the bound row's state column to %q, the transition leads to %q: leave it to the gate", state, to)
		return t.own
	}
	return nil
}

// preview is the transition of a creation before it is decided.
func (t *transaction) preview(m *machine) Transition {
	initial := m.State(m.Initial()).Name
	return t.q.transition(ruling{event: "$create", from: initial, to: initial},
		Instance{Tenant: t.q.actor.Tenant, Machine: m.Name(), ID: t.q.ref.ID, Version: 1}, m.revision)
}
