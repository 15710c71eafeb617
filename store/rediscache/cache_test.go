package rediscache

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
)

const epoch = "0198c2de-epoch"

var loan = interlock.CacheKey{Kind: "instance", Tenant: "default", Machine: "loan", ID: "L-7"}

// patient is for what isn't about time: a busy machine may take more than 50 ms.
const patient = 30 * time.Second

func connect(t testing.TB, url string) *redis.Client {
	t.Helper()
	opts, err := Options(url)
	require.NoError(t, err)
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = patient, patient, patient, patient
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// alarms collects what the cache raised.
type alarms struct {
	mu  sync.Mutex
	all []string
}

func (a *alarms) raise(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, reason)
}

func (a *alarms) raised() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.all...)
}

// newCache has time, and so have its entries; see newHasty.
func newCache(t testing.TB, url string, cfg Config) (*Cache, *alarms) {
	t.Helper()
	a := &alarms{}
	cfg.Alarm, cfg.Timeout = a.raise, patient
	if cfg.TTL == 0 {
		cfg.TTL = maxTTL
	}
	c := New(connect(t, url), cfg)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c, a
}

func entry(key interlock.CacheKey, version int64, payload string) interlock.CacheEntry {
	return interlock.CacheEntry{Key: key, Version: version, Payload: []byte(payload)}
}

func put(t testing.TB, c *Cache, version int64, payload string) {
	t.Helper()
	require.NoError(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{entry(loan, version, payload)}))
}

func floor(t testing.TB, c *Cache, version int64) {
	t.Helper()
	require.NoError(t, c.Floor(t.Context(), epoch, []interlock.CacheEntry{{Key: loan, Version: version}}))
}

// holds fails unless the cache answers with this version of the loan; 0 is a miss.
func holds(t testing.TB, c *Cache, version int64, payload string) {
	t.Helper()
	got, err := c.Get(t.Context(), epoch, []interlock.CacheKey{loan})
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Equal(t, loan, got[0].Key)
	assert.Equal(t, version, got[0].Version)
	assert.Equal(t, payload, string(got[0].Payload))
}

func TestGetPutFloor(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "authenticated": []byte("0123456789abcdef0123456789abcdef")} {
		t.Run(name, func(t *testing.T) {
			c, a := newCache(t, testservice.Redis(t), Config{Key: key})
			holds(t, c, 0, "")
			put(t, c, 3, "three")
			holds(t, c, 3, "three")
			put(t, c, 2, "late")
			holds(t, c, 3, "three")
			put(t, c, 3, "same version, other content")
			holds(t, c, 3, "three")
			put(t, c, 4, "four\x00\xff\nbinary")
			holds(t, c, 4, "four\x00\xff\nbinary")

			floor(t, c, 4)
			holds(t, c, 4, "four\x00\xff\nbinary") // what stands on the floor stays
			floor(t, c, 6)
			holds(t, c, 0, "")
			put(t, c, 5, "a fill that was read before the floor")
			holds(t, c, 0, "")
			put(t, c, 6, "six")
			holds(t, c, 6, "six")
			floor(t, c, 5)
			holds(t, c, 6, "six")

			const far = 1<<62 + 1 // over what a double can tell apart
			put(t, c, far, "far")
			put(t, c, far-1, "one before")
			holds(t, c, far, "far")
			put(t, c, far+1, "one after")
			holds(t, c, far+1, "one after")
			assert.Empty(t, a.raised())
		})
	}
}

func TestManyInOrder(t *testing.T) {
	c, _ := newCache(t, testservice.Redis(t), Config{})
	manyInOrder(t, c)
}

