package rediscache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
)

// slack is what a busy machine may add to the 50 ms of a call. The client's own
// limits, which must not count, are clientLimit.
const (
	slack       = 20 * time.Second
	clientLimit = time.Minute
)

// newHasty has the time limit of production; its client would wait longer.
func newHasty(t *testing.T, url string, cfg Config) (*Cache, *alarms) {
	t.Helper()
	opts, err := Options(url)
	require.NoError(t, err)
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = clientLimit, clientLimit, clientLimit, clientLimit
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	a := &alarms{}
	cfg.Alarm = a.raise
	c := New(client, cfg)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c, a
}

// begin puts the first version, however often that takes.
func begin(t *testing.T, c *Cache) {
	t.Helper()
	require.Eventually(t, func() bool {
		return c.Put(context.Background(), epoch, []interlock.CacheEntry{entry(loan, 1, "one")}) == nil
	}, patient, 20*time.Millisecond)
}

// calls counts how often a client is asked for values.
type calls struct {
	deaf
	n atomic.Int64
}

func (c *calls) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "mget" {
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func timed(ctx context.Context, c *Cache) (time.Duration, error) {
	start := time.Now()
	_, err := c.Get(ctx, epoch, []interlock.CacheKey{loan})
	return time.Since(start), err
}

func TestStalled(t *testing.T) {
	s := testservice.NewRedis(t)
	c, a := newHasty(t, s.URL(), Config{})
	stalled(t, s, c, a)
}

// TestStalledClientOfDefaults: a client that doesn't heed deadlines costs no more.
func TestStalledClientOfDefaults(t *testing.T) {
	s := testservice.NewRedis(t)
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), DialTimeout: clientLimit, ReadTimeout: clientLimit, WriteTimeout: clientLimit, PoolTimeout: clientLimit})
	t.Cleanup(func() { _ = client.Close() })
	a := &alarms{}
	stalled(t, s, New(client, Config{Alarm: a.raise}), a)
}

func stalled(t *testing.T, s *testservice.RedisServer, c *Cache, a *alarms) {
	t.Helper()
	var asked calls
	c.client.AddHook(&asked)
	begin(t, c)
	s.Stall()
	fails := func() error {
		took, err := timed(t.Context(), c)
		require.Error(t, err)
		assert.Less(t, took, defaultTimeout+slack)
		return err
	}
	open := func() { // five that fail within a second: a busy machine may need more
		for end := time.Now().Add(patient); !errors.Is(fails(), gobreaker.ErrOpenState); {
			require.True(t, time.Now().Before(end), "it never opens")
		}
	}
	open()
	before, began := asked.n.Load(), time.Now()
	for range 100 {
		fails()
	}
	require.LessOrEqual(t, asked.n.Load()-before, 1+int64(time.Since(began)/probe), "one in each time of a probe")
	require.Error(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{entry(loan, 2, "two")}))
	require.Error(t, c.Floor(t.Context(), epoch, []interlock.CacheEntry{{Key: loan, Version: 2}}))
	time.Sleep(probe + 50*time.Millisecond)
	before = asked.n.Load()
	require.NotErrorIs(t, fails(), gobreaker.ErrOpenState, "the probe")
	require.Greater(t, asked.n.Load(), before)
	open()
	s.Resume()
	require.Eventually(t, func() bool { _, err := timed(t.Context(), c); return err == nil }, patient, 20*time.Millisecond)
	// A busy machine may let it open, and close, once more.
	require.GreaterOrEqual(t, len(a.raised()), 2)
	assert.Equal(t, []string{"cache_down", "cache_up"}, a.raised()[:2])
}

func TestDown(t *testing.T) {
	s := testservice.NewRedis(t)
	c, _ := newHasty(t, s.URL(), Config{})
	begin(t, c)
	s.Stop()
	for i := range 100 {
		took, err := timed(t.Context(), c)
		require.Error(t, err)
		assert.Less(t, took, defaultTimeout+slack, "call %d", i)
	}
	s.Restart()
	require.Eventually(t, func() bool { _, err := timed(t.Context(), c); return err == nil }, patient, 20*time.Millisecond)
	fresh, _ := newCache(t, s.URL(), Config{})
	holds(t, fresh, 0, "")
}

// TestDelayedWrites: what Redis does with a write that it got while it was
// frozen, long after its sender has given up.
func TestDelayedWrites(t *testing.T) {
	s := testservice.NewRedis(t)
	c, _ := newHasty(t, s.URL(), Config{TTL: 300 * time.Millisecond})
	begin(t, c)
	fresh, _ := newCache(t, s.URL(), Config{})
	floor(t, fresh, 2)
	name := c.name(epoch, loan)
	s.Stall()
	require.Error(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{entry(loan, 3, "three")}))
	time.Sleep(400 * time.Millisecond)
	s.Resume()
	time.Sleep(100 * time.Millisecond) // it is executed now
	value, err := fresh.client.Get(t.Context(), name).Result()
	require.NoError(t, err)
	assert.Len(t, value, headLen, "the floor is still all that stands there")
}

