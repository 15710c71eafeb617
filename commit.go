package interlock

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// commitFor turns a yes into the one atomic change, with everything that the
// decision saw as its predicate.
func (g *Gate) commitFor(f *facts, q *question, r ruling) *Commit {
	next := f.next(q, r)
	c := &Commit{Epoch: f.epoch, Revision: Revision{Machine: f.m.Name(), ID: f.m.revision}, ByKey: q.actor.apiKey}
	for _, id := range q.actorIDs() {
		if chk, ok := f.check(q, id); ok {
			c.Actors = append(c.Actors, chk)
		}
	}
	ch := &InstanceChange{Next: next}
	prev := genesis(f.epoch, next.Tenant, next.Machine, next.ID)
	if f.adopted() {
		ch.PrevVersion, ch.PrevState, ch.PrevDigest, ch.PrevHead = f.stored.Version, f.stored.State, f.stored.digest(), f.stored.Head
		prev = f.stored.Head
	}
	ch.NextDigest = ch.Next.digest()
	rec := &ch.Record
	rec.Transition = q.transition(r, ch.Next, f.m.revision)
	rec.Prev, rec.Facts = prev, overlay(&ch.Next, f.bound).Facts
	rec.seal(link{epoch: f.epoch, actorDigest: f.actorDigest(q, c.Actors), nextDigest: ch.NextDigest, fingerprint: q.fingerprint()})
	ch.Next.Head = rec.Hash
	c.Instance = ch
	if f.isBound && f.bound != nil {
		c.Bound = &BoundChange{From: f.bound.State, To: r.to, Facts: f.bound.Facts}
		if c.Bound.Facts == nil {
			c.Bound.Facts = map[string]any{} // the decision saw none: nil would compare nothing
		}
	}
	if q.key != "" {
		k := q.idempotency()
		k.Machine, k.Instance, k.Seq, k.Image = next.Machine, next.ID, next.Version, imageOf(ch.Next)
		c.Idempotency = &k
	}
	if b, err := message(&rec.Transition); err == nil {
		c.Outbox = b
	}
	return c
}

// transition is the row as the world will see it; Hash and Prev come with the seal.
func (q *question) transition(r ruling, next Instance, revision string) Transition {
	t := Transition{ID: q.tid, Tenant: next.Tenant, Machine: next.Machine, Instance: next.ID, Seq: next.Version,
		Event: r.event, From: r.from, To: r.to, Override: r.override, Actor: q.actor.ID, Person: q.actor.Person,
		Note: q.note, Time: q.now, Revision: revision}
	if len(q.form) > 0 {
		t.Input = q.form
	}
	if q.behalf != nil {
		t.OnBehalfOf, t.OnBehalfOfPerson = q.behalf.ID, q.behalf.Person
	}
	return t
}

// after is the instance after the ruling, but for who did it.
func (f *facts) after(q *question, r ruling) Instance {
	var n Instance
	if f.stored != nil {
		n = *f.stored
	} else {
		n = Instance{Tenant: q.actor.Tenant, Machine: f.m.Name(), ID: q.ref.ID, Facts: q.form,
			CreatedBy: q.actor.Person, CreatedAt: q.now, Since: q.now}
	}
	n.Version++
	n.State = r.to
	n.UpdatedAt = q.now
	if !r.stay {
		n.Since = q.now
	}
	if q.facts != nil {
		n.Facts = q.facts
	}
	return n
}

// next is the instance after the ruling.
func (f *facts) next(q *question, r ruling) Instance {
	n := f.after(q, r)
	n.Entered, n.Did, n.Last = cloneSets(n.Entered), cloneSets(n.Did), maps.Clone(n.Last)
	n.Actors = slices.Clone(n.Actors)
	persons := q.persons()
	if r.event == "$adopt" || r.event == "$move" {
		persons = nil // nobody did anything to it
	}
	for _, p := range persons {
		n.Actors = withMember(n.Actors, p)
		if r.event[0] != '$' {
			n.Did[r.event] = withMember(n.Did[r.event], p)
		}
		if !r.stay {
			n.Entered[r.to] = withMember(n.Entered[r.to], p)
		}
	}
	if r.event[0] != '$' {
		if n.Last == nil {
			n.Last = map[string]Last{}
		}
		n.Last[r.event] = Last{Person: q.actor.Person, At: q.now, Count: n.Last[r.event].Count + 1}
	}
	return n
}

func cloneSets(m map[string][]string) map[string][]string {
	out := make(map[string][]string, len(m)+1)
	for k, v := range m {
		out[k] = slices.Clone(v)
	}
	return out
}

// withMember inserts into a sorted set.
func withMember(set []string, v string) []string {
	i, found := slices.BinarySearch(set, v)
	if found {
		return set
	}
	return slices.Insert(set, i, v)
}

// actorDigest is of the acting actor as the decision saw it; the predicate about
// him has it already.
func (f *facts) actorDigest(q *question, checks []ActorCheck) []byte {
	for i := range checks {
		if checks[i].ID == q.actor.ID {
			return checks[i].Digest
		}
	}
	actor := f.actor(q.actor.Tenant, q.actor.ID)
	return actor.digest()
}

// check is the predicate about an actor; none for the system, of whom nothing
// is stored. The first commit makes the actor's row and fixes its person.
func (f *facts) check(q *question, id string) (ActorCheck, bool) {
	who := q.actor
	if q.behalf != nil && id == q.behalf.ID {
		who = *q.behalf
	}
	if who.Kind == System {
		return ActorCheck{}, false
	}
	rec := f.actor(q.actor.Tenant, id)
	chk := ActorCheck{ID: id, Version: rec.Version, Digest: rec.digest()}
	if rec.Version == 0 || rec.Person == "" {
		next := rec
		next.Person = who.Person
		chk.Change = changeActor(f.epoch, rec, next, q, "$join", nil)
	}
	return chk, true
}

