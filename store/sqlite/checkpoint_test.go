package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// CheckpointAfter lets the log be copied after so many pages.
func (s *Store) CheckpointAfter(pages int64) { s.checkpoints.set(pages) }

// CheckpointsEnd waits for one that runs; nobody else may write.
func (s *Store) CheckpointsEnd() { s.checkpoints.ended.Wait() }

// logWorld has a short log, and one client, who takes the steps of one instance.
// What would run beside him runs between his steps.
type logWorld struct {
	*world
	version int64
	due     bool
	between func() // a commit and what comes of it
}

const short = 64

func newLogWorld(t *testing.T) *logWorld {
	t.Helper()
	w := &logWorld{world: newWorld(t, "a"), version: 1}
	w.CheckpointAfter(short)
	w.checkpoints.run = func() { w.due = true }
	return w
}

// steps commits n times; ran is how often a checkpoint was due.
func (w *logWorld) steps(n int) (ran int) {
	w.Helper()
	for range n {
		w.version++
		require.NoError(w, w.Commit(w.Context(), stepOf(w.epoch, "a", w.version)))
		if w.between != nil {
			w.between()
		}
		if w.due {
			w.due = false
			w.checkpoints.checkpoint()
			ran++
		}
	}
	return ran
}

// pages is how long the log's file has become.
func (w *logWorld) pages() int64 {
	w.Helper()
	log, err := os.Stat(w.file() + "-wal")
	require.NoError(w, err)
	return log.Size() / 4096
}

func (w *logWorld) written() int64 { return w.checkpoints.written.Load() }

// on puts another connection of the driver's under the checkpoints.
func (w *logWorld) on(by func(driverConn) driverConn) {
	w.Helper()
	w.replaceIn(w.checkpoints.db, by)
}

// Steady commits write the same pages of the log again and again.
func TestTheLogBeginsAnew(t *testing.T) {
	w := newLogWorld(t)
	began := w.written() // before: its file has as much already
	ran := w.steps(400)
	require.Greater(t, w.written()-began, int64(1000))
	require.Greater(t, ran, 10)
	require.Less(t, w.pages(), began+2*short)
	require.NoError(t, w.Checkpointed())
	w.moved2()
}

// moved2: all of the steps are there.
func (w *logWorld) moved2() {
	w.Helper()
	f, err := w.Load(w.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: "a"}, nil)
	require.NoError(w, err)
	require.Equal(w, w.version, f.Instance.Version)
}

// The same with many clients and readers, beside whom it is copied.
func TestTheLogIsCopiedBesideTheWriter(t *testing.T) {
	const clients, each = 8, 150
	ids := make([]string, clients)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	s, err := Open(filepath.Join(t.TempDir(), "x.db"), Memory(0))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	w := fill(t, s, ids...)
	w.CheckpointAfter(short)
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			for v := int64(2); v < 2+each; v++ {
				if err := w.Commit(t.Context(), stepOf(w.epoch, id, v)); err != nil {
					t.Error(id, v, err)
					return
				}
				f, err := w.Load(t.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: id}, nil)
				if err != nil || f.Instance.Version != v {
					t.Error(id, v, err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, w.Checkpointed())
	log, err := os.Stat(w.file() + "-wal")
	require.NoError(t, err)
	require.Less(t, log.Size()/4096, w.checkpoints.written.Load()/2)
}

// Who reads an older state keeps it, however long he reads, and the log grows
// meanwhile; that is told. When he has let go, it begins anew.
func TestAReaderHoldsTheLogUp(t *testing.T) {
	w := newLogWorld(t)
	restarts := w.restarts(func() {})
	reader, err := w.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer reader.Rollback()
	var n int
	count := func() int {
		require.NoError(t, reader.QueryRow("SELECT count(*) FROM interlock_history").Scan(&n))
		return n
	}
	before := count()
	w.steps(20)
	require.NoError(t, w.Checkpointed(), "that is nothing yet")
	w.steps(300)
	require.Greater(t, w.pages(), int64(8*short))
	require.ErrorContains(t, w.Checkpointed(), "one holds an old state")
	require.Zero(t, *restarts, "the writer waits for nobody who takes so long")
	require.Equal(t, before, count())
	require.NoError(t, reader.Rollback())

	w.steps(2 * short / 8)
	require.NoError(t, w.Checkpointed())
	long, written := w.pages(), w.written()
	w.steps(400)
	require.Greater(t, w.written()-written, int64(1000))
	require.Equal(t, long, w.pages(), "it is written from its beginning")
	w.moved2()
}

// A log that could not begin anew, for who read it then read all of it, is looked at sooner.
func TestAReaderOfTheNewestState(t *testing.T) {
	w := newLogWorld(t)
	w.steps(400)
	was := w.written()
	for w.written() < was+short-8 {
		w.steps(1)
	}
	long := w.pages()
	for range 3 { // the log can be copied, and not begin anew
		reader, err := w.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		var n int
		require.NoError(t, reader.QueryRow("SELECT count(*) FROM interlock_history").Scan(&n))
		w.checkpoints.checkpoint()
		w.steps(short / 4)
		require.NoError(t, reader.Rollback())
	}
	w.steps(100)
	require.Less(t, w.pages(), long+6*short)
	w.moved2()
}

// obstructed is a connection on which a statement fails, or whatever else.
type obstructed struct {
	driverConn
	query func(context.Context) error
}

func (f obstructed) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := f.query(ctx); err != nil {
		return nil, err
	}
	return f.driverConn.QueryContext(ctx, query, args)
}

