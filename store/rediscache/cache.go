// Package rediscache keeps facts in Redis or Redis Cluster, as an
// [interlock.Cache]: an untrusted hint. Redis may be slow, gone, emptied, full,
// behind, or lie; that costs a look at the store and never an answer: a call
// takes at most 50 ms, unless a hook of the client's hangs (see [New]), and after
// five that failed within a second only one a second is made. The package trusts nothing that it reads: an entry that is not
// exactly what was asked for is a miss.
//
//	opts, err := rediscache.Options("redis://127.0.0.1:6379/0")
//	cache := rediscache.New(redis.NewClient(opts), rediscache.Config{})
//
// Facts are kept for Config.TTL by the clock of the gate that wrote them; what
// another gate reads is at most so old, plus the skew between their clocks.
package rediscache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"

	"github.com/interlock-go/interlock"
)

// Config of a [Cache]. The zero value is good.
type Config struct {
	Prefix  string        // of every key; "": "interlock:"
	TTL     time.Duration // how long an entry is believed, ±10 % so that entries don't end together; 0: 5 s, at most 1 min
	Timeout time.Duration // of one call; 0: 50 ms
	Key     []byte        // secret of an HMAC-SHA256 over each entry, the same in every gate; nil: none. 32 bytes are right

	// Alarm is told of what a human should look at: cache_corrupt (an entry of
	// another key, or one that wasn't written with Key), clock_skew (Redis's
	// clock is over 1 s away), cache_down and cache_up (the breaker opened,
	// closed). It must be quick and not call the cache. nil: nobody.
	Alarm func(reason string)
}

const (
	defaultTTL     = 5 * time.Second
	defaultTimeout = 50 * time.Millisecond
	floorTTL       = time.Minute // how long a floor refuses late fills
	maxTTL         = time.Minute // the scripts disregard what claims to hold for over 2 min
	jitter         = 0.1         // of TTL
	maxSkew        = time.Second
	maxPayload     = 256 << 10 // bytes; what is larger is not kept
	resetPause     = 10 * time.Second

	failures = 5 // within window open the breaker
	window   = time.Second
	probe    = time.Second // between two tries while it is open
)

// Cache is an [interlock.Cache]. It is safe for concurrent use. Make it with [New].
type Cache struct {
	cfg     Config
	breaker *gobreaker.CircuitBreaker[struct{}]
	now     func() time.Time
	reads   *group

	mu        sync.Mutex
	client    redis.UniversalClient
	owned     bool // client was made by reset
	lastReset time.Time
	lastSkew  time.Time
	closed    bool
}

var _ interlock.Cache = (*Cache)(nil)

// New returns a cache in the given Redis. It doesn't connect. The client should
// have the options of [Options]; with others every call still ends within
// Config.Timeout, but leaves a goroutine behind for as long as the client's own
// time limits. Its hooks must heed their context: one that hangs keeps the caller
// who goes there himself, though no others. After a reply that belongs to another
// request, the cache goes on with a new client of the same options.
func New(client redis.UniversalClient, cfg Config) *Cache {
	if cfg.Prefix == "" {
		cfg.Prefix = "interlock:"
	}
	if cfg.TTL <= 0 {
		cfg.TTL = defaultTTL
	}
	cfg.TTL = min(cfg.TTL, maxTTL)
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Alarm == nil {
		cfg.Alarm = func(string) {}
	}
	c := &Cache{cfg: cfg, client: client, now: time.Now}
	c.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:    window,
		Timeout:     probe,
		MaxRequests: 1,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.TotalFailures >= failures },
		// An error that Redis itself answered came quickly: it is no reason to stay away.
		IsSuccessful: func(err error) bool { return err == nil || isReply(err) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errCaller) || isOurs(err) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			c.reads.wary.Store(to != gobreaker.StateClosed) // who hangs in a probe would keep the breaker
			switch {
			case from == gobreaker.StateClosed:
				cfg.Alarm("cache_down") // once, not at every probe that fails
			case to == gobreaker.StateClosed:
				cfg.Alarm("cache_up")
			}
		},
	})
	c.reads = newGroup(c.together)
	return c
}