// changeActor makes the next version of an actor, with its row of history.
func changeActor(epoch string, prev, next ActorRecord, q *question, event string, input map[string]any) *ActorChange {
	ch := &ActorChange{PrevVersion: prev.Version, Next: next}
	link := link{epoch: epoch, actorDigest: prev.digest(), fingerprint: q.fingerprint()}
	ch.Next.Version = prev.Version + 1
	head := genesis(epoch, prev.Tenant, ActorMachine, prev.ID)
	if prev.Version > 0 {
		ch.PrevDigest, ch.PrevHead = prev.digest(), prev.Head
		head = prev.Head
	}
	ch.NextDigest = ch.Next.digest()
	link.nextDigest = ch.NextDigest
	state := func(a ActorRecord) string {
		if a.Active {
			return "active"
		}
		return "inactive"
	}
	ch.Record.Transition = Transition{ID: newID(q.now), Tenant: prev.Tenant, Machine: ActorMachine, Instance: prev.ID,
		Seq: ch.Next.Version, Event: event, From: state(prev), To: state(next), Actor: q.actor.ID, Person: q.actor.Person,
		Note: q.note, Input: input, Time: q.now}
	ch.Record.Prev = head
	if !keepsTexts(event) {
		ch.Record.Facts = next.Attrs
	}
	ch.Record.seal(link)
	ch.Next.Head = ch.Record.Hash
	return ch
}

// commit sends the change on a context of its own: a caller that goes away
// doesn't leave a commit half known. nil, a known error of Store.Commit, or a *Refusal.
func (g *Gate) commit(ctx context.Context, c *Commit) error {
	g.watch.writes()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.CommitTimeout)
	defer cancel()
	err := g.cfg.Store.Commit(ctx, c)
	if err == nil || known(err) {
		return err
	}
	return g.resolve(ctx, c, err, g.again)
}

func known(err error) bool {
	for _, k := range []error{ErrStale, ErrExists, ErrLastAdmin, ErrKeyUsed, ErrNoRow, ErrBusy} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// resolve finds out whether a commit that ended with err was made.
func (g *Gate) resolve(ctx context.Context, c *Commit, err error, try attemptOf) error {
	var lost *UnknownOutcome
	if !errors.As(err, &lost) {
		return unavailable("store_failed", "the store did not commit", err)
	}
	rec := c.record()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.CommitTimeout)
	defer cancel()
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		found, settled, lookErr := try(ctx, c, rec)
		switch {
		case lookErr == nil && found:
			return nil
		case lookErr == nil && settled:
			return unavailable("store_failed", "the store did not commit; nothing was changed", err)
		}
		select {
		case <-ctx.Done():
			return unavailable("outcome_unknown", "it can't be told whether this was committed; ask again with the same idempotency key, or read the history", err)
		case <-time.After(wait):
		}
	}
}

func (c *Commit) record() *Record {
	if c.Instance != nil {
		return &c.Instance.Record
	}
	return &c.Actor.Record
}

// attemptOf tells whether the record is in history, and when it isn't, whether
// it is settled that it never will be.
type attemptOf func(ctx context.Context, c *Commit, rec *Record) (found, settled bool, err error)

// again makes the commit once more. The first try may still be on its way in the
// server, where nothing tells of it while it waits for the actor's row; but its
// predicates let only one of the two through, so this one's outcome is certain
// for both.
func (g *Gate) again(ctx context.Context, c *Commit, rec *Record) (found, settled bool, err error) {
	err = g.cfg.Store.Within(ctx, func(tx Tx) error { return tx.Apply(ctx, c) })
	if err == nil {
		return true, true, nil
	}
	if !known(err) || errors.Is(err, ErrBusy) {
		return false, false, err
	}
	settled = !errors.Is(err, ErrStale) || g.staysStale(ctx, c)
	rows, err := g.cfg.Store.History(ctx, rec.Tenant, Ref{rec.Machine, rec.Instance}, rec.Seq-1, 1)
	found = len(rows) == 1 && rows[0].ID == rec.ID
	return found, found || settled, err
}

// staysStale: versions and heads only go on, so what they refuse stays refused. A
// revision that was retired may be put in force again, and the first try with it.
func (g *Gate) staysStale(ctx context.Context, c *Commit) bool {
	if c.Revision.ID == "" {
		return true
	}
	revisions, err := g.cfg.Store.Revisions(ctx, c.record().Machine)
	return err == nil && statusOf(c.Revision.ID, revisions) != "retired"
}

// look serves commits that were whole but for their COMMIT: it looks for the row
// under the lock that they would still hold. It tells whether the record is
// in history. there is false while an absence proves nothing: a creation may still be on its way.
func (g *Gate) look(ctx context.Context, c *Commit, rec *Record) (found, there bool, err error) {
	ref := Ref{rec.Machine, rec.Instance}
	err = g.cfg.Store.Within(ctx, func(tx Tx) error {
		if c.Instance == nil || c.Instance.PrevVersion == 0 {
			return nil
		}
		f, err := tx.Load(ctx, rec.Tenant, ref, nil) // waits for a commit that holds the row
		there = err == nil && f.Instance != nil
		return err
	})
	if err != nil {
		return false, false, err
	}
	rows, err := g.cfg.Store.History(ctx, rec.Tenant, ref, rec.Seq-1, 1)
	if err != nil {
		return false, false, err
	}
	return len(rows) == 1 && rows[0].ID == rec.ID, there || len(rows) == 1, nil
}
