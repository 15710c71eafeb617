package interlock_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// memoryCache is a cache that a test can spoil.
type memoryCache struct {
	mu      sync.Mutex
	entries map[interlock.CacheKey]interlock.CacheEntry
	frozen  bool // takes no writes: what is there gets stale
	broken  bool
	gets    int
}

func newCache() *memoryCache {
	return &memoryCache{entries: map[interlock.CacheKey]interlock.CacheEntry{}}
}

func (c *memoryCache) Get(_ context.Context, _ string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gets++
	if c.broken {
		return nil, errors.New("down")
	}
	out := make([]interlock.CacheEntry, len(keys))
	for i, k := range keys {
		if e := c.entries[k]; e.Payload != nil { // a floor is a miss
			out[i] = e
		}
	}
	return out, nil
}

func (c *memoryCache) Put(_ context.Context, _ string, entries []interlock.CacheEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return errors.New("down")
	}
	for _, e := range entries {
		old := c.entries[e.Key]
		if !c.frozen && (old.Version < e.Version || old.Version == e.Version && old.Payload == nil) {
			c.entries[e.Key] = e
		}
	}
	return nil
}

func (c *memoryCache) Floor(ctx context.Context, epoch string, entries []interlock.CacheEntry) error {
	return c.Put(ctx, epoch, entries)
}

func (c *memoryCache) freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
}

func (c *memoryCache) has(t *testing.T, key interlock.CacheKey, version int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		e := c.entries[key]
		return e.Version >= version && len(e.Payload) > 0
	}, 5*time.Second, time.Millisecond)
}

func instKey(id string) interlock.CacheKey {
	return interlock.CacheKey{Kind: "instance", Tenant: "default", Machine: "loan", ID: id}
}
func actKey(id string) interlock.CacheKey {
	return interlock.CacheKey{Kind: "actor", Tenant: "default", ID: id}
}

// granted is an actor with stored roles only: nothing is vouched for.
func granted(id string) interlock.Actor { return interlock.Actor{ID: id} }

// cachedLoan is a loan and an employee, both in the cache.
func cachedLoan(t *testing.T) (*interlock.Gate, *memoryCache) {
	t.Helper()
	cache := newCache()
	g := newGate(t, func(c *interlock.Config) { c.Cache = cache })
	_, err := g.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	newLoan(t, g, "17")
	_, err = g.Get(t.Context(), granted("evan"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	cache.has(t, actKey("evan"), 1)
	cache.has(t, instKey("17"), 1)
	return g, cache
}

func TestStaleRoleInTheCacheCommitsNothing(t *testing.T) {
	g, cache := cachedLoan(t)
	cache.freeze(true) // the revoke's floor is lost
	_, err := g.Revoke(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	_, err = g.Get(t.Context(), granted("evan"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err, "a read may show the old for as long as the entry lives")
	_, err = g.Fire(t.Context(), granted("evan"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	refusal(t, err, interlock.StageGraph, "not_found")
	inst, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.Equal(t, "created", inst.State)
}

func TestStaleRefusalIsDecidedOnceMore(t *testing.T) {
	g, cache := cachedLoan(t)
	_, err := g.Revoke(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	_, _ = g.Fire(t.Context(), granted("evan"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	cache.has(t, actKey("evan"), 2)
	cache.freeze(true)
	_, err = g.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	fire(t, g, granted("evan"), "17", "submit")
}

func TestPoisonedCacheCommitsNothing(t *testing.T) {
	g, cache := cachedLoan(t)
	_, err := g.Revoke(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	_, _ = g.Fire(t.Context(), granted("evan"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	cache.has(t, actKey("evan"), 2)
	cache.mu.Lock()
	e := cache.entries[actKey("evan")] // the right version, the wrong content
	e.Payload = bytes.Replace(e.Payload, []byte(`"grants":[]`), []byte(`"grants":[{"role":"employee","scope":"tenant","since":"2026-01-01T00:00:00Z","by":"x"}]`), 1)
	require.Contains(t, string(e.Payload), "employee")
	cache.entries[actKey("evan")] = e
	cache.frozen = true
	cache.mu.Unlock()
	_, err = g.Fire(t.Context(), granted("evan"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	refusal(t, err, interlock.StageGraph, "not_found")
}

func TestSwappedReplyIsAMiss(t *testing.T) {
	g, cache := cachedLoan(t)
	newLoan(t, g, "18")
	cache.has(t, instKey("18"), 1)
	cache.mu.Lock()
	cache.entries[instKey("17")] = cache.entries[instKey("18")]
	cache.entries[actKey("evan")] = cache.entries[actKey("erin")]
	cache.mu.Unlock()
	inst, err := g.Get(t.Context(), granted("evan"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.Equal(t, "17", inst.ID)
}

func TestBrokenCacheCostsNoAnswer(t *testing.T) {
	g, cache := cachedLoan(t)
	cache.mu.Lock()
	cache.broken = true
	cache.mu.Unlock()
	fire(t, g, granted("evan"), "17", "submit", "review")
	_, err := g.Revoke(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
}

func TestAllowedTransitionNeedsNoQueryBesidesItsCommit(t *testing.T) {
	cache := newCache()
	st := &countingStore{Store: memory(t)}
	g := newGate(t, func(c *interlock.Config) { c.Cache, c.Store = cache, st })
	newLoan(t, g, "17")
	cache.has(t, actKey("erin"), 1)
	for i, event := range []string{"submit", "review", "verify"} {
		cache.has(t, instKey("17"), int64(i+1))
		loads, commits := st.loads.Load(), st.commits.Load()
		fire(t, g, employee("erin"), "17", event)
		require.Equal(t, loads, st.loads.Load())
		require.Equal(t, commits+1, st.commits.Load())
	}
}
