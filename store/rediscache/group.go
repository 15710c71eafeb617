package rediscache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// group asks for what concurrent callers want in one round trip. Nothing waits
// for more to come: who finds none on its way goes at once, and by himself; those
// who come meanwhile go together in the next.
//
// One at a time makes the largest, and Redis answers them fastest. While it takes
// long there may be more: Redis is far, or a connection is dead.
type group struct {
	ask  func(ctx context.Context, names []string) ([]string, error)
	long time.Duration
	ctx  context.Context // ends the trips
	stop context.CancelFunc

	mu      sync.Mutex
	queue   []*trip // the last takes more callers
	waiting int     // callers in the queue
	away    int     // trips on their way
	since   time.Time
	watched bool // whether the first of the queue waits too long since then
	closed  bool
	running sync.WaitGroup
}

const (
	// mostNames is what a trip asks for, so that who asks for little doesn't wait for
	// all that others want.
	mostNames = 256
	// mostWaiting is how many callers wait for their turn; a longer queue would only
	// let them wait beyond their limits.
	mostWaiting = 4096
	// long is what somebody waits before another trip begins beside those that are on
	// their way; mostAway is how many there are.
	long     = time.Millisecond
	mostAway = 4
)

var (
	errFull        = errors.New("too many wait for Redis")
	errNotFinished = errors.New("the round trip did not finish")
	// errTogether marks an error that another caller of the same trip tells the breaker.
	errTogether = errors.New("asked together with others")
)

func newGroup(ask func(context.Context, []string) ([]string, error)) *group {
	g := &group{ask: ask, long: long}
	g.ctx, g.stop = context.WithCancel(context.Background())
	return g
}

// trip is a round trip of callers who wait for it.
type trip struct {
	names   []string
	waiting int       // callers
	until   time.Time // when the last of them leaves
	begun   bool

	done   chan struct{}
	values []string
	err    error
	told   atomic.Bool // the breaker
}

// get returns the values of names; ctx must have a deadline, and who leaves holds
// up nobody. An error is that of all who were asked for together, and of no others.
func (g *group) get(ctx context.Context, names []string) ([]string, error) {
	until, _ := ctx.Deadline()
	t, at, err := g.enter(names, until)
	if err != nil {
		return nil, err
	}
	if t == nil {
		defer g.leave()
		return g.safely(ctx, names)
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		g.withdraw(t)
		return nil, ctx.Err()
	}
	switch {
	case t.err == nil:
		return t.values[at : at+len(names)], nil
	case t.told.Swap(true) && !timedOut(t.err):
		return nil, fmt.Errorf("%w: %w", errTogether, t.err)
	}
	return nil, t.err
}

// timedOut: who waited in vain counts for himself, as one who is held up.
func timedOut(err error) bool {
	var slow net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()
}

// enter takes a place (nil), or finds one in a trip, which begins later.
func (g *group) enter(names []string, until time.Time) (t *trip, at int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil, 0, errClosed
	case g.away == 0:
		g.away++
		return nil, 0, nil
	case g.waiting >= mostWaiting:
		return nil, 0, errFull
	}
	if n := len(g.queue); n > 0 && len(g.queue[n-1].names)+len(names) <= mostNames {
		t = g.queue[n-1]
	} else {
		if n == 0 {
			g.since = time.Now()
			g.watch(g.long)
		}
		t = &trip{done: make(chan struct{}), err: errNotFinished}
		g.queue = append(g.queue, t)
	}
	at = len(t.names)
	t.names = append(t.names, names...)
	t.waiting++
	g.waiting++
	if until.After(t.until) {
		t.until = until
	}
	return t, at, nil
}

// withdraw is for who can't wait for t any more. What nobody waits for isn't asked.
func (g *group) withdraw(t *trip) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.begun {
		t.waiting--
		g.waiting--
	}
}

// leave gives a place to those who came meanwhile, if there are any.
func (g *group) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away--
	g.begin()
}

// begin makes a trip; with mu.
func (g *group) begin() {
	if len(g.queue) == 0 {
		return
	}
	g.away++
	g.running.Add(1)
	go g.drain()
}

// next is what goes next; when nobody waits, the place is given back.
func (g *group) next() *trip {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.queue) > 0 {
		t := g.queue[0]
		g.queue[0] = nil
		g.queue = g.queue[1:]
		if len(g.queue) > 0 {
			g.since = time.Now()
		}
		if t.waiting > 0 {
			t.begun = true
			g.waiting -= t.waiting
			return t
		}
	}
	g.queue = nil
	g.away--
	return nil
}

func (g *group) drain() {
	defer g.running.Done()
	ended := false
	defer func() {
		if !ended { // something in the client ended this goroutine
			g.leave()
		}
	}()
	for t := g.next(); t != nil; t = g.next() {
		g.travel(t)
		if t.waiting > 1 {
			// Those who were answered may come again at once: together, not in two
			// halves that wait for each other.
			runtime.Gosched()
		}
	}
	ended = true
}

// travel answers all who wait for t, whatever happens.
func (g *group) travel(t *trip) {
	defer close(t.done)
	ctx, cancel := context.WithDeadline(g.ctx, t.until)
	defer cancel()
	t.values, t.err = g.safely(ctx, t.names)
}

// safely asks; what panics in the client, or in a hook of the application's, is an error.
func (g *group) safely(ctx context.Context, names []string) (values []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			values, err = nil, panicked(p)
		}
	}()
	return g.ask(ctx, names)
}

// watch looks later whether the queue still waits; with mu.
func (g *group) watch(after time.Duration) {
	if g.watched {
		return
	}
	g.watched = true
	time.AfterFunc(after, g.look)
}

func (g *group) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watched = false
	if len(g.queue) == 0 {
		return
	}
	left := g.long - time.Since(g.since)
	if left <= 0 && g.away < mostAway {
		g.begin()
	}
	if left <= 0 {
		g.since, left = time.Now(), g.long
	}
	g.watch(left)
}

// close answers who waits, ends what is on its way, and waits for that.
func (g *group) close() {
	g.mu.Lock()
	g.closed = true
	for _, t := range g.queue {
		t.err, t.begun = errClosed, true
		close(t.done)
	}
	g.queue, g.waiting = nil, 0
	g.stop()
	g.mu.Unlock()
	g.running.Wait()
}
