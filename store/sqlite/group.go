package sqlite

import (
	"context"
	"fmt"
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

type pending struct {
	run  func(context.Context, sqlstore.Tx) error
	err  error
	done chan struct{}
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
	return s.commits.do(ctx, func(ctx context.Context, tx sqlstore.Tx) error { return s.Apply(ctx, tx, c) })
}

// do runs what is to be written in a transaction with others, whose errors it
// doesn't share.
func (g *group) do(ctx context.Context, run func(context.Context, sqlstore.Tx) error) error {
	p := &pending{run: run, done: make(chan struct{})}
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

// take is what goes next; nil, and nobody drains any more, when nothing waits.
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
		var batch []*pending
		err := g.store.database().InTx(context.Background(), func(tx sqlstore.Tx) error {
			// The turn first, then the batch: who came while we waited comes along.
			batch = g.take()
			return g.write(tx, batch)
		})
		if batch == nil { // the transaction didn't begin
			batch = g.take()
		}
		for _, p := range batch {
			if p.err == nil {
				p.err = err
			}
			close(p.done)
		}
	}
}

// write puts each commit's own error into it; what it returns is everybody's.
func (g *group) write(tx sqlstore.Tx, batch []*pending) error {
	ctx := context.Background()
	if len(batch) == 1 {
		batch[0].err = g.apply(ctx, tx, batch[0].run)
		return batch[0].err
	}
	for _, p := range batch {
		if _, err := tx.Exec(ctx, "SAVEPOINT one"); err != nil {
			return err
		}
		if p.err = g.apply(ctx, tx, p.run); p.err != nil {
			if _, err := tx.Exec(ctx, "ROLLBACK TO one"); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "RELEASE one"); err != nil {
			return err
		}
	}
	return nil
}

// apply turns a panic into an error: it must not end the others' commits too.
func (g *group) apply(ctx context.Context, tx sqlstore.Tx, run func(context.Context, sqlstore.Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("commit: %v", p)
		}
	}()
	w, watched := tx.(*watched)
	if watched {
		w.last = nil
	}
	if err = run(ctx, tx); err == nil && watched && w.last != nil {
		w.applied = append(w.applied, w.last)
	}
	return err
}
