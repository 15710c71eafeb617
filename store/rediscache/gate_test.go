package rediscache

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/sqlite"
)

const ticketMachine = `
machine: ticket
initial: open
create: {requires: [system]}
read: {requires: [anyone]}
states: {open: {}, closed: {}}
events:
  close: {from: open, to: closed, requires: [manager]}
  reopen: {from: closed, to: open, requires: [manager]}
`

// desk is a gate with a cache in Redis, a ticket T1, and a manager, mark.
type desk struct {
	t    *testing.T
	gate *interlock.Gate
	*Cache
	mu  sync.Mutex
	obs interlock.Observation
}

func (d *desk) Observe(_ context.Context, o interlock.Observation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.obs = o
}

func newDesk(t *testing.T, url string, cacheIn func(*testing.T, string) *Cache) *desk {
	t.Helper()
	m, err := fsm.Parse("ticket.yaml", []byte(ticketMachine))
	require.NoError(t, err)
	store, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	d := &desk{t: t}
	d.Cache = cacheIn(t, url)
	d.gate, err = interlock.New(interlock.Config{
		Machines: []*fsm.Machine{m}, Store: store, Cache: d.Cache, Observer: d,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.gate.Close(context.Background())) })
	_, err = d.gate.Create(t.Context(), system, interlock.CreateRequest{Machine: "ticket", ID: "T1"})
	require.NoError(t, err)
	_, err = d.gate.Grant(t.Context(), system, "mark", "manager", interlock.Scope{})
	require.NoError(t, err)
	return d
}

func calm(t *testing.T, url string) *Cache {
	t.Helper()
	c, _ := newCache(t, url, Config{})
	return c
}

func hasty(t *testing.T, url string) *Cache {
	t.Helper()
	c, _ := newHasty(t, url, Config{})
	return c
}

var system = interlock.SystemActor("", "setup")

// fire is what mark gets, whether that rested on the cache, and how long it took.
func (d *desk) fire(event string) (interlock.Observation, time.Duration, error) {
	d.t.Helper()
	start := time.Now()
	_, err := d.gate.Fire(d.t.Context(), interlock.Actor{ID: "mark"}, interlock.Request{Machine: "ticket", ID: "T1", Event: event})
	took := time.Since(start)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.obs, took, err
}

