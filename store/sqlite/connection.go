package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"modernc.org/sqlite"

	"github.com/interlock-go/interlock/internal/sqlstore"
)

// driverConn is what the driver's connections are to database/sql.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	sqlite.DBStatus
	sqlite.HookRegisterer
}

// connection is one that writes. To database/sql, and so to the application, it
// is the driver's. Groups of commits run statements on it themselves: what
// database/sql does around each, for anybody's statements from anywhere, costs
// as much as a statement. It belongs to whoever has the writer's turn.
type connection struct {
	driverConn
	prepared map[string]preparedStmt // by their text
	values   []driver.NamedValue     // of the statement that runs, used again
	spoilt   bool                    // it may still be in something: nobody uses it again
	open     bool                    // in a transaction that nobody has ended yet
	lost     bool                    // that has ended nevertheless
	wrote    func(pages int)         // to the log, by a commit
}

// connector makes connections of the registered driver's.
type connector struct {
	driver.Connector
	wrote func(pages int)
}

func openConnections(dsn string, wrote func(pages int)) (*sql.DB, error) {
	of, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector{of, wrote}), nil
}

// Connect is driver.Connector's.
func (c connector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	defer caught(&err) // of a hook of the application's
	made, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	own, ok := made.(driverConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a connection of the driver's is a %T", made), made.Close())
	}
	watched := &connection{driverConn: own, prepared: map[string]preparedStmt{}, wrote: c.wrote}
	watched.watch()
	return watched, nil
}

// Close ends the statements first, which would keep the file open.
func (c *connection) Close() error {
	var errs []error
	for _, stmt := range c.prepared {
		errs = append(errs, stmt.Close())
	}
	clear(c.prepared)
	return errors.Join(append(errs, calmly(c.unwatch), calmly(c.driverConn.Close))...)
}

// transact is InTx on the connection itself. A panic of fn's is its error.
func (c *connection) transact(fn func() error) error {
	tx, err := c.BeginTx(context.Background(), driver.TxOptions{})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := calmly(fn); err != nil {
		_ = tx.Rollback() // one that fails spoils the connection
		return err
	}
	return outcome(tx.Commit())
}

// statement is prepared, if need be; kept tells whether it stays so.
func (c *connection) statement(query string) (stmt preparedStmt, kept bool, err error) {
	if stmt := c.prepared[query]; stmt != nil {
		return stmt, true, nil
	}
	made, err := c.PrepareContext(context.Background(), unnamed(query))
	if err != nil {
		return nil, false, err
	}
	stmt = made.(preparedStmt) // our own
	if len(c.prepared) >= mostStatements {
		return stmt, false, nil
	}
	c.prepared[query] = stmt
	return stmt, true, nil
}

var named = regexp.MustCompile(`\$[0-9]+`)

// unnamed has ? for the parameters of a query that has each of them once, in their
// order: of those that have a name the driver reads it whenever it binds them.
func unnamed(query string) string {
	n, inOrder := 0, !strings.Contains(query, "?")
	bare := named.ReplaceAllStringFunc(query, func(name string) string {
		n++
		inOrder = inOrder && name == "$"+strconv.Itoa(n)
		return "?"
	})
	if !inOrder {
		return query
	}
	return bare
}

