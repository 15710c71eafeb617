package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What runs inside the driver may panic: functions and hooks that the application
// registered, and the driver itself. database/sql would keep its locks, and SQLite
// its statement, for ever. So a panic becomes an error here, and the connection is
// spoilt: database/sql asks IsValid before it is given to anybody again.
//
// What fails may also have ended the transaction: SQLite rolls back all of it where
// a write is interrupted, where a trigger says so, where the disk is full. Whatever
// came after that would be committed statement by statement, so it is refused.

// errEnded: what is written from then on would be committed statement by statement.
var errEnded = errors.New("the transaction has ended before its commit, or it can't be told whether it has: what came after that wasn't written")

// guard makes an error of a panic, and sees what an error has left.
func (c *connection) guard(err *error) {
	if p := recover(); p != nil {
		c.spoilt = true
		*err = fmt.Errorf("the database's driver panicked: %v", p)
	}
	if *err == nil || errors.Is(*err, io.EOF) || !c.open || c.lost || c.spoilt {
		return
	}
	c.lost = !c.within()
}

// within tells whether it is certain that the transaction goes on: only in one is a
// BEGIN refused so. That it fails proves nothing: where a statement was interrupted
// while another one is read, all fail so, whatever has become of the transaction. One
// that begins is rolled back in the place of the lost one.
func (c *connection) within() bool {
	err := calmly(func() error {
		_, err := c.driverConn.ExecContext(context.Background(), "BEGIN", nil)
		return err
	})
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_ERROR && strings.Contains(e.Error(), "within a transaction")
}

// goesOn refuses what comes after the end.
func (c *connection) goesOn() error {
	if c.lost {
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

func (t *guardedTx) end(how func() error) (err error) {
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