func manyInOrder(t *testing.T, c *Cache) {
	t.Helper()
	var entries []interlock.CacheEntry
	var keys []interlock.CacheKey
	for i := range 50 {
		k := interlock.CacheKey{Kind: "actor", Tenant: "default", ID: fmt.Sprint("a", i)}
		keys = append(keys, k)
		if i%3 != 0 {
			entries = append(entries, entry(k, int64(i), fmt.Sprint("p", i)))
		}
	}
	require.NoError(t, c.Put(t.Context(), epoch, entries))
	got, err := c.Get(t.Context(), epoch, keys)
	require.NoError(t, err)
	for i, e := range got {
		want := interlock.CacheEntry{Key: keys[i]}
		if i%3 != 0 {
			want = entry(keys[i], int64(i), fmt.Sprint("p", i))
		}
		assert.Equal(t, want, e)
	}
	require.NoError(t, c.Floor(t.Context(), epoch, []interlock.CacheEntry{{Key: keys[1], Version: 9}, {Key: keys[2], Version: 9}}))
	got, err = c.Get(t.Context(), epoch, keys[1:5])
	require.NoError(t, err)
	assert.Equal(t, []int64{0, 0, 0, 4}, []int64{got[0].Version, got[1].Version, got[2].Version, got[3].Version})

	none, err := c.Get(t.Context(), epoch, nil)
	require.NoError(t, err)
	assert.Empty(t, none)
	require.NoError(t, c.Put(t.Context(), epoch, nil))
	require.NoError(t, c.Floor(t.Context(), epoch, nil))
}

func TestWhatCannotBeKept(t *testing.T) {
	c, _ := newCache(t, testservice.Redis(t), Config{})
	for _, e := range []interlock.CacheEntry{entry(loan, 0, "x"), entry(loan, -1, "x"), entry(loan, 1, "")} {
		require.Error(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{e}))
	}
	require.Error(t, c.Floor(t.Context(), epoch, []interlock.CacheEntry{{Key: loan}}))
	put(t, c, 1, strings.Repeat("x", maxPayload+1))
	holds(t, c, 0, "")
}

func TestOtherEpochsTenantsAndPrefixesAreOthers(t *testing.T) {
	url := testservice.Redis(t)
	c, _ := newCache(t, url, Config{})
	put(t, c, 3, "three")
	foreign, _ := newCache(t, url, Config{Prefix: "other:"})
	holds(t, foreign, 0, "")
	authentic, a := newCache(t, url, Config{Key: []byte("k")})
	holds(t, authentic, 0, "")
	assert.Empty(t, a.raised(), "gates without a key beside gates with one are no alarm")

	got, err := c.Get(t.Context(), "restored", []interlock.CacheKey{loan})
	require.NoError(t, err)
	assert.Zero(t, got[0].Version)
	for _, k := range []interlock.CacheKey{{Kind: "actor", Tenant: "default", Machine: "loan", ID: "L-7"}, {Kind: "instance", Tenant: "other", Machine: "loan", ID: "L-7"}, {Kind: "instance", Tenant: "default", Machine: "loans", ID: "L-7"}, {Kind: "instance", Tenant: "default", Machine: "loan", ID: "L-8"}} {
		got, err = c.Get(t.Context(), epoch, []interlock.CacheKey{k})
		require.NoError(t, err)
		assert.Zero(t, got[0].Version, k)
	}
}

func TestEntriesEnd(t *testing.T) {
	url := testservice.Redis(t)
	assert.Equal(t, 5*time.Second, New(connect(t, url), Config{}).cfg.TTL)
	c, a := newCache(t, url, Config{TTL: 30 * time.Second})
	put(t, c, 3, "three")
	name := c.name(epoch, loan)
	left := c.client.PTTL(t.Context(), name).Val()
	assert.Greater(t, left, 10*time.Second)
	assert.LessOrEqual(t, left, 33*time.Second)

	// Redis gone back to an old copy: the entry itself says when it ended.
	c.now = func() time.Time { return time.Now().Add(34 * time.Second) }
	holds(t, c, 0, "")
	c.now = time.Now
	holds(t, c, 3, "three")

	// Redis got it too late.
	require.NoError(t, c.client.FlushDB(t.Context()).Err())
	c.now = func() time.Time { return time.Now().Add(-34 * time.Second) }
	put(t, c, 4, "four")
	assert.Zero(t, c.client.Exists(t.Context(), name).Val())
	assert.Equal(t, []string{"clock_skew"}, a.raised())
	put(t, c, 4, "four")
	assert.Len(t, a.raised(), 1, "once a minute is enough")

	// A gate with a fast clock doesn't make it live longer.
	c.now = func() time.Time { return time.Now().Add(time.Minute) }
	put(t, c, 5, "five")
	assert.LessOrEqual(t, c.client.PTTL(t.Context(), name).Val(), 33*time.Second)

	// A floor outlives entries, and so does its refusal.
	require.NoError(t, c.client.FlushDB(t.Context()).Err())
	c.now = time.Now
	floor(t, c, 8)
	put(t, c, 8, "eight")
	assert.Greater(t, c.client.PTTL(t.Context(), name).Val(), 35*time.Second)
	c.now = func() time.Time { return time.Now().Add(34 * time.Second) }
	holds(t, c, 0, "")
	c.now = time.Now
	put(t, c, 7, "late")
	holds(t, c, 8, "eight")
}

