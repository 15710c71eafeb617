package sqlite

import (
	"context"
	"runtime"
	"sync"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// group writes what is queued in one transaction, so that one fdatasync serves
// all of it. There is no timer: a commit alone goes at once, and those that come
// while it is being written go together.
type group struct {
	store *Store
	mu    sync.Mutex
	queue []*pending
	busy  bool
}

// pending is one commit, or one statement, that waits.
type pending struct {
	commit *sqlstore.Encoded
	write  func(sqlstore.Conn) error
	err    error
	done   chan struct{}

	behind bool // another one has written before it in its transaction
}

// mostWaiting is how many writes wait for their turn; a longer queue would only
// let them wait beyond their limits.
const mostWaiting = 4096

// most is how many commits share a transaction.
const most = 256

// Commit writes, if all predicates hold; see interlock.Store. A conflict is the
// matter of its own commit alone, never of those it shared a transaction with.
// A context that ends while the commit waits its turn takes it out: certainly
// nothing was written then. After that the answer is waited for.
func (s *Store) Commit(ctx context.Context, c *interlock.Commit) error {
	if s.readOnly {
		return errReadOnly
	}
	e, err := sqlstore.EncodeCommit(c)
	if err != nil {
		return err
	}
	return s.commits.do(ctx, &pending{commit: e})
}

// do writes p in a transaction with others, whose errors it doesn't share.
func (g *group) do(ctx context.Context, p *pending) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.done = make(chan struct{})
	g.mu.Lock()
	if len(g.queue) >= mostWaiting {
		g.mu.Unlock()
		return interlock.ErrBusy
	}
	g.queue = append(g.queue, p)
	if !g.busy {
		g.busy = true
		go g.drain()
	}
	g.mu.Unlock()
	select {
	case <-p.done:
	case <-ctx.Done():
		if g.withdraw(p) {
			return ctx.Err()
		}
		<-p.done
	}
	return p.err
}

// withdraw takes p out if it still waits.
func (g *group) withdraw(p *pending) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, q := range g.queue {
		if q == p {
			g.queue = append(g.queue[:i:i], g.queue[i+1:]...)
			return true
		}
	}
	return false
}

// take is what goes next.
func (g *group) take() []*pending {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(most, len(g.queue))
	batch := g.queue[:n:n]
	g.queue = g.queue[n:]
	return batch
}

// more tells whether somebody waits; when not, the next to come drains.
func (g *group) more() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = len(g.queue) > 0
	return g.busy
}

func (g *group) drain() {
	for g.more() {
		_ = g.store.writer.wait(context.Background()) // which nothing ends
		list := g.write(g.take)
		g.store.writer.end() // before anybody is answered
		for _, p := range list {
			close(p.done)
		}
		if len(list) > 1 {
			// Those who were answered may come again at once: together, not one
			// by himself before all others.
			runtime.Gosched()
		}
	}
}
