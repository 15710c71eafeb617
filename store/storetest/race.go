package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var raceTests = []namedTest{
	{"one step wins each round", func(f *fixture) { oneStepWins(f, false) }},
	{"one step wins each round, in transactions", func(f *fixture) { oneStepWins(f, true) }},
	{"one creation wins", func(f *fixture) {
		race(f, interlock.ErrExists, func(int) *interlock.Commit { return f.creation(tenant, "doc", "d") })
	}},
	{"one use of a key wins", func(f *fixture) {
		k := f.keyOf(f.creation(tenant, "doc", "d0"), "k")
		_, err := f.reserve(*k, time.Hour)
		require.NoError(f, err)
		race(f, interlock.ErrKeyUsed, func(n int) *interlock.Commit {
			c, mine := f.creation(tenant, "doc", fmt.Sprintf("d%d", n)), *k
			mine.Instance, c.Idempotency = c.Instance.Next.ID, &mine
			return c
		})
	}},
	{"one first commit of an actor wins", func(f *fixture) {
		race(f, interlock.ErrStale, func(n int) *interlock.Commit {
			c := f.creation(tenant, "doc", fmt.Sprintf("d%d", n))
			c.Actors = []interlock.ActorCheck{{ID: "zoe", Change: f.actorChange(nil, f.actor(tenant, "zoe"))}}
			return c
		})
	}},
	{"two administrators can't remove each other", lastAdmins},
	{"revocation waits for what is in flight", revokeWaits},
	{"a commit waits for a revocation and then fails", commitWaits},
	{"nothing commits after a revocation", revokeIsFinal},
	{"an absent actor can't appear under a commit", absentActor},
	{"a retired revision waits for what is in flight", retireWaits},
	{"a commit that waits for its instance holds its actor", waitingHoldsActor},
	{"a commit that waits for its instance holds its rules", waitingHoldsRules},
	{"many at once, each whole", manyAtOnce},
}

const racers = 16

// patience is how long a test waits for what must come; grace is that of a
// former revision, which no test waits for.
const (
	patience = 30 * time.Second
	grace    = time.Hour
)

// graceEnds lets the grace of the former revision of doc have passed, whose end the
// store has set by its own clock.
func (f *fixture) graceEnds(id string) {
	f.Helper()
	of := f.prefix + "revision WHERE machine = 'doc' AND id = '" + id + "'"
	lines := f.query("SELECT until_us FROM " + of)
	require.Len(f, lines, 1)
	until, err := strconv.ParseInt(strings.Trim(lines[0], "[] "), 10, 64)
	require.NoError(f, err)
	assert.WithinDuration(f, time.Now().Add(grace), time.UnixMicro(until), time.Minute)
	f.exec(fmt.Sprintf("UPDATE %srevision SET until_us = %d WHERE machine = 'doc' AND id = '%s'", f.prefix, time.Now().Add(-time.Minute).UnixMicro(), id))
}

// race runs 16 commits at once; one is written, the others get their answer.
func race(f *fixture, others error, make func(n int) *interlock.Commit) {
	f.Helper()
	commits := []*interlock.Commit{}
	for n := range racers {
		commits = append(commits, make(n))
	}
	raceAll(f, others, commits, func(c *interlock.Commit) error { return f.store.Commit(f.ctx, c) })
}

func raceAll(f *fixture, others error, commits []*interlock.Commit, do func(*interlock.Commit) error) {
	f.Helper()
	var wg sync.WaitGroup
	var won atomic.Int64
	for _, c := range commits {
		wg.Go(func() {
			err := do(c)
			if err == nil {
				won.Add(1)
				return
			}
			assert.ErrorIs(f, err, others)
		})
	}
	wg.Wait()
	assert.Equal(f, int64(1), won.Load(), "winners")
}

