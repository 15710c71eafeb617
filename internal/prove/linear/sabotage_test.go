package linear_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove/anomaly"
	"github.com/interlock-go/interlock/internal/prove/fixture"
)

// staleReads gives the first facts that it ever read of an instance, now and then.
type staleReads struct {
	fixture.Wrapped
	mu    sync.Mutex
	first map[interlock.Ref]interlock.Facts
}

func (s *staleReads) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	f, err := s.Store.Load(ctx, tenant, ref, actors)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, seen := s.first[ref]
	switch {
	case err != nil || f.Instance == nil:
	case !seen:
		s.first[ref] = f
	case rand.IntN(8) == 0:
		f.Instance = old.Instance
	}
	return f, err
}

// pretends says that a commit was made where a predicate did not hold.
type pretends struct{ fixture.Wrapped }

func (p pretends) Commit(ctx context.Context, c *interlock.Commit) error {
	if err := p.Store.Commit(ctx, c); !errors.Is(err, interlock.ErrStale) {
		return err
	}
	return nil
}

// A checker that never says no proves nothing: here it does.
func TestSabotagedReadsAreCaught(t *testing.T) {
	for name, wrap := range map[string]func(interlock.Store) interlock.Store{
		"stale reads": func(s interlock.Store) interlock.Store {
			return &staleReads{Wrapped: fixture.Wrapped{Store: s}, first: map[interlock.Ref]interlock.Facts{}}
		},
		"commits that were none": func(s interlock.Store) interlock.Store { return pretends{fixture.Wrapped{Store: s}} },
	} {
		t.Run(name, func(t *testing.T) {
			w := fixture.SQLite(t, "", fixture.Config{Wrap: wrap})
			rec := fixture.Load{Door: w.Door(), Ops: 300, Instances: 2, Clients: 8, Seed: 1, Reads: 40}.Run(t.Context())
			assert.False(t, check(t, rec), "nobody saw it")
		})
	}
}

// forgiving is a store whose commit doesn't ask whether an actor is still as the
// decision saw him.
type forgiving struct {
	fixture.Wrapped
	world *fixture.World
}

func (f *forgiving) Commit(ctx context.Context, c *interlock.Commit) error {
	changed := *c
	changed.Actors = nil
	for _, a := range c.Actors {
		if a.Change != nil { // a first commit writes the row itself
			changed.Actors = append(changed.Actors, a)
			continue
		}
		row := f.world.DB.QueryRowContext(ctx, `SELECT version, content_digest FROM `+f.world.Prefix+`actor WHERE id = $1`, a.ID)
		if err := row.Scan(&a.Version, &a.Digest); err != nil {
			return err
		}
		changed.Actors = append(changed.Actors, a)
	}
	return f.Store.Commit(ctx, &changed)
}

// held is a store that keeps the first event of a kind between decision and commit.
type held struct {
	fixture.Wrapped
	event  string
	begun  chan struct{} // it is there
	letIn  chan struct{}
	waited sync.Once
}

func (h *held) Commit(ctx context.Context, c *interlock.Commit) error {
	if c.Instance != nil && c.Instance.Record.Event == h.event {
		h.waited.Do(func() {
			close(h.begun)
			<-h.letIn
		})
	}
	return h.Store.Commit(ctx, c)
}

// A guest's event is decided, his role is revoked, somebody looks, and only then
// the event comes to its commit. Without the predicate on the actor it commits,
// and each of the three checkers tells; with it, none has anything to tell.
func TestADroppedPredicateIsCaught(t *testing.T) {
	for _, drop := range []bool{true, false} {
		t.Run(map[bool]string{true: "dropped", false: "kept"}[drop], func(t *testing.T) {
			f, h := &forgiving{}, &held{event: "tick", begun: make(chan struct{}), letIn: make(chan struct{})}
			w := fixture.SQLite(t, "", fixture.Config{Wrap: func(s interlock.Store) interlock.Store {
				if h.Store = s; drop {
					f.Store = s
					h.Store = f
				}
				return h
			}})
			f.world = w
			rec := &fixture.Recording{Begun: time.Now()}
			do := func(op fixture.Op) {
				op.Instance, op.Start = "L", time.Since(rec.Begun)
				if op.Kind == "look" {
					facts, err := w.Store.Load(t.Context(), interlock.DefaultTenant, interlock.Ref{Machine: fixture.Machine, ID: "L"}, []string{"guest-L"})
					require.NoError(t, err)
					op.Outcome, op.Seen, op.Record = fixture.Done, facts.Instance, &facts.Actors[0]
				} else {
					fixture.Ask(t.Context(), w.Gate, &op)
				}
				op.End = time.Since(rec.Begun)
				rec.Add(op)
			}
			guest := fixture.Guest("L")
			tick := fixture.Op{Kind: "fire", Event: "tick", Actor: guest, Guest: true}
			do(fixture.Op{Kind: "create", Event: "$create", Actor: fixture.As("clara"), Amount: 10})
			do(fixture.Op{Kind: "grant", Actor: guest, Guest: true})
			// His person is fixed beforehand, so that the commit is of one row of his.
			do(fixture.Op{Kind: "fire", Event: "return", Actor: guest, Guest: true})
			do(fixture.Op{Kind: "fire", Event: "submit", Actor: guest, Guest: true})
			ended := make(chan struct{})
			go func() { defer close(ended); do(tick) }()
			<-h.begun
			do(fixture.Op{Kind: "revoke", Actor: guest, Guest: true})
			do(fixture.Op{Kind: "look", Actor: guest, Guest: true})
			close(h.letIn)
			<-ended

			report, err := w.Replay(t.Context())
			require.NoError(t, err)
			found := anomaly.Find(transactions(report.Commits, rec))
			if !drop {
				assert.True(t, check(t, rec), "%+v", rec.Codes())
				assert.Empty(t, report.Findings)
				assert.Empty(t, found)
				return
			}
			assert.False(t, check(t, rec), "linearizable")
			assert.NotEmpty(t, report.Findings, "the replayer")
			require.NotEmpty(t, found, "anomalies")
			assert.Equal(t, "G2-item", found[0].Name)
		})
	}
}

// With a cache that gives out the old role, and a commit that doesn't ask, the
// storm sees commits after the revoke.
func TestASabotagedRevokeIsCaught(t *testing.T) {
	f := &forgiving{}
	cache := &hostile{best: map[interlock.CacheKey]interlock.CacheEntry{}, versions: map[interlock.CacheKey]int64{}}
	w := fixture.SQLite(t, "", fixture.Config{Cache: cache, Wrap: func(s interlock.Store) interlock.Store {
		f.Store = s
		return f
	}})
	f.world = w
	role, _ := ofEvents(t, w)
	for range 500 {
		if role.cycle(); role.late.Load() > 0 {
			return
		}
	}
	t.Error("nobody saw it")
}
