package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/interlock-go/interlock/internal/sqlstore"
)

// writer is the one connection that writes. Whoever has the turn has all of it.
type writer struct {
	db   *sql.DB
	turn chan struct{}
	ran  map[string]bool // statements, by their text
}

func newWriter(db *sql.DB) *writer {
	return &writer{db: db, turn: make(chan struct{}, 1), ran: map[string]bool{}}
}

// wait waits for the turn, which end gives back.
func (w *writer) wait(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) end() { <-w.turn }

// begin has the turn until end.
func (w *writer) begin(ctx context.Context) (*transaction, error) {
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		w.end()
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		_ = conn.Close()
		w.end()
		return nil, err
	}
	return &transaction{Conn: sqlstore.SQL(tx), conn: conn, tx: tx, writer: w}, nil
}

// transact runs fn in a transaction on the connection itself, for who has the turn.
func (w *writer) transact(fn func(*connection) error) (err error) {
	conn, err := w.db.Conn(context.Background())
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer conn.Close()
	closed := conn.Raw(func(c any) error {
		own := c.(*connection)
		err = own.transact(func() error { return fn(own) })
		return nil
	})
	return errors.Join(err, closed)
}

// record notes that the query is run, and tells whether it was before: parsing costs as
// much as running, so what comes again stays prepared. Migrations are run once.
func (w *writer) record(query string) bool {
	if !w.ran[query] && len(w.ran) < mostStatements {
		w.ran[query] = true
		return false
	}
	return w.ran[query]
}

// transaction is the sqlstore.Tx of the writer. To the application it is
// database/sql's; our own statements run on the connection itself.
type transaction struct {
	sqlstore.Conn // runs text
	conn          *sql.Conn
	tx            *sql.Tx
	writer        *writer
}

func (t *transaction) Handle() any { return t.tx }

// end rolls back what was not committed, and gives the connection back.
func (t *transaction) end() {
	_ = t.tx.Rollback()
	_ = t.conn.Close()
}

// straight runs fn on the connection. It holds the lock under which database/sql
// ends a transaction, as it does whenever the context ends: what came after that
// would be committed statement by statement.
func (t *transaction) straight(ctx context.Context, fn func(*connection) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	closed := t.conn.Raw(func(c any) error {
		own := c.(*connection)
		if !own.open || own.spoilt {
			err = sql.ErrTxDone
			return nil
		}
		err = calmly(func() error { return fn(own) }) // a panic would wait for the transaction's own end
		return nil
	})
	return errors.Join(closed, err)
}

func (t *transaction) Exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	if !t.writer.record(query) {
		return t.Conn.Exec(ctx, query, args...)
	}
	err = t.straight(ctx, func(c *connection) error {
		n, err = c.exec(ctx, query, args)
		return err
	})
	return n, err
}

func (t *transaction) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	if !t.writer.record(query) {
		return t.Conn.Query(ctx, query, args...)
	}
	var all *read
	err := t.straight(ctx, func(c *connection) (err error) {
		all, err = c.read(ctx, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
