package rediscache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
)

// BenchmarkGet is what a decision asks for, an instance and an actor, by so many
// callers at once.
func BenchmarkGet(b *testing.B) {
	c, _ := newCache(b, testservice.Redis(b), Config{TTL: maxTTL})
	var keys [256][]interlock.CacheKey
	for i := range keys {
		keys[i] = []interlock.CacheKey{
			{Kind: "instance", Tenant: "default", Machine: "loan", ID: fmt.Sprint("L-", i)},
			{Kind: "actor", Tenant: "default", ID: fmt.Sprint("a-", i)},
		}
		require.NoError(b, c.Put(context.Background(), epoch, []interlock.CacheEntry{
			entry(keys[i][0], 1, strings.Repeat("i", 700)), entry(keys[i][1], 1, strings.Repeat("a", 300))}))
	}
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						got, err := c.Get(context.Background(), epoch, keys[i])
						if err != nil || len(got) != 2 || got[0].Version != 1 || got[1].Version != 1 {
							b.Errorf("%v, %v", got, err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
