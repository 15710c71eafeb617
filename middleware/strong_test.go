package middleware

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// firstCache keeps what it was told first, for ever.
type firstCache struct {
	mu   sync.Mutex
	kept map[interlock.CacheKey]interlock.CacheEntry
}

func (c *firstCache) Get(_ context.Context, _ string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries := make([]interlock.CacheEntry, len(keys))
	for i, k := range keys {
		entries[i] = c.kept[k]
	}
	return entries, nil
}

func (c *firstCache) Put(_ context.Context, _ string, entries []interlock.CacheEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if _, known := c.kept[e.Key]; !known {
			c.kept[e.Key] = e
		}
	}
	return nil
}

func (c *firstCache) Floor(context.Context, string, []interlock.CacheEntry) error { return nil }

func (c *firstCache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.kept)
}

// Cache-Control: no-cache asks for a menu as the store has it.
func TestNoCacheIsHeeded(t *testing.T) {
	cache := &firstCache{kept: map[interlock.CacheKey]interlock.CacheEntry{}}
	a := cachedApp(t, cache)
	_, err := a.gate.Grant(t.Context(), interlock.SystemActor("", "setup"), "ann", "writer", interlock.Scope{})
	require.NoError(t, err)
	docs := a.il.Group(a.router.Group("/docs/:id"), "doc")
	docs.GET("/actions", a.il.Available())
	docs.POST("/actions", a.il.Fire())
	tag := func(headers ...string) string {
		w := a.ask("GET", "/docs/d1/actions", "ann writer", "", headers...)
		require.Equal(t, 200, w.Code, w.Body)
		return w.Header().Get("Interlock-ETag")
	}
	before := tag()
	require.Eventually(t, func() bool { return cache.size() == 2 }, 30*time.Second, time.Millisecond)
	require.Equal(t, 200, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`).Code)
	cached := func(headers ...string) { // once nothing is on its way to the cache, which is read from the store
		t.Helper()
		require.Eventually(t, func() bool {
			return a.ask("GET", "/docs/d1/actions", "ann writer", "", headers...).Header().Get("Interlock-ETag") == before
		}, 30*time.Second, time.Millisecond, headers)
	}
	cached()
	now := tag("Cache-Control", "no-cache")
	require.NotEqual(t, before, now)
	for _, text := range []string{"max-age=0", "no-transform, No-Cache", "max-age=0, must-revalidate", `max-age="0"`, "max-age=00"} {
		cached()
		assert.Equal(t, now, tag("Cache-Control", text), text)
	}
	for _, text := range []string{"", "no-transform", "max-age=60", "x-no-cache"} {
		cached("Cache-Control", text)
	}
}
