package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/sqlstore"
)

// Statements are kept, as many as there may be; what comes beyond, and what is
// wrong, is answered as ever, and a new schema is seen.
func TestStatementsAreKept(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "s.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	ctx := t.Context()
	number := func(query string, args ...any) (n int, err error) {
		rows, err := s.database().Query(ctx, query, args...)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		require.True(t, rows.Next())
		require.NoError(t, rows.Scan(&n))
		return n, rows.Err()
	}
	for n := range 3 {
		got, err := number("SELECT $1 + 1", n)
		require.NoError(t, err)
		require.Equal(t, n+1, got)
	}
	require.Len(t, s.statements.known, 1)
	_, err = number("SELECT x FROM nowhere")
	require.ErrorContains(t, err, "no such table")
	require.Len(t, s.statements.known, 1, "what doesn't parse isn't kept")

	_, err = s.writer.db.Exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
	require.NoError(t, err)
	got, err := number("SELECT count(*) + sum(a) FROM t")
	require.NoError(t, err)
	require.Equal(t, 2, got)
	_, err = s.writer.db.Exec("DROP TABLE t; CREATE TABLE t (b, a); INSERT INTO t VALUES (7, 4)")
	require.NoError(t, err)
	got, err = number("SELECT count(*) + sum(a) FROM t")
	require.NoError(t, err)
	require.Equal(t, 5, got, "of the table that is there now")

	for n := range mostStatements + 10 {
		got, err := number(fmt.Sprintf("SELECT %d", n))
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	require.Len(t, s.statements.known, mostStatements)
}

// The writer prepares what it has run twice, and what is prepared does what its
// text did: with errors, rollbacks, a new schema, and another connection.
func TestWriterKeepsItsStatements(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "w.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	ctx := t.Context()
	write := func(fn func(sqlstore.Tx) error) error { return s.database().InTx(ctx, fn) }
	exec := func(query string, args ...any) error {
		return write(func(tx sqlstore.Tx) error { _, err := tx.Exec(ctx, query, args...); return err })
	}
	count := func() (n int) {
		require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM t").Scan(&n))
		return n
	}
	const schema, insert = "CREATE TABLE IF NOT EXISTS t (a UNIQUE, b DEFAULT 0); CREATE TABLE IF NOT EXISTS u (a)", "INSERT INTO t (a) VALUES ($1)"
	for range 4 {
		require.NoError(t, exec(schema), "several statements in one text")
	}
	for n := range 3 {
		require.NoError(t, exec(insert, n))
	}
	require.Contains(t, prepared(t, s), insert)

	require.ErrorContains(t, exec(insert, 1), "UNIQUE")
	gone := errors.New("gone")
	require.ErrorIs(t, write(func(tx sqlstore.Tx) error {
		rows, err := tx.Exec(ctx, insert, 100)
		require.NoError(t, err)
		require.EqualValues(t, 1, rows)
		return gone
	}), gone)
	require.Panics(t, func() {
		_ = write(func(tx sqlstore.Tx) error { _, _ = tx.Exec(ctx, insert, 101); panic("in between") })
	})
	require.Equal(t, 3, count(), "after a conflict, a rollback and a panic")

	const read = "SELECT a, b FROM t WHERE a >= $1 ORDER BY a"
	for range 3 {
		require.NoError(t, write(func(tx sqlstore.Tx) error {
			rows, err := tx.Query(ctx, read, 1)
			require.NoError(t, err)
			defer rows.Close()
			require.True(t, rows.Next()) // and no further: the rest is given up
			var a, b int
			require.NoError(t, rows.Scan(&a, &b))
			require.Equal(t, [2]int{1, 0}, [2]int{a, b})
			return nil
		}))
	}
	require.Contains(t, prepared(t, s), read)
	require.NoError(t, exec("DROP TABLE t"))
	require.NoError(t, exec("CREATE TABLE t (b, a)"))
	require.NoError(t, exec(insert, 7))
	require.Equal(t, 1, count(), "into the table that is there now")

	s.writer.db.SetMaxIdleConns(-1) // each transaction has a connection of its own
	for n := range 3 {
		require.NoError(t, exec(insert, n))
	}
	require.Equal(t, 4, count())

	for range 3 {
		require.ErrorContains(t, exec("INSERT INTO nowhere VALUES (1)"), "no such table")
	}
	for range 3 {
		require.NoError(t, write(func(tx sqlstore.Tx) error {
			for n := range mostStatements + 10 {
				_, err := tx.Exec(ctx, fmt.Sprintf("UPDATE t SET b = %d", n))
				require.NoError(t, err)
			}
			return nil
		}))
	}
	require.Len(t, s.writer.ran, mostStatements)
}

// prepared are the statements that the writer's connection keeps.
func prepared(t *testing.T, s *Store) (list []string) {
	t.Helper()
	conn, err := s.writer.db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(c any) error {
		list = slices.Collect(maps.Keys(c.(*connection).prepared))
		return nil
	}))
	return list
}

// A transaction whose context has ended is rolled back by database/sql, at any
// moment. What comes after that isn't committed by itself.
func TestNothingFollowsATransaction(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "w.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	const insert, read = "INSERT INTO t (a) VALUES ($1)", "SELECT a FROM t"
	write := func(ctx context.Context, fn func(sqlstore.Tx) error) error { return s.database().InTx(ctx, fn) }
	require.NoError(t, write(t.Context(), func(tx sqlstore.Tx) error {
		_, err := tx.Exec(t.Context(), "CREATE TABLE t (a)")
		return err
	}))
	for _, end := range []func(cancel func(), tx *sql.Tx){
		func(cancel func(), _ *sql.Tx) { cancel() },
		func(_ func(), tx *sql.Tx) { assert.NoError(t, tx.Rollback()) },
	} {
		for range 2 { // it is prepared then
			ctx, cancel := context.WithCancel(t.Context())
			err = write(ctx, func(tx sqlstore.Tx) error {
				_, err := tx.Exec(ctx, insert, 1)
				require.NoError(t, err)
				rows, err := tx.Query(ctx, read)
				require.NoError(t, err)
				rows.Close()
				end(cancel, tx.(watched).tx)
				// What comes before it is ended is rolled back with it.
				require.Eventually(t, func() bool {
					_, err := tx.Exec(t.Context(), insert, 2)
					return errors.Is(err, sql.ErrTxDone)
				}, 30*time.Second, time.Millisecond)
				_, err = tx.Query(t.Context(), read)
				require.ErrorIs(t, err, sql.ErrTxDone)
				return nil
			})
			cancel()
			require.Error(t, err)
		}
	}
	var n int
	require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM t").Scan(&n))
	require.Zero(t, n)
}