// Close ends what the cache opened itself; the client given to New is the caller's.
// Who waits until others have asked for him, in a single Redis, has an error at once.
// Who went there himself ends as he would have, within Config.Timeout, and may still
// have his answer; so do writes, and what is asked of a Cluster. Close waits until the
// reads that are on their way in a single Redis have returned, at most for
// Config.Timeout.
func (c *Cache) Close() error {
	c.reads.close(c.cfg.Timeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if !c.owned {
		return nil
	}
	c.owned = false
	return c.client.Close()
}

// Get returns the entries of keys in one round trip (Cluster: one a node). Calls
// that come while one is on its way go together in the next, but in a Cluster,
// where the trouble of one node would be everybody's.
func (c *Cache) Get(ctx context.Context, epoch string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = c.name(epoch, k)
	}
	var values []string
	err := c.call(ctx, func(ctx context.Context, client redis.UniversalClient) (err error) {
		values, err = c.read(ctx, client, names)
		return err
	})
	if errors.Is(err, errWrongKey) && !errors.Is(err, errTogether) {
		c.corrupt(err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %d cache entries: %w", len(keys), err)
	}
	entries := make([]interlock.CacheEntry, len(keys))
	now := c.now()
	for i, k := range keys {
		entries[i].Key = k
		version, payload, err := c.open(names[i], values[i], now)
		switch {
		case err == nil:
			entries[i].Version, entries[i].Payload = version, payload
		case !errors.Is(err, errMiss):
			c.corrupt(err)
		}
	}
	return entries, nil
}

func (c *Cache) corrupt(err error) {
	c.cfg.Alarm("cache_corrupt")
	if errors.Is(err, errWrongKey) {
		c.reset()
	}
}

// Put stores entries that are newer than what is there, and than every floor.
// An entry that Redis gets after its time is refused there.
func (c *Cache) Put(ctx context.Context, epoch string, entries []interlock.CacheEntry) error {
	now := c.now()
	writes := make([]write, 0, len(entries))
	for _, e := range entries {
		if e.Version <= 0 || len(e.Payload) == 0 {
			return fmt.Errorf("cache entry %v: want a version over 0 and a payload", e.Key)
		}
		if len(e.Payload) > maxPayload {
			continue
		}
		read := now
		if !e.Read.IsZero() && e.Read.Before(now) {
			read = e.Read
		}
		name, expires := c.name(epoch, e.Key), read.Add(c.ttl())
		if !expires.After(now) {
			continue // it waited too long on its way here
		}
		writes = append(writes, write{name, []any{
			fixed(e.Version, versionWidth), fixed(expires.UnixMilli(), timeWidth),
			(c.cfg.TTL + c.cfg.TTL/10).Milliseconds(), c.seal(name, e.Version, expires, e.Payload),
		}})
	}
	return c.write(ctx, putScript, "putting", writes)
}

// Floor removes what is older than the entries' versions, and refuses late fills
// below them for a minute. Payloads are not looked at.
func (c *Cache) Floor(ctx context.Context, epoch string, entries []interlock.CacheEntry) error {
	writes := make([]write, 0, len(entries))
	for _, e := range entries {
		if e.Version <= 0 {
			return fmt.Errorf("cache floor %v: want a version over 0", e.Key)
		}
		writes = append(writes, write{c.name(epoch, e.Key), []any{fixed(e.Version, versionWidth), floorTTL.Milliseconds()}})
	}
	return c.write(ctx, floorScript, "flooring", writes)
}

func (c *Cache) ttl() time.Duration {
	return time.Duration(float64(c.cfg.TTL) * (1 - jitter + 2*jitter*rand.Float64()))
}

func (c *Cache) write(ctx context.Context, script *redis.Script, doing string, writes []write) error {
	if len(writes) == 0 {
		return nil
	}
	var times []int64
	sent := c.now()
	err := c.call(ctx, func(ctx context.Context, client redis.UniversalClient) (err error) {
		times, err = bounded(ctx, client, func() ([]int64, error) { return run(ctx, client, script, writes) })
		return err
	})
	if err != nil {
		return fmt.Errorf("%s %d cache entries: %w", doing, len(writes), err)
	}
	c.watchSkew(sent, times)
	return nil
}

// watchSkew compares clocks; Redis's reading lies between sent and now.
func (c *Cache) watchSkew(sent time.Time, times []int64) {
	now := c.now()
	for _, ms := range times {
		at := time.UnixMilli(ms)
		if sent.Sub(at) <= maxSkew && at.Sub(now) <= maxSkew {
			continue
		}
		c.mu.Lock()
		due := now.Sub(c.lastSkew).Abs() >= time.Minute
		if due {
			c.lastSkew = now
		}
		c.mu.Unlock()
		if due {
			c.cfg.Alarm("clock_skew")
		}
		return
	}
}

// fixed is n in decimal with leading zeros: versions are over 2^53, the largest
// whole number that a Lua script can compare, so they are compared in two halves.
func fixed(n int64, width int) string {
	digits := strconv.FormatInt(n, 10)
	return strings.Repeat("0", max(0, width-len(digits))) + digits
}
