package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/interlock-go/interlock"
)

var panicNow atomic.Bool

func init() {
	sqlite.MustRegisterScalarFunction("panic_now", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		if panicNow.Load() {
			panic("a function of the application's")
		}
		return int64(1), nil
	})
}

// deskWorld has a bound machine, whose row d1 runs what the application attached to it.
func deskWorld(t *testing.T, trigger string, ids ...string) *world {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "x.db"), Table("desk", "desks", "id", "status"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE desks (id TEXT PRIMARY KEY, status TEXT); CREATE TABLE log (x);
			INSERT INTO desks VALUES ('d1', 'open'), ('d2', 'open');
			CREATE TRIGGER seen AFTER UPDATE ON desks WHEN NEW.id = 'd1' AND NEW.status <> 'open' BEGIN ` + trigger + `; END`)
		return err
	}))
	w := fill(t, s, ids...)
	require.NoError(t, s.Activate(t.Context(), interlock.Revision{Machine: "desk", ID: "r1", States: []string{"open"}}, 0))
	for _, id := range []string{"d1", "d2"} {
		require.NoError(t, s.Commit(t.Context(), joinOf(w.epoch, "of-"+id)))
		require.NoError(t, s.Commit(t.Context(), deskOf(w.epoch, id, 1)))
	}
	return w
}

func deskOf(epoch, id string, version int64) *interlock.Commit {
	c := stepOf(epoch, id, version)
	c.Revision.Machine, c.Instance.Next.Machine, c.Instance.Record.Machine = "desk", "desk", "desk"
	c.Instance.Record.ID += "-desk"
	c.Bound = &interlock.BoundChange{From: "open", To: "open"}
	if version > 1 {
		c.Bound.To = "shut"
	}
	return c
}

func (w *world) status(id string) (status string) {
	w.Helper()
	require.NoError(w, w.DB().QueryRow("SELECT status FROM desks WHERE id = ?", id).Scan(&status))
	return status
}

// What panics inside SQLite is the matter of its own commit; everybody else, in the
// same transaction and after it, has a connection that is in order.
func TestAPanicInsideTheDatabase(t *testing.T) {
	w := deskWorld(t, "INSERT INTO log SELECT panic_now()", "a", "b", "c", "d")
	panicNow.Store(true)
	defer panicNow.Store(false)
	require.ErrorContains(t, w.Commit(t.Context(), deskOf(w.epoch, "d1", 2)), "panicked", "alone")
	errs := w.CommitTogether(t.Context(), []*interlock.Commit{w.step("a"), deskOf(w.epoch, "d1", 2), deskOf(w.epoch, "d2", 2), w.step("b")})
	require.NoError(t, errs[0])
	require.ErrorContains(t, errs[1], "panicked")
	require.NoError(t, errs[2])
	require.NoError(t, errs[3])
	require.Equal(t, []string{"open", "shut"}, []string{w.status("d1"), w.status("d2")})
	require.ErrorContains(t, w.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE desks SET status = 'odd' WHERE id = 'd1'")
		return err
	}), "panicked", "the application's own")
	panicNow.Store(false)
	require.NoError(t, w.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec("INSERT INTO log VALUES (2)"); return err }))
	require.NoError(t, w.Commit(t.Context(), w.step("c")))
	require.NoError(t, w.Commit(t.Context(), deskOf(w.epoch, "d1", 2)))
	w.moved(map[string]bool{"a": true, "b": true, "c": true, "d": false})
}

// A row whose trigger rolls back all of the transaction refuses its own commit alone.
func TestWhatEndsTheTransaction(t *testing.T) {
	w := deskWorld(t, "SELECT RAISE(ROLLBACK, 'not this one')", "a", "b")
	errs := w.CommitTogether(t.Context(), []*interlock.Commit{w.step("a"), deskOf(w.epoch, "d1", 2), deskOf(w.epoch, "d2", 2), w.step("b"), w.step("a")})
	require.NoError(t, errs[0])
	require.ErrorContains(t, errs[1], "not this one")
	require.NoError(t, errs[2])
	require.NoError(t, errs[3])
	require.ErrorIs(t, errs[4], interlock.ErrStale)
	w.moved(map[string]bool{"a": true, "b": true})
	require.Equal(t, []string{"open", "shut"}, []string{w.status("d1"), w.status("d2")})
}

// Who passes over it that a statement of his has ended the transaction commits nothing.
func TestAnEndedTransactionCommitsNothing(t *testing.T) {
	w := deskWorld(t, "SELECT RAISE(ROLLBACK, 'not this one')", "a")
	err := w.Within(t.Context(), func(tx interlock.Tx) error {
		_, err := tx.Handle().(*sql.Tx).Exec("UPDATE desks SET status = 'odd'")
		require.ErrorContains(t, err, "not this one")
		require.ErrorIs(t, tx.Apply(t.Context(), w.step("a")), errEnded)
		return nil
	})
	require.Error(t, err)
	w.moved(map[string]bool{"a": false})
	require.Error(t, w.Within(t.Context(), func(tx interlock.Tx) error {
		_, err := tx.Handle().(*sql.Tx).Exec("COMMIT")
		require.Error(t, err)
		require.ErrorIs(t, tx.Apply(t.Context(), w.step("a")), errEnded)
		return nil
	}))
	w.moved(map[string]bool{"a": false})
	require.NoError(t, w.Within(t.Context(), func(tx interlock.Tx) error {
		_, err := tx.Handle().(*sql.Tx).Exec("INSERT INTO log VALUES (1)")
		require.NoError(t, err)
		return tx.Apply(t.Context(), w.step("a"))
	}))
	w.moved(map[string]bool{"a": true})
}

// The application can't end the transaction by its text, and pass over it: nothing is
// committed but by the transaction's commit, and what was applied and what the
// application wrote are certainly not there, neither of them.
func TestTheEndBehindOurBack(t *testing.T) {
	const write = "INSERT INTO log VALUES (1)"
	for _, text := range []string{"COMMIT", "END", "ROLLBACK", "ROLLBACK; BEGIN", "COMMIT; BEGIN", "ROLLBACK; " + write, "ROLLBACK; BEGIN; " + write + "; COMMIT",
		write + "; COMMIT", "ROLLBACK; BEGIN; " + write, "ROLLBACK; SAVEPOINT s; " + write + "; RELEASE s"} {
		for name, after := range map[string]func(*world, interlock.Tx) error{
			"nothing":      func(*world, interlock.Tx) error { return nil },
			"another step": func(w *world, tx interlock.Tx) error { return tx.Apply(w.Context(), stepOf(w.epoch, "a", 3)) },
			"a read": func(w *world, tx interlock.Tx) error {
				_, err := tx.Load(w.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: "a"}, nil)
				return err
			},
			"an answer": func(w *world, tx interlock.Tx) error {
				return tx.Answer(w.Context(), interlock.Idempotency{Tenant: interlock.DefaultTenant, Actor: "a", Key: "k", Token: "t"}, []byte("x"))
			},
			"a row": func(_ *world, tx interlock.Tx) error {
				_, err := tx.Handle().(*sql.Tx).Exec(write)
				return err
			},
		} {
			t.Run(text+", then "+name, func(t *testing.T) {
				w := newWorld(t, "a")
				require.NoError(t, w.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec("CREATE TABLE log (a)"); return err }))
				for range 2 {
					err := w.Within(t.Context(), func(tx interlock.Tx) error {
						require.NoError(t, tx.Apply(t.Context(), w.step("a")))
						app := tx.Handle().(*sql.Tx)
						_, _ = app.Exec(text)
						_, err := app.Exec("nonsense")
						require.ErrorIs(t, err, errEnded)
						return after(w, tx)
					})
					require.ErrorIs(t, err, errEnded)
					var unknown *interlock.UnknownOutcome
					require.NotErrorAs(t, err, &unknown)
					w.moved(map[string]bool{"a": false})
				}
				var rows int
				require.NoError(t, w.DB().QueryRow("SELECT count(*) FROM log").Scan(&rows))
				require.Zero(t, rows)
				require.NoError(t, w.Commit(t.Context(), w.step("a")))
			})
		}
	}
}

// Who passes over a panic of the driver's, which may have written a part, commits nothing.
func TestAPanicPassedOverCommitsNothing(t *testing.T) {
	w := newWorld(t, "a")
	defer panicNow.Store(false)
	require.NoError(t, w.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec("CREATE TABLE log (a)"); return err }))
	err := w.Within(t.Context(), func(tx interlock.Tx) error {
		require.NoError(t, tx.Apply(t.Context(), w.step("a")))
		panicNow.Store(true)
		_, err := tx.Handle().(*sql.Tx).Exec("INSERT INTO log SELECT 1 UNION ALL SELECT panic_now()")
		require.ErrorContains(t, err, "panicked")
		panicNow.Store(false)
		return nil
	})
	require.ErrorIs(t, err, errEnded)
	w.moved(map[string]bool{"a": false})
	require.NoError(t, w.Commit(t.Context(), w.step("a")))
}

// panicking is a connection on which something panics.
type panicking struct {
	driverConn
	at string
}

func (p panicking) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if p.at == "begin" {
		panic("begin")
	}
	tx, err := p.driverConn.BeginTx(ctx, o)
	return panickingTx{tx, p.at}, err
}

type panickingTx struct {
	driver.Tx
	at string
}

func (t panickingTx) Commit() error {
	if t.at == "commit" {
		panic("commit")
	}
	return t.Tx.Commit()
}

func (t panickingTx) Rollback() error {
	if t.at == "rollback" {
		panic("rollback")
	}
	return t.Tx.Rollback()
}

func TestADriverThatPanics(t *testing.T) {
	for _, at := range []string{"begin", "commit", "rollback"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t, "a", "b", "c")
			var unknown *interlock.UnknownOutcome
			for _, write := range map[string]func() error{
				"in a group": func() error { return w.Commit(t.Context(), conflictOf(w, at == "rollback")) },
				"in one's own": func() error {
					return w.Within(t.Context(), func(tx interlock.Tx) error { return tx.Apply(t.Context(), conflictOf(w, at == "rollback")) })
				},
				"the application": func() error {
					return w.Write(t.Context(), func(*sql.Tx) error { return map[bool]error{true: interlock.ErrStale}[at == "rollback"] })
				},
			} {
				w.replace(func(c driverConn) driverConn { return panicking{c, at} })
				err := write()
				require.Error(t, err)
				require.Equal(t, at == "commit", errors.As(err, &unknown), "%v", err)
				w.moved(map[string]bool{"a": false})
			}
			require.NoError(t, w.Commit(t.Context(), w.step("b")))
			require.NoError(t, w.Write(t.Context(), func(*sql.Tx) error { return nil }))
			w.moved(map[string]bool{"a": false, "b": true})
		})
	}
}

func conflictOf(w *world, conflict bool) *interlock.Commit {
	c := w.step("a")
	if conflict {
		c.Instance.PrevHead = aDigest
	}
	return c
}

// While somebody else holds the file, who leaves has left, certainly; and the
// connection is none the worse.
func TestLeavingWhileTheFileIsHeld(t *testing.T) {
	w := newWorld(t, "a", "b")
	path := w.file()
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	require.NoError(t, err)
	defer other.Close()
	tx, err := other.Begin()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = w.Commit(ctx, w.step("a"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	time.Sleep(0)
	require.NoError(t, tx.Rollback())
	require.NoError(t, w.Commit(t.Context(), w.step("b")))
	w.moved(map[string]bool{"a": false, "b": true})

	require.NoError(t, w.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec("PRAGMA busy_timeout = 0"); return err }))
	before := w.connection()
	tx, err = other.Begin()
	require.NoError(t, err)
	require.ErrorContains(t, w.Commit(t.Context(), w.step("a")), "locked")
	require.Same(t, before, w.connection())
	require.NoError(t, tx.Rollback())
	w.moved(map[string]bool{"a": false})
}

// A refusal that rests on what was rolled back with it says only that nothing was written.
func TestARefusalOnWhatWasRolledBack(t *testing.T) {
	w := newWorld(t, "a")
	w.replace(func(c driverConn) driverConn { return broken{driverConn: c, commit: errors.New("gone")} })
	create := func() *interlock.Commit {
		c := stepOf(w.epoch, "new", 1)
		c.Actors[0].ID = "of-a"
		return c
	}
	errs := w.CommitTogether(t.Context(), []*interlock.Commit{create(), create(), w.step("a")})
	var unknown *interlock.UnknownOutcome
	require.ErrorAs(t, errs[0], &unknown)
	require.ErrorIs(t, errs[1], interlock.ErrStale)
	require.ErrorAs(t, errs[2], &unknown)
}

// failing is a connection of which one kind of statement fails where it goes on reading.
type failing struct{ driverConn }

func (f failing) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := f.driverConn.PrepareContext(ctx, query)
	if err != nil || !strings.Contains(query, "interlock_store") {
		return s, err
	}
	return failingStmt{s.(preparedStmt), f.driverConn}, nil
}

type failingStmt struct {
	preparedStmt
	on driverConn
}

func (s failingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	r, err := s.preparedStmt.QueryContext(ctx, args)
	return failingRows{r, s.on}, err
}

type failingRows struct {
	driver.Rows
	on driverConn
}

func (r failingRows) Next([]driver.Value) error {
	_ = r.Rows.Close()
	_, _ = r.on.ExecContext(context.Background(), "ROLLBACK", nil)
	return errors.New("disk I/O error")
}

// An error of the disk in the midst of reading ends the transaction by itself:
// nothing goes on in it, statement by statement; all have another one.
func TestReadingThatEndsTheTransaction(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	w.replace(func(c driverConn) driverConn { return failing{c} })
	for _, err := range w.CommitTogether(t.Context(), []*interlock.Commit{w.step("a"), w.step("b"), w.step("c")}) {
		require.NoError(t, err)
	}
	w.moved(map[string]bool{"a": true, "b": true, "c": true})
}

// Close waits for the transaction that is being written, and those who wait get an error.
func TestCloseWaitsForTheWriter(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "x.db"))
	require.NoError(t, err)
	w := fill(t, s, "a")
	began, release, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	wrote := make(chan error, 1)
	go func() {
		wrote <- s.Write(context.Background(), func(*sql.Tx) error { close(began); <-release; return nil })
	}()
	<-began
	go func() { defer close(closed); _ = s.Close() }()
	select {
	case <-closed:
		require.Fail(t, "closed in the midst of a transaction")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	require.NoError(t, <-wrote)
	<-closed
	require.Error(t, s.Commit(t.Context(), w.step("a")))
}

// connection is the writer's.
func (w *world) connection() (own *connection) {
	w.Helper()
	conn, err := w.writer.db.Conn(w.Context())
	require.NoError(w, err)
	defer conn.Close()
	require.NoError(w, conn.Raw(func(c any) error { own = c.(*connection); return nil }))
	return own
}

// replace puts another connection of the driver's under the writer.
func (w *world) replace(by func(driverConn) driverConn) {
	w.Helper()
	w.replaceIn(w.writer.db, by)
}

func (w *world) replaceIn(db *sql.DB, by func(driverConn) driverConn) {
	w.Helper()
	conn, err := db.Conn(w.Context())
	require.NoError(w, err)
	defer conn.Close()
	require.NoError(w, conn.Raw(func(c any) error {
		own := c.(*connection)
		for _, s := range own.prepared {
			require.NoError(w, s.Close())
		}
		clear(own.prepared)
		own.driverConn = by(own.driverConn)
		return nil
	}))
}

func (w *world) file() (path string) {
	w.Helper()
	require.NoError(w, w.DB().QueryRow("SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path))
	return path
}
