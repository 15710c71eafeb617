package interlock

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// flights share one look at the store among all who miss the same facts in the
// cache at the same moment: an entry that ends costs one query, not one a caller.
// Only those share who would have believed the cache, and they hold what they
// get for cached: a no is decided once more, a commit repeats it all.
type flights struct {
	mu    sync.Mutex
	under map[string]*flight
	all   sync.WaitGroup
}

type flight struct {
	done  chan struct{}
	facts Facts
	err   error
	began time.Time
}

// load answers what look finds, and when it began to look. shared tells that
// another caller had asked before. The look is nobody's own: it goes on when a
// caller leaves, for as long as limit.
func (fs *flights) load(ctx context.Context, key string, limit time.Duration, look func(context.Context) (Facts, error)) (found Facts, began time.Time, shared bool, err error) {
	fs.mu.Lock()
	f, shared := fs.under[key]
	if !shared {
		f = &flight{done: make(chan struct{}), began: time.Now()}
		if fs.under == nil {
			fs.under = map[string]*flight{}
		}
		fs.under[key] = f
		fs.all.Go(func() { fs.fly(context.WithoutCancel(ctx), key, f, limit, look) })
	}
	fs.mu.Unlock()
	select {
	case <-f.done:
		return f.facts, f.began, shared, f.err
	case <-ctx.Done():
		return Facts{}, f.began, shared, context.Cause(ctx)
	}
}

func (fs *flights) fly(ctx context.Context, key string, f *flight, limit time.Duration, look func(context.Context) (Facts, error)) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			f.err = fmt.Errorf("the store panicked: %v", p)
		}
		fs.mu.Lock()
		delete(fs.under, key)
		fs.mu.Unlock()
		close(f.done)
	}()
	f.facts, f.err = look(ctx)
}

// close waits for what is still under way.
func (fs *flights) close(ctx context.Context) error {
	done := make(chan struct{})
	go func() { fs.all.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// flightKey tells all that a look is about; lengths make it unambiguous.
func flightKey(q *question) string {
	var b []byte
	for _, part := range append([]string{q.actor.Tenant, q.ref.Machine, q.ref.ID}, q.actorIDs()...) {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return string(b)
}
