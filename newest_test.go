package interlock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is written together is the newest of each key, in whichever order it came,
// and when that has arrived nothing of those keys is on its way.
func TestNewest(t *testing.T) {
	entry := func(id string, version, read int64) CacheEntry {
		return CacheEntry{Key: CacheKey{Kind: "instance", ID: id}, Version: version, Read: time.UnixMicro(read)}
	}
	for _, c := range []struct {
		name             string
		first, more, are []CacheEntry
	}{
		{"a newer version", []CacheEntry{entry("a", 1, 9)}, []CacheEntry{entry("a", 2, 1)}, []CacheEntry{entry("a", 2, 1)}},
		{"an older version", []CacheEntry{entry("a", 2, 1)}, []CacheEntry{entry("a", 1, 9)}, []CacheEntry{entry("a", 2, 1)}},
		{"the same, read later", []CacheEntry{entry("a", 2, 1)}, []CacheEntry{entry("a", 2, 2)}, []CacheEntry{entry("a", 2, 2)}},
		{"the same, read earlier", []CacheEntry{entry("a", 2, 2)}, []CacheEntry{entry("a", 2, 1)}, []CacheEntry{entry("a", 2, 2)}},
		{"another key", []CacheEntry{entry("a", 2, 1)}, []CacheEntry{entry("b", 1, 1)}, []CacheEntry{entry("a", 2, 1), entry("b", 1, 1)}},
		{"each key by itself", []CacheEntry{entry("a", 2, 1), entry("b", 2, 1)}, []CacheEntry{entry("b", 3, 1), entry("a", 1, 1), entry("b", 1, 1)},
			[]CacheEntry{entry("a", 2, 1), entry("b", 3, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &puts{onWay: map[CacheKey]int64{}}
			p.leave(c.first)
			p.leave(c.more)
			are := newest(c.first, c.more)
			p.arrived(are)
			require.Equal(t, c.are, are)
			require.Empty(t, p.onWay)
		})
	}
}
