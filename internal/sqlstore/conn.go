// Package sqlstore is what the stores on SQL have in common: the statements,
// the order of locks, the predicates of a commit and the migrations. A dialect
// adds how its database locks, reads a clock, takes a list and is reached.
package sqlstore

import (
	"context"
	"database/sql"

	"github.com/interlock-go/interlock"
)

// Rows is a result being read. The caller closes it.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Conn runs statements with $1, $2 … as parameters.
type Conn interface {
	Exec(ctx context.Context, query string, args ...any) (affected int64, err error)
	Query(ctx context.Context, query string, args ...any) (Rows, error)
}

// Tx is an open writing transaction.
type Tx interface {
	Conn
	Handle() any // the driver's own transaction
}

// Watcher is a Tx that is told of each commit before its rows are written, and
// may refuse it.
type Watcher interface {
	Applies(c *interlock.Commit) error
}

// Database is reached for reads by its Conn, and for writes by transactions.
type Database interface {
	Conn
	// InTx runs fn in one writing transaction: it commits when fn returns nil,
	// and rolls back when fn fails or panics. What fn returns comes back as it
	// is; only an error of the commit itself is an *interlock.UnknownOutcome.
	InTx(ctx context.Context, fn func(Tx) error) error
	// Write runs one statement that commits by itself, or with others. It may
	// be run again when those had to be rolled back.
	Write(ctx context.Context, fn func(Conn) error) error
}

// SQLConn is what *sql.DB, *sql.Conn and *sql.Tx share.
type SQLConn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// SQL makes a Conn of one from database/sql.
func SQL(c SQLConn) Conn { return sqlConn{c} }

// SQLTx makes a Tx of one from database/sql.
func SQLTx(tx *sql.Tx) Tx { return sqlTx{sqlConn{tx}, tx} }

type sqlTx struct {
	sqlConn
	tx *sql.Tx
}

func (t sqlTx) Handle() any { return t.tx }

type sqlConn struct{ c SQLConn }

func (s sqlConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := s.c.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (s sqlConn) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	r, err := s.c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return SQLRows(r), nil
}

// SQLRows makes Rows of those from database/sql.
func SQLRows(r *sql.Rows) Rows { return sqlRows{r} }

type sqlRows struct{ *sql.Rows }

// Close drops the error: Err has told it, and nothing was written.
func (r sqlRows) Close() { _ = r.Rows.Close() }

// each calls scan for every row of a query.
func each(ctx context.Context, c Conn, query string, args []any, scan func(Rows) error) error {
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one scans the only row of a query; found is false when there is none.
func one(ctx context.Context, c Conn, query string, args []any, dest ...any) (found bool, err error) {
	err = each(ctx, c, query, args, func(r Rows) error {
		found = true
		return r.Scan(dest...)
	})
	return found, err
}
