package faults

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/rediscache"
	"github.com/interlock-go/interlock/store/sqlite"
)

// cacheTTL is how long facts are kept: short, so that a run sees entries end.
const cacheTTL = 500 * time.Millisecond

// stale is what a read may lag behind: the cache's time with its jitter, and
// what a busy machine adds.
const stale = cacheTTL + cacheTTL/10 + 500*time.Millisecond

// redisWorld is a gate with a cache in a Redis that a test may do anything to.
type redisWorld struct {
	t      *testing.T
	server *testservice.RedisServer
	admin  *redis.Client // straight to the server
	store  *sqlite.Store
	world  *load.World
	felt   *feeling

	spoilt  atomic.Int64 // entries that were rewritten
	corrupt atomic.Int64 // alarms of entries that aren't what they should be
}

// redisWay is how the gate gets to its Redis.
type redisWay struct {
	front func(addr string) string // what stands before the server; nil: nothing
	key   []byte                   // seals the entries; nil: none
	// patient: what Redis says is the matter, not how long it takes. A busy
	// machine is slower than a cache waits.
	patient bool
}

func newRedisWorld(t *testing.T, way redisWay) *redisWorld {
	t.Helper()
	together(t)
	r := &redisWorld{t: t, server: testservice.NewRedis(t)}
	addr := r.server.Addr()
	if way.front != nil {
		addr = way.front(addr)
	}
	opts, err := rediscache.Options((&url.URL{Scheme: "redis", Host: addr, Path: "/0"}).String())
	require.NoError(t, err)
	var limit time.Duration
	if way.patient {
		limit = 2 * time.Second
		opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = limit, limit, limit, limit
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	cache := rediscache.New(client, rediscache.Config{TTL: cacheTTL, Timeout: limit, Key: way.key, Alarm: func(reason string) {
		if reason == "cache_corrupt" {
			r.corrupt.Add(1)
		}
	}})
	t.Cleanup(func() { require.NoError(t, cache.Close()) })
	r.admin = redis.NewClient(&redis.Options{Addr: r.server.Addr(), DisableIdentity: true,
		DialTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute, PoolTimeout: time.Minute})
	t.Cleanup(func() { _ = r.admin.Close() })
	r.store, r.felt = memory(t), &feeling{Cache: cache}
	r.world = open(t, load.Config{Store: r.store, DB: r.store.DB(), Prefix: "interlock_", Cache: r.felt})
	return r
}

// prove runs the load with the fault, and states what came of it. Whatever Redis
// does, nothing may be unavailable.
//
// The fault goes on until felt says that it was.
func (r *redisWorld) prove(claim string, terms load.Terms, f fault, felt func() bool) *load.Ledger {
	r.t.Helper()
	n := prove.Size(20, 500)
	p := plan(20, 500, r.felt.during(f))
	p.AtLeast = [3]time.Duration{0, time.Duration(prove.Size(int(cacheTTL)/4, int(2*time.Second))), 0}
	p.Felt = felt
	ledger, err := load.Run(r.world.URL, p)
	require.NoError(r.t, err)
	record(r.t, claim, 3*n, ledger, r.world, terms)
	return ledger
}

func (r *redisWorld) wasSpoilt() bool { return r.spoilt.Load() > 0 }

// wasNoticed: entries were met that aren't what they should be.
func (r *redisWorld) wasNoticed() bool { return r.corrupt.Load() > 0 }

// failing is prove for a fault that lets calls fail.
func (r *redisWorld) failing(claim string, f fault) {
	r.t.Helper()
	r.prove(claim, load.Terms{Stale: stale}, f, func() bool { return r.felt.failed.Load() > 0 })
}

func TestRedisDown(t *testing.T) {
	r := newRedisWorld(t, redisWay{})
	r.failing("redis/down", fault{calm(r.server.Stop), calm(r.server.Restart)})
}

// Refused: Redis is there and takes no more clients.
func TestRedisRefuses(t *testing.T) {
	r := newRedisWorld(t, redisWay{})
	ctx := context.Background()
	r.failing("redis/refused", fault{
		begin: func() error {
			if err := r.admin.ConfigSet(ctx, "maxclients", "1").Err(); err != nil {
				return err
			}
			return r.admin.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err()
		},
		end: func() error { return r.admin.ConfigSet(ctx, "maxclients", "1000").Err() },
	})
}

func TestRedisStalled(t *testing.T) {
	r := newRedisWorld(t, redisWay{})
	r.failing("redis/stalled", fault{calm(r.server.Stall), calm(r.server.Resume)})
}

// Mute: the network takes what is sent and brings nothing back, and new
// connections fare no better.
func TestRedisMute(t *testing.T) {
	r, x := throughToxic(t)
	r.failing("redis/mute", x.fault("timeout", "downstream", `{"timeout": 0}`))
}

func TestRedisSlow(t *testing.T) {
	r, x := throughToxic(t)
	r.failing("redis/slow", x.fault("latency", "downstream", `{"latency": 60, "jitter": 50}`))
}

// Reset: each connection is cut after some bytes of a reply.
func TestRedisReset(t *testing.T) {
	r, x := throughToxic(t)
	r.failing("redis/reset", x.fault("limit_data", "downstream", `{"bytes": 900}`))
}

func throughToxic(t *testing.T) (*redisWorld, *toxic) {
	t.Helper()
	var x *toxic
	r := newRedisWorld(t, redisWay{front: func(addr string) string {
		x = newToxic(t, addr)
		return x.proxy.Listen
	}})
	return r, x
}

func TestRedisFlushed(t *testing.T) {
	r := newRedisWorld(t, redisWay{patient: true})
	r.prove("redis/flushed", load.Terms{Stale: stale}, repeated(func() error {
		ctx := context.Background()
		n, err := r.admin.DBSize(ctx).Result()
		r.spoilt.Add(n)
		return errors.Join(err, r.admin.FlushAll(ctx).Err())
	}), r.wasSpoilt)
}

// Restarted: it comes back empty, several times.
func TestRedisRestarted(t *testing.T) {
	r := newRedisWorld(t, redisWay{})
	again := func(until func() bool) func() error {
		return func() error {
			for n, end := 0, time.Now().Add(time.Minute); n < 3 || !until() && time.Now().Before(end); n++ {
				r.server.Restart()
				time.Sleep(30 * time.Millisecond)
			}
			return nil
		}
	}
	felt := func() bool { return r.felt.failed.Load() > 0 }
	r.failing("redis/restarted", fault{again(felt), again(func() bool { return true })})
}

// An old copy: what a replica that lagged behind has when it takes over. It is
// put back over all that is newer, and floors are gone.
func TestRedisOldCopy(t *testing.T) {
	r := newRedisWorld(t, redisWay{patient: true})
	r.prove("redis/old-copy", load.Terms{Stale: stale}, repeated(func() error {
		ctx := context.Background()
		old, err := r.entries(ctx)
		if err != nil {
			return err
		}
		time.Sleep(30 * time.Millisecond)
		if err := r.admin.FlushAll(ctx).Err(); err != nil {
			return err
		}
		r.spoilt.Add(int64(len(old)))
		return r.put(ctx, old)
	}), r.wasSpoilt)
}

func TestRedisFull(t *testing.T) {
	r := newRedisWorld(t, redisWay{})
	memory := func(limit string) func() error {
		return func() error { return r.admin.ConfigSet(context.Background(), "maxmemory", limit).Err() }
	}
	r.failing("redis/full", fault{memory("1"), memory("0")})
}

// Wrong replies: one request is given the values that another asked for.
func TestRedisWrongReplies(t *testing.T) {
	var s *swapper
	r := newRedisWorld(t, redisWay{patient: true, front: func(addr string) string {
		s = newSwapper(t, addr)
		return s.listener.Addr().String()
	}})
	lie := func(on bool) func() error { return func() error { s.lies.Store(on); return nil } }
	r.prove("redis/wrong-replies", load.Terms{Stale: stale}, fault{lie(true), lie(false)}, func() bool {
		return s.swapped.Load() > 0 && r.wasNoticed()
	})
}

// Poisoned: other content under the right version. Reads believe it, where no
// key seals the entries; no write does.
func TestRedisPoisoned(t *testing.T) {
	r := newRedisWorld(t, redisWay{patient: true})
	f := r.spoil(poison)
	begin := f.begin
	f.begin = func() error { return errors.Join(r.promote(context.Background()), begin()) }
	ledger := r.prove("redis/poisoned", load.Terms{WrongReads: true}, f, r.wasSpoilt)
	if prove.Full() { // a quick run reads little
		wrong, err := ledger.Check(t.Context(), r.store, load.Terms{})
		require.NoError(t, err)
		require.NotEmpty(t, wrong, "reads believed the poison, so decisions met it, too")
	}
}

// Forged: the same where a key seals them: reads don't believe it either.
func TestRedisForged(t *testing.T) {
	r := newRedisWorld(t, redisWay{patient: true, key: []byte("a secret of all gates, 32 bytes..")})
	r.prove("redis/forged", load.Terms{Stale: stale}, r.spoil(poison), r.wasNoticed)
}

// Expiry: what stood there a moment ago comes back and claims to hold for a minute,
// which is what a clock that is ahead writes; or all of it ended long ago.
func TestRedisExpiry(t *testing.T) {
	r := newRedisWorld(t, redisWay{patient: true})
	r.prove("redis/expiry", load.Terms{}, r.spoil(func(pass int, value, before string) string {
		switch {
		case pass%8 == 0:
			return expires(value, time.Now().Add(-time.Minute))
		case len(before) > headEnd:
			return expires(before, time.Now().Add(time.Minute))
		}
		return ""
	}), r.wasSpoilt)
}
