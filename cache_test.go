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
	epoch   string // that was asked for last
}

func newCache() *memoryCache {
	return &memoryCache{entries: map[interlock.CacheKey]interlock.CacheEntry{}}
}

func (c *memoryCache) Get(_ context.Context, epoch string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gets++
	c.epoch = epoch
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

func (c *memoryCache) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
}

func (c *memoryCache) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = false
}

func (c *memoryCache) has(t *testing.T, key interlock.CacheKey, version int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		e := c.entries[key]
		return e.Version >= version && len(e.Payload) > 0
	}, patience, time.Millisecond)
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

// What is put says when the store said so: a put that waits in line must not make
// the facts younger than they are.
func TestPutsSayWhenTheStoreSaidSo(t *testing.T) {
	before := time.Now()
	_, cache := cachedLoan(t)
	cache.mu.Lock()
	defer cache.mu.Unlock()
	for _, key := range []interlock.CacheKey{actKey("evan"), instKey("17")} {
		read := cache.entries[key].Read
		require.True(t, read.After(before) && read.Before(time.Now()), "%v: %v", key, read)
	}
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

// alarms are what an Observer was told of beside the calls.
type alarms struct {
	mu  sync.Mutex
	all []string
}

func (a *alarms) Observe(_ context.Context, o interlock.Observation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o.Alarm != "" {
		a.all = append(a.all, o.Alarm)
	}
}

func (a *alarms) taken() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

// An entry that isn't what its key says is a miss, and somebody is told; a miss
// is nothing to be told of.
func TestSwappedReplyIsAMiss(t *testing.T) {
	cache, told := newCache(), &alarms{}
	g := newGate(t, func(c *interlock.Config) { c.Cache, c.Observer = cache, told })
	_, err := g.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	ref := interlock.Ref{Machine: "loan", ID: "17"}
	newLoan(t, g, "17")
	newLoan(t, g, "18")
	limit(t, g, "mark", 5)
	_, err = g.Get(t.Context(), manager("mark"), ref)
	require.NoError(t, err)
	_, err = g.Get(t.Context(), granted("evan"), ref)
	require.NoError(t, err)
	cache.has(t, instKey("17"), 1)
	cache.has(t, instKey("18"), 1)
	cache.has(t, actKey("evan"), 1)
	cache.has(t, actKey("mark"), 1)
	require.Empty(t, told.taken())
	right := map[interlock.CacheKey]interlock.CacheEntry{}
	cache.mu.Lock()
	for k, e := range cache.entries {
		right[k] = e
	}
	cache.frozen = true
	cache.mu.Unlock()
	for key, other := range map[interlock.CacheKey]interlock.CacheKey{instKey("17"): instKey("18"), actKey("mark"): actKey("evan")} {
		cache.mu.Lock()
		cache.entries[key] = right[other]
		cache.mu.Unlock()
		inst, err := g.Get(t.Context(), manager("mark"), ref)
		require.NoError(t, err)
		require.Equal(t, "17", inst.ID)
		require.Equal(t, []string{"cache_corrupt"}, told.taken())
		e := right[key]
		e.Version++
		cache.mu.Lock()
		cache.entries[key] = e // of a version that its content doesn't have
		cache.mu.Unlock()
		_, err = g.Get(t.Context(), manager("mark"), ref)
		require.NoError(t, err)
		require.Equal(t, []string{"cache_corrupt"}, told.taken())
		cache.mu.Lock()
		cache.entries[key] = right[key]
		cache.mu.Unlock()
	}
}

// The old is gone from the cache before the revoke has answered.
func TestRevokeFloorsTheCache(t *testing.T) {
	g, cache := cachedLoan(t)
	_, err := g.Revoke(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	cache.mu.Lock()
	e := cache.entries[actKey("evan")]
	cache.mu.Unlock()
	require.EqualValues(t, 2, e.Version)
	_, err = g.Get(t.Context(), granted("evan"), interlock.Ref{Machine: "loan", ID: "17"})
	refusal(t, err, interlock.StageGraph, "not_found")
}

// stalledCache knows nothing and keeps whoever writes to it.
type stalledCache struct {
	*memoryCache
	began, release chan struct{}
}

func (c stalledCache) Put(context.Context, string, []interlock.CacheEntry) error {
	select {
	case c.began <- struct{}{}:
	default:
	}
	<-c.release
	return nil
}

// Writes to the cache go behind the answer: a cache that stalls delays neither
// calls nor, past its context, the gate's end.
func TestStalledCacheDelaysNobody(t *testing.T) {
	cache := stalledCache{newCache(), make(chan struct{}, 1), make(chan struct{})}
	g, err := interlock.New(interlock.Config{Machines: machines(t, loanYAML), Policy: loanRules(), Store: memory(t), Cache: cache, Logger: quiet()})
	require.NoError(t, err)
	newLoan(t, g, "17")
	for range 1200 { // more than the queue holds
		_, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
		require.NoError(t, err)
	}
	<-cache.began
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, g.Close(short), context.DeadlineExceeded)
	close(cache.release)
	require.NoError(t, g.Close(t.Context()))
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
