package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var commitTests = []namedTest{
	{"predicates of a step", func(f *fixture) { predicates(f, stepShapes, stepViolations) }},
	{"predicates of a creation", func(f *fixture) { predicates(f, creationShapes, creationViolations) }},
	{"predicates of a change of an actor", func(f *fixture) { predicates(f, actorShapes, actorViolations) }},
	{"all rows of a commit", commitRows},
	{"first commit of an actor", firstCommit},
	{"last administrator", lastAdmin},
	{"accepting revision", acceptingRevision},
	{"malformed commits", malformedCommits},
	{"cancelled before", cancelledBefore},
}

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

// predicates: each violated alone gives its error and writes nothing, by Commit
// and in a transaction; the commit itself is good.
func predicates(f *fixture, shapes []shape, violations []violation) {
	require.NoError(f, f.store.Activate(f.ctx, f.revision("doc", "r2"), 0))
	require.NoError(f, f.store.Activate(f.ctx, f.revision("doc", "r1"), 0)) // r2 is retired
	require.NoError(f, f.store.Accept(f.ctx, f.revision("doc", "r3"), time.Millisecond))
	require.NoError(f, f.store.Activate(f.ctx, f.revision("loan", "r2"), 0))
	require.NoError(f, f.store.Activate(f.ctx, f.revision("loan", "r1"), 0))
	require.NoError(f, f.store.Accept(f.ctx, f.revision("loan", "r3"), time.Millisecond))
	time.Sleep(5 * time.Millisecond) // r3 has expired
	within := func(c *interlock.Commit) error {
		return f.store.Within(f.ctx, func(tx interlock.Tx) error { return tx.Apply(f.ctx, c) })
	}
	commit := func(c *interlock.Commit) error { return f.store.Commit(f.ctx, c) }
	for _, s := range shapes {
		for how, do := range map[string]func(*interlock.Commit) error{"commit": commit, "apply": within} {
			for _, v := range violations {
				c := s.make(f)
				if !v.applies(c) {
					continue
				}
				name := s.name + ", " + how + ", " + v.name
				v.spoil(f, c)
				before := f.dump()
				assert.ErrorIs(f, do(c), v.want, name)
				require.Equal(f, before, f.dump(), name)
			}
			before := f.dump()
			require.NoError(f, do(s.make(f)), "%s, %s", s.name, how)
			require.NotEqual(f, before, f.dump(), "%s, %s", s.name, how)
		}
	}
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
}, commonViolations...)

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
}, commonViolations...)

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

var actorViolations = []violation{
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
}

func commitRows(f *fixture) {
	c := plainStep(f)
	f.must(c)
	id := c.Instance.Next.ID
	facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: id}, []string{c.Actors[1].ID, c.Actors[0].ID, "nobody"})
	require.NoError(f, err)
	assert.Equal(f, f.epoch, facts.Epoch)
	assert.Equal(f, c.Instance.Next, *facts.Instance)
	assert.False(f, facts.IsBound)
	require.Len(f, facts.Actors, 2)
	assert.Equal(f, c.Actors[0], check(facts.Actors[0]), "sorted, and the digest of what was read is that of what was written")
	rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: id}, 1, 10)
	require.NoError(f, err)
	require.Len(f, rows, 1)
	stamp := rows[0].Stamp
	rows[0].Stamp = time.Time{}
	assert.Equal(f, c.Instance.Record, rows[0])
	assert.WithinDuration(f, time.Now(), stamp, time.Minute)
	key, err := f.store.Idempotent(f.ctx, tenant, "ann", c.Idempotency.Key)
	require.NoError(f, err)
	assert.Equal(f, c.Idempotency, key)
	none, err := f.store.Idempotent(f.ctx, tenant, "bob", c.Idempotency.Key)
	require.NoError(f, err)
	assert.Nil(f, none)
	assert.Len(f, f.query(`SELECT message FROM `+f.prefix+`outbox WHERE id = '`+c.Instance.Record.ID+`'`), 1)
}

func firstCommit(f *fixture) {
	i := f.have(tenant, "doc", "d")
	c := f.step(i, "open")
	ch := f.actorChange(nil, f.actor(tenant, "zoe"))
	c.Actors = []interlock.ActorCheck{{ID: "zoe", Change: ch}}
	f.must(c)
	assert.Equal(f, ch.Next, f.getActor(tenant, "zoe"))
	rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: interlock.ActorMachine, ID: "zoe"}, 0, 10)
	require.NoError(f, err)
	assert.Len(f, rows, 1)

	// An actor that was granted a role before gets its person.
	pat := f.actor(tenant, "pat", "manager")
	pat.Person = ""
	pat = f.haveActor(pat)
	next := pat
	next.Person = "Pat"
	c = f.step(f.get(tenant, "doc", "d"), "done")
	fix := f.actorChange(&pat, next)
	c.Actors = []interlock.ActorCheck{{ID: "pat", Version: pat.Version, Digest: actorDigest(pat), Change: fix}}
	f.must(c)
	assert.Equal(f, "Pat", f.getActor(tenant, "pat").Person)
	assert.Equal(f, int64(2), f.getActor(tenant, "pat").Version)
}