func TestFull(t *testing.T) {
	s := testservice.NewRedis(t)
	c, _ := newCache(t, s.URL(), Config{})
	put(t, c, 1, "one")
	require.NoError(t, c.client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	for range 3 * failures {
		err := c.Put(t.Context(), epoch, []interlock.CacheEntry{entry(loan, 2, "two")})
		require.ErrorContains(t, err, "OOM")
		assert.Error(t, c.Floor(t.Context(), epoch, []interlock.CacheEntry{{Key: loan, Version: 2}}))
	}
	holds(t, c, 1, "one") // reads go on
}

func TestCallersOwnEnd(t *testing.T) {
	s := testservice.NewRedis(t)
	c, a := newHasty(t, s.URL(), Config{})
	begin(t, c)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 * failures {
		_, err := timed(gone, c)
		require.ErrorIs(t, err, context.Canceled)
	}
	s.Stall()
	var leaving leaves
	c.client.AddHook(&leaving)
	for range 3 * failures {
		ctx, cancel := context.WithCancel(t.Context())
		leaving.now = cancel // when the call is on its way, whatever that took
		_, err := timed(ctx, c)
		require.ErrorIs(t, err, context.Canceled)
	}
	leaving.now = nil
	assert.Empty(t, a.raised(), "callers who left say nothing about Redis")

	// Callers in a hurry do: else each of them would spend all his time here.
	var err error
	for end := time.Now().Add(patient); !errors.Is(err, gobreaker.ErrOpenState) && time.Now().Before(end); { // they may not fall into one second
		var took time.Duration
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		took, err = timed(ctx, c)
		cancel()
		require.Error(t, err)
		assert.Less(t, took, 5*time.Millisecond+slack)
	}
	require.ErrorIs(t, err, gobreaker.ErrOpenState)
}

// leaves is a client whose caller leaves while his call is on its way.
type leaves struct {
	deaf
	now func()
}

func (l *leaves) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if l.now != nil && cmd.Name() == "mget" {
			l.now()
		}
		return next(ctx, cmd)
	}
}

func TestUnreachable(t *testing.T) {
	opts, err := Options("redis://127.0.0.1:1/0")
	require.NoError(t, err)
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	c := New(client, Config{})
	took, err := timed(t.Context(), c)
	require.Error(t, err)
	assert.Less(t, took, defaultTimeout+slack)
}

// TestCluster runs against one node that holds all slots: it refuses commands
// over several slots as any cluster does.
func TestCluster(t *testing.T) {
	addr := startCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, ContextTimeoutEnabled: true, MaxRetries: -1, DisableIdentity: true,
		DialTimeout: patient, ReadTimeout: patient, WriteTimeout: patient, PoolTimeout: patient})
	t.Cleanup(func() { _ = client.Close() })
	require.Eventually(t, func() bool { return client.Set(context.Background(), "x", "y", 0).Err() == nil }, patient, 50*time.Millisecond)
	node := connect(t, "redis://"+addr)
	require.ErrorContains(t, node.MGet(t.Context(), "a", "b").Err(), "CROSSSLOT")

	a := &alarms{}
	c := New(client, Config{Alarm: a.raise, Timeout: patient, TTL: maxTTL})
	t.Cleanup(func() { _ = c.Close() })
	manyInOrder(t, c)
	assert.Empty(t, a.raised())

	put(t, c, 1, "one")
	require.NoError(t, client.Set(t.Context(), c.name(epoch, loan), "junk", 0).Err())
	holds(t, c, 0, "")
	require.NoError(t, client.Del(t.Context(), c.name(epoch, loan)).Err())
	require.NoError(t, client.RPush(t.Context(), c.name(epoch, loan), "x").Err())
	holds(t, c, 0, "")

	c.reset()
	assert.NotSame(t, client, c.client)
	put(t, c, 2, "two")
	holds(t, c, 2, "two")
}

func startCluster(t *testing.T) string {
	t.Helper()
	server, err := exec.LookPath("redis-server")
	require.NoError(t, err, "install redis-server (Debian: apt-get install redis-server)")
	port := clusterPort(t)
	cmd := exec.Command(server, "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--cluster-enabled", "yes", "--save", "", "--appendonly", "no")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	addr := "127.0.0.1:" + port
	node := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	defer func() { _ = node.Close() }()
	require.Eventually(t, func() bool {
		err := node.ClusterAddSlotsRange(context.Background(), 0, 16383).Err()
		return err == nil || errors.Is(err, redis.Nil)
	}, patient, 50*time.Millisecond)
	return addr
}

// clusterPort is free, as is the cluster's own, 10,000 above it; neither is among
// those that the system gives to whoever connects.
func clusterPort(t *testing.T) string {
	t.Helper()
	free := func(port int) bool {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil && l.Close() == nil
	}
	for range 100 {
		if port := 10_000 + rand.IntN(12_000); free(port) && free(port+10_000) {
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no port for a cluster node")
	return ""
}
