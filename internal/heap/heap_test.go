package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPercentage(t *testing.T) {
	for _, c := range []struct {
		room, live uint64
		want       int
	}{
		{128 << 20, 0, 3200}, // Go begins at 4 MiB × GOGC
		{128 << 20, 20 << 20, 640},
		{128 << 20, 128 << 20, 100},
		{128 << 20, 8 << 30, 100},
		{0, 20 << 20, 100},
	} {
		assert.Equal(t, c.want, percentage(c.room, c.live), "%d of %d", c.room, c.live)
	}
}

func TestRoomInAContainer(t *testing.T) {
	for name, c := range map[string]struct {
		groups map[string]string
		want   int
	}{
		"none":                 {nil, 128 << 20},
		"no limit":             {map[string]string{"memory.max": "max\n"}, 128 << 20},
		"more than enough":     {map[string]string{"memory.max": "8589934592\n"}, 128 << 20},
		"a small one":          {map[string]string{"memory.max": "268435456\n"}, 32 << 20},
		"version 1":            {map[string]string{"memory/memory.limit_in_bytes": "134217728\n"}, 16 << 20},
		"version 1, no limit":  {map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 128 << 20},
		"something altogether": {map[string]string{"memory.max": "a lot"}, 128 << 20},
	} {
		groups := fstest.MapFS{}
		for path, text := range c.groups {
			groups[path] = &fstest.MapFile{Data: []byte(text)}
		}
		assert.EqualValues(t, c.want, roomIn(groups), name)
	}
}

// The percentage follows what is live, up and down, and is what it was in the end.
func TestRoomFollowsTheHeap(t *testing.T) {
	unsaid(t)
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	stop := Room(64 << 20)
	defer stop()

	becomes(t, func(p int) bool { return p > 400 })
	sink = make([]byte, 256<<20)
	becomes(t, func(p int) bool { return p == usual })
	sink = nil
	becomes(t, func(p int) bool { return p > 400 })

	stop()
	stop()
	runtime.GC()
	assert.Equal(t, 77, percent())
}

// Little is collected while little is live.
func TestRoomSparesCollections(t *testing.T) {
	unsaid(t)
	const garbage = 256 << 20
	collections := func() uint32 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range garbage >> 20 {
			sink = make([]byte, 1<<20)
		}
		runtime.ReadMemStats(&after)
		return after.NumGC - before.NumGC
	}
	defer Room(128 << 20)()
	assert.LessOrEqual(t, collections(), uint32(4), "of 128 MiB each") // 60 and more without
}

// What the operator says of the collector counts.
func TestRoomLeavesWhatIsSaid(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(name, func(t *testing.T) {
			unsaid(t)
			t.Setenv(name, "1")
			before := percent()
			Room(1 << 40)()
			stop := Room(1 << 40)
			defer stop()
			assert.Equal(t, before, percent())
		})
	}
}

var sink []byte

// unsaid is an environment without either variable.
func unsaid(t *testing.T) {
	t.Helper()
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
}

// percent is GOGC as it is.
func percent() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

func becomes(t *testing.T, want func(int) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		runtime.GC()
		return want(percent())
	}, 30*time.Second, 5*time.Millisecond, "GOGC %d, %d bytes live", percent(), live())
}
