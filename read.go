package interlock

import (
	"context"
	"slices"

	"github.com/interlock-go/interlock/internal/lent"
)

// Get returns an instance that the actor may read.
func (g *Gate) Get(ctx context.Context, actor Actor, ref Ref) (Instance, error) {
	ctx, brief := lent.Of(ctx)
	q, f, no := g.reader(ctx, actor, ref, opRead)
	if no != nil {
		return Instance{}, no
	}
	q.lent = brief
	return q.shown(f.inst), nil
}

// reader asks whether the actor may read; a no on cached facts is said only on
// the store's.
func (g *Gate) reader(ctx context.Context, actor Actor, ref Ref, op operation) (*question, *facts, *Refusal) {
	q, no := g.ask(op, actor, ref)
	if no != nil {
		return nil, nil, no
	}
	snap := g.snap.Load()
	for _, fresh := range []bool{false, true} {
		f, bad := g.facts(ctx, q, snap, fresh)
		if bad != nil {
			g.observed(ctx, q, nil, 1, bad)
			return nil, nil, bad
		}
		asked := *q
		asked.op = opRead
		if no = g.decide(ctx, f, &asked).refusal; no == nil {
			g.observed(ctx, &asked, f, 1, nil)
			return q, f, nil
		}
		if !f.cached {
			break
		}
	}
	g.observed(ctx, q, nil, 1, no)
	return nil, nil, no
}

// Available is the menu of one instance: each event that leaves its state,
// allowed or not, with every reason, and what the caller has to give. It may
// rest on cached facts, which are at most the cache's expiry old.
func (g *Gate) Available(ctx context.Context, actor Actor, ref Ref) (Menu, error) {
	ctx, brief := lent.Of(ctx)
	q, no := g.ask(opMenu, actor, ref)
	if no != nil {
		return Menu{}, no
	}
	q.lent = brief
	q.frame = new(frame)
	defer q.frame.end()
	snap := g.snap.Load()
	for _, fresh := range []bool{false, true} {
		f, bad := g.facts(ctx, q, snap, fresh)
		if bad != nil {
			no = bad
			break
		}
		r := g.decide(ctx, f, q)
		if r.refusal == nil {
			g.observed(ctx, q, f, 1, nil)
			r.menu.Instance = q.shown(&r.menu.Instance)
			return *r.menu, nil
		}
		if no = r.refusal; !f.cached {
			break
		}
	}
	_, err := g.refuse(ctx, q.as(opRead), nil, 1, no)
	return Menu{}, err
}

func (q *question) as(op operation) *question {
	c := *q
	c.op = op
	return &c
}

// MaxMany is the most instances that AvailableMany takes in one call.
const MaxMany = 200

