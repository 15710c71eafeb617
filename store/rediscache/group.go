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
// long there may be more: Redis is far, or a connection is dead. Who asks may be
// kept beyond all deadlines, by a hook of the application's: such a trip is lost.
type group struct {
	ask  func(ctx context.Context, names []string) ([]string, error)
	long time.Duration
	ctx  context.Context // ends the trips that no caller makes himself
	stop context.CancelFunc

	mu      sync.Mutex
	queue   []*trip // the last takes more callers
	waiting int     // callers in the queue
	away    int     // trips on their way
	lost    int     // trips over whose call has not returned
	since   time.Time
	watched bool // whether the first of the queue waits too long since then
	closed  bool
	wary    atomic.Bool   // whether there was trouble: a caller doesn't go himself then
	idle    chan struct{} // closed when it is closed, and every call has returned
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
	// mostLost is how many calls that didn't return in time are let hang; each keeps
	// a goroutine. The breaker makes that a quarter of an hour of nothing else.
	mostLost = 1024
)

var (
	errFull        = errors.New("too many wait for Redis")
	errLost        = errors.New("too many calls of the Redis client don't return")
	errNotFinished = errors.New("the round trip did not finish")
	// errTogether marks an error that another caller of the same trip tells the breaker.
	errTogether = errors.New("asked together with others")
)

func newGroup(ask func(context.Context, []string) ([]string, error)) *group {
	g := &group{ask: ask, long: long, idle: make(chan struct{})}
	g.ctx, g.stop = context.WithCancel(context.Background())
	return g
}

// trip is a round trip of callers who wait for it.
type trip struct {
	names   []string
	waiting int       // callers
	until   time.Time // when the last of them leaves
	begun   bool
	over    bool // answered
	lost    bool // before its call returned
	own     bool // its caller's goroutine makes it

	done    chan struct{}
	values  []string
	err     error
	counted atomic.Bool // whether one of its callers has told the breaker of err
}

func newTrip() *trip { return &trip{done: make(chan struct{}), err: errNotFinished} }

// get returns the values of names; ctx must have a deadline, and who leaves holds
// up nobody. An error is that of all who were asked for together, and of no others.
func (g *group) get(ctx context.Context, names []string) ([]string, error) {
	until, _ := ctx.Deadline()
	t, at, err := g.enter(names, until)
	if err != nil {
		return nil, err
	}
	if t.own {
		g.alone(ctx, t)
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
	case g.ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", errClosed, t.err)
	case t.counted.Swap(true) && !timedOut(t.err):
		return nil, fmt.Errorf("%w: %w", errTogether, t.err)
	}
	return nil, t.err
}

// timedOut: who waited in vain counts for himself, as one who is held up.
func timedOut(err error) bool {
	var slow net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()
}

// enter begins a trip, or finds a place in one that begins later.
func (g *group) enter(names []string, until time.Time) (t *trip, at int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil, 0, errClosed
	case g.lost >= mostLost:
		return nil, 0, errLost
	case g.away == 0:
		t = newTrip()
		t.names, t.waiting, t.until, t.begun = names, 1, until, true
		g.away++
		if t.own = g.lost == 0 && !g.wary.Load(); !t.own {
			go g.drain(t)
		}
		return t, 0, nil
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
		t = newTrip()
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

// leave gives a place to those who came meanwhile, if there are any; with mu.
func (g *group) leave() {
	g.away--
	if len(g.queue) > 0 {
		g.away++
		go g.drain(nil)
	}
	g.rest()
}

// rest tells close when nothing is left; with mu.
func (g *group) rest() {
	if g.closed && g.away+g.lost == 0 {
		close(g.idle)
	}
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
	g.leave()
	return nil
}

// drain has a place: for t, if there is one, and for those who come meanwhile.
func (g *group) drain(t *trip) {
	if t == nil {
		t = g.next()
	}
	for t != nil && g.send(t) {
		if t.waiting > 1 {
			// Those who were answered may come again at once: together, not in two
			// halves that wait for each other.
			runtime.Gosched()
		}
		t = g.next()
	}
}

// alone is for a caller who makes his trip himself, the quickest way. Where the
// client keeps him beyond his limit, his place is others', and no other goes
// himself until he is back.
func (g *group) alone(ctx context.Context, t *trip) {
	if g.travel(ctx, t) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.leave()
	}
}

func (g *group) send(t *trip) (ours bool) {
	ctx, cancel := context.WithDeadline(g.ctx, t.until)
	defer cancel()
	return g.travel(ctx, t)
}

// travel answers all who wait for t, whatever happens, and at the end of ctx whether
// the call has returned or not. It tells whether the place is still the caller's.
func (g *group) travel(ctx context.Context, t *trip) (ours bool) {
	defer context.AfterFunc(ctx, func() { g.lose(t, ctx.Err()) })()
	var values []string
	err, returned := errNotFinished, false
	defer func() { ours = g.arrive(t, values, err, returned) }()
	values, err = g.safely(ctx, t.names)
	returned = true
	return false // or what arrive says
}

// arrive is for when t's call is over. Unless it returned, something in the client
// ends this goroutine, which then gives its place back; unless t was lost: then
// that happened before.
func (g *group) arrive(t *trip, values []string, err error, returned bool) (ours bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.lost {
		g.lost--
		g.rest()
		return false
	}
	t.values, t.err, t.over = values, err, true
	close(t.done)
	if !returned {
		g.leave()
	}
	return returned
}

// lose answers who waits for t, and gives its place to others.
func (g *group) lose(t *trip, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.over {
		return
	}
	t.err, t.over, t.lost = err, true, true
	close(t.done)
	g.lost++
	g.leave()
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
		g.away++
		go g.drain(nil)
	}
	if left <= 0 {
		g.since, left = time.Now(), g.long
	}
	g.watch(left)
}

// close answers who waits in the queue, ends the trips that drain makes, and waits until
// all calls have returned, but not longer than limit. A caller who makes his trip
// himself goes by his own context, and may still have its values.
func (g *group) close(limit time.Duration) {
	g.mu.Lock()
	if !g.closed {
		g.stop()
		g.closed = true
		for _, t := range g.queue {
			t.begun = true
			close(t.done)
		}
		g.queue, g.waiting = nil, 0
		g.rest()
	}
	g.mu.Unlock()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-g.idle:
	case <-late.C:
	}
}
