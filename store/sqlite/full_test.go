//go:build unix

package sqlite_test

import (
	"database/sql"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/store/sqlite"
)

// TestDiskFull: a commit that finds no room fails, and leaves the writer fit for
// the next one when there is room again. The limit on a file's size is the
// process's own, so nothing else may write meanwhile.
func TestDiskFull(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	s := open(t, filepath.Join(t.TempDir(), "x.db"))
	write := func(rows int) error {
		return s.Write(t.Context(), func(tx *sql.Tx) error {
			for range rows {
				if _, err := tx.Exec(`INSERT INTO a VALUES (?)`, strings.Repeat("x", 3000)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec(`CREATE TABLE a (x TEXT)`); return err }))
	require.NoError(t, write(1))
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
	tight := was
	tight.Cur = 40 << 10
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight))
	err := write(100)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was))
	require.Error(t, err)
	require.NoError(t, write(1), "after: %v", err)
	var n int
	require.NoError(t, s.DB().QueryRow(`SELECT count(*) FROM a`).Scan(&n))
	assert.Equal(t, 2, n)
}

// TestDiskFullOfTheFile: a file that has no room for what is in the log fails no
// commit while the log has room. It is told until there is room.
func TestDiskFullOfTheFile(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	path := filepath.Join(t.TempDir(), "x.db")
	s, err := sqlite.Open(path)
	require.NoError(t, err)
	write := func(rows int) error {
		return s.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO a SELECT zeroblob(3000) FROM n`, rows)
			return err
		})
	}
	require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec(`CREATE TABLE a (x)`); return err }))
	require.NoError(t, write(1000)) // 4 MiB
	require.NoError(t, s.Close())
	s = open(t, path) // its log is empty
	s.CheckpointAfter(16)
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
	tight := was
	tight.Cur = 2 << 20
	n := 1000
	// For as long as it takes to be told, and no longer than the log has room.
	until := func(told bool) {
		t.Helper()
		for i := 0; i < 100 && (s.Checkpointed() != nil) != told; i++ {
			err := write(1)
			if err != nil {
				_ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)
			}
			require.NoError(t, err)
			n++
			s.CheckpointsEnd()
		}
		if (s.Checkpointed() != nil) != told {
			_ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)
		}
		require.Equal(t, told, s.Checkpointed() != nil)
	}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight))
	until(true)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was))
	until(false)
	var rows int
	require.NoError(t, s.DB().QueryRow(`SELECT count(*) FROM a`).Scan(&rows))
	assert.Equal(t, n, rows)
}