// AvailableMany are the menus of up to MaxMany instances, in the order of refs,
// with one look at the store. An instance that isn't there, or that the actor
// may not read, has a nil Menu; so has one that has drifted.
func (g *Gate) AvailableMany(ctx context.Context, actor Actor, refs []Ref) ([]*Menu, error) {
	ctx, brief := lent.Of(ctx)
	q, no := g.ask(opMenu, actor, Ref{})
	if no != nil {
		return nil, no
	}
	q.lent = brief
	if len(refs) > MaxMany {
		return nil, &Refusal{Stage: StageInput, Code: "input_invalid", Message: "at most 200 instances in one call"}
	}
	snap := g.snap.Load()
	menus := make([]*Menu, len(refs))
	var known []Ref
	var at []int
	for i, ref := range refs {
		if m, ok := snap.machines[ref.Machine]; ok && ValidID(ref.ID) {
			if no := g.retired(m); no != nil {
				return nil, no
			}
			known, at = append(known, Ref{m.Name(), ref.ID}), append(at, i)
		}
	}
	if len(known) == 0 {
		return menus, nil
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	all, err := g.cfg.Store.LoadMany(limited, q.actor.Tenant, known, q.actorIDs())
	if err != nil || len(all) != len(known) {
		_, no := g.refuse(ctx, q.as(opRead), nil, 1, unavailable("store_failed", "the store doesn't answer", err))
		return nil, no
	}
	one := *q
	one.frame = new(frame)
	defer one.frame.end()
	for i, s := range all {
		one.ref = known[i]
		f := newFacts(snap, snap.machines[known[i].Machine], s, &one)
		if r := g.decide(ctx, f, &one); r.refusal == nil {
			r.menu.Instance = q.shown(&r.menu.Instance)
			menus[at[i]] = r.menu
		} else if r.refusal.Stage == StageIdentity {
			return nil, r.refusal
		}
	}
	g.observed(ctx, q, nil, 1, nil)
	return menus, nil
}

// List returns instances that the actor may read, ordered by id. next is the
// After of the next page, "" at the end.
func (g *Gate) List(ctx context.Context, actor Actor, req ListRequest) (page []Instance, next string, err error) {
	ctx, _ = lent.Of(ctx)
	q, no := g.ask(opRead, actor, Ref{Machine: req.Machine})
	if no != nil {
		return nil, "", no
	}
	snap := g.snap.Load()
	m, ok := snap.machines[req.Machine]
	if !ok {
		return nil, "", notFound()
	}
	if no := g.retired(m); no != nil {
		return nil, "", no
	}
	limit := clamp(req.Limit, 50, 200)
	lq := ListQuery{Tenant: q.actor.Tenant, Machine: m.Name(), State: req.State, Actor: req.Actor, UpdatedSince: req.UpdatedSince, After: req.After, Limit: limit + 1}
	actors, no := g.actorsOf(ctx, q)
	if no != nil {
		return nil, "", no
	}
	page = []Instance{}
	// Pages are filled past what the actor may not read, within a bound.
	for range 20 {
		rows, err := g.list(ctx, lq)
		if err != nil {
			return nil, "", unavailable("store_failed", "the store doesn't answer", err)
		}
		for _, s := range rows {
			if len(page) == limit {
				return page, lq.After, nil
			}
			lq.After = s.Instance.ID
			one := *q
			one.ref = Ref{m.Name(), s.Instance.ID}
			s.Actors = actors
			f := newFacts(snap, m, s, &one)
			r := g.decide(ctx, f, &one)
			if r.refusal == nil {
				page = append(page, *f.inst)
			} else if r.refusal.Stage != StageGraph {
				return nil, "", r.refusal
			}
		}
		if len(rows) < lq.Limit {
			return page, "", nil
		}
	}
	return page, lq.After, nil
}

func (g *Gate) list(ctx context.Context, lq ListQuery) ([]Facts, error) {
	ctx, cancel := g.reading(ctx)
	defer cancel()
	return g.cfg.Store.List(ctx, lq)
}

func (g *Gate) actorsOf(ctx context.Context, q *question) ([]ActorRecord, *Refusal) {
	limited, cancel := g.reading(ctx)
	defer cancel()
	var all []ActorRecord
	for _, id := range q.actorIDs() {
		a, err := g.cfg.Store.Actor(limited, q.actor.Tenant, id)
		if err != nil {
			return nil, unavailable("store_failed", "the store doesn't answer", err)
		}
		if a != nil {
			all = append(all, *a)
		}
	}
	return all, nil
}

func clamp(n, standard, most int) int {
	if n <= 0 {
		return standard
	}
	return min(n, most)
}

// Counts are the numbers of a machine's instances by state in the actor's
// tenant, for an actor who may read every one of them: by role, without a
// condition on the instance.
func (g *Gate) Counts(ctx context.Context, actor Actor, name string) (map[string]int64, error) {
	q, no := g.ask(opRead, actor, Ref{Machine: name})
	if no != nil {
		return nil, no
	}
	snap := g.snap.Load()
	m, ok := snap.machines[name]
	if !ok {
		return nil, notFound()
	}
	actors, no := g.actorsOf(ctx, q)
	if no != nil {
		return nil, no
	}
	f := newFacts(snap, m, Facts{Actors: actors}, q)
	d := decider{g: g, f: f, q: q}
	if no := d.identity(); no != nil {
		return nil, no
	}
	held, _ := d.holds(m.Read().Requires)
	if !held && q.actor.Kind != System || len(m.Read().Checks) > 0 || snap.defines(m.Name(), "deny") {
		return nil, &Refusal{Stage: StagePolicy, Code: "denied", Message: "you may not read all instances of " + m.Name()}
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	counts, err := g.cfg.Store.Counts(limited, q.actor.Tenant, m.Name())
	if err != nil {
		return nil, unavailable("store_failed", "the store doesn't answer", err)
	}
	return counts, nil
}

// History returns rows with seq > after, oldest first, at most limit (1 to 500; 0
// is 100). Where the first one's Seq is more than after+1, those between were
// archived: see [Archive].
func (g *Gate) History(ctx context.Context, actor Actor, ref Ref, after int64, limit int) ([]Transition, error) {
	ctx, _ = lent.Of(ctx)
	q, _, no := g.reader(ctx, actor, ref, opRead)
	if no != nil {
		return nil, no
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	rows, err := g.cfg.Store.History(limited, q.actor.Tenant, q.ref, after, clamp(limit, 100, 500))
	if err != nil {
		return nil, unavailable("store_failed", "the store doesn't answer", err)
	}
	list := make([]Transition, len(rows))
	for i, r := range rows {
		list[i] = r.Transition
	}
	return list, nil
}

// Attempts are the newest refused attempts on an instance, newest first (1 to
// 500; 0 is 100).
func (g *Gate) Attempts(ctx context.Context, actor Actor, ref Ref, limit int) ([]Attempt, error) {
	q, _, no := g.reader(ctx, actor, ref, opRead)
	if no != nil {
		return nil, no
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	if err := g.attempts.flush(limited); err != nil {
		return nil, unavailable("store_failed", "the store doesn't answer", err)
	}
	list, err := g.cfg.Store.Attempts(limited, q.actor.Tenant, q.ref, clamp(limit, 100, 500))
	if err != nil {
		return nil, unavailable("store_failed", "the store doesn't answer", err)
	}
	return slices.Clip(list), nil
}
