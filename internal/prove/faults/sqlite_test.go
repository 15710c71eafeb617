package faults

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/store/sqlite"
)

// sqliteWorld is a gate on a file.
type sqliteWorld struct {
	t     *testing.T
	path  string
	world *load.World
}

func newSQLiteWorld(t *testing.T) *sqliteWorld {
	t.Helper()
	path := filepath.Join(t.TempDir(), "it.db")
	st, err := sqlite.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return &sqliteWorld{t, path, open(t, load.Config{Store: st, DB: st.DB(), Prefix: "interlock_", Change: hasty})}
}

func (s *sqliteWorld) prove(claim string, f fault) *load.Ledger {
	s.t.Helper()
	pl := plan(20, 800, f)
	pl.Requests[load.During] = prove.Size(12, 150)
	pl.Unavailable = true
	ledger, err := load.Run(s.world.URL, pl)
	require.NoError(s.t, err)
	record(s.t, claim, 2*800+150, ledger, s.world, load.Terms{Unavailable: true})
	return ledger
}

// disk lets this process's own writes to files fail.
func (s *sqliteWorld) disk(calls, errno string) fault {
	return injected(s.t, []int{os.Getpid()}, nil, calls, errno)
}

func TestSQLiteFull(t *testing.T) {
	s := newSQLiteWorld(t)
	s.prove("sqlite/full", s.disk("pwrite64", "ENOSPC"))
}

func TestSQLiteReadOnly(t *testing.T) {
	s := newSQLiteWorld(t)
	s.prove("sqlite/read-only", s.disk("pwrite64", "EROFS"))
}

// A disk that takes what is written and can't promise to keep it.
func TestSQLiteSyncFails(t *testing.T) {
	s := newSQLiteWorld(t)
	s.prove("sqlite/sync-fails", s.disk("fdatasync,fsync", "EIO"))
}

// Locked: another program writes the file, against all advice.
func TestSQLiteLocked(t *testing.T) {
	s := newSQLiteWorld(t)
	other, err := sql.Open("sqlite", "file:"+s.path+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	s.prove("sqlite/locked", repeated(func() error {
		tx, err := other.BeginTx(context.Background(), nil)
		if err != nil {
			return err
		}
		time.Sleep(1200 * time.Millisecond)
		return tx.Rollback()
	}))
}
