package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
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

// free takes the turn if nobody has it.
func (w *writer) free() bool {
	select {
	case w.turn <- struct{}{}:
		return true
	default:
		return false
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
		own, broken := c.(*connection), false
		if broken, err = own.transact(func() error { return fn(own) }); broken {
			return driver.ErrBadConn // the next transaction has another
		}
		return nil
	})
	if err == nil { // what breaks the connection is told in err
		err = closed
	}
	return err
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
}

func (t *transaction) Handle() any { return t.tx }

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
