package interlock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// flights share one look at the store among all who read the same at the same
// moment and missed it in the cache: an entry that ends costs one query, not one
// a caller. Only reads and menus share; what may commit looks for itself, since
// its actor asked of the state that he saw.
type flights struct {
	ctx  context.Context // ends the looks when the gate closes
	stop context.CancelFunc

	joinable time.Duration

	mu     sync.Mutex
	under  map[string]*flight
	count  int
	closed bool
	idle   chan struct{} // closed when the last look of a closed gate has ended
}

// lookup is told when it begins, which is how old its facts are.
type lookup func(ctx context.Context, began time.Time) (Facts, error)

type flight struct {
	done  chan struct{}
	facts Facts
	err   error
	began time.Time
}

// joinable is how long after its beginning a look still takes callers: so old, at
// most, is what they get, beside what a cache would have kept. A store that takes
// longer is looked at again.
const joinable = 50 * time.Millisecond

var errNotFinished = errors.New("the look at the store did not finish")

func newFlights() *flights {
	ctx, stop := context.WithCancel(context.Background())
	return &flights{ctx: ctx, stop: stop, joinable: joinable, under: map[string]*flight{}, idle: make(chan struct{})}
}

// load answers what look finds, and when it began to look. shared tells that another caller had asked before: what he gets counts as
// cached. The look is nobody's own: it goes on when a caller leaves, for as long
// as limit.
func (fs *flights) load(ctx context.Context, key string, limit time.Duration, look lookup) (found Facts, began time.Time, shared bool, err error) {
	f, shared := fs.join(key, limit, look)
	if f == nil {
		return Facts{}, time.Time{}, true, errNotFinished
	}
	select {
	case <-f.done:
		return f.facts, f.began, shared, f.err
	case <-ctx.Done():
		return Facts{}, f.began, shared, context.Cause(ctx)
	}
}

// join returns the look that is under way, or begins one; nil when the gate is closed,
// and whoever still asks looks for himself.
func (fs *flights) join(key string, limit time.Duration, look lookup) (f *flight, shared bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.under[key]; f != nil && time.Since(f.began) < fs.joinable {
		return f, true
	}
	if fs.closed {
		return nil, false
	}
	f = &flight{done: make(chan struct{}), began: time.Now(), err: errNotFinished}
	fs.under[key] = f
	fs.count++
	go fs.fly(key, f, limit, look)
	return f, false
}

func (fs *flights) fly(key string, f *flight, limit time.Duration, look lookup) {
	ctx, cancel := context.WithTimeout(fs.ctx, limit)
	defer cancel()
	defer fs.land(key, f)
	defer func() {
		if p := recover(); p != nil {
			f.err = fmt.Errorf("the store panicked: %v\n%s", p, debug.Stack())
		}
	}()
	facts, err := look(ctx, f.began) // if it ends the goroutine, the error stays
	f.facts, f.err = facts, err
}

func (fs *flights) land(key string, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.under[key] == f {
		delete(fs.under, key)
	}
	fs.count--
	if fs.closed && fs.count == 0 {
		close(fs.idle)
	}
	close(f.done)
}

// forget lets nobody join what is under way: something was changed, and who asks
// from now on must see it.
func (fs *flights) forget() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	clear(fs.under)
}

// close ends what is under way, and waits until it has ended.
func (fs *flights) close(ctx context.Context) error {
	fs.stop()
	fs.mu.Lock()
	if !fs.closed {
		fs.closed = true
		if fs.count == 0 {
			close(fs.idle)
		}
	}
	fs.mu.Unlock()
	select {
	case <-fs.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interlock: a look at the store doesn't end: %w", context.Cause(ctx))
	}
}

// flightKey tells all that a look is about; lengths make it unambiguous.
func flightKey(tenant string, ref Ref, actors []string) string {
	var b []byte
	for _, part := range append([]string{tenant, ref.Machine, ref.ID}, actors...) {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return string(b)
}

// Clone shares nothing with f that a caller could change.
func (f Facts) Clone() Facts {
	if f.Instance != nil {
		i := *f.Instance
		i.Facts, i.Head = copyMap(i.Facts), slices.Clone(i.Head)
		i.Entered, i.Did = copyLists(i.Entered), copyLists(i.Did)
		i.Actors, i.Last = slices.Clone(i.Actors), maps.Clone(i.Last)
		f.Instance = &i
	}
	if f.Bound != nil {
		b := *f.Bound
		b.Facts = copyMap(b.Facts)
		f.Bound = &b
	}
	f.Actors = slices.Clone(f.Actors)
	for n := range f.Actors {
		a := &f.Actors[n]
		a.Attrs, a.Grants, a.Head = copyMap(a.Attrs), slices.Clone(a.Grants), slices.Clone(a.Head)
	}
	return f
}

func copyLists(m map[string][]string) map[string][]string {
	m = maps.Clone(m)
	for k, list := range m {
		m[k] = slices.Clone(list)
	}
	return m
}

func copyMap(m map[string]any) map[string]any {
	m = maps.Clone(m)
	for k, v := range m {
		m[k] = copyValue(v)
	}
	return m
}

// copyValue copies what JSON is made of; all else can't be changed in place.
func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return copyMap(v)
	case []any:
		list := slices.Clone(v)
		for i := range list {
			list[i] = copyValue(list[i])
		}
		return list
	}
	return v
}
