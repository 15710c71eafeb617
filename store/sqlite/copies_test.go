package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

func aRow(id string) *interlock.Facts {
	return &interlock.Facts{Epoch: "e", Instance: &interlock.Instance{Tenant: "t", Machine: "m", ID: id, Version: 1}}
}

func kept(c *copies, id string, actors ...string) bool {
	_, ok := c.get("t", interlock.Ref{Machine: "m", ID: id}, actors)
	return ok
}

func keepNow(c *copies, id string, actors ...string) {
	c.keep(c.look(), time.Now(), "t", interlock.Ref{Machine: "m", ID: id}, actors, aRow(id))
}

func ready(bytes int) *copies {
	c := newCopies(bytes)
	c.epoch = "e"
	return c
}

// Copies age, and how busy the machine is must not matter: the clock stands still.
func TestWhatMayHaveChangedIsNotKept(t *testing.T) { synctest.Test(t, testWhatMayHaveChanged) }

func testWhatMayHaveChanged(t *testing.T) {
	key := []rowKey{instanceKey("t", interlock.Ref{Machine: "m", ID: "a"})}
	c := ready(1 << 20)
	keepNow(c, "a", "ann")
	require.True(t, kept(c, "a", "ann"))
	require.False(t, kept(c, "a", "bob"), "not everything is there")
	require.False(t, kept(c, "b"))

	before := c.look()
	c.begin(key)
	require.False(t, kept(c, "a"), "it is being changed")
	keepNow(c, "a")
	require.False(t, kept(c, "a"), "and not to be kept")
	c.begin(key)
	c.settle(&changes{keys: key})
	keepNow(c, "a")
	require.False(t, kept(c, "a"), "another transaction still changes it")
	c.settle(&changes{keys: key})
	c.keep(before, time.Now(), "t", interlock.Ref{Machine: "m", ID: "a"}, nil, aRow("a"))
	require.False(t, kept(c, "a"), "it was read before")
	keepNow(c, "a")
	require.True(t, kept(c, "a"))

	before = c.look()
	c.restart()
	require.False(t, kept(c, "a"), "a new epoch")
	c.keep(before, time.Now(), "t", interlock.Ref{Machine: "m", ID: "a"}, nil, aRow("a"))
	require.False(t, kept(c, "a"))
	keepNow(c, "a")
	other := aRow("b")
	other.Epoch = "f"
	c.keep(c.look(), time.Now(), "t", interlock.Ref{Machine: "m", ID: "b"}, nil, other)
	require.False(t, kept(c, "a"), "it is of another epoch than what was read since")

	bound := aRow("c")
	bound.IsBound = true
	c.epoch = "e"
	c.keep(c.look(), time.Now(), "t", interlock.Ref{Machine: "m", ID: "c"}, nil, bound)
	require.False(t, kept(c, "c"), "the application changes it")
}

// What is kept of a commit is what the file has then, to the last empty list.
func TestCommitsAreKeptAsTheFileHasThem(t *testing.T) { synctest.Test(t, testCommitsAreKept) }

