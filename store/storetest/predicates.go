package storetest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// A shape is a valid commit in one of the forms that a store may treat in its
// own way; a violation breaks exactly one of its predicates.
type shape struct {
	name string
	make func(*fixture) *interlock.Commit
}

type violation struct {
	name    string
	want    error
	applies func(*interlock.Commit) bool
	spoil   func(*fixture, *interlock.Commit)
}

// predicates are a test for each shape, on a store of its own: all rows are
// compared around every commit, so there should be few.
func predicates(name string, shapes []shape, violations []violation) (tests []namedTest) {
	for _, s := range shapes {
		tests = append(tests, namedTest{name + ", " + s.name, func(f *fixture) { f.predicates(s, violations) }})
	}
	return tests
}

// predicates: each violated alone gives its error and writes nothing, by Commit
// and in a transaction; the commit itself is good.
func (f *fixture) predicates(s shape, violations []violation) {
	f.formerRules()
	for how, do := range map[string]func(*interlock.Commit) error{
		"commit": func(c *interlock.Commit) error { return f.store.Commit(f.ctx, c) },
		"apply": func(c *interlock.Commit) error {
			return f.store.Within(f.ctx, func(tx interlock.Tx) error { return tx.Apply(f.ctx, c) })
		},
	} {
		for _, v := range violations {
			c := s.make(f)
			if !v.applies(c) {
				continue
			}
			v.spoil(f, c)
			before := f.dump()
			assert.ErrorIs(f, do(c), v.want, "%s, %s", how, v.name)
			require.Equal(f, before, f.dump(), "%s, %s", how, v.name)
		}
		c := s.make(f)
		before := f.dump()
		require.NoError(f, do(c), how)
		require.NotEqual(f, before, f.dump(), how)
	}
}

// formerRules leaves r2 retired and r3 accepted until now.
func (f *fixture) formerRules() {
	f.Helper()
	for _, machine := range []string{"doc", "loan"} {
		require.NoError(f, f.store.Activate(f.ctx, f.revision(machine, "r2"), 0))
		require.NoError(f, f.store.Activate(f.ctx, f.revision(machine, "r1"), 0)) // r2 is retired
		require.NoError(f, f.store.Accept(f.ctx, f.revision(machine, "r3"), time.Millisecond))
	}
	time.Sleep(5 * time.Millisecond) // r3 has expired
}

// realign makes the key again the row's that was spoilt.
func realign(c *interlock.Commit) {
	if k := c.Idempotency; k != nil {
		k.Instance, k.Seq = c.Instance.Record.Instance, c.Instance.Record.Seq
	}
}

// key reserves a key of ann's for the commit, which completes it.
func (f *fixture) key(c *interlock.Commit, key string) {
	f.Helper()
	if c.Idempotency == nil {
		c.Idempotency = f.keyOf(c, key)
	}
	held, err := f.reserve(*c.Idempotency, time.Hour)
	require.NoError(f, err)
	require.Nil(f, held, "the key %s is somebody's", key)
}

func (f *fixture) keyOf(c *interlock.Commit, key string) *interlock.Idempotency {
	rec := c.Instance.Record
	return &interlock.Idempotency{Tenant: rec.Tenant, Actor: "ann", Key: key, Token: f.fresh("t"), Fingerprint: []byte("print"),
		Machine: rec.Machine, Instance: rec.Instance, Seq: rec.Seq, Expires: rec.Time.Add(time.Hour),
		Image: []byte(`{"version":2}`), Answer: []byte(`{"a":1}`)}
}

func plainStep(f *fixture) *interlock.Commit {
	a, b := f.haveActor(f.actor(tenant, f.fresh("a"))), f.haveActor(f.actor(tenant, f.fresh("b")))
	c := f.step(f.have(tenant, "doc", f.fresh("d")), "open")
	c.Actors = []interlock.ActorCheck{check(a), check(b)}
	f.key(c, f.fresh("k"))
	c.Outbox = []byte("told")
	return c
}

func boundStep(f *fixture) *interlock.Commit {
	a := f.haveActor(f.actor(tenant, f.fresh("a")))
	id := f.fresh("l")
	f.exec(`INSERT INTO loans (id, status, amount, note) VALUES ('` + id + `', 'new', 9007199254740993, 'n')`)
	c := f.step(f.have(tenant, "loan", id), "open")
	c.Actors = []interlock.ActorCheck{check(a)}
	f.key(c, f.fresh("k"))
	facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "loan", ID: id}, nil)
	require.NoError(f, err)
	c.Bound = &interlock.BoundChange{From: "new", To: "open", Facts: facts.Bound.Facts}
	return c
}

