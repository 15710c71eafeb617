package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What runs inside the driver may panic: functions and hooks that the application
// registered, and the driver itself. database/sql would keep its locks, and SQLite
// its statement, for ever. So a panic becomes an error here, and the connection is
// spoilt: database/sql asks IsValid before it is given to anybody again.
//
// A statement may also end the transaction: SQLite rolls back all of it where a write
// is interrupted, where a trigger says so, where the disk is full; and the application
// may say ROLLBACK or COMMIT in so many words. Whatever came after that would be
// committed statement by statement. SQLite's own hooks see each end, and let nothing
// be committed but by the transaction's Commit.

// errEnded: nothing that was written in the transaction is there.
var errEnded = errors.New("the transaction has ended before its commit: nothing of it was written")

// watch has SQLite tell how transactions end (sqlite3_commit_hook, sqlite3_rollback_hook).
func (c *connection) watch() {
	c.RegisterRollbackHook(func() { c.lost = c.lost || c.open })
	c.RegisterCommitHook(func() int32 {
		if c.open { // COMMIT as a statement, or a statement that stands alone since the transaction was lost
			return 1 // it is rolled back, which the other hook hears, and fails with SQLITE_CONSTRAINT_COMMITHOOK
		}
		return 0
	})
}

// unwatch lets the driver forget the hooks, which it would keep beyond the connection's end.
func (c *connection) unwatch() error {
	c.RegisterRollbackHook(nil)
	c.RegisterCommitHook(nil)
	return nil
}

// guard makes an error of a panic.
func (c *connection) guard(err *error) {
	if p := recover(); p != nil {
		c.spoilt = true
		*err = fmt.Errorf("the database's driver panicked: %v", p)
	}
}

// goesOn refuses what comes after the end, and after a panic in the midst of something.
func (c *connection) goesOn() error {
	if c.lost || c.open && c.spoilt {
		return errEnded
	}
	return nil
}

func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

// calmly runs fn.
func calmly(fn func() error) (err error) {
	defer caught(&err)
	return fn()
}

// IsValid is driver.Validator's.
func (c *connection) IsValid() bool { return !c.spoilt && c.driverConn.IsValid() }

// BeginTx is driver.ConnBeginTx's. Where it is the file that is busy, the
// connection is none the worse.
func (c *connection) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	defer c.guard(&err)
	tx, err = c.driverConn.BeginTx(ctx, opts)
	if err != nil {
		var e *sqlite.Error
		c.spoilt = c.spoilt || ctx.Err() == nil && (!errors.As(err, &e) || e.Code()&0xff != sqlite3.SQLITE_BUSY)
		return nil, err
	}
	c.open = true
	return &guardedTx{tx, c}, nil
}

// guardedTx spoils the connection unless it is certain that the transaction has ended.
type guardedTx struct {
	driver.Tx
	of *connection
}

func (t *guardedTx) Commit() error {
	if err := t.of.goesOn(); err != nil {
		_ = t.end(t.Tx.Rollback)
		return err
	}
	err := t.end(t.Tx.Commit)
	if err != nil {
		_ = t.end(t.Tx.Rollback) // what still runs would keep the file locked
		return err
	}
	if pages, _, err := t.of.Status(sqlite.DBStatusCacheWrite, true); err == nil {
		t.of.wrote(pages)
	}
	return nil
}

func (t *guardedTx) Rollback() error { return t.end(t.Tx.Rollback) }

// end is the one way out: from here on, the hooks let it happen.
func (t *guardedTx) end(how func() error) (err error) {
	t.of.spoilt = t.of.spoilt || t.of.lost // whatever it was: the next has another connection
	t.of.open, t.of.lost = false, false
	defer func() { t.of.spoilt = t.of.spoilt || err != nil }()
	defer t.of.guard(&err)
	return how()
}

func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Result, err error) {
	if err := c.goesOn(); err != nil {
		return nil, err
	}
	defer c.guard(&err)
	return c.driverConn.ExecContext(ctx, query, args)
}

func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Rows, err error) {
	if err := c.goesOn(); err != nil {
		return nil, err
	}
	defer c.guard(&err)
	r, err = c.driverConn.QueryContext(ctx, query, args)
	return c.guarded(r), err
}

func (c *connection) PrepareContext(ctx context.Context, query string) (stmt driver.Stmt, err error) {
	defer c.guard(&err)
	if stmt, err = c.driverConn.PrepareContext(ctx, query); err != nil {
		return nil, err
	}
	own, ok := stmt.(preparedStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a statement of the driver's is a %T", stmt), stmt.Close())
	}
	return &guardedStmt{own, c}, nil
}

// preparedStmt is what the driver's statements are to database/sql.
type preparedStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type guardedStmt struct {
	preparedStmt
	of *connection
}

func (s *guardedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (r driver.Result, err error) {
	if err := s.of.goesOn(); err != nil {
		return nil, err
	}
	defer s.of.guard(&err)
	return s.preparedStmt.ExecContext(ctx, args)
}

func (s *guardedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (r driver.Rows, err error) {
	if err := s.of.goesOn(); err != nil {
		return nil, err
	}
	defer s.of.guard(&err)
	r, err = s.preparedStmt.QueryContext(ctx, args)
	return s.of.guarded(r), err
}

// Close runs what is left of the application's aggregates.
func (s *guardedStmt) Close() (err error) {
	defer s.of.guard(&err)
	return s.preparedStmt.Close()
}

// driverRows are all that the driver's rows are to database/sql.
type driverRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

type guardedRows struct {
	driverRows
	of *connection
}

func (c *connection) guarded(r driver.Rows) driver.Rows {
	if known, ok := r.(driverRows); ok {
		return &guardedRows{known, c}
	}
	return r
}

func (r *guardedRows) Next(dest []driver.Value) (err error) {
	defer r.of.guard(&err)
	return r.driverRows.Next(dest)
}

func (r *guardedRows) Close() (err error) {
	defer r.of.guard(&err)
	return r.driverRows.Close()
}