func testCommitsAreKept(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "x.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	m, err := fsm.Parse("m.yaml", []byte("machine: m\ninitial: a\nroles: {clerk: []}\nattrs: {schema: {type: object, properties: {limit: {type: number}}}}\nfacts: {schema: {type: object, properties: {n: {type: number}, l: {type: array}}}, edit: {requires: [anyone], states: [a, b]}}\n"+
		"create: {requires: [anyone]}\nread: {requires: [anyone]}\nstates: {a: {}, b: {}}\nevents:\n  go: {from: a, to: b, requires: [anyone]}\n  back: {from: b, to: a, requires: [anyone]}\n  note: {from: {any: true}, stay: true, requires: [anyone]}\n"))
	require.NoError(t, err)
	g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: s})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close(context.Background())) })
	ctx, root, ref := t.Context(), interlock.SystemActor("", "root"), interlock.Ref{Machine: "m", ID: "1"}
	ann := interlock.Actor{ID: "ann", OnBehalfOf: &interlock.Actor{ID: "bob"}}
	actors := []string{"ann", "bob", "nobody"}
	off := false
	for i, do := range []func() error{
		func() error {
			_, err := g.Create(ctx, root, interlock.CreateRequest{Machine: "m", ID: "1"})
			return err
		},
		func() error {
			_, err := g.Fire(ctx, ann, interlock.Request{Machine: "m", ID: "1", Event: "go"})
			return err
		},
		func() error {
			_, err := g.EditFacts(ctx, ann, interlock.FactsRequest{Machine: "m", ID: "1", Patch: map[string]any{"n": 1.5, "l": []any{"x", nil, map[string]any{}}}})
			return err
		},
		func() error { _, err := g.SetActor(ctx, root, "ann", map[string]any{"limit": 5}, nil); return err },
		func() error { _, err := g.Grant(ctx, root, "bob", "clerk", interlock.Scope{}); return err },
		func() error {
			_, err := g.Fire(ctx, ann, interlock.Request{Machine: "m", ID: "1", Event: "back"})
			return err
		},
		func() error {
			_, err := g.Fire(ctx, root, interlock.Request{Machine: "m", ID: "1", Event: "note"})
			return err
		},
		func() error { _, err := g.SetActor(ctx, root, "ann", nil, &off); return err },
		func() error {
			_, err := g.EditFacts(ctx, root, interlock.FactsRequest{Machine: "m", ID: "1", Patch: map[string]any{"n": nil}})
			return err
		},
	} {
		require.NoError(t, do(), i)
		want, err := s.shared.Load(ctx, interlock.DefaultTenant, ref, actors)
		require.NoError(t, err)
		s.copies.mu.RLock()
		kept := s.copies.find(instanceKey(interlock.DefaultTenant, ref), time.Now())
		s.copies.mu.RUnlock()
		if i > 0 { // before the first read there is no epoch
			require.NotNil(t, kept, "%d: it was just written", i)
		}
		got, err := s.Load(ctx, interlock.DefaultTenant, ref, actors)
		require.NoError(t, err)
		got.Memo = nil
		require.Equal(t, want, got, i)
	}
}

// Who has the turn next must find that what he changes is settled: else what was
// committed before would be kept over what he commits.
func TestATransactionIsSettledInItsTurn(t *testing.T) {
	s, err := Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Migrate(t.Context()))
	held, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.database().InTx(t.Context(), func(tx sqlstore.Tx) error {
			if err := tx.(watched).Applies(&interlock.Commit{Instance: &interlock.InstanceChange{Next: interlock.Instance{Tenant: "t", Machine: "m", ID: "a"}}}); err != nil {
				return err
			}
			s.copies.mu.RLock() // now it can't be settled
			close(held)
			return nil
		})
	}()
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	early, err := s.writer.begin(ctx)
	s.copies.mu.RUnlock()
	if err == nil {
		early.end()
		s.writer.end()
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, <-done)
	require.Empty(t, s.copies.writing)
}

func TestCopiesAreBounded(t *testing.T) { synctest.Test(t, testCopiesAreBounded) }

func testCopiesAreBounded(t *testing.T) {
	c := ready(100 << 10)
	const rows = 10_000
	for i := range rows {
		keepNow(c, fmt.Sprint(i), "ann")
	}
	require.LessOrEqual(t, c.bytes, 50<<10)
	require.Less(t, len(c.young)+len(c.old), 100)
	require.True(t, kept(c, fmt.Sprint(rows-1), "ann"))

	large := aRow("large")
	large.Instance.Facts = map[string]any{"text": []any{strings.Repeat("x", largeRow)}}
	c.keep(c.look(), time.Now(), "t", interlock.Ref{Machine: "m", ID: "large"}, nil, large)
	require.False(t, kept(c, "large"))

	c.keep(c.look(), time.Now().Add(-copyAge-1), "t", interlock.Ref{Machine: "m", ID: "old"}, nil, aRow("old"))
	require.False(t, kept(c, "old"))

	none, err := Open(":memory:", Memory(0))
	require.NoError(t, err)
	require.Nil(t, none.copies)
	require.NoError(t, none.Close())
}