func oneStepWins(f *fixture, within bool) {
	f.have(tenant, "doc", "d")
	const rounds = 20
	for range rounds {
		i := f.get(tenant, "doc", "d")
		commits := []*interlock.Commit{}
		for range racers {
			commits = append(commits, f.step(i, "open"))
		}
		raceAll(f, interlock.ErrStale, commits, func(c *interlock.Commit) error {
			if !within {
				return f.store.Commit(f.ctx, c)
			}
			return f.store.Within(f.ctx, func(tx interlock.Tx) error {
				if _, err := tx.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, nil); err != nil {
					return err
				}
				return tx.Apply(f.ctx, c)
			})
		})
	}
	assert.Equal(f, int64(rounds+1), f.get(tenant, "doc", "d").Version)
	rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, 0, 100)
	require.NoError(f, err)
	require.Len(f, rows, rounds+1)
	for n, r := range rows {
		assert.Equal(f, int64(n+1), r.Seq)
		if n > 0 {
			assert.Equal(f, rows[n-1].Hash, r.Prev)
		}
	}
}

func lastAdmins(f *fixture) {
	for round := range 10 {
		name := fmt.Sprintf("t%d", round)
		a, b := f.haveActor(f.actor(name, "a", interlock.AdminRole)), f.haveActor(f.actor(name, "b", interlock.AdminRole))
		commits := []*interlock.Commit{}
		for _, who := range []interlock.ActorRecord{a, b} {
			next := who
			next.Grants = nil
			c := f.commitActor(f.actorChange(&who, next))
			c.KeepAdmin = true
			commits = append(commits, c)
		}
		raceAll(f, interlock.ErrLastAdmin, commits, func(c *interlock.Commit) error { return f.store.Commit(f.ctx, c) })
	}
}

func (f *fixture) revoke(a interlock.ActorRecord) *interlock.Commit {
	next := a
	next.Grants = []interlock.Grant{}
	return f.commitActor(f.actorChange(&a, next))
}

// hold runs a transaction that stays open, after inside, until release.
func (f *fixture) hold(inside func(interlock.Tx) error) (release func() error) {
	f.Helper()
	entered, leave, result := make(chan error, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		result <- f.store.Within(f.ctx, func(tx interlock.Tx) error {
			err := inside(tx)
			entered <- err
			<-leave
			return err
		})
	}()
	require.NoError(f, <-entered)
	end := sync.OnceValue(func() error {
		close(leave)
		return <-result
	})
	f.Cleanup(func() { _ = end() }) // a test that failed must not hold the store
	return end
}

