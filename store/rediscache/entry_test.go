package rediscache

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// FuzzName: different tuples have different names, whatever is in them: from a
// name the tuple can be read back.
func FuzzName(f *testing.F) {
	f.Add("e", "actor", "a:b", "", "c", "e", "actor", "a", "", "b:c")
	f.Add("e", "instance", "t", "m", "1", "e", "instance", "t", "m1:", "")
	f.Add("e", "instance", "a:b", "c", "d", "e", "instance", "a", "b:c", "d")
	f.Add("", "1:", "", "", "", "", "", "1:", "", "")
	f.Fuzz(func(t *testing.T, e1, k1, t1, m1, i1, e2, k2, t2, m2, i2 string) {
		c := &Cache{cfg: Config{Prefix: "p:"}}
		a, b := interlock.CacheKey{Kind: k1, Tenant: t1, Machine: m1, ID: i1}, interlock.CacheKey{Kind: k2, Tenant: t2, Machine: m2, ID: i2}
		same := e1 == e2 && a == b
		if (c.name(e1, a) == c.name(e2, b)) != same {
			t.Fatalf("%q %+v and %q %+v: %q", e1, a, e2, b, c.name(e1, a))
		}
		for _, authenticated := range []string{"", "secret"} {
			c := &Cache{cfg: Config{Prefix: "p:", Key: []byte(authenticated)}}
			epoch, key, mac := tupleOf(t, c.name(e1, a))
			if epoch != e1 || key != a || mac != (authenticated != "") {
				t.Fatalf("%q %+v reads back as %q %+v, authenticated %v", e1, a, epoch, key, mac)
			}
		}
	})
}

// tupleOf reads a name of the prefix p: back.
func tupleOf(t *testing.T, name string) (epoch string, key interlock.CacheKey, authenticated bool) {
	t.Helper()
	rest, ok := strings.CutPrefix(name, "p:")
	require.True(t, ok, name)
	rest, authenticated = strings.CutPrefix(rest, "mac:")
	for _, part := range []*string{&epoch, &key.Kind, &key.Tenant, &key.Machine, &key.ID} {
		length, after, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(length)
		require.True(t, ok && err == nil && n <= len(after), name)
		*part, rest = after[:n], after[n:]
	}
	require.Empty(t, rest, name)
	return epoch, key, authenticated
}

// FuzzOpen: no value makes open panic, and none is taken for another key's.
func FuzzOpen(f *testing.F) {
	c := &Cache{cfg: Config{Prefix: "p:"}}
	name := c.name("e", interlock.CacheKey{Kind: "actor", Tenant: "t", ID: "adam"})
	expires := time.UnixMilli(2_000_000_000_000)
	good := magic + fixed(7, versionWidth) + fixed(expires.UnixMilli(), timeWidth) + fixed(0, versionWidth) + fixed(0, timeWidth) + string(c.seal(name, 7, expires, []byte("payload")))
	f.Add(good)
	f.Add(good[:headLen])
	f.Add(good[:headLen+lengthLen])
	f.Add(strings.Replace(good, "\x00", "\xff", 8))
	f.Fuzz(func(t *testing.T, value string) {
		for _, key := range [][]byte{nil, []byte("secret")} {
			c := &Cache{cfg: Config{Prefix: "p:", Key: key}}
			version, payload, err := c.open(name, value, expires.Add(-time.Second))
			if err != nil {
				continue
			}
			if len(key) > 0 {
				t.Fatalf("forged: %q", value)
			}
			if version <= 0 || len(payload) == 0 || !strings.Contains(value, name) {
				t.Fatalf("%q gives version %d, %q", value, version, payload)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	opts, err := Options("redis://gate:secret@cache.example:6380/3?read_timeout=9s")
	require.NoError(t, err)
	assert.Equal(t, "cache.example:6380", opts.Addr)
	assert.Equal(t, 3, opts.DB)
	assert.Equal(t, "secret", opts.Password)
	assert.True(t, opts.ContextTimeoutEnabled)
	assert.True(t, opts.DisableIdentity)
	assert.Equal(t, -1, opts.MaxRetries)
	assert.Equal(t, 1, opts.DialerRetries)
	for _, d := range []time.Duration{opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout} {
		assert.Equal(t, 50*time.Millisecond, d)
	}
	assert.Nil(t, opts.ClientSideCacheConfig)

	for _, bad := range []string{"http://gate:secret@x", "redis://gate:secret@x:port/0", "redis://gate:secret@x/db", "redis://gate:secret%zz@x", "://secret", "redis://gate:secret@x/0?nonsense=1"} {
		_, err := Options(bad)
		require.Error(t, err, bad)
		assert.NotContains(t, err.Error(), "secret")
		assert.Contains(t, err.Error(), "want redis://")
	}
}
