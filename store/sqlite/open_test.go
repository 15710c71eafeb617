package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

func open(t *testing.T, path string, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func TestOpenRefuses(t *testing.T) {
	taken := filepath.Join(t.TempDir(), "taken.db")
	open(t, taken)
	link := filepath.Join(t.TempDir(), "link.db")
	require.NoError(t, os.Symlink(taken, link))
	for _, test := range []struct {
		name, path string
		opts       []sqlite.Option
		want       string
	}{
		{"no path", "", nil, "path is missing"},
		{"a second writer", taken, nil, "another process writes this file"},
		{"a second writer by another name", link, nil, "another process writes this file"},
		{"no such folder", filepath.Join(t.TempDir(), "none", "x.db"), nil, "no such file"},
		{"reading what isn't there", filepath.Join(t.TempDir(), "x.db"), []sqlite.Option{sqlite.ReadOnly()}, "no such file"},
		{"reading a new memory", ":memory:", []sqlite.Option{sqlite.ReadOnly()}, "ReadOnly"},
		{"a table that is no name", ":memory:", []sqlite.Option{sqlite.Table("m", "loans; DROP TABLE x", "id", "status")}, `"loans; DROP TABLE x" is not a name`},
		{"a column that is no name", ":memory:", []sqlite.Option{sqlite.Table("m", "loans", "id", `status"`)}, "is not a name"},
		{"a fact that is no name", ":memory:", []sqlite.Option{sqlite.Table("m", "loans", "id", "status", "a'")}, "is not a name"},
		{"too many dots", ":memory:", []sqlite.Option{sqlite.Table("m", "a.b.c", "id", "status")}, "schema.name"},
		{"bound twice", ":memory:", []sqlite.Option{sqlite.Table("m", "a", "id", "s"), sqlite.Table("m", "b", "id", "s")}, "twice"},
		{"no machine", ":memory:", []sqlite.Option{sqlite.Table("", "a", "id", "s")}, "machine's name is missing"},
	} {
		_, err := sqlite.Open(test.path, test.opts...)
		assert.ErrorContains(t, err, test.want, test.name)
	}
}

// TestLockEndsWithItsHolder: Close lets go, and so does a death without it.
func TestLockEndsWithItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s, err := sqlite.Open(path)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	child := exec.Command(os.Args[0], "-test.run=^TestHoldLock$")
	child.Env = append(os.Environ(), "INTERLOCK_HOLD_LOCK="+path)
	leash, err := child.StdinPipe()
	require.NoError(t, err)
	defer leash.Close()
	said, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(said)
	for lines.Scan() && lines.Text() != held {
	}
	require.Equal(t, held, lines.Text(), "%v", lines.Err())
	_, err = sqlite.Open(path)
	require.ErrorContains(t, err, "another process writes this file")
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	open(t, path)
}

// TestHoldLock is the other process of TestLockEndsWithItsHolder; run by itself
// it opens a file of its own.
func TestHoldLock(t *testing.T) {
	path := os.Getenv("INTERLOCK_HOLD_LOCK")
	if path == "" {
		open(t, filepath.Join(t.TempDir(), "x.db"))
		return
	}
	open(t, path)
	fmt.Println(held)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent kills us, or is gone
}

// held is what TestHoldLock says when it has the lock.
const held = "it is held"

func TestReadOnlyBesideAWriter(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a b?c#%41.db")
	writer := open(t, path)
	reader := open(t, path, sqlite.ReadOnly())
	require.Error(t, reader.Migrate(ctx), "there is no schema yet")
	require.NoError(t, writer.Migrate(ctx))
	require.NoError(t, reader.Migrate(ctx))
	epoch, err := writer.Epoch(ctx)
	require.NoError(t, err)
	seen, err := reader.Epoch(ctx)
	require.NoError(t, err)
	assert.Equal(t, epoch, seen)
	r := interlock.Revision{Machine: "m", ID: "r"}
	require.NoError(t, writer.Activate(ctx, r, 0))
	for name, err := range map[string]error{
		"activate": reader.Activate(ctx, r, 0),
		"commit":   reader.Commit(ctx, &interlock.Commit{}),
		"within":   reader.Within(ctx, func(interlock.Tx) error { return nil }),
		"write":    reader.Write(ctx, func(*sql.Tx) error { return nil }),
		"attempts": reader.AddAttempts(ctx, nil, nil, 1),
	} {
		assert.ErrorContains(t, err, "read-only", name)
	}
	_, err = os.Stat(path)
	require.NoError(t, err, "the file has the very name that was given")
}

func TestApplicationsOwn(t *testing.T) {
	ctx := context.Background()
	s := open(t, ":memory:")
	require.NoError(t, s.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE a (x INTEGER)`)
		return err
	}))
	require.ErrorIs(t, s.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO a VALUES (1)`)
		require.NoError(t, err)
		return sql.ErrNoRows
	}), sql.ErrNoRows)
	var n int
	require.NoError(t, s.DB().QueryRow(`SELECT count(*) FROM a`).Scan(&n))
	assert.Zero(t, n)
	_, err := s.DB().Exec(`INSERT INTO a VALUES (1)`)
	require.ErrorContains(t, err, "readonly")
	other := open(t, ":memory:")
	require.Error(t, other.DB().QueryRow(`SELECT count(*) FROM a`).Scan(&n), "each memory is its own")
}

func TestSettings(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "x.db"))
	require.NoError(t, s.Write(context.Background(), func(tx *sql.Tx) error {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "recursive_triggers": "1", "busy_timeout": "5000"} {
			var got string
			require.NoError(t, tx.QueryRow(`PRAGMA `+pragma).Scan(&got))
			assert.Equal(t, want, got, pragma)
		}
		return nil
	}))
}

func TestMigrateChecksBoundTables(t *testing.T) {
	ctx := context.Background()
	s := open(t, ":memory:", sqlite.Table("loan", "loans", "id", "status", "amount"))
	require.ErrorContains(t, s.Migrate(ctx), "machine loan, bound to table loans: there is no such table")
	require.NoError(t, s.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE loans (id TEXT, status TEXT)`)
		return err
	}))
	require.ErrorContains(t, s.Migrate(ctx), `no column "amount"`)
	require.NoError(t, s.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`ALTER TABLE loans ADD COLUMN amount INTEGER`)
		return err
	}))
	require.NoError(t, s.Migrate(ctx))
}
