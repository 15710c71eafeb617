package storetest

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// Drill is a store that a backup can be made of and put back.
type Drill struct {
	Open    func(t *testing.T, witness string) interlock.Store // closed by Close
	Close   func(t *testing.T)                                 // ends what Open opened
	Backup  func(t *testing.T)                                 // while nothing is open
	Restore func(t *testing.T)                                 // while nothing is open
}

const drillYAML = `
machine: door
initial: shut
create: {requires: [keeper]}
read: {requires: [keeper]}
states: {shut: {}, open: {}, gone: {}}
events:
  open: {from: shut, to: open, requires: [keeper]}
  shut: {from: open, to: shut, requires: [keeper], note: optional}
  remove: {from: open, to: gone, requires: [keeper]}
`

// RunRestore commits, backs up, commits more, and puts the backup back: the store
// is refused until a new epoch begins, and then nothing of the former life
// commits or is read.
func RunRestore(t *testing.T, d Drill) {
	t.Helper()
	witness := filepath.Join(t.TempDir(), "witness")
	cache := &drillCache{entries: map[string]interlock.CacheEntry{}}
	run := func(do func(*interlock.Gate, *drillStore)) {
		st := &drillStore{epochStore: d.Open(t, witness).(epochStore)}
		g, err := interlock.New(drillConfig(t, st, cache))
		require.NoError(t, err)
		do(g, st)
		require.NoError(t, g.Close(context.Background()))
		d.Close(t)
	}
	keeper, ref := interlock.Actor{ID: "kim"}, interlock.Ref{Machine: "door", ID: "1"}
	fire := func(g *interlock.Gate, event string) error {
		_, err := g.Fire(t.Context(), keeper, interlock.Request{Machine: "door", ID: "1", Event: event})
		return err
	}
	run(func(g *interlock.Gate, _ *drillStore) {
		_, err := g.Grant(t.Context(), interlock.SystemActor("", "test"), "kim", "keeper", interlock.Scope{})
		require.NoError(t, err)
		_, err = g.Create(t.Context(), keeper, interlock.CreateRequest{Machine: "door", ID: "1"})
		require.NoError(t, err)
	})
	d.Backup(t)
	var former *interlock.Commit // decided on what the backup has, and never sent
	run(func(g *interlock.Gate, st *drillStore) {
		st.keep = &former
		require.Error(t, fire(g, "open"))
		st.keep = nil
		require.NotNil(t, former)
		require.NoError(t, fire(g, "open"))
		require.NoError(t, fire(g, "remove"))
		_, err := g.Revoke(t.Context(), interlock.SystemActor("", "test"), "kim", "keeper", interlock.Scope{})
		require.NoError(t, err)
	})
	d.Restore(t)

	st := d.Open(t, witness).(epochStore)
	_, err := interlock.New(drillConfig(t, st, cache))
	var rewound *interlock.RewoundError
	require.ErrorAs(t, err, &rewound)
	require.ErrorContains(t, err, "interlock epoch bump")
	_, err = st.BumpEpoch(t.Context(), "the backup was put back")
	require.NoError(t, err)
	d.Close(t)

	cache.read = nil
	run(func(g *interlock.Gate, st *drillStore) {
		inst, err := g.Get(t.Context(), interlock.SystemActor("", "test"), ref)
		require.NoError(t, err)
		assert.Equal(t, "shut", inst.State, "what the cache has of the former life isn't read")
		epoch, err := st.Epoch(t.Context())
		require.NoError(t, err)
		require.ErrorIs(t, st.Commit(t.Context(), former), interlock.ErrStale, "nor does what was decided then commit")
		require.NoError(t, fire(g, "open"), "the role is back, as the operator was told")
		require.NotEmpty(t, cache.read)
		for _, of := range cache.read {
			assert.Equal(t, epoch, of)
		}
		report, err := interlock.Verify(t.Context(), st, nil)
		require.NoError(t, err)
		assert.Empty(t, report.Bad)
	})
	run(func(*interlock.Gate, *drillStore) {}) // and starts again
}

func drillConfig(t *testing.T, st interlock.Store, cache interlock.Cache) interlock.Config {
	t.Helper()
	m, err := fsm.Parse("door.yaml", []byte(drillYAML))
	require.NoError(t, err)
	return interlock.Config{Machines: []*fsm.Machine{m}, Store: st, Cache: cache, Logger: slog.New(slog.DiscardHandler)}
}

// drillStore keeps a commit for later instead of sending it.
type drillStore struct {
	epochStore
	keep **interlock.Commit
}

func (s *drillStore) Commit(ctx context.Context, c *interlock.Commit) error {
	if s.keep != nil {
		*s.keep = c
		return interlock.ErrNoRow
	}
	return s.epochStore.Commit(ctx, c)
}
