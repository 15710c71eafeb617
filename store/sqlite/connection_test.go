package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/sqlstore"
)

// Statements run on the connection do what they do through database/sql, as many
// as there may be.
func TestStatementsOnTheConnection(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	on := func(fn func(*connection)) {
		t.Helper()
		require.NoError(t, w.writer.transact(func(c *connection) error { fn(c); return nil }))
	}
	read := func(c sqlstore.Conn, query string, args []any, dest ...any) (rows int, err error) {
		r, err := c.Query(ctx, query, args...)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		for r.Next() {
			rows++
			if err := r.Scan(dest...); err != nil {
				return rows, err
			}
		}
		return rows, r.Err()
	}
	on(func(c *connection) {
		_, err := c.Exec(ctx, "CREATE TABLE t (a INTEGER UNIQUE, b TEXT, c BLOB)")
		require.NoError(t, err)
		for i := range 3 { // an int, which the driver's values aren't
			n, err := c.Exec(ctx, "INSERT INTO t VALUES ($1, $2, $3)", i, fmt.Sprint("text ", i), []byte{byte(i)})
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
		}
		n, err := c.Exec(ctx, "UPDATE t SET b = $1 WHERE a > $2 OR $1 = ''", "new", int64(0))
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		_, err = c.Exec(ctx, "INSERT INTO t (a) VALUES ($1)", int64(1))
		require.ErrorContains(t, err, "UNIQUE")

		var a int64
		var b string
		var free anything
		rows, err := read(c, "SELECT a, b, c FROM t WHERE a >= $1 ORDER BY a", []any{int64(1)}, &a, &b, &free)
		require.NoError(t, err)
		require.Equal(t, []any{2, int64(2), "new", anything{[]byte{2}}}, []any{rows, a, b, free})
		rows, err = read(c, "SELECT a, b, c FROM t WHERE a >= $1 ORDER BY a", []any{int64(9)}, &a, &b, &free)
		require.NoError(t, err)
		require.Zero(t, rows)

		for name, wrong := range map[string]func() error{
			"no such table":     func() error { _, err := c.Exec(ctx, "INSERT INTO nowhere VALUES (1)"); return err },
			"no such column":    func() error { _, err := read(c, "SELECT x FROM t", nil); return err },
			"missing argument":  func() error { _, err := c.Exec(ctx, "DELETE FROM t WHERE a = ?"); return err },
			"parameter 1":       func() error { _, err := c.Exec(ctx, "DELETE FROM t WHERE a = ?", struct{}{}); return err },
			"parameter 2":       func() error { _, err := read(c, "SELECT $1, $2", []any{"", struct{}{}}, &b, &b); return err },
			"column 1: a int64": func() error { _, err := read(c, "SELECT 1", nil, &b); return err },
			"1 columns for 2":   func() error { _, err := read(c, "SELECT 1", nil, &a, &b); return err },
			"column 1: wrong":   func() error { _, err := read(c, "SELECT 1.5", nil, &free); return err },
			"integer overflow":  func() error { _, err := read(c, "SELECT abs(a - 9223372036854775807 - 1) FROM t", nil, &a); return err },
		} {
			require.ErrorContains(t, wrong(), name)
		}
	})
	on(func(c *connection) {
		var x int64
		for n := range mostStatements + 10 {
			rows, err := read(c, fmt.Sprintf("SELECT %d", n), nil, &x)
			require.NoError(t, err)
			require.Equal(t, []int64{1, int64(n)}, []int64{int64(rows), x})
			_, err = c.Exec(ctx, fmt.Sprintf("DELETE FROM t WHERE a = %d", n))
			require.NoError(t, err)
		}
		require.Len(t, c.prepared, mostStatements)
	})
	w.writer.db.SetMaxIdleConns(-1) // each transaction has a connection of its own
	for range 3 {
		on(func(c *connection) {
			n, err := c.Exec(ctx, "INSERT INTO t (a) VALUES ($1)", int64(len(c.prepared)))
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
			_, err = c.Exec(ctx, "DELETE FROM t")
			require.NoError(t, err)
			require.Len(t, c.prepared, 2)
		})
	}
}

func TestParametersWithoutNames(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                           "SELECT 1",
		"VALUES ($1, $2, $3)":                "VALUES (?, ?, ?)",
		"a = $1 AND b = $1":                  "a = $1 AND b = $1",
		"a = $2 AND b = $1":                  "a = $2 AND b = $1",
		"a = $1 AND b = $2 AND c = $01":      "a = $1 AND b = $2 AND c = $01",
		"a = ? AND b = $1":                   "a = ? AND b = $1",
		"$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11": "?,?,?,?,?,?,?,?,?,?,?",
	} {
		require.Equal(t, want, unnamed(query))
	}
}

// anything takes what the driver has, but for what it doesn't like.
type anything struct{ v any }

func (a *anything) Scan(v any) error {
	if _, ok := v.(float64); ok {
		return fmt.Errorf("wrong")
	}
	a.v = v
	return nil
}

// A checkpoint syncs as commits do, and waits for nobody; a database that ends
// with the process is never synced.
func TestSettingsOfCheckpoints(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "x.db"), ":memory:"} {
		s, err := Open(path)
		require.NoError(t, err)
		synced := map[bool]string{true: "0", false: "2"}[path == ":memory:"]
		for pragma, want := range map[string]string{"synchronous": synced, "busy_timeout": "0", "query_only": "1", "journal_mode": "wal"} {
			var got string
			require.NoError(t, s.checkpoints.db.QueryRow("PRAGMA "+pragma).Scan(&got))
			require.Equal(t, want, got, pragma)
		}
		require.NoError(t, s.writer.transact(func(c *connection) error {
			for pragma, want := range map[string]int64{"wal_autocheckpoint": checkpointNet, "journal_size_limit": logKept} {
				rows, err := c.Query(t.Context(), "PRAGMA "+pragma)
				require.NoError(t, err)
				var got int64
				require.True(t, rows.Next())
				require.NoError(t, rows.Scan(&got))
				rows.Close()
				require.Equal(t, want, got, pragma)
			}
			return nil
		}))
		require.NoError(t, s.Close())
	}
}

// Who only reads copies nothing.
func TestReadOnlyHasNoCheckpoints(t *testing.T) {
	w := newWorld(t)
	s, err := Open(w.file(), ReadOnly())
	require.NoError(t, err)
	require.Nil(t, s.checkpoints)
	require.NoError(t, s.Checkpointed())
	require.NoError(t, s.Close())
}