func lastAdmin(f *fixture) {
	drop := func(a interlock.ActorRecord) *interlock.Commit {
		next := a
		next.Grants = []interlock.Grant{}
		c := f.commitActor(f.actorChange(&a, next))
		c.KeepAdmin = true
		return c
	}
	root := f.haveActor(f.actor(tenant, "root", interlock.AdminRole))
	f.haveActor(f.actor("other", "root", interlock.AdminRole))
	scoped := f.actor(tenant, "scoped", interlock.AdminRole)
	scoped.Grants[0].Scope = interlock.Scope{Machine: "doc"}
	f.haveActor(scoped)
	idle := f.actor(tenant, "idle", interlock.AdminRole)
	idle.Active = false
	f.haveActor(idle)
	before := f.dump()
	require.ErrorIs(f, f.store.Commit(f.ctx, drop(root)), interlock.ErrLastAdmin)
	inactive := root
	inactive.Active = false
	c := f.commitActor(f.actorChange(&root, inactive))
	c.KeepAdmin = true
	require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrLastAdmin)
	require.Equal(f, before, f.dump())
	f.haveActor(f.actor(tenant, "second", interlock.AdminRole))
	f.must(drop(root))
}

func acceptingRevision(f *fixture) {
	i := f.have(tenant, "doc", "d")
	require.NoError(f, f.store.Activate(f.ctx, f.revision("doc", "r2"), grace))
	f.must(f.step(i, "open")) // under r1, which still accepts
	time.Sleep(grace + 10*time.Millisecond)
	require.ErrorIs(f, f.store.Commit(f.ctx, f.step(f.get(tenant, "doc", "d"), "done")), interlock.ErrStale)
}

// malformedCommits: mistakes of the caller are errors, never rows, and never
// one of the answers that mean that the decision was overtaken.
func malformedCommits(f *fixture) {
	good := func() *interlock.Commit {
		c := f.creation(tenant, "doc", "d")
		c.Actors = []interlock.ActorCheck{{ID: "a"}, {ID: "b"}}
		return c
	}
	before := f.dump()
	for name, spoil := range map[string]func(*interlock.Commit){
		"nothing":               func(c *interlock.Commit) { c.Instance = nil },
		"both":                  func(c *interlock.Commit) { c.Actor = f.actorChange(nil, f.actor(tenant, "x")) },
		"no revision":           func(c *interlock.Commit) { c.Revision = interlock.Revision{} },
		"another's revision":    func(c *interlock.Commit) { c.Revision.Machine = "loan" },
		"unsorted":              func(c *interlock.Commit) { c.Actors[0].ID = "z" },
		"twice":                 func(c *interlock.Commit) { c.Actors[0].ID = "b" },
		"another's record":      func(c *interlock.Commit) { c.Instance.Record.Instance = "e" },
		"a gap":                 func(c *interlock.Commit) { c.Instance.Next.Version, c.Instance.Record.Seq = 2, 2 },
		"bound, but isn't":      func(c *interlock.Commit) { c.Bound = &interlock.BoundChange{} },
		"NUL in the id":         func(c *interlock.Commit) { c.Instance.Next.ID, c.Instance.Record.Instance = "d\x00", "d\x00" },
		"invalid UTF-8":         func(c *interlock.Commit) { c.Instance.Record.Note = "\xff" },
		"NUL in the note":       func(c *interlock.Commit) { c.Instance.Record.Note = "a\x00b" },
		"NUL in the state":      func(c *interlock.Commit) { c.Instance.Next.State = "\x00" },
		"NUL in the key":        func(c *interlock.Commit) { c.Idempotency = f.keyOf(c, "\x00") },
		"a key without a token": func(c *interlock.Commit) { c.Idempotency = f.keyOf(c, "k"); c.Idempotency.Token = "" },
		"another's key":         func(c *interlock.Commit) { c.Idempotency = f.keyOf(c, "k"); c.Idempotency.Tenant = "other" },
		"a key of another row":  func(c *interlock.Commit) { c.Idempotency = f.keyOf(c, "k"); c.Idempotency.Seq = 7 },
		"facts that no JSON is": func(c *interlock.Commit) { c.Instance.Next.Facts = map[string]any{"f": func() {}} },
	} {
		c := good()
		spoil(c)
		for how, err := range map[string]error{
			"commit": f.store.Commit(f.ctx, c),
			"apply":  f.store.Within(f.ctx, func(tx interlock.Tx) error { return tx.Apply(f.ctx, c) }),
		} {
			require.Error(f, err, "%s, %s", name, how)
			for _, overtaken := range []error{interlock.ErrStale, interlock.ErrExists, interlock.ErrKeyUsed, interlock.ErrNoRow} {
				assert.NotErrorIs(f, err, overtaken, "%s, %s", name, how)
			}
			var unknown *interlock.UnknownOutcome
			assert.False(f, errors.As(err, &unknown), "%s, %s: %v", name, how, err)
		}
		require.Equal(f, before, f.dump(), name)
	}
	f.must(good())
}

func cancelledBefore(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	before := f.dump()
	for how, err := range map[string]error{
		"commit":   f.store.Commit(ctx, f.creation(tenant, "doc", "d")),
		"within":   f.store.Within(ctx, func(interlock.Tx) error { return nil }),
		"revision": f.store.Activate(ctx, f.revision("doc", "r9"), 0),
	} {
		require.Error(f, err, how)
	}
	_, err := f.store.Load(ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, nil)
	require.Error(f, err)
	require.Equal(f, before, f.dump())
}