// bind makes the driver's values of args; they are good until the next call.
func (c *connection) bind(args []any) ([]driver.NamedValue, error) {
	c.values = c.values[:0]
	for i, a := range args {
		switch a.(type) {
		case string, []byte, int64, bool, nil:
		default:
			var err error
			if a, err = driver.DefaultParameterConverter.ConvertValue(a); err != nil {
				return nil, fmt.Errorf("parameter %d: %w", i+1, err)
			}
		}
		c.values = append(c.values, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.values, nil
}

// Exec is sqlstore.Conn's, without a context: a statement of a group isn't one
// caller's to end.
func (c *connection) Exec(_ context.Context, query string, args ...any) (int64, error) {
	return c.exec(context.Background(), query, args)
}

func (c *connection) exec(ctx context.Context, query string, args []any) (int64, error) {
	stmt, kept, err := c.statement(query)
	if err != nil {
		return 0, err
	}
	if !kept {
		defer stmt.Close()
	}
	values, err := c.bind(args)
	if err != nil {
		return 0, err
	}
	r, err := stmt.ExecContext(ctx, values)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query is sqlstore.Conn's; see Exec.
func (c *connection) Query(_ context.Context, query string, args ...any) (sqlstore.Rows, error) {
	r, err := c.query(context.Background(), query, args)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (c *connection) query(ctx context.Context, query string, args []any) (*rows, error) {
	stmt, kept, err := c.statement(query)
	if err != nil {
		return nil, err
	}
	r := &rows{}
	if !kept {
		r.own = stmt
	}
	values, err := c.bind(args)
	if err == nil {
		r.rows, err = stmt.QueryContext(ctx, values)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	r.values = make([]driver.Value, len(r.rows.Columns()))
	return r, nil
}

// rows are the driver's, for what the statements of a group read.
type rows struct {
	rows   driver.Rows
	values []driver.Value
	err    error
	own    driver.Stmt // closed with them
}

func (r *rows) Next() bool {
	err := r.rows.Next(r.values)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return err == nil
}

func (r *rows) Err() error { return r.err }

// Close drops the error: Err has told it, and nothing was written.
func (r *rows) Close() {
	if r.rows != nil {
		_ = r.rows.Close()
	}
	if r.own != nil {
		_ = r.own.Close()
	}
}

// read is a result that was read at once, so that it outlives its connection's turn.
type read struct {
	rows [][]driver.Value
	at   int
}

func (c *connection) read(ctx context.Context, query string, args []any) (*read, error) {
	r, err := c.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all := &read{at: -1}
	for r.Next() {
		all.rows = append(all.rows, slices.Clone(r.values))
	}
	return all, r.Err()
}

func (r *read) Next() bool             { r.at++; return r.at < len(r.rows) }
func (r *read) Err() error             { return nil }
func (r *read) Close()                 {}
func (r *read) Scan(dest ...any) error { return scan(r.rows[r.at], dest) }

// Scan is sqlstore.Rows'.
func (r *rows) Scan(dest ...any) error { return scan(r.values, dest) }

// scan takes a row's values apart.
func scan(values []driver.Value, dest []any) error {
	if len(dest) != len(values) {
		return fmt.Errorf("%d columns for %d places", len(values), len(dest))
	}
	for i, v := range values {
		if err := put(v, dest[i]); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// put knows what our statements read: numbers, texts, bytes, booleans, pointers to
// them for what may be NULL, and what takes the driver's values itself.
func put(v driver.Value, dest any) error {
	ok := false
	switch d := dest.(type) {
	case *int64:
		*d, ok = v.(int64)
	case *string:
		*d, ok = v.(string)
	case *[]byte:
		*d, ok = v.([]byte)
		ok = ok || v == nil
	case sql.Scanner:
		return d.Scan(v)
	default:
		ok = set(v, reflect.ValueOf(dest).Elem())
	}
	if !ok {
		return fmt.Errorf("a %T for a %T", v, dest)
	}
	return nil
}

// set is put for types that are named otherwise.
func set(v driver.Value, d reflect.Value) bool {
	number, isNumber := v.(int64)
	text, isText := v.(string)
	switch {
	case d.Kind() == reflect.Pointer && v == nil:
		d.SetZero()
		return true
	case d.Kind() == reflect.Pointer:
		d.Set(reflect.New(d.Type().Elem()))
		return put(v, d.Interface()) == nil
	case d.Kind() == reflect.String && isText:
		d.SetString(text)
	case d.CanInt() && isNumber && !d.OverflowInt(number):
		d.SetInt(number)
	case d.Kind() == reflect.Bool && isNumber && number>>1 == 0:
		d.SetBool(number == 1)
	default:
		return false
	}
	return true
}