// warm fires until the decision rests on the cache: puts are made behind the answer.
func (d *desk) warm() {
	d.t.Helper()
	for i, end := 0, time.Now().Add(patient); time.Now().Before(end); i++ {
		event := []string{"close", "reopen"}[i%2]
		o, _, err := d.fire(event)
		require.NoError(d.t, err)
		if o.Cached && event == "reopen" {
			d.settled()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	d.t.Fatal("the cache never answered")
}

// settled waits until the newest state is in the cache.
func (d *desk) settled() {
	d.t.Helper()
	i, err := d.gate.Get(interlock.Strong(d.t.Context()), system, interlock.Ref{Machine: "ticket", ID: "T1"})
	require.NoError(d.t, err)
	require.Eventually(d.t, func() bool {
		// A put that took too long is lost; who reads then puts it again.
		_, _ = d.gate.Get(d.t.Context(), system, interlock.Ref{Machine: "ticket", ID: "T1"})
		got, err := d.Get(d.t.Context(), d.epoch(), []interlock.CacheKey{{Kind: "instance", Tenant: "default", Machine: "ticket", ID: "T1"}})
		return err == nil && got[0].Version >= i.Version
	}, patient, 2*time.Millisecond)
}

// epoch reads the store's from the keys in Redis.
func (d *desk) epoch() string {
	d.t.Helper()
	for _, key := range d.client.(*redis.Client).Keys(d.t.Context(), "interlock:*").Val() {
		rest := strings.TrimPrefix(key, "interlock:")
		if n, after, ok := strings.Cut(rest, ":"); ok {
			length, ok := digits(n)
			require.True(d.t, ok)
			return after[:length]
		}
	}
	return ""
}

func TestGateRestsOnRedis(t *testing.T) {
	d := newDesk(t, testservice.Redis(t), calm)
	d.warm()
	o, _, err := d.fire("close")
	require.NoError(t, err)
	assert.True(t, o.Cached)
}

// TestRevokedRoleIsDead: whatever Redis still says, and whether the floor got
// there or not.
func TestRevokedRoleIsDead(t *testing.T) {
	denied := &interlock.Refusal{Stage: interlock.StagePolicy}
	mark := interlock.CacheKey{Kind: "actor", Tenant: "default", ID: "mark"}

	t.Run("stale entry laid back", func(t *testing.T) {
		d := newDesk(t, testservice.Redis(t), calm)
		d.warm()
		epoch := d.epoch()
		old, err := d.Get(t.Context(), epoch, []interlock.CacheKey{mark})
		require.NoError(t, err)
		require.NotZero(t, old[0].Version)
		revoked, err := d.gate.Revoke(t.Context(), system, "mark", "manager", interlock.Scope{})
		require.NoError(t, err)
		if revoked.ReadsLag { // the gate has said that the floor isn't there: it took too long
			require.NoError(t, d.Floor(t.Context(), epoch, []interlock.CacheEntry{{Key: mark, Version: revoked.Version}}))
		}
		require.NoError(t, d.Put(t.Context(), epoch, old))
		got, err := d.Get(t.Context(), epoch, []interlock.CacheKey{mark})
		require.NoError(t, err)
		assert.Zero(t, got[0].Version, "a late fill is refused by the floor")

		// Even if it had come through.
		require.NoError(t, d.client.Del(t.Context(), d.name(epoch, mark)).Err())
		require.NoError(t, d.Put(t.Context(), epoch, old))
		_, _, err = d.fire("close")
		require.ErrorIs(t, err, denied)
	})
	t.Run("poisoned", func(t *testing.T) {
		d := newDesk(t, testservice.Redis(t), calm)
		d.warm()
		epoch := d.epoch()
		_, err := d.gate.Revoke(t.Context(), system, "mark", "manager", interlock.Scope{})
		require.NoError(t, err)
		a, err := d.gate.Actor(t.Context(), system, "mark")
		require.NoError(t, err)
		a.Grants = []interlock.Grant{{Role: "manager", By: "mark"}}
		b, err := json.Marshal(a)
		require.NoError(t, err)
		require.Eventually(t, func() bool { // the gate may put what is true first
			_ = d.client.Del(t.Context(), d.name(epoch, mark))
			err := d.Put(t.Context(), epoch, []interlock.CacheEntry{{Key: mark, Version: a.Version, Payload: b}})
			got, failed := d.Get(t.Context(), epoch, []interlock.CacheKey{mark})
			return err == nil && failed == nil && bytes.Equal(b, got[0].Payload)
		}, patient, time.Millisecond, "the poison is there")
		_, _, err = d.fire("close")
		require.ErrorIs(t, err, denied)
	})
	t.Run("Redis gone at the revoke", func(t *testing.T) {
		s := testservice.NewRedis(t)
		d := newDesk(t, s.URL(), hasty)
		d.warm()
		s.Stall()
		_, err := d.gate.Revoke(t.Context(), system, "mark", "manager", interlock.Scope{})
		require.NoError(t, err)
		s.Resume()
		require.Eventually(t, func() bool {
			got, err := d.Get(t.Context(), d.epoch(), []interlock.CacheKey{mark})
			return err == nil && got[0].Version >= 0
		}, patient, 20*time.Millisecond)
		_, _, err = d.fire("close")
		require.ErrorIs(t, err, denied)
	})
}

// TestGateOutlivesRedis: the price of a stalled, stopped or emptied Redis is time
// only, and that is bounded.
func TestGateOutlivesRedis(t *testing.T) {
	s := testservice.NewRedis(t)
	d := newDesk(t, s.URL(), hasty)
	d.warm()
	event, other := "close", "reopen"
	next := func() (time.Duration, bool) {
		t.Helper()
		o, took, err := d.fire(event)
		require.NoError(t, err)
		event, other = other, event
		return took, o.Cached
	}
	again := func() {
		t.Helper()
		for end := time.Now().Add(patient); time.Now().Before(end); {
			if _, cached := next(); cached {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatal("the cache never came back")
	}
	s.Stall()
	var total time.Duration
	for i := range 50 {
		took, _ := next()
		total += took
		assert.Less(t, took, defaultTimeout+slack, "call %d", i)
	}
	t.Logf("50 events with Redis stalled: %v in all", total)
	s.Resume()
	again()
	require.NoError(t, connect(t, s.URL()).FlushAll(t.Context()).Err())
	next()
	s.Stop()
	for range 20 {
		next()
	}
	s.Restart()
	again()
}