// blocked starts do and makes sure that it hasn't ended after a while.
func (f *fixture) blocked(do func() error) (result chan error) {
	f.Helper()
	result = make(chan error, 1)
	go func() { result <- do() }()
	select {
	case err := <-result:
		f.Fatalf("did not wait: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	return result
}

// paths are what a step may rest on beside the rest: PostgreSQL writes it by one
// statement, or, with one who isn't there, by a statement for each row. Each path
// has locks of its own.
var paths = []struct {
	how string
	on  []interlock.ActorCheck // the last by id
}{
	{"apply", nil},
	{"apply, with one who isn't there", []interlock.ActorCheck{{ID: "zzz"}}},
}

func revokeWaits(f *fixture) {
	f.haveActor(f.actor(tenant, "ann", "manager"))
	f.have(tenant, "doc", "d")
	waits := func(how string, inside func(interlock.Tx, *interlock.Commit) error, on ...interlock.ActorCheck) {
		a := f.getActor(tenant, "ann")
		c := f.step(f.get(tenant, "doc", "d"), "open")
		c.Actors = append([]interlock.ActorCheck{check(a)}, on...)
		f.Log(how)
		release := f.hold(func(tx interlock.Tx) error { return inside(tx, c) })
		revoked := f.blocked(func() error { return f.store.Commit(f.ctx, f.revoke(a)) })
		require.NoError(f, release(), how)
		require.NoError(f, <-revoked, how)
		late := f.step(f.get(tenant, "doc", "d"), "done")
		late.Actors = []interlock.ActorCheck{check(a)}
		require.ErrorIs(f, f.store.Commit(f.ctx, late), interlock.ErrStale, how)
	}
	for _, p := range paths {
		waits(p.how, func(tx interlock.Tx, c *interlock.Commit) error { return tx.Apply(f.ctx, c) }, p.on...)
	}
	waits("load", func(tx interlock.Tx, _ *interlock.Commit) error {
		_, err := tx.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, []string{"ann"})
		return err
	})
}

func commitWaits(f *fixture) {
	a := f.haveActor(f.actor(tenant, "ann", "manager"))
	i := f.have(tenant, "doc", "d")
	release := f.hold(func(tx interlock.Tx) error { return tx.Apply(f.ctx, f.revoke(a)) })
	c := f.step(i, "open")
	c.Actors = []interlock.ActorCheck{check(a)}
	committed := f.blocked(func() error { return f.store.Commit(f.ctx, c) })
	require.NoError(f, release())
	require.ErrorIs(f, <-committed, interlock.ErrStale)
	assert.Equal(f, "new", f.get(tenant, "doc", "d").State)
}

// revokeIsFinal: many instances move under a role; when its revocation has
// returned, the number of rows under it stays as it is.
func revokeIsFinal(f *fixture) {
	a := f.haveActor(f.actor(tenant, "ann", "manager"))
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	var wg sync.WaitGroup
	var done, after atomic.Int64
	var revoked atomic.Bool
	for n := range 8 {
		f.have(tenant, "doc", fmt.Sprint("d", n))
		wg.Go(func() {
			i := f.get(tenant, "doc", fmt.Sprint("d", n))
			for ctx.Err() == nil {
				c := f.step(i, "open")
				c.Actors = []interlock.ActorCheck{check(a)}
				was := revoked.Load()
				err := f.store.Commit(f.ctx, c)
				switch {
				case err == nil && was:
					after.Add(1)
				case err == nil:
					done.Add(1)
					next := c.Instance.Next
					i = next
				default:
					assert.ErrorIs(f, err, interlock.ErrStale)
					return
				}
			}
		})
	}
	require.Eventually(f, func() bool { return done.Load() > 0 }, patience, time.Millisecond)
	for {
		err := f.store.Commit(f.ctx, f.revoke(a))
		if err == nil {
			break
		}
		// Starved behind the stream of commits: an error, never a false success.
		var unknown *interlock.UnknownOutcome
		require.False(f, errors.As(err, &unknown), "%v", err)
	}
	revoked.Store(true)
	time.Sleep(50 * time.Millisecond)
	cancel()
	wg.Wait()
	assert.Zero(f, after.Load())
}

func absentActor(f *fixture) {
	c := f.creation(tenant, "doc", "d")
	c.Actors = []interlock.ActorCheck{{ID: "zoe"}}
	release := f.hold(func(tx interlock.Tx) error { return tx.Apply(f.ctx, c) })
	off := f.actor(tenant, "zoe")
	off.Active = false
	made := f.blocked(func() error { return f.store.Commit(f.ctx, f.commitActor(f.actorChange(nil, off))) })
	require.NoError(f, release())
	require.NoError(f, <-made)
	c = f.creation(tenant, "doc", "e")
	c.Actors = []interlock.ActorCheck{{ID: "zoe"}}
	require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrStale)
}

