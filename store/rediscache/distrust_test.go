package rediscache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
)

// TestWrongKey: what another key's reply or a copied value says is not believed,
// and the connections, one of which may be out of step, are left.
func TestWrongKey(t *testing.T) {
	c, a := newCache(t, testservice.Redis(t), Config{})
	other := loan
	other.ID = "L-8"
	require.NoError(t, c.Put(t.Context(), epoch, []interlock.CacheEntry{entry(other, 9, "the other's")}))
	first := c.client.(*redis.Client)
	require.NoError(t, first.Copy(t.Context(), c.name(epoch, other), c.name(epoch, loan), first.Options().DB, true).Err())

	holds(t, c, 0, "")
	assert.Equal(t, []string{"cache_corrupt"}, a.raised())
	second := c.client.(*redis.Client)
	assert.NotSame(t, first, second)
	was, is := first.Options(), second.Options()
	assert.Equal(t, was.MaxRetries, is.MaxRetries)
	assert.Equal(t, was.ReadTimeout, is.ReadTimeout)
	assert.Equal(t, was.DB, is.DB)
	assert.True(t, is.ContextTimeoutEnabled)
	require.NoError(t, first.Ping(t.Context()).Err(), "the client that was given stays open")

	holds(t, c, 0, "")
	assert.Same(t, second, c.client, "somebody who copies values on purpose must not cost connections")

	c.now = func() time.Time { return time.Now().Add(resetPause) }
	holds(t, c, 0, "")
	assert.NotSame(t, second, c.client)
	require.ErrorIs(t, second.Ping(t.Context()).Err(), redis.ErrClosed)
}

func TestForged(t *testing.T) {
	url := testservice.Redis(t)
	key := []byte("0123456789abcdef0123456789abcdef")
	c, a := newCache(t, url, Config{Key: key})
	put(t, c, 3, "employee")
	name := c.name(epoch, loan)
	genuine := c.client.Get(t.Context(), name).Val()

	mutate := map[string]string{
		"payload": strings.Replace(genuine, "employee", "managers", 1),
		"version": strings.Replace(genuine, "3", "4", 1),
		"expiry":  genuine[:len(magic)+versionWidth+2] + "9" + genuine[len(magic)+versionWidth+3:],
		"cut":     genuine[:len(genuine)-1],
		"no mac":  genuine[:len(genuine)-macLen],
	}
	liar := &Cache{cfg: Config{Prefix: "interlock:", Key: []byte("another secret")}}
	expires := time.Now().Add(time.Minute)
	mutate["another key"] = magic + fixed(3, versionWidth) + fixed(expires.UnixMilli(), timeWidth) +
		fixed(0, versionWidth) + fixed(0, timeWidth) + string(liar.seal(name, 3, expires, []byte("manager")))
	for what, value := range mutate {
		require.NotEqual(t, genuine, value, what)
		require.NoError(t, c.client.Set(t.Context(), name, value, time.Minute).Err())
		before := len(a.raised())
		holds(t, c, 0, "")
		assert.Len(t, a.raised(), before+1, what)
	}
	require.NoError(t, c.client.Set(t.Context(), name, genuine, time.Minute).Err())
	holds(t, c, 3, "employee")
}

// TestGarbage: whatever stands under our key, reading it is a miss and writing mends it.
func TestGarbage(t *testing.T) {
	c, _ := newCache(t, testservice.Redis(t), Config{})
	name := c.name(epoch, loan)
	head := func(version, expires, floor, til string) string { return magic + version + expires + floor + til }
	nines20, nines15 := strings.Repeat("9", 20), strings.Repeat("9", 15)
	for what, lay := range map[string]func() error{
		"empty":      func() error { return c.client.Set(t.Context(), name, "", 0).Err() },
		"text":       func() error { return c.client.Set(t.Context(), name, "hello", 0).Err() },
		"magic only": func() error { return c.client.Set(t.Context(), name, magic, 0).Err() },
		"no digits":  func() error { return c.client.Set(t.Context(), name, magic+strings.Repeat("x", 90), 0).Err() },
		"version forever": func() error {
			return c.client.Set(t.Context(), name, head(nines20, nines15, nines20, nines15), 0).Err()
		},
		"short body": func() error {
			return c.client.Set(t.Context(), name, head(fixed(9, 20), fixed(time.Now().UnixMilli()-1, 15), fixed(0, 20), fixed(0, 15))+"abc", 0).Err()
		},
		"a list": func() error { return c.client.RPush(t.Context(), name, "x").Err() },
		"a hash": func() error { return c.client.HSet(t.Context(), name, "x", "y").Err() },
	} {
		require.NoError(t, c.client.Del(t.Context(), name).Err())
		require.NoError(t, lay(), what)
		holds(t, c, 0, "")
		if what == "short body" {
			put(t, c, 9, "nine")
		}
		put(t, c, 10, "ten")
		holds(t, c, 10, "ten")
	}
}

// TestVersionsOnlyRise: whatever order fills and floors come in, a reader never
// sees a version go down, nor one below a floor.
func TestVersionsOnlyRise(t *testing.T) {
	url := testservice.Redis(t)
	c, _ := newCache(t, url, Config{})
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		key := interlock.CacheKey{Kind: "actor", Tenant: "default", ID: fmt.Sprint("x", n)}
		least, high := int64(0), int64(0)
		read := func() {
			got, err := c.Get(context.Background(), epoch, []interlock.CacheKey{key})
			if err != nil {
				rt.Fatal(err)
			}
			v := got[0].Version
			if v == 0 {
				if high >= least && high > 0 {
					rt.Fatalf("lost version %d, floor %d", high, least)
				}
				return
			}
			if v < least || v != high || string(got[0].Payload) != fmt.Sprint("p", v) {
				rt.Fatalf("version %d (%s) with floor %d and highest %d", v, got[0].Payload, least, high)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				v := rapid.Int64Range(1, 9).Draw(rt, "version")
				if err := c.Put(context.Background(), epoch, []interlock.CacheEntry{entry(key, v, fmt.Sprint("p", v))}); err != nil {
					rt.Fatal(err)
				}
				if v >= least {
					high = max(high, v)
				}
			},
			"floor": func(rt *rapid.T) {
				v := rapid.Int64Range(1, 9).Draw(rt, "version")
				if err := c.Floor(context.Background(), epoch, []interlock.CacheEntry{{Key: key, Version: v}}); err != nil {
					rt.Fatal(err)
				}
				least = max(least, v)
				if high < least {
					high = 0
				}
			},
			"": func(*rapid.T) { read() },
		})
	})
}
