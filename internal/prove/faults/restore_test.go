package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

// drill is a store of which a backup is taken under load and put back later.
type drill struct {
	open    func() (st interlock.Store, db *sql.DB, prefix string, closed func() error)
	backup  func() error // while the gate works
	restore func() error // while nothing does
}

// run is one drill: load, a backup in its middle, more load, and the backup put
// back. A start refuses such a store; after the operator's word everything goes
// on, and all that was acknowledged before the backup began is there.
func (d *drill) run(t *testing.T) (tried int, bad []string) {
	t.Helper()
	ctx := t.Context()
	var begun time.Time
	w, closed := d.start(t)
	require.NoError(t, w.Seed(ctx, instances))
	n := prove.Size(30, 400)
	before, err := load.Run(w.URL, load.Plan{Instances: instances, Workers: 4, Seed: 3, Requests: [3]int{n, n, n},
		Break: func() error { begun = time.Now(); return d.backup() }, Heal: func() error { return nil }})
	require.NoError(t, err)
	require.NoError(t, w.Store.(interface{ Mark(context.Context) error }).Mark(ctx)) // as happens each minute
	closed()
	require.NoError(t, d.restore())

	st, _, _, shut := d.open()
	err = st.(interface{ Migrate(context.Context) error }).Migrate(ctx)
	var rewound *interlock.RewoundError
	if !errors.As(err, &rewound) {
		bad = append(bad, fmt.Sprintf("a start on the restored store was not refused: %v", err))
	}
	_, err = st.(interface {
		BumpEpoch(context.Context, string) (interlock.Epoch, error)
	}).BumpEpoch(ctx, "the drill")
	require.NoError(t, err)
	require.NoError(t, shut())

	w, closed = d.start(t)
	defer closed()
	after, err := load.Run(w.URL, load.Plan{Instances: instances, Workers: 4, Seed: 4, Requests: [3]int{n, 0, 0}})
	require.NoError(t, err)
	kept := load.Ledger{Ops: after.Ops, Instances: instances}
	for _, o := range before.Ops {
		if o.Ended.Before(begun) && o.Status == http.StatusOK && o.Kind != "read" {
			kept.Ops = append(kept.Ops, o)
		}
	}
	found, err := kept.Check(ctx, w.Store, load.Terms{})
	require.NoError(t, err)
	again, err := w.Replay(ctx)
	require.NoError(t, err)
	return len(before.Ops) + len(after.Ops), append(append(bad, found...), again...)
}

func (d *drill) start(t *testing.T) (*load.World, func()) {
	t.Helper()
	st, db, prefix, shut := d.open()
	w, err := load.Open(load.Config{Store: st, DB: db, Prefix: prefix})
	require.NoError(t, err)
	return w, func() {
		require.NoError(t, w.Close())
		require.NoError(t, shut())
	}
}

// drills runs n of them.
func drills(t *testing.T, claim string, d *drill) {
	t.Helper()
	n, requests := prove.Size(1, 3), 0
	var bad []string
	for range n {
		tried, wrong := d.run(t)
		requests, bad = requests+tried, append(bad, wrong...)
	}
	for _, why := range bad[:min(20, len(bad))] {
		t.Error(why)
	}
	prove.Record(t, prove.Row{Claim: claim, Tried: n, Least: 3, Violations: len(bad), Note: fmt.Sprintf("%d requests around them", requests)})
}

func TestRestoreSQLite(t *testing.T) {
	together(t)
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "it.db"), filepath.Join(dir, "backup.db")
	drills(t, "restore/sqlite", &drill{
		open: func() (interlock.Store, *sql.DB, string, func() error) {
			st, err := sqlite.Open(path)
			require.NoError(t, err)
			return st, st.DB(), "interlock_", st.Close
		},
		backup: func() error {
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
			if err != nil {
				return err
			}
			_ = os.Remove(backup)
			_, err = db.Exec(`VACUUM INTO ?`, backup)
			return errors.Join(err, db.Close())
		},
		restore: func() error {
			_, _ = os.Remove(path+"-wal"), os.Remove(path+"-shm")
			b, err := os.ReadFile(backup)
			if err != nil {
				return err
			}
			return os.WriteFile(path, b, 0o600)
		},
	})
}

func TestRestorePostgres(t *testing.T) {
	together(t)
	server := testservice.NewPostgres(t)
	var dir string
	backup, witness := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "witness")
	drills(t, "restore/postgres", &drill{
		open: func() (interlock.Store, *sql.DB, string, func() error) {
			cfg, err := pgxpool.ParseConfig(server.URL())
			require.NoError(t, err)
			pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
			require.NoError(t, err)
			db, err := sql.Open("pgx", server.URL())
			require.NoError(t, err)
			require.NoError(t, db.QueryRow(`SHOW data_directory`).Scan(&dir))
			return postgres.New(pool, postgres.Witness(witness)), db, `"interlock".`, func() error { pool.Close(); return db.Close() }
		},
		backup: func() error {
			if err := os.RemoveAll(backup); err != nil {
				return err
			}
			bin, err := exec.LookPath("pg_basebackup")
			if err != nil {
				return fmt.Errorf("%w: it belongs to PostgreSQL's clients (Debian: postgresql-client)", err)
			}
			out, err := exec.Command(bin, "-d", server.URL(), "-D", backup, "-X", "stream", "-c", "fast", "--no-sync").CombinedOutput()
			if err != nil {
				return fmt.Errorf("pg_basebackup: %w: %s", err, out)
			}
			return nil
		},
		restore: func() error {
			server.Stop()
			info, err := os.Stat(dir)
			if err != nil {
				return err
			}
			owner := info.Sys().(*syscall.Stat_t)
			if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(backup)), os.Chmod(dir, 0o700)); err != nil {
				return err
			}
			err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return os.Chown(path, int(owner.Uid), int(owner.Gid))
			})
			if err != nil {
				return err
			}
			server.Restart()
			return nil
		},
	})
}
