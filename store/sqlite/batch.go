package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/interlock-go/interlock"
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

// spoiler is one that has ended the transaction for all. Its error is final, for
// nothing of it was written; the others are run again without it.
type spoiler struct{ *pending }

func (spoiler) Error() string { return "the transaction was ended by one of its commits" }

// write puts its own error into each, or what failed them all. They are taken in
// the transaction: who came while it was waited for comes along, and who has left
// meanwhile has left in time.
func (g *group) write(take func() []*pending) (list []*pending) {
	taken := false
	rest := func() []*pending {
		if !taken {
			list, taken = take(), true
		}
		return list
	}
	err := g.transact(rest, false)
	all := rest() // also where nothing began
	left := slices.Clone(all)
	for {
		var by spoiler
		switch {
		case errors.As(err, &by):
			left = slices.DeleteFunc(left, func(p *pending) bool { return p == by.pending })
		case !errors.Is(err, errAgain):
			g.settle(left, err)
			return all
		}
		for _, p := range left {
			p.err = nil
		}
		err = g.transact(func() []*pending { return left }, true)
	}
}

// settle answers those who shared the last transaction. A refusal may rest on what
// was rolled back with it: then all that is certain is that it wasn't written.
func (g *group) settle(list []*pending, err error) {
	for _, p := range list {
		switch {
		case p.err == nil:
			p.err = err
		case err != nil && p.behind && refused(p.err):
			p.err = interlock.ErrStale
		}
	}
}

// refused tells a refusal from a fault.
func refused(err error) bool {
	return slices.ContainsFunc([]error{interlock.ErrStale, interlock.ErrExists, interlock.ErrKeyUsed, interlock.ErrLastAdmin, interlock.ErrNoRow},
		func(no error) bool { return errors.Is(err, no) })
}

func (g *group) transact(take func() []*pending, each bool) error {
	w := &changes{copies: g.store.copies}
	defer g.store.copies.settle(w)
	var list []*pending
	err := g.store.writer.transact(func(c *connection) error {
		list = take()
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
		list[0].behind = false
		list[0].err = b.apply(list[0])
		return list[0].err
	}
	wrote := false
	for _, p := range list {
		p.behind = wrote
		var err error
		if b.each || p.commit != nil && p.commit.MayFailLate() {
			err = b.behindSavepoint(p)
		} else if p.err = b.apply(p); p.err != nil && (b.touched || !refused(p.err)) {
			err = errAgain
		}
		switch {
		case b.spoilt && p.err != nil:
			return spoiler{p}
		case err != nil:
			return err
		}
		wrote = wrote || p.err == nil
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
			return spoiler{p}
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
			err = fmt.Errorf("commit: %v", v)
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
