// Package heap gives the garbage collector room where little is live.
//
// Go collects when a heap has doubled. A gate holds some 20 MiB and, under load,
// allocates that much several times a second: it would collect as often, and
// while it collects, on few processors, answers wait.
package heap

import (
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
)

const (
	most  = 128 << 20
	usual = 100 // GOGC's default
	least = 4 << 20
)

// DefaultRoom is 128 MiB, and an eighth of what the process's container may hold
// where that is less; in bytes.
func DefaultRoom() uint64 { return roomIn(os.DirFS("/sys/fs/cgroup")) }

// roomIn is the room beneath the limits of control groups (cgroups(7)) as a container
// sees its own: of version 2, or 1. Each is a number of bytes, or "max".
func roomIn(groups fs.FS) uint64 {
	room := uint64(most)
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		limit, err := fs.ReadFile(groups, name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 64); err == nil {
			room = min(room, n/8)
		}
	}
	return room
}

// Room lets so many bytes of garbage gather before they are collected, or as many
// as are live where that is more, as Go does. It keeps to this as the heap grows and
// shrinks, until it is stopped. Where GOGC or GOMEMLIMIT is set in the environment
// it does nothing: the operator has said what is right.
func Room(bytes uint64) (stop func()) {
	for _, said := range []string{"GOGC", "GOMEMLIMIT"} {
		if os.Getenv(said) != "" {
			return func() {}
		}
	}
	r := &room{bytes: bytes, percent: usual}
	before := debug.SetGCPercent(usual)
	r.set()
	r.afterNext()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.stopped {
			r.stopped = true
			debug.SetGCPercent(before)
		}
	}
}

type room struct {
	bytes uint64

	mu      sync.Mutex
	percent int
	stopped bool
}

// afterNext sets the percentage anew after the next collection, and after each that follows.
func (r *room) afterNext() {
	// An object that nobody holds is gone with the next collection.
	runtime.AddCleanup(new([64]byte), func(r *room) {
		if r.set() {
			r.afterNext()
		}
	}, r)
}

// set says whether to go on.
func (r *room) set() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return false
	}
	percent := percentage(r.bytes, live())
	// The world stops for a moment when it is set: not for a change that changes little.
	if d := percent - r.percent; d > r.percent/8 || -d > r.percent/8 {
		r.percent = percent
		debug.SetGCPercent(percent)
	}
	return true
}

// percentage is what GOGC has to be. Go takes no heap to be smaller than 4 MiB.
func percentage(room, live uint64) int {
	return int(max(usual, room*usual/max(live, least)))
}

// live is how many bytes the last collection left.
func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
