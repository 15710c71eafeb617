package rediscache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
)

// gated holds the first MGET until the test lets it go, and counts them.
type gated struct {
	redis.Hook
	began, release chan struct{}
	once           sync.Once

	mu    sync.Mutex
	mgets []int // keys of each
}

func (g *gated) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gated) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (g *gated) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.EqualFold(cmd.Name(), "mget") {
			g.mu.Lock()
			g.mgets = append(g.mgets, len(cmd.Args())-1)
			g.mu.Unlock()
			g.once.Do(func() {
				close(g.began)
				<-g.release
			})
		}
		return next(ctx, cmd)
	}
}

// TestManyCallersOneRoundTrip: 20 callers who come while one is on its way cost
// one MGET, and each gets his own, a miss where he has none.
func TestManyCallersOneRoundTrip(t *testing.T) {
	c, a := newCache(t, testservice.Redis(t), Config{TTL: maxTTL})
	c.reads.long = time.Hour
	keys := make([]interlock.CacheKey, 21)
	for i := range keys {
		keys[i] = interlock.CacheKey{Kind: "actor", Tenant: "default", ID: fmt.Sprint("a", i)}
		if i%3 != 0 {
			require.NoError(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{entry(keys[i], int64(i), fmt.Sprint("p", i))}))
		}
	}
	hook := &gated{began: make(chan struct{}), release: make(chan struct{})}
	c.client.AddHook(hook)
	var all sync.WaitGroup
	ask := func(i int) {
		all.Go(func() {
			got, err := c.Get(t.Context(), epoch, []interlock.CacheKey{keys[i], loan})
			if !assert.NoError(t, err) || !assert.Len(t, got, 2) {
				return
			}
			want := interlock.CacheEntry{Key: keys[i]}
			if i%3 != 0 {
				want = entry(keys[i], int64(i), fmt.Sprint("p", i))
			}
			assert.Equal(t, want, got[0])
			assert.Equal(t, interlock.CacheEntry{Key: loan}, got[1])
		})
	}
	ask(0)
	<-hook.began
	for i := range keys[1:] {
		ask(i + 1)
	}
	h := &held{group: c.reads, t: t}
	h.wait(20)
	close(hook.release)
	all.Wait()
	assert.Equal(t, []int{2, 40}, hook.mgets)
	assert.Empty(t, a.raised())
}

// TestNobodyGetsAnothers: callers by the dozen who ask for different things, leave,
// and come again.
func TestNobodyGetsAnothers(t *testing.T) {
	c, a := newCache(t, testservice.Redis(t), Config{TTL: maxTTL})
	c.reads.long = 50 * time.Microsecond
	var all sync.WaitGroup
	for i := range 24 {
		key := interlock.CacheKey{Kind: "actor", Tenant: "default", ID: fmt.Sprint("a", i)}
		other := interlock.CacheKey{Kind: "actor", Tenant: "default", ID: fmt.Sprint("nobody", i)}
		require.NoError(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{entry(key, int64(i+1), fmt.Sprint("p", i))}))
		all.Go(func() {
			for n := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%5 == i%5 {
					time.AfterFunc(time.Duration(n)*10*time.Microsecond, cancel)
				}
				ask := []interlock.CacheKey{key, other}
				if n%2 == 0 {
					ask = []interlock.CacheKey{other, key, key}
				}
				got, err := c.Get(ctx, epoch, ask)
				if err != nil {
					assert.ErrorIs(t, err, context.Canceled)
				}
				for k, e := range got {
					want := interlock.CacheEntry{Key: ask[k]}
					if ask[k] == key {
						want = entry(key, int64(i+1), fmt.Sprint("p", i))
					}
					assert.Equal(t, want, e)
				}
				cancel()
			}
		})
	}
	all.Wait()
	assert.Empty(t, a.raised())
}

// One connection that is cut fails all who asked through it, and is one failure;
// a Redis that answers nobody is as many as it keeps waiting.
func TestTheBreakerCountsTrips(t *testing.T) {
	for _, c := range []struct {
		name string
		how  error
		want gobreaker.State
	}{{"cut", errors.New("connection reset"), gobreaker.StateClosed}, {"in vain", os.ErrDeadlineExceeded, gobreaker.StateOpen}} {
		// In one window of the breaker's, however long the callers take to come.
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testBreakerCounts(t, c.how, c.want) })
		})
	}
}

func testBreakerCounts(t *testing.T, how error, want gobreaker.State) {
	t.Helper()
	cache := New(connect(t, "redis://127.0.0.1:1/0"), Config{Timeout: patient})
	h := newHeld(t)
	cache.reads = h.group
	get := func() error {
		_, err := cache.Get(t.Context(), epoch, []interlock.CacheKey{loan})
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { assert.NoError(t, get()) })
	one := <-h.trips
	for i := range 4 * failures {
		all.Go(func() { assert.ErrorIs(t, get(), how) })
		h.wait(i + 1)
	}
	one.end <- well
	two := <-h.trips
	two.end <- func() error { return how }
	all.Wait()
	require.Equal(t, want, cache.breaker.State())
	require.NoError(t, cache.Close())
}