var stepShapes = []shape{
	{"plain", plainStep},
	{"with an absent actor", func(f *fixture) *interlock.Commit {
		c := plainStep(f)
		c.Actors = append(c.Actors, interlock.ActorCheck{ID: f.fresh("c")})
		return c
	}},
	{"with an actor's first commit", func(f *fixture) *interlock.Commit {
		c := plainStep(f)
		ch := f.actorChange(nil, f.actor(tenant, f.fresh("c")))
		c.Actors = append(c.Actors, interlock.ActorCheck{ID: ch.Next.ID, Change: ch})
		return c
	}},
	{"by an API key", func(f *fixture) *interlock.Commit {
		c := plainStep(f)
		c.ByKey = f.believed(tenant)
		return c
	}},
	{"without actors", func(f *fixture) *interlock.Commit { return f.step(f.have(tenant, "doc", f.fresh("d")), "done") }},
	{"staying where it is", func(f *fixture) *interlock.Commit { return f.step(f.have(tenant, "doc", f.fresh("d")), "new") }},
	{"bound", boundStep},
}

func always(*interlock.Commit) bool      { return true }
func hasActors(c *interlock.Commit) bool { return len(c.Actors) > 0 }
func hasKey(c *interlock.Commit) bool    { return c.Idempotency != nil }
func isBound(c *interlock.Commit) bool   { return c.Bound != nil }

var commonViolations = []violation{
	{"epoch", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Epoch = "another" }},
	{"revision unknown", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Revision.ID = "r0" }},
	{"revision retired", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Revision.ID = "r2" }},
	{"revision's grace over", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Revision.ID = "r3" }},
	{"actor's version", interlock.ErrStale, hasActors, func(f *fixture, c *interlock.Commit) { c.Actors[0].Version = 7 }},
	{"actor's digest", interlock.ErrStale, hasActors, func(f *fixture, c *interlock.Commit) { c.Actors[0].Digest = []byte("other") }},
	{"last actor's version", interlock.ErrStale, func(c *interlock.Commit) bool { return len(c.Actors) > 1 && c.Actors[len(c.Actors)-1].Change == nil },
		func(f *fixture, c *interlock.Commit) { c.Actors[len(c.Actors)-1].Version = 9 }},
	{"actor seen, not there", interlock.ErrStale, hasActors, func(f *fixture, c *interlock.Commit) { c.Actors[0].ID = "aa-nobody" }},
	{"actor not seen, there", interlock.ErrStale, hasActors, func(f *fixture, c *interlock.Commit) {
		c.Actors[0].Version, c.Actors[0].Digest = 0, nil
	}},
	{"actor of another tenant", interlock.ErrStale, hasActors, func(f *fixture, c *interlock.Commit) {
		c.Actors[0] = check(f.haveActor(f.actor("other", "aa-"+f.fresh("x"))))
	}},
	{"new actor is there meanwhile", interlock.ErrStale, func(c *interlock.Commit) bool { return hasActors(c) && c.Actors[len(c.Actors)-1].Change != nil },
		func(f *fixture, c *interlock.Commit) { f.haveActor(f.actor(tenant, c.Actors[len(c.Actors)-1].ID)) }},
	{"key given back", interlock.ErrKeyUsed, hasKey, func(f *fixture, c *interlock.Commit) {
		require.NoError(f, f.store.Release(f.ctx, *c.Idempotency))
	}},
	{"key reserved by another", interlock.ErrKeyUsed, hasKey, func(f *fixture, c *interlock.Commit) {
		f.runOut(c.Idempotency)
		f.key(f.creation(tenant, "doc", f.fresh("d")), c.Idempotency.Key)
	}},
	{"key completed by another", interlock.ErrKeyUsed, hasKey, func(f *fixture, c *interlock.Commit) {
		f.runOut(c.Idempotency)
		other := f.creation(tenant, "doc", f.fresh("d"))
		f.key(other, c.Idempotency.Key)
		f.must(other)
	}},
	{"key completed already", interlock.ErrKeyUsed, hasKey, func(f *fixture, c *interlock.Commit) {
		other := f.creation(tenant, "doc", f.fresh("d"))
		k := *c.Idempotency
		k.Machine, k.Instance, k.Seq = "doc", other.Instance.Next.ID, 1
		other.Idempotency = &k
		f.must(other)
	}},
	{"bound state", interlock.ErrStale, isBound, func(f *fixture, c *interlock.Commit) { c.Bound.From = "done" }},
	{"bound facts", interlock.ErrStale, isBound, func(f *fixture, c *interlock.Commit) {
		c.Bound.Facts = map[string]any{"amount": 9007199254740992, "ratio": nil, "note": "n", "flag": nil}
	}},
	{"bound row gone", interlock.ErrNoRow, isBound, func(f *fixture, c *interlock.Commit) {
		f.exec(`DELETE FROM loans WHERE id = '` + c.Instance.Next.ID + `'`)
	}},
	{"actor switched off by hand", interlock.ErrStale, hasActors, func(f *fixture, c *interlock.Commit) {
		f.exec(`UPDATE ` + f.prefix + `actor SET active = FALSE WHERE id = '` + c.Actors[0].ID + `'`)
	}},
}