// A checkpoint that fails is no commit's matter. It is told, and tried again.
func TestACheckpointThatFails(t *testing.T) {
	for name, fail := range map[string]func() error{
		"no room": func() error { return errors.New("no room") },
		"panics":  func() error { panic("the driver") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newLogWorld(t)
			fails := 0
			breaks := func(c driverConn) driverConn {
				return obstructed{c, func(context.Context) error { fails++; return fail() }}
			}
			w.on(breaks)
			for n := range 3 {
				require.Equal(t, n, fails)
				for w.steps(1) == 0 {
				}
				require.ErrorContains(t, w.Checkpointed(), "grows")
				if n < 2 {
					w.on(breaks) // where it panicked, it is another one
				}
			}
			w.on(func(c driverConn) driverConn {
				for f, ok := c.(obstructed); ok; f, ok = c.(obstructed) {
					c = f.driverConn
				}
				return c
			})
			for w.steps(1) == 0 {
			}
			require.NoError(t, w.Checkpointed())
			w.moved2()
		})
	}
}

// Another program may copy the log itself, or hold it; ours comes later.
func TestAnotherProgramHoldsTheLog(t *testing.T) {
	w := newLogWorld(t)
	w.steps(2)
	reader, err := w.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer reader.Rollback()
	var n int
	require.NoError(t, reader.QueryRow("SELECT count(*) FROM interlock_history").Scan(&n))
	w.steps(2)
	other, err := sql.Open("sqlite", "file:"+w.file()+"?_pragma=busy_timeout(60000)")
	require.NoError(t, err)
	defer other.Close()
	done := make(chan error, 1)
	go func() { // it waits for the reader, and holds the log meanwhile
		var err error
		for busy := true; busy && err == nil; { // until it was the first to come
			err = other.QueryRow("PRAGMA wal_checkpoint(RESTART)").Scan(&busy, new(int), new(int))
		}
		done <- err
	}()
	require.Eventually(t, func() bool {
		p, err := w.checkpoints.pass()
		return err == nil && p.locked
	}, 20*time.Second, time.Millisecond)
	w.checkpoints.checkpoint()
	require.NoError(t, w.Checkpointed())
	require.Less(t, w.checkpoints.due.Load(), w.written()+short/4, "it is tried again soon")
	require.NoError(t, reader.Rollback())
	require.NoError(t, <-done)
	require.Positive(t, w.steps(short))
	p, err := w.checkpoints.pass()
	require.NoError(t, err)
	require.False(t, p.locked)
	w.moved2()
}

// What is left is copied in the writer's turn, which is given back while a pass takes
// long; then it was not alone, and there is another one.
func TestWhatIsLeftIsCopiedInTheWritersTurn(t *testing.T) {
	synctest.Test(t, testWhatIsLeft) // whose clock stands still but where a pass takes long
}

func testWhatIsLeft(t *testing.T) {
	w := newLogWorld(t)
	var held []bool
	w.on(func(c driverConn) driverConn {
		return obstructed{c, func(context.Context) error {
			held = append(held, len(w.writer.turn) == 1)
			if len(held) == 2 { // long
				limit, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if err := w.writer.wait(limit); err != nil {
					return err
				}
				w.writer.end()
			}
			return nil
		}}
	})
	for w.steps(1) == 0 {
	}
	require.NoError(t, w.Checkpointed())
	require.Equal(t, []bool{false, true, true}, held[:min(3, len(held))])
	require.Empty(t, w.writer.turn)
	w.moved2()
}

// Close ends a checkpoint in its midst, whether it copies or waits its turn, and
// leaves the file whole, without a log.
func TestCloseEndsACheckpoint(t *testing.T) {
	for _, where := range []string{"copying", "waiting", "in the turn"} {
		t.Run(where, func(t *testing.T) {
			s, err := Open(filepath.Join(t.TempDir(), "x.db"))
			require.NoError(t, err)
			w := &logWorld{world: fill(t, s, "a"), version: 1}
			path := w.file()
			began, passes := make(chan struct{}), 0
			w.CheckpointAfter(short)
			w.on(func(c driverConn) driverConn {
				return obstructed{c, func(ctx context.Context) error {
					if passes++; passes == map[string]int{"copying": 1, "in the turn": 2}[where] {
						close(began)
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				}}
			})
			due := false
			w.checkpoints.run = func() { due = true }
			for !due {
				w.version++
				require.NoError(t, w.Commit(t.Context(), stepOf(w.epoch, "a", w.version)))
			}
			release, held := make(chan struct{}), make(chan error, 1)
			if where == "waiting" {
				has := make(chan struct{})
				go func() {
					held <- w.Write(context.Background(), func(*sql.Tx) error { close(has); <-release; return nil })
				}()
				<-has
				close(began)
			} else {
				held <- nil
			}
			w.checkpoints.ended.Go(w.checkpoints.checkpoint)
			<-began
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			<-w.checkpoints.ctx.Done()
			close(release)
			require.NoError(t, <-closed)
			<-held // whether it was before Close or behind it
			_, err = os.Stat(path + "-wal")
			require.ErrorIs(t, err, os.ErrNotExist)

			again, err := Open(path)
			require.NoError(t, err)
			defer again.Close()
			f, err := again.Load(t.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: "a"}, nil)
			require.NoError(t, err)
			require.Equal(t, w.version, f.Instance.Version)
		})
	}
}

// Transactions of the application's fill the log like any other.
func TestApplicationsFillTheLog(t *testing.T) {
	w := newLogWorld(t)
	require.NoError(t, w.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec("CREATE TABLE own (x)"); return err }))
	before := w.written()
	require.NoError(t, w.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO own VALUES (zeroblob(4096 * 100))")
		return err
	}))
	require.GreaterOrEqual(t, w.written()-before, int64(100))
	require.True(t, w.due)
}
