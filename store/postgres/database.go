package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// endTimeout bounds COMMIT and ROLLBACK, which don't end with the caller's context.
const endTimeout = 5 * time.Second

const (
	readCommitted = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	lockTimeout   = "SET LOCAL lock_timeout = '" + patientWait + "'"
)

// errSimple: the simple protocol puts parameters into the text of the statement
// on this side, which has been the way in for injections (CVE-2024-27289).
var errSimple = errors.New("postgres: the simple protocol is refused: set default_query_exec_mode to another mode (behind a pooler: exec or cache_describe)")

// refuse tells whether the connection's mode can't be trusted with data.
func refuse(mode pgx.QueryExecMode) error {
	if mode == pgx.QueryExecModeSimpleProtocol {
		return errSimple
	}
	return nil
}

// outcome says what an error means that came after COMMIT, or a statement that
// commits by itself, was handed to the driver. Only the server's own answer that
// it failed is certain. pgconn.SafeToRetry isn't asked: after a cut during
// COMMIT, pgx 5.12 answers "conn closed" and calls that safe, though the server
// has committed.
func outcome(err error) error {
	if err == nil || errors.Is(err, pgx.ErrTxCommitRollback) {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR" {
		return err
	}
	return &interlock.UnknownOutcome{Err: err}
}

// database is what the single statement needs, too: one connection, so that
// failing to get one isn't mistaken for a lost answer, and so that database/sql
// never sends the statement a second time.
type database interface {
	sqlstore.Database
	onConn(ctx context.Context, fn func(sqlstore.Conn) error) error
	size() int // how many connections there can be
}

// Write is a statement in a transaction of its own.
func (d *poolDatabase) Write(ctx context.Context, fn func(sqlstore.Conn) error) error {
	return d.onConn(ctx, fn)
}

// Write is a statement in a transaction of its own.
func (d *sqlDatabase) Write(ctx context.Context, fn func(sqlstore.Conn) error) error {
	return d.onConn(ctx, fn)
}

type poolDatabase struct{ pool *pgxpool.Pool }

func (d *poolDatabase) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := d.pool.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

func (d *poolDatabase) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	return d.pool.Query(ctx, query, args...)
}

func (d *poolDatabase) InTx(ctx context.Context, fn func(sqlstore.Tx) error) error {
	tx, err := d.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: readCommitted + "; " + lockTimeout})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	end := func(f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		return f(ctx)
	}
	defer func() { _ = end(tx.Rollback) }() // after a commit it does nothing
	if err := fn(poolTx{tx}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return outcome(end(tx.Commit))
}

func (d *poolDatabase) onConn(ctx context.Context, fn func(sqlstore.Conn) error) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return fn(poolConn{conn})
}

func (d *poolDatabase) size() int { return int(d.pool.Stat().MaxConns()) }

type poolConn struct{ *pgxpool.Conn }

func (c poolConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := c.Conn.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

func (c poolConn) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	return c.Conn.Query(ctx, query, args...)
}

type poolTx struct{ pgx.Tx }

func (t poolTx) Handle() any { return t.Tx }

func (t poolTx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := t.Tx.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

func (t poolTx) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	return t.Tx.Query(ctx, query, args...)
}

type sqlDatabase struct {
	db      *sql.DB
	checked atomic.Bool
}

// check looks at the driver's own connection once.
func (d *sqlDatabase) check(ctx context.Context) error {
	if d.checked.Load() {
		return nil
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		driver, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("postgres: want a *sql.DB of the driver pgx/v5/stdlib, not of %T", c)
		}
		return refuse(driver.Conn().Config().DefaultQueryExecMode)
	})
	if err == nil {
		d.checked.Store(true)
	}
	return err
}

func (d *sqlDatabase) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := d.check(ctx); err != nil {
		return 0, err
	}
	return sqlstore.SQL(d.db).Exec(ctx, query, args...)
}

func (d *sqlDatabase) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	if err := d.check(ctx); err != nil {
		return nil, err
	}
	return sqlstore.SQL(d.db).Query(ctx, query, args...)
}

func (d *sqlDatabase) InTx(ctx context.Context, fn func(sqlstore.Tx) error) error {
	if err := d.check(ctx); err != nil {
		return err
	}
	tx, err := d.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, lockTimeout); err != nil {
		return err
	}
	if err := fn(sqlstore.SQLTx(tx)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return outcome(tx.Commit())
}

func (d *sqlDatabase) onConn(ctx context.Context, fn func(sqlstore.Conn) error) error {
	if err := d.check(ctx); err != nil {
		return err
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return fn(sqlstore.SQL(conn))
}

// size is a guess where the pool has no bound.
func (d *sqlDatabase) size() int {
	if n := d.db.Stats().MaxOpenConnections; n > 0 {
		return n
	}
	return 16
}

// broken answers everything with the mistake in the store's options.
type broken struct{ err error }

func (b broken) Exec(context.Context, string, ...any) (int64, error) { return 0, b.err }
func (b broken) Query(context.Context, string, ...any) (sqlstore.Rows, error) {
	return nil, b.err
}
func (b broken) InTx(context.Context, func(sqlstore.Tx) error) error     { return b.err }
func (b broken) Write(context.Context, func(sqlstore.Conn) error) error  { return b.err }
func (b broken) onConn(context.Context, func(sqlstore.Conn) error) error { return b.err }
func (b broken) size() int                                               { return 1 }
