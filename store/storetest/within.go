package storetest

import (
	"errors"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var withinTests = []namedTest{
	{"the application's rows and the transition are one", appRows},
	{"an error rolls back and comes back", withinError},
	{"a panic rolls back and goes on", withinPanic},
	{"a failed apply can't be committed", failedApply},
	{"an open transaction isn't seen", notSeen},
	{"load sees what the transaction wrote", ownWrites},
	{"bound state is read again", boundState},
	{"creation after the application's insert", createWith},
}

func appRows(f *fixture) {
	i := f.have(tenant, "doc", "d")
	fail := errors.New("the application's own")
	for _, end := range []error{fail, nil} {
		err := f.store.Within(f.ctx, func(tx interlock.Tx) error {
			facts, err := tx.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, []string{"ann"})
			if err != nil {
				return err
			}
			if err := tx.Apply(f.ctx, f.step(*facts.Instance, "open")); err != nil {
				return err
			}
			if err := execIn(f.ctx, tx, `INSERT INTO bares (id, status) VALUES ('app', 'x')`); err != nil {
				return err
			}
			return end
		})
		require.Equal(f, end, err)
		want := 0
		if end == nil {
			want = 1
		}
		assert.Len(f, f.query(`SELECT id FROM bares`), want)
		assert.Equal(f, i.Version+int64(want), f.get(tenant, "doc", "d").Version)
	}
}

func withinError(f *fixture) {
	before := f.dump()
	fail := errors.New("no")
	err := f.store.Within(f.ctx, func(tx interlock.Tx) error {
		require.NoError(f, tx.Apply(f.ctx, f.creation(tenant, "doc", "d")))
		return fail
	})
	require.Equal(f, fail, err)
	require.Equal(f, before, f.dump())
	require.Equal(f, interlock.ErrStale, f.store.Within(f.ctx, func(interlock.Tx) error { return interlock.ErrStale }))
}

func withinPanic(f *fixture) {
	before := f.dump()
	require.PanicsWithValue(f, "boom", func() {
		_ = f.store.Within(f.ctx, func(tx interlock.Tx) error {
			require.NoError(f, tx.Apply(f.ctx, f.creation(tenant, "doc", "d")))
			panic("boom")
		})
	})
	require.Equal(f, before, f.dump())
	f.have(tenant, "doc", "d") // the connection is free again
}

// failedApply: an actor's row was written before the commit was found stale;
// nothing of it may stay, even when the caller goes on.
func failedApply(f *fixture) {
	i := f.have(tenant, "doc", "d")
	c := f.step(i, "open")
	c.Actors = []interlock.ActorCheck{{ID: "zoe", Change: f.actorChange(nil, f.actor(tenant, "zoe"))}}
	c.Instance.PrevState = "done"
	before := f.dump()
	err := f.store.Within(f.ctx, func(tx interlock.Tx) error {
		require.ErrorIs(f, tx.Apply(f.ctx, c), interlock.ErrStale)
		return nil
	})
	require.ErrorIs(f, err, interlock.ErrStale)
	require.Equal(f, before, f.dump())
}

func notSeen(f *fixture) {
	release := f.hold(func(tx interlock.Tx) error { return tx.Apply(f.ctx, f.creation(tenant, "doc", "d")) })
	facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, nil)
	require.NoError(f, err)
	assert.Nil(f, facts.Instance)
	require.NoError(f, release())
	f.get(tenant, "doc", "d")
}

func ownWrites(f *fixture) {
	require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) error {
		if err := tx.Apply(f.ctx, f.creation(tenant, "doc", "d")); err != nil {
			return err
		}
		facts, err := tx.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, nil)
		if err != nil {
			return err
		}
		return tx.Apply(f.ctx, f.step(*facts.Instance, "open"))
	}))
	assert.Equal(f, int64(2), f.get(tenant, "doc", "d").Version)
}

func boundState(f *fixture) {
	f.exec(`INSERT INTO bares (id, status) VALUES ('b', 'new')`)
	require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) error {
		state, bound, err := tx.BoundState(f.ctx, tenant, interlock.Ref{Machine: "bare", ID: "b"})
		assert.Equal(f, []any{"new", true, nil}, []any{state, bound, err})
		require.NoError(f, execIn(f.ctx, tx, `UPDATE bares SET status = 'open'`))
		state, bound, err = tx.BoundState(f.ctx, tenant, interlock.Ref{Machine: "bare", ID: "b"})
		assert.Equal(f, []any{"open", true, nil}, []any{state, bound, err})
		_, bound, err = tx.BoundState(f.ctx, tenant, interlock.Ref{Machine: "bare", ID: "c"})
		assert.True(f, bound)
		assert.ErrorIs(f, err, interlock.ErrNoRow)
		state, bound, err = tx.BoundState(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "b"})
		assert.Equal(f, []any{"", false, nil}, []any{state, bound, err})
		return nil
	}))
}

func createWith(f *fixture) {
	c := f.creation(tenant, "bare", "b")
	c.Bound = &interlock.BoundChange{From: "new", To: "new"}
	require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrNoRow)
	require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) error {
		if err := execIn(f.ctx, tx, `INSERT INTO bares (id, status) VALUES ('b', 'new')`); err != nil {
			return err
		}
		return tx.Apply(f.ctx, c)
	}))
	f.get(tenant, "bare", "b")
}