// TestWaitingCounts: what was read long before it is put is kept for what is left
// of its time, and not at all when nothing is.
func TestWaitingCounts(t *testing.T) {
	c, _ := newCache(t, testservice.Redis(t), Config{TTL: maxTTL})
	late := entry(loan, 3, "three")
	late.Read = time.Now().Add(-67 * time.Second)
	require.NoError(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{late}))
	holds(t, c, 0, "")
	late.Read = time.Now().Add(-20 * time.Second)
	require.NoError(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{late}))
	holds(t, c, 3, "three")
	c.now = func() time.Time { return time.Now().Add(47 * time.Second) }
	holds(t, c, 0, "")
	c.now = time.Now
	ahead := entry(loan, 4, "four")
	ahead.Read = time.Now().Add(time.Hour)
	require.NoError(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{ahead}))
	c.now = func() time.Time { return time.Now().Add(67 * time.Second) }
	holds(t, c, 0, "")
}

func TestShortLife(t *testing.T) {
	c, _ := newCache(t, testservice.Redis(t), Config{TTL: 500 * time.Millisecond})
	floor(t, c, 2)
	put(t, c, 2, "two")
	require.Eventually(t, func() bool {
		got, err := c.Get(t.Context(), epoch, []interlock.CacheKey{loan})
		return err == nil && got[0].Version == 0
	}, patient, 10*time.Millisecond)
	c.cfg.TTL = maxTTL // of what comes
	put(t, c, 1, "late, when the entry is over and the floor isn't")
	holds(t, c, 0, "")
	put(t, c, 2, "two again")
	holds(t, c, 2, "two again")
}

func TestScriptsForgotten(t *testing.T) {
	s := testservice.NewRedis(t)
	c, _ := newCache(t, s.URL(), Config{})
	put(t, c, 1, "one")
	require.NoError(t, c.client.ScriptFlush(t.Context()).Err())
	put(t, c, 2, "two")
	holds(t, c, 2, "two")
	require.NoError(t, c.client.FlushAll(t.Context()).Err())
	holds(t, c, 0, "")
	put(t, c, 1, "one")
	holds(t, c, 1, "one")
	s.Restart()
	require.Eventually(t, func() bool {
		got, err := c.Get(t.Context(), epoch, []interlock.CacheKey{loan})
		return err == nil && got[0].Version == 0
	}, patient, 20*time.Millisecond, "restarted empty: misses, nothing else")
	put(t, c, 2, "two")
	holds(t, c, 2, "two")
}

func TestNoGoroutineStays(t *testing.T) {
	url := testservice.Redis(t)
	ignore := goleak.IgnoreCurrent()
	opts, err := Options(url)
	require.NoError(t, err)
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = patient, patient, patient, patient
	client := redis.NewClient(opts)
	c := New(client, Config{Timeout: patient, TTL: maxTTL})
	put(t, c, 1, "one")
	c.reset()
	holds(t, c, 1, "one")
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.NoError(t, client.Close())
	_, err = c.Get(t.Context(), epoch, []interlock.CacheKey{loan})
	require.ErrorIs(t, err, errClosed)
	goleak.VerifyNone(t, ignore)
}