var commitsByKey = []violation{
	{"API key revoked", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) {
		c.ByKey = f.believed(tenant)
		f.endKey(c.ByKey)
	}},
	{"API key not there", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.ByKey = "absent" }},
	{"API key of another tenant", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.ByKey = f.believed("other") }},
}

var stepViolations = append([]violation{
	{"instance's version", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) {
		c.Instance.PrevVersion, c.Instance.Next.Version, c.Instance.Record.Seq = 8, 9, 9
		realign(c)
	}},
	{"instance's state", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Instance.PrevState = "done" }},
	{"instance's digest", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Instance.PrevDigest = []byte("other") }},
	{"instance's head", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Instance.PrevHead = []byte("other") }},
	{"no such instance", interlock.ErrStale, func(c *interlock.Commit) bool { return c.Bound == nil }, func(f *fixture, c *interlock.Commit) {
		c.Instance.Next.ID, c.Instance.Record.Instance = "nobody", "nobody"
		realign(c)
	}},
}, slices.Concat(commonViolations, commitsByKey)...)

var creationShapes = []shape{
	{"plain", func(f *fixture) *interlock.Commit {
		c := f.creation(tenant, "doc", f.fresh("d"))
		c.Actors = []interlock.ActorCheck{check(f.haveActor(f.actor(tenant, f.fresh("a"))))}
		f.key(c, f.fresh("k"))
		return c
	}},
	{"with an actor's first commit", func(f *fixture) *interlock.Commit {
		c := f.creation(tenant, "doc", f.fresh("d"))
		a := f.haveActor(f.actor(tenant, f.fresh("a")))
		ch := f.actorChange(nil, f.actor(tenant, f.fresh("c")))
		c.Actors = []interlock.ActorCheck{check(a), {ID: ch.Next.ID, Change: ch}}
		return c
	}},
	{"bound", func(f *fixture) *interlock.Commit {
		id := f.fresh("l")
		f.exec(`INSERT INTO loans (id, status, amount, note) VALUES ('` + id + `', 'new', 9007199254740993, 'n')`)
		c := f.creation(tenant, "loan", id)
		c.Bound = &interlock.BoundChange{From: "new", To: "new"}
		return c
	}},
}

var creationViolations = append([]violation{
	{"exists", interlock.ErrExists, always, func(f *fixture, c *interlock.Commit) { f.have(tenant, c.Instance.Next.Machine, c.Instance.Next.ID) }},
}, slices.Concat(commonViolations, commitsByKey)...)

var actorShapes = []shape{
	{"change", func(f *fixture) *interlock.Commit {
		admin := f.haveActor(f.actor(tenant, f.fresh("a"), interlock.AdminRole))
		prev := f.haveActor(f.actor(tenant, f.fresh("b"), "manager"))
		next := prev
		next.Grants = nil
		c := f.commitActor(f.actorChange(&prev, next))
		c.Actors = []interlock.ActorCheck{check(admin)}
		c.KeepAdmin = true
		return c
	}},
	{"of the asking actor's own row", func(f *fixture) *interlock.Commit {
		prev := f.haveActor(f.actor(tenant, f.fresh("a")))
		next := prev
		next.Attrs = map[string]any{"limit": "none"}
		c := f.commitActor(f.actorChange(&prev, next))
		c.Actors = []interlock.ActorCheck{check(prev)}
		return c
	}},
}

var actorViolations = append([]violation{
	commonViolations[0], commonViolations[4], commonViolations[5], commonViolations[7], commonViolations[8],
	{"version", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) {
		c.Actor.PrevVersion, c.Actor.Next.Version, c.Actor.Record.Seq = 5, 6, 6
	}},
	{"digest", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Actor.PrevDigest = []byte("other") }},
	{"head", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) { c.Actor.PrevHead = []byte("other") }},
	{"made meanwhile", interlock.ErrStale, always, func(f *fixture, c *interlock.Commit) {
		c.Actor = f.actorChange(nil, c.Actor.Next)
		c.Actors = nil
	}},
}, commitsByKey...)
