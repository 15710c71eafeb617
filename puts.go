package interlock

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// puts writes to the cache behind the answer: a slow cache never delays a
// commit, and when the queue is full the write is dropped.
type puts struct {
	cache Cache
	log   *slog.Logger
	queue chan put
	stop  context.CancelFunc // ends the writes that are under way or queued
	done  chan struct{}
	mu    sync.RWMutex
	ended bool

	way   sync.Mutex
	onWay map[CacheKey]int64 // the newest versions that were not put yet
}

type put struct {
	epoch   string
	entries []CacheEntry
}

const (
	putQueue = 1024
	// putsTogether is how many entries are written at once: a cache may answer
	// nobody else meanwhile.
	putsTogether = 16
)

func startPuts(c Cache, log *slog.Logger) *puts {
	all, stop := context.WithCancel(context.Background())
	p := &puts{cache: c, log: log, queue: make(chan put, putQueue), stop: stop, done: make(chan struct{}), onWay: map[CacheKey]int64{}}
	go func() {
		defer close(p.done)
		w, ok := <-p.queue
		for ok {
			next, another := p.gather(&w)
			p.put(all, w)
			if w, ok = next, another; !ok {
				w, ok = <-p.queue
			}
		}
	}()
	return p
}

// gather adds what waits already to w, the newest of each key. What is of another
// epoch is next.
func (p *puts) gather(w *put) (next put, another bool) {
	for len(w.entries) < putsTogether {
		select {
		case n, ok := <-p.queue:
			if !ok || n.epoch != w.epoch {
				return n, ok
			}
			w.entries = newest(w.entries, n.entries)
		default:
			return put{}, false
		}
	}
	return put{}, false
}

// newest keeps the highest version of each key, and of one version what was read
// last. arrived rests on it: a version that nothing of its key reaches would stay on
// its way, and the key a miss.
func newest(entries, more []CacheEntry) []CacheEntry {
	for _, e := range more {
		i := 0
		for i < len(entries) && entries[i].Key != e.Key {
			i++
		}
		switch {
		case i == len(entries):
			entries = append(entries, e)
		case entries[i].Version < e.Version || entries[i].Version == e.Version && entries[i].Read.Before(e.Read):
			entries[i] = e
		}
	}
	return entries
}

func (p *puts) put(all context.Context, w put) {
	defer p.arrived(w.entries)
	if all.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(all, time.Second)
	defer cancel()
	if err := p.write(ctx, w); err != nil {
		p.log.Debug("cache put failed", "error", err)
	}
}

// write makes an error of what panics in the cache: it would end the process here.
func (p *puts) write(ctx context.Context, w put) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return p.cache.Put(ctx, w.epoch, w.entries)
}

func (p *puts) send(epoch string, entries []CacheEntry) {
	if len(entries) == 0 {
		return
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.ended {
		return
	}
	p.leave(entries)
	select {
	case p.queue <- put{epoch, entries}:
	default:
		p.arrived(entries)
	}
}

func (p *puts) leave(entries []CacheEntry) {
	p.way.Lock()
	defer p.way.Unlock()
	for _, e := range entries {
		p.onWay[e.Key] = max(p.onWay[e.Key], e.Version)
	}
}

func (p *puts) arrived(entries []CacheEntry) {
	p.way.Lock()
	defer p.way.Unlock()
	for _, e := range entries {
		if p.onWay[e.Key] <= e.Version {
			delete(p.onWay, e.Key)
		}
	}
}

// expect is what the cache will have of keys before long, where it hasn't yet:
// who changes an instance step by step isn't decided on what it was before the
// last one, only to find out at the commit. nil: nothing.
func (p *puts) expect(keys []CacheKey) (versions []int64) {
	if p == nil {
		return nil
	}
	p.way.Lock()
	defer p.way.Unlock()
	if len(p.onWay) == 0 {
		return nil
	}
	for i, k := range keys {
		if v := p.onWay[k]; v > 0 {
			if versions == nil {
				versions = make([]int64, len(keys))
			}
			versions[i] = v
		}
	}
	return versions
}

// close drops what is queued: the cache is only a hint, and may be stalled.
func (p *puts) close(ctx context.Context) error {
	p.stop()
	p.mu.Lock()
	if !p.ended {
		p.ended = true
		close(p.queue)
	}
	p.mu.Unlock()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interlock: a write to the cache doesn't end: %w", context.Cause(ctx))
	}
}