func retireWaits(f *fixture) {
	f.have(tenant, "doc", "d")
	for n, p := range paths {
		f.Log(p.how)
		now, next := f.revision("doc", fmt.Sprint("r", n+1)), f.revision("doc", fmt.Sprint("r", n+2))
		c := f.step(f.get(tenant, "doc", "d"), "open")
		c.Revision, c.Actors = now, p.on
		release := f.hold(func(tx interlock.Tx) error { return tx.Apply(f.ctx, c) })
		retired := f.blocked(func() error { return f.store.Activate(f.ctx, next, 0) })
		require.NoError(f, release(), p.how)
		require.NoError(f, <-retired, p.how)
		late := f.step(f.get(tenant, "doc", "d"), "done")
		late.Revision = now
		require.ErrorIs(f, f.store.Commit(f.ctx, late), interlock.ErrStale, p.how)
	}
}

// holdInstance is somebody who changes the instance's row and takes his time.
func (f *fixture) holdInstance(id string) (release func() error) {
	f.Helper()
	return f.hold(func(tx interlock.Tx) error {
		return execIn(f.ctx, tx, `UPDATE `+f.prefix+`instance SET updated_at = updated_at WHERE id = '`+id+`'`)
	})
}

// waitingHoldsActor: what a commit rests on can't change while it waits, whatever
// it waits for and in whichever form the store writes it.
func waitingHoldsActor(f *fixture) {
	f.haveActor(f.actor(tenant, "ann", "manager"))
	f.have(tenant, "doc", "d")
	for _, p := range paths {
		a := f.getActor(tenant, "ann")
		c := f.step(f.get(tenant, "doc", "d"), "open")
		c.Actors = append([]interlock.ActorCheck{check(a)}, p.on...)
		release := f.holdInstance("d")
		committed := f.blocked(func() error { return f.store.Commit(f.ctx, c) })
		revoked := f.blocked(func() error { return f.store.Commit(f.ctx, f.revoke(a)) })
		require.NoError(f, release(), p.how)
		require.NoError(f, <-committed, p.how)
		require.NoError(f, <-revoked, p.how)
	}
}

func waitingHoldsRules(f *fixture) {
	a := f.haveActor(f.actor(tenant, "ann"))
	f.have(tenant, "doc", "d")
	for n, p := range paths {
		c := f.step(f.get(tenant, "doc", "d"), "open")
		c.Revision, c.Actors = f.revision("doc", fmt.Sprint("r", n+1)), append([]interlock.ActorCheck{check(a)}, p.on...)
		release := f.holdInstance("d")
		committed := f.blocked(func() error { return f.store.Commit(f.ctx, c) })
		retired := f.blocked(func() error { return f.store.Activate(f.ctx, f.revision("doc", fmt.Sprint("r", n+2)), 0) })
		require.NoError(f, release(), p.how)
		if err := <-committed; f.postgres || err == nil {
			require.NoError(f, err, p.how)
		} else {
			require.ErrorIs(f, err, interlock.ErrStale, p.how) // a single writer has no order of those who wait
		}
		require.NoError(f, <-retired, p.how)
	}
}

// manyAtOnce: commits that share a moment, some of them in conflict, are each
// whole or not at all.
func manyAtOnce(f *fixture) {
	f.have(tenant, "doc", "taken")
	var wg sync.WaitGroup
	for n := range 64 {
		c := f.creation(tenant, "doc", fmt.Sprintf("n%02d", n))
		if n%4 == 0 {
			// Found out only after the actor's row was written.
			c = f.creation(tenant, "doc", "taken")
			id := fmt.Sprint("zoe", n)
			c.Actors = []interlock.ActorCheck{{ID: id, Change: f.actorChange(nil, f.actor(tenant, id))}}
		}
		c.Outbox = []byte("told")
		wg.Go(func() {
			err := f.store.Commit(f.ctx, c)
			if n%4 == 0 {
				assert.ErrorIs(f, err, interlock.ErrExists)
			} else {
				assert.NoError(f, err)
			}
		})
	}
	wg.Wait()
	for table, want := range map[string]int{"instance": 49, "history": 49, "texts": 49, "outbox": 48, "actor": 0} {
		assert.Len(f, f.query("SELECT 1 FROM "+f.prefix+table), want, table)
	}
}
