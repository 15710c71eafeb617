package interlock_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// slowCache takes a loan's second version, and what comes after it, when the test
// lets it, and remembers what was put since then.
type slowCache struct {
	*memoryCache
	began, release chan struct{}
	puts           [][]interlock.CacheEntry // of one goroutine
}

func (c *slowCache) Put(ctx context.Context, epoch string, entries []interlock.CacheEntry) error {
	for _, e := range entries {
		if len(c.puts) == 0 && e.Key == instKey("17") && e.Version == 2 {
			close(c.began)
			<-c.release
			c.puts = append(c.puts, entries)
			return c.memoryCache.Put(ctx, epoch, entries)
		}
	}
	if len(c.puts) > 0 {
		c.puts = append(c.puts, entries)
	}
	return c.memoryCache.Put(ctx, epoch, entries)
}

// looksOfFires are how often each event was decided.
type looksOfFires struct {
	mu    sync.Mutex
	looks []int
}

func (l *looksOfFires) Observe(_ context.Context, o interlock.Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.Op == "fire" {
		l.looks = append(l.looks, o.Looks)
	}
}

// Who changes an instance again at once isn't decided on what the cache has from
// before the first change, since the gate knows that newer is on its way. What
// waits to be written goes together, the newest of each key.
func TestWhatIsOnItsWayToTheCache(t *testing.T) {
	cache := &slowCache{memoryCache: newCache(), began: make(chan struct{}), release: make(chan struct{})}
	st := &countingStore{Store: memory(t)}
	told := &looksOfFires{}
	g := newGate(t, func(c *interlock.Config) { c.Cache, c.Store, c.Observer = cache, st, told })
	release := sync.OnceFunc(func() { close(cache.release) })
	t.Cleanup(release) // the gate's end waits for it
	newLoan(t, g, "17")
	cache.has(t, instKey("17"), 1)
	cache.has(t, actKey("erin"), 1)
	fire(t, g, employee("erin"), "17", "submit")
	<-cache.began
	loads, commits := st.loads.Load(), st.commits.Load()
	fire(t, g, employee("erin"), "17", "review", "verify")
	require.Equal(t, loads+2, st.loads.Load(), "decided on the store's facts")
	require.Equal(t, commits+2, st.commits.Load(), "each once")
	require.Equal(t, []int{1, 1, 1}, told.looks, "nothing was decided in vain")
	release()
	cache.has(t, instKey("17"), 4)

	// It has arrived, so the cache is believed.
	require.Eventually(t, func() bool {
		before := st.loads.Load()
		_, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
		return err == nil && before == st.loads.Load()
	}, patience, time.Millisecond)
	require.NoError(t, g.Close(t.Context()))
	versions := map[interlock.CacheKey][]int64{}
	for _, e := range cache.puts[1] {
		versions[e.Key] = append(versions[e.Key], e.Version)
	}
	require.Equal(t, map[interlock.CacheKey][]int64{instKey("17"): {4}, actKey("erin"): {1}}, versions)
}

// panickingCache panics at the first write.
type panickingCache struct {
	*memoryCache
	once     sync.Once
	panicked chan struct{}
}

func (c *panickingCache) Put(ctx context.Context, epoch string, entries []interlock.CacheEntry) error {
	c.once.Do(func() {
		close(c.panicked)
		panic("a client of the application's")
	})
	return c.memoryCache.Put(ctx, epoch, entries)
}

// What panics in a cache behind the answer is an error of that write, and no more.
func TestAPanicInTheCacheEndsNothing(t *testing.T) {
	var lines bytes.Buffer
	cache := &panickingCache{memoryCache: newCache(), panicked: make(chan struct{})}
	g := newGate(t, func(c *interlock.Config) {
		c.Cache, c.Logger = cache, slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	newLoan(t, g, "17")
	<-cache.panicked // what waits to be written goes together, and is lost together
	newLoan(t, g, "18")
	fire(t, g, employee("erin"), "18", "submit")
	cache.has(t, instKey("18"), 2)
	require.NoError(t, g.Close(t.Context())) // nobody writes to lines any more
	require.Contains(t, lines.String(), `msg="cache put failed" error="panic: a client of the application's"`)
}
