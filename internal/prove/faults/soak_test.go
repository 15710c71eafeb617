package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/rediscache"
	"github.com/interlock-go/interlock/store/sqlite"
)

// revised is a policy that has another revision each time that it is compiled,
// one of two, and says the same.
type revised struct{ compiled *atomic.Int64 }

func (r revised) Compile(ctx context.Context, ms []*fsm.Machine) (interlock.Rules, error) {
	rules, err := load.Plain{}.Compile(ctx, ms)
	return revision{rules, fmt.Sprintf("plain-%d", r.compiled.Add(1)%2)}, err
}

type revision struct {
	interlock.Rules
	id string
}

func (r revision) Revision(string) string { return r.id }

// held is what a process holds while it rests.
type held struct {
	goroutines  int
	descriptors int // but for the next two: how full a pool is says how many came at once
	database    int // descriptors of the database's files
	redis       int // connections of the cache's client
	heap        uint64
}

// within says that it's no more than base, give or take what begins and ends by
// itself, with pools that keep to their size.
func (h held) within(base held, databaseMost, redisMost int) bool {
	return h.goroutines <= base.goroutines+5 && h.descriptors <= base.descriptors+5 &&
		h.database <= databaseMost && h.redis <= redisMost
}

// rest waits until what is held is enough like rest, and measures.
func rest(t *testing.T, file string, client *redis.Client, enough func(held) bool) held {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var h held
	load.Until(ctx, func() bool {
		h = held{goroutines: runtime.NumGoroutine(), redis: int(client.PoolStats().TotalConns)}
		files, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		for _, f := range files {
			if at, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.HasPrefix(at, file) {
				h.database++
			}
		}
		h.descriptors = len(files) - h.database - h.redis
		return enough(h)
	})
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.heap = m.HeapAlloc
	return h
}

// Soak: what is held after each stretch of load, with rules reloaded all the
// while, is what was held after the first.
func TestSoak(t *testing.T) {
	redisURL := testservice.NewRedis(t).URL()
	file := filepath.Join(t.TempDir(), "soak.db")
	st, err := sqlite.Open(file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	opts, err := rediscache.Options(redisURL)
	require.NoError(t, err)
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	cache := rediscache.New(client, rediscache.Config{TTL: cacheTTL})
	t.Cleanup(func() { require.NoError(t, cache.Close()) })
	w := open(t, load.Config{Store: st, Cache: cache, Policy: revised{&atomic.Int64{}}})

	// A connection of SQLite's has the database and its log open; max(4, 2 × CPUs)
	// read, one writes, one copies the log. Twice that is room for the log's index,
	// the witness and descriptors that wait for a lock's end to be closed.
	databaseMost, redisMost := 2*2*(max(4, 2*runtime.NumCPU())+2), client.Options().PoolSize

	stretches, long := prove.Size(2, 6), time.Duration(prove.Size(int(1200*time.Millisecond), int(10*time.Second)))
	requests, bad := 0, []string{}
	var base held
	var heaps []uint64
	for i := range stretches + 1 { // the first fills pools and caches
		ledger := stretch(t, w, long)
		requests += len(ledger.Ops)
		wrong, err := ledger.Check(t.Context(), st, load.Terms{Stale: stale})
		require.NoError(t, err)
		bad = append(bad, wrong...)
		if i == 0 {
			time.Sleep(time.Second) // connections of clients that are gone are being closed
			base = rest(t, file, client, func(held) bool { return true })
			continue
		}
		calm := func(h held) bool { return h.within(base, databaseMost, redisMost) }
		now := rest(t, file, client, calm)
		heaps = append(heaps, now.heap>>10)
		if !calm(now) {
			bad = append(bad, fmt.Sprintf("stretch %d left %+v, the first %+v", i, now, base))
		}
	}
	// Half as much again is noise of maps and pools that grow in steps; a leak of
	// every request's few hundred bytes is more, at the size of a whole run.
	if last := heaps[len(heaps)-1]; last > base.heap>>10+base.heap>>11+(4<<10) {
		bad = append(bad, fmt.Sprintf("the heap grew from %d KiB to %v", base.heap>>10, heaps))
	}
	for _, why := range bad[:min(20, len(bad))] {
		t.Error(why)
	}
	prove.Record(t, prove.Row{Claim: "soak", Tried: requests, Least: 2000, Violations: len(bad),
		Note: fmt.Sprintf("%d stretches of %s; after the first %d goroutines, %d descriptors, %d KiB; then %v KiB", stretches, long, base.goroutines, base.descriptors, base.heap>>10, heaps)})
}

// stretch is load, with new rules every few moments.
func stretch(t *testing.T, w *load.World, long time.Duration) *load.Ledger {
	t.Helper()
	traffic := load.Start(w.URL, load.Plan{Instances: instances, Seed: 9})
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	for ctx.Err() == nil {
		require.NoError(t, w.Gate.Reload(t.Context()))
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return traffic.End()
}
