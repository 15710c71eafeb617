package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/interlock-go/interlock/internal/sqlstore"
)

// batch is the transaction of a group. Savepoints, which keep a copy of each page
// that is changed behind them, stand only before what may be refused after it has
// written something. Anything else that fails so is a fault: then all of it is
// rolled back, and run again with a savepoint before each.
type batch struct {
	*connection
	*changes
	store *Store
	held  sqlstore.Held
	each  bool // has a savepoint

	touched bool // by what runs now: it has changed a row, or a statement has failed
}

// errAgain: something failed that has left something behind.
var errAgain = errors.New("to be run again with savepoints")

// write puts its own error into each, or what failed them all.
func (g *group) write(list []*pending) {
	err := g.transact(list, false)
	if errors.Is(err, errAgain) {
		for _, p := range list {
			p.err = nil
		}
		err = g.transact(list, true)
	}
	for _, p := range list {
		if p.err == nil {
			p.err = err
		}
	}
}

func (g *group) transact(list []*pending, each bool) error {
	w := &changes{copies: g.store.copies}
	defer g.store.copies.settle(w)
	err := g.store.writer.transact(func(c *connection) error {
		b := &batch{connection: c, changes: w, store: g.store, each: each}
		return b.run(list)
	})
	for _, p := range list {
		if err == nil && p.err == nil && p.commit != nil {
			w.committed = append(w.committed, p.commit.Commit)
		}
	}
	return err
}

// run puts each one's own error into it; what it returns is everybody's.
func (b *batch) run(list []*pending) error {
	if len(list) == 1 {
		list[0].err = b.apply(list[0])
		return list[0].err
	}
	for _, p := range list {
		var err error
		if b.each || p.commit != nil && p.commit.MayFailLate() {
			err = b.behindSavepoint(p)
		} else if p.err = b.apply(p); p.err != nil && b.touched {
			err = errAgain
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) behindSavepoint(p *pending) error {
	ctx := context.Background()
	if _, err := b.connection.Exec(ctx, "SAVEPOINT one"); err != nil {
		return err
	}
	if p.err = b.apply(p); p.err != nil {
		if _, err := b.connection.Exec(ctx, "ROLLBACK TO one"); err != nil {
			return err
		}
	}
	_, err := b.connection.Exec(ctx, "RELEASE one")
	return err
}

// apply turns a panic into an error: it must not end the others' commits too.
func (b *batch) apply(p *pending) (err error) {
	b.touched = false
	defer func() {
		if v := recover(); v != nil {
			err, b.touched = fmt.Errorf("commit: %v", v), true
		}
	}()
	if p.commit == nil {
		b.held.Forget()
		return p.write(b)
	}
	return b.store.ApplyEncoded(context.Background(), b, p.commit)
}

// Held is sqlstore.Sharing's.
func (b *batch) Held() *sqlstore.Held { return &b.held }

func (b *batch) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	n, err := b.connection.Exec(ctx, query, args...)
	b.touched = b.touched || n != 0 || err != nil
	return n, err
}

// Query is for reading, which changes nothing.
func (b *batch) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	rows, err := b.connection.Query(ctx, query, args...)
	b.touched = b.touched || err != nil
	return rows, err
}
