package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// A store may keep what it read, as long as nobody can tell.

// both reads an instance and an actor in both ways, which must agree.
func (f *fixture) both(id string) (version int64, a *interlock.ActorRecord, memo *interlock.Memo) {
	f.Helper()
	ref := interlock.Ref{Machine: "doc", ID: id}
	one, err := f.store.Load(f.ctx, tenant, ref, []string{"ann"})
	require.NoError(f, err)
	many, err := f.store.LoadMany(f.ctx, tenant, []interlock.Ref{ref}, []string{"ann"})
	require.NoError(f, err)
	memo = one.Memo
	one.Memo, many[0].Memo = nil, nil
	require.Equal(f, one, many[0])
	if len(one.Actors) == 1 {
		a = &one.Actors[0]
	}
	return one.Instance.Version, a, memo
}

func readsWhatWasWritten(f *fixture) {
	i := f.have(tenant, "doc", "d")
	version, a, memo := f.both("d")
	require.EqualValues(f, 1, version)
	require.Nil(f, a)
	if _, _, again := f.both("d"); memo != nil {
		require.Same(f, memo, again, "of the same row")
	}
	c := f.step(i, "open")
	ann := f.actor(tenant, "ann", "clerk")
	c.Actors = []interlock.ActorCheck{{ID: "ann", Digest: actorDigest(interlock.ActorRecord{Tenant: tenant, ID: "ann", Active: true}), Change: f.actorChange(nil, ann)}}
	f.must(c)
	version, a, other := f.both("d")
	require.EqualValues(f, 2, version)
	require.NotNil(f, a, "made by a commit of the instance")
	f.joinsWithin("bob")
	if memo != nil {
		require.NotSame(f, memo, other, "of another row")
	}
	f.must(f.revoke(*a))
	version, revoked, _ := f.both("d")
	require.EqualValues(f, 2, version)
	require.Empty(f, revoked.Grants)
	require.ErrorIs(f, f.store.Commit(f.ctx, f.revoke(*a)), interlock.ErrStale)
	_, same, _ := f.both("d")
	require.Equal(f, revoked, same)
}

// joinsWithin makes an actor by a commit of another instance, in a transaction with
// others' writes: whoever reads the first one with him sees him.
func (f *fixture) joinsWithin(id string) {
	f.Helper()
	ref := interlock.Ref{Machine: "doc", ID: "d"}
	c := f.step(f.have(tenant, ref.Machine, "other"), "open")
	before, err := f.store.Load(f.ctx, tenant, ref, []string{id})
	require.NoError(f, err)
	require.Empty(f, before.Actors)
	c.Actors = []interlock.ActorCheck{{ID: id, Digest: actorDigest(interlock.ActorRecord{Tenant: tenant, ID: id, Active: true}), Change: f.actorChange(nil, f.actor(tenant, id, "clerk"))}}
	require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) error { return tx.Apply(f.ctx, c) }))
	after, err := f.store.Load(f.ctx, tenant, ref, []string{id})
	require.NoError(f, err)
	require.Len(f, after.Actors, 1)
}

func readsWhileSomebodyWrites(f *fixture) {
	for _, how := range []string{"commits", "gives up"} {
		id := f.fresh("d")
		i := f.have(tenant, "doc", id)
		var release func() error
		gone := errors.New("gone")
		entered, leave, result := make(chan error, 1), make(chan struct{}), make(chan error, 1)
		go func() {
			result <- f.store.Within(f.ctx, func(tx interlock.Tx) error {
				entered <- tx.Apply(f.ctx, f.step(i, "open"))
				<-leave
				if how == "gives up" {
					return gone
				}
				return nil
			})
		}()
		release = sync.OnceValue(func() error { close(leave); return <-result })
		f.Cleanup(func() { _ = release() })
		require.NoError(f, <-entered)
		for range 3 { // what is read now is what was before, and isn't kept
			version, _, _ := f.both(id)
			require.EqualValues(f, 1, version, how)
		}
		err := release()
		version, _, _ := f.both(id)
		if how == "commits" {
			require.NoError(f, err)
			require.EqualValues(f, 2, version)
			continue
		}
		require.ErrorIs(f, err, gone)
		require.EqualValues(f, 1, version)
	}
}

// readAgain: one by one or many at once, kept or read anew.
func readAgain(f *fixture) {
	f.have(tenant, "doc", "d")
	f.haveActor(f.actor(tenant, "ann", "clerk"))
	ref := interlock.Ref{Machine: "doc", ID: "d"}
	for _, load := range []func() (interlock.Facts, error){
		func() (interlock.Facts, error) { return f.store.Load(f.ctx, tenant, ref, []string{"ann"}) },
		func() (interlock.Facts, error) {
			all, err := f.store.LoadMany(f.ctx, tenant, []interlock.Ref{ref}, []string{"ann"})
			return all[0], err
		},
	} {
		want, err := load()
		require.NoError(f, err)
		for range 2 {
			got, err := load()
			require.NoError(f, err)
			require.Equal(f, want.Instance, got.Instance)
			require.Equal(f, want.Actors, got.Actors)
		}
	}
}

// neverWhatWasBefore: whoever begins to read after a commit was answered sees it.
func neverWhatWasBefore(f *fixture) {
	ids := []string{"a", "b", "c"}
	acknowledged := map[string]*atomic.Int64{}
	for _, id := range ids {
		f.have(tenant, "doc", id)
		acknowledged[id] = new(atomic.Int64)
	}
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for n := range 4 {
		readers.Go(func() {
			var seen = map[string]int64{}
			for k := n; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				id := ids[k%len(ids)]
				least := max(acknowledged[id].Load(), seen[id])
				facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: id}, []string{"ann"})
				if !assert.NoError(f, err) || !assert.GreaterOrEqual(f, facts.Instance.Version, least) {
					return
				}
				seen[id] = facts.Instance.Version
			}
		})
	}
	until := time.Now().Add(2 * time.Second)
	for _, id := range ids {
		writers.Go(func() {
			for n := range 60 {
				i := f.get(tenant, "doc", id)
				if !assert.EqualValues(f, n+1, i.Version) || !assert.NoError(f, f.store.Commit(f.ctx, f.step(i, states[n%2])), fmt.Sprint(id, n)) {
					return
				}
				acknowledged[id].Store(i.Version + 1)
				if time.Now().After(until) {
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}
