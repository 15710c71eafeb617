package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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

	_, err = s.writer.Exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
	require.NoError(t, err)
	got, err := number("SELECT count(*) + sum(a) FROM t")
	require.NoError(t, err)
	require.Equal(t, 2, got)
	_, err = s.writer.Exec("DROP TABLE t; CREATE TABLE t (b, a); INSERT INTO t VALUES (7, 4)")
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
