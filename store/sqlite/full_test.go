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
