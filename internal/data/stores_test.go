//go:build data

package data

import (
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/store/sqlite"
)

func openSQLite(t *testing.T, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "row.db"), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

// openBound makes a store whose machine is bound to a table of the
// application's, with one row in the given state.
func openBound(t *testing.T, machine, id, state string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "row.db"), sqlite.Table(machine, "things", "id", "status"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.Exec(`CREATE TABLE things (id TEXT PRIMARY KEY, status TEXT NOT NULL)`); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO things (id, status) VALUES ($1, $2)`, id, state)
		return err
	}))
	return s
}

// quiet is for gates of which refusals are wanted.
var quiet = slog.New(slog.DiscardHandler)
