package storetest

import (
	"context"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var epochTests = []namedTest{
	{"begins with the store", firstEpoch},
	{"a new one ends what was decided before", bumpEpoch},
	{"a new one waits for what is in flight", bumpWaits},
	{"a reason is asked for", bumpWithoutReason},
	{"epochs are append-only", epochsStay},
	{"a mark that is gone is noticed", lostMark},
	{"marks of many processes", manyMarks},
}

// epochStore is what a store of this project does besides.
type epochStore interface {
	interlock.Store
	Migrate(ctx context.Context) error
	Epochs(ctx context.Context) ([]interlock.Epoch, error)
	BumpEpoch(ctx context.Context, reason string) (interlock.Epoch, error)
	Mark(ctx context.Context) error
	Unbroken(ctx context.Context) error
}

func (f *fixture) epochs() epochStore {
	f.Helper()
	s, ok := f.store.(epochStore)
	require.True(f, ok, "%T keeps no epochs", f.store)
	return s
}

func firstEpoch(f *fixture) {
	all, err := f.epochs().Epochs(f.ctx)
	require.NoError(f, err)
	require.Len(f, all, 1)
	assert.Equal(f, f.epoch, all[0].ID)
	assert.NotEmpty(f, all[0].Reason)
	assert.False(f, all[0].Since.IsZero())
	require.NoError(f, f.epochs().Migrate(f.ctx))
	again, err := f.epochs().Epochs(f.ctx)
	require.NoError(f, err)
	assert.Equal(f, all, again)
}

func bumpEpoch(f *fixture) {
	a := f.haveActor(f.actor(tenant, "ann", "manager"))
	i := f.have(tenant, "doc", "d")
	earlier := f.step(i, "open")
	earlier.Actors = []interlock.ActorCheck{check(a)}
	inTx := f.step(i, "done")
	next := a
	next.Grants = []interlock.Grant{}
	change := f.commitActor(f.actorChange(&a, next))
	made := f.creation(tenant, "doc", "e")

	was := f.epoch
	e, err := f.epochs().BumpEpoch(f.ctx, "a backup of Monday was put back")
	require.NoError(f, err)
	require.NotEqual(f, was, e.ID)
	now, err := f.store.Epoch(f.ctx)
	require.NoError(f, err)
	assert.Equal(f, e.ID, now)
	all, err := f.epochs().Epochs(f.ctx)
	require.NoError(f, err)
	require.Len(f, all, 2)
	assert.Equal(f, was, all[0].ID)
	assert.Equal(f, "a backup of Monday was put back", all[1].Reason)
	facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, nil)
	require.NoError(f, err)
	assert.Equal(f, e.ID, facts.Epoch)

	for what, c := range map[string]*interlock.Commit{"a step": earlier, "a change of an actor": change, "a creation": made} {
		require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrStale, what)
	}
	require.ErrorIs(f, f.store.Within(f.ctx, func(tx interlock.Tx) error { return tx.Apply(f.ctx, inTx) }), interlock.ErrStale)
	f.epoch = e.ID
	f.must(f.step(f.get(tenant, "doc", "d"), "open"))
}

func bumpWaits(f *fixture) {
	f.have(tenant, "doc", "d")
	for _, p := range paths {
		f.Log(p.how)
		c := f.step(f.get(tenant, "doc", "d"), "open")
		c.Actors = p.on
		release := f.hold(func(tx interlock.Tx) error { return tx.Apply(f.ctx, c) })
		bumped := f.blocked(func() error { _, err := f.epochs().BumpEpoch(f.ctx, "test"); return err })
		require.NoError(f, release(), p.how)
		require.NoError(f, <-bumped, p.how)
		assert.Equal(f, "open", f.get(tenant, "doc", "d").State)
		require.ErrorIs(f, f.store.Commit(f.ctx, f.step(f.get(tenant, "doc", "d"), "done")), interlock.ErrStale, p.how)
		var err error
		f.epoch, err = f.store.Epoch(f.ctx)
		require.NoError(f, err)
	}
}

func bumpWithoutReason(f *fixture) {
	for _, reason := range []string{"", " \t\n", "a\x00b"} {
		_, err := f.epochs().BumpEpoch(f.ctx, reason)
		require.ErrorContains(f, err, "say why", "%q", reason)
	}
	now, err := f.store.Epoch(f.ctx)
	require.NoError(f, err)
	assert.Equal(f, f.epoch, now)
}

func epochsStay(f *fixture) {
	table := f.prefix + "epoch"
	for _, query := range []string{"UPDATE " + table + " SET epoch = 'x'", "DELETE FROM " + table} {
		require.ErrorContains(f, f.tryExec(query), "append-only")
	}
}

// lostMark: while a process runs, what it left must stay; a new epoch is the
// operator's word that he knows.
func lostMark(f *fixture) {
	s := f.epochs()
	require.NoError(f, s.Mark(f.ctx))
	require.NoError(f, s.Unbroken(f.ctx))
	f.exec(`DELETE FROM ` + f.prefix + `mark`)
	var gone *interlock.RewoundError
	require.ErrorAs(f, s.Unbroken(f.ctx), &gone)
	require.ErrorContains(f, gone, "interlock epoch bump")
	require.ErrorAs(f, s.Mark(f.ctx), &gone, "a new mark would hide that the last one is gone")
	require.ErrorAs(f, s.Unbroken(f.ctx), &gone)
	_, err := s.BumpEpoch(f.ctx, "known")
	require.NoError(f, err)
	require.NoError(f, s.Unbroken(f.ctx))
	require.NoError(f, s.Mark(f.ctx))
	require.NoError(f, s.Unbroken(f.ctx))
}

// manyMarks: each process finds its own, whoever marked since.
func manyMarks(f *fixture) {
	s := f.epochs()
	for range 5 {
		require.NoError(f, s.Mark(f.ctx))
	}
	marks := f.query(`SELECT value FROM ` + f.prefix + `mark`)
	assert.Len(f, marks, 6, "one of the start")
	slices.Sort(marks)
	assert.Len(f, slices.Compact(marks), 6)
	require.NoError(f, s.Unbroken(f.ctx))
}
