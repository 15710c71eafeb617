package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var commitTests = append(slices.Concat(
	predicates("predicates of a step", stepShapes, stepViolations),
	predicates("predicates of a creation", creationShapes, creationViolations),
	predicates("predicates of a change of an actor", actorShapes, actorViolations),
), []namedTest{
	{"all rows of a commit", commitRows},
	{"first commit of an actor", firstCommit},
	{"last administrator", lastAdmin},
	{"accepting revision", acceptingRevision},
	{"malformed commits", malformedCommits},
	{"cancelled before", cancelledBefore},
}...)

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
	f.graceEnds("r1")
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
