package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/interlock-go/interlock/internal/sqlstore"
)

// writer is the one connection that writes, with its statements prepared: parsing
// them is a quarter of what a commit costs. Whoever has the turn has all of it.
type writer struct {
	db    *sql.DB
	turn  chan struct{}
	known map[string]*prepared // by their text
	due   []string             // run as text twice: prepared before the next transaction
}

// prepared is a statement that was run; stmt is nil until it is prepared. database/sql
// prepares it anew should the connection be replaced.
type prepared struct {
	stmt *sql.Stmt
	due  bool
}

func newWriter(db *sql.DB) *writer {
	return &writer{db: db, turn: make(chan struct{}, 1), known: map[string]*prepared{}}
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
	w.prepare(ctx)
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		w.end()
		return nil, err
	}
	return &transaction{Conn: sqlstore.SQL(tx), tx: tx, writer: w, own: map[string]*sql.Stmt{}}, nil
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

// prepare takes the connection, which a transaction would hold.
func (w *writer) prepare(ctx context.Context) {
	for _, query := range w.due {
		k := w.known[query]
		k.due = false
		if stmt, err := w.db.PrepareContext(ctx, query); err == nil {
			k.stmt = stmt
		} // else it goes on as text, where its error is told
	}
	w.due = nil
}

// statement is nil for what is to be run as text: what is run for the first time,
// for migrations are run once, and what comes beyond mostStatements.
func (w *writer) statement(query string) *sql.Stmt {
	k := w.known[query]
	switch {
	case k == nil && len(w.known) < mostStatements:
		w.known[query] = &prepared{}
		return nil
	case k == nil:
		return nil
	case k.stmt == nil && !k.due:
		k.due = true
		w.due = append(w.due, query)
	}
	return k.stmt
}

// transaction is the sqlstore.Tx of the writer.
type transaction struct {
	sqlstore.Conn // runs text
	tx            *sql.Tx
	writer        *writer
	own           map[string]*sql.Stmt // prepared statements, bound to tx
	handed        bool                 // to the application
}

func (t *transaction) Handle() any {
	t.handed = true
	return t.tx
}

// errEnded: what is written from then on would be committed statement by statement.
var errEnded = errors.New("a statement of the application's has ended the transaction: nothing of it was written")

// goesOn tells whether it is a transaction still. A statement that fails may roll
// back all of it, and the application may pass over that.
func (t *transaction) goesOn() error {
	if !t.handed {
		return nil
	}
	if _, err := t.tx.ExecContext(context.Background(), "BEGIN"); err == nil {
		return errEnded // this one is rolled back with what the caller does now
	}
	return nil
}

func (t *transaction) statement(ctx context.Context, query string) *sql.Stmt {
	if stmt := t.own[query]; stmt != nil {
		return stmt
	}
	stmt := t.writer.statement(query)
	if stmt != nil {
		// What one caller's context ends isn't kept for the next caller.
		stmt = t.tx.StmtContext(context.WithoutCancel(ctx), stmt)
		t.own[query] = stmt
	}
	return stmt
}

func (t *transaction) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	stmt := t.statement(ctx, query)
	if stmt == nil {
		return t.Conn.Exec(ctx, query, args...)
	}
	r, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *transaction) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	stmt := t.statement(ctx, query)
	if stmt == nil {
		return t.Conn.Query(ctx, query, args...)
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	return sqlstore.SQLRows(rows), nil
}
