package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// forever is a query that only its context ends, and that tells when it runs.
const forever = "WITH RECURSIVE c(x) AS (SELECT it_runs() UNION ALL SELECT x + 1 FROM c WHERE x < 4000000000) SELECT sum(x) FROM c"

// itRuns is called by a query that runs.
var itRuns atomic.Pointer[func()]

func init() {
	sqlite.MustRegisterScalarFunction("it_runs", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		if told := itRuns.Load(); told != nil {
			(*told)()
		}
		return int64(1), nil
	})
}

// A statement of the application's that fails may end the whole transaction. The
// application passes over its error, and nothing that it writes afterwards is
// committed, as the step before isn't.
func TestNothingFollowsALostTransaction(t *testing.T) {
	execs := func(query string) func(*sql.Tx) error {
		return func(app *sql.Tx) error { _, err := app.Exec(query); return err }
	}
	const trigger, twice = "INSERT INTO app VALUES (0)", "INSERT OR ROLLBACK INTO once VALUES (1)"
	for name, fails := range map[string]func(*sql.Tx) error{
		"a trigger":      execs(trigger),
		"a context":      func(app *sql.Tx) error { return ended(app, "INSERT INTO app "+forever) },
		"or rollback":    execs(twice),
		"no room":        execs(noRoom),
		"a prepared one": func(app *sql.Tx) error { return preparedly(app, "INSERT OR ROLLBACK INTO once VALUES (1)") },
		"while it is read": func(app *sql.Tx) error {
			return reading(app, "INSERT INTO app SELECT 5 UNION ALL SELECT 0 RETURNING a")
		},
		"a query's context":                func(app *sql.Tx) error { return ended(app, "INSERT INTO app SELECT 1 WHERE EXISTS ("+forever+")") },
		"a trigger, while rows are open":   whileRowsAreOpen(execs(trigger)),
		"a context, while rows are open":   whileRowsAreOpen(func(app *sql.Tx) error { return ended(app, "INSERT INTO app "+forever) }),
		"or rollback, while rows are open": whileRowsAreOpen(execs(twice)),
		"no room, while rows are open":     whileRowsAreOpen(execs(noRoom)),
		"a context, while rows stay open": func(app *sql.Tx) error {
			rows, err := app.Query("SELECT 1 UNION ALL SELECT 2")
			require.NoError(t, err)
			t.Cleanup(func() {
				assert.ErrorIs(t, errors.Join(rows.Close(), rows.Err()), context.Canceled, "they end with the transaction")
			})
			require.True(t, rows.Next())
			return ended(app, "INSERT INTO app "+forever)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(filepath.Join(t.TempDir(), "w.db"))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			w := fill(t, s, "a")
			require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec(`CREATE TABLE app (a); CREATE TABLE plain (a); CREATE TABLE once (a UNIQUE); INSERT INTO once VALUES (1);
					CREATE TRIGGER no BEFORE INSERT ON app WHEN NEW.a = 0 BEGIN SELECT RAISE(ROLLBACK, 'no'); END`)
				return err
			}))
			for range 2 {
				err = s.Within(t.Context(), func(tx interlock.Tx) error {
					if err := tx.Apply(t.Context(), stepOf(w.epoch, "a", 2)); err != nil {
						return err
					}
					app := tx.Handle().(*sql.Tx)
					require.Error(t, fails(app))
					_, err := app.Exec("INSERT INTO app VALUES (1)")
					assert.ErrorIs(t, err, errEnded)
					assert.ErrorIs(t, app.QueryRow("SELECT 1").Scan(new(int)), errEnded)
					assert.Error(t, tx.Answer(t.Context(), interlock.Idempotency{Tenant: "default", Actor: "a", Key: "k", Token: "t"}, []byte("x")))
					return nil
				})
				require.ErrorIs(t, err, errEnded)
				var unknown *interlock.UnknownOutcome
				require.NotErrorAs(t, err, &unknown, "it is certain that nothing was")
				require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec(room); return err }))
			}
			var n int
			require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM app").Scan(&n))
			require.Zero(t, n)
			f, err := s.Load(t.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: "a"}, nil)
			require.NoError(t, err)
			require.EqualValues(t, 1, f.Instance.Version)
			require.NoError(t, s.Commit(t.Context(), stepOf(w.epoch, "a", 2)))
		})
	}
}

// noRoom finds no page for its row; room gives them back.
const (
	noRoom = "PRAGMA max_page_count = 1; INSERT INTO plain VALUES (zeroblob(1000000))"
	room   = "PRAGMA max_page_count = 1000000"
)

// ended runs a query whose context ends in the midst of it.
func ended(app *sql.Tx, query string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	end := (func())(cancel)
	itRuns.Store(&end)
	defer itRuns.Store(nil)
	_, err := app.ExecContext(ctx, query)
	return err
}

// whileRowsAreOpen: what interrupts a statement then interrupts all that follow, until
// nothing is read any more.
func whileRowsAreOpen(fails func(*sql.Tx) error) func(*sql.Tx) error {
	return func(app *sql.Tx) error {
		rows, err := app.Query("SELECT 1 UNION ALL SELECT 2")
		if err != nil || !rows.Next() {
			return nil
		}
		defer rows.Close()
		return errors.Join(fails(app), rows.Err())
	}
}

// A transaction that the application hasn't had has certainly left nothing, however it ended.
func TestALostTransactionOfOursIsCertain(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "w.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("CREATE TABLE once (a UNIQUE); INSERT INTO once VALUES (1)")
		return err
	}))
	lose := func(c sqlstore.Conn) error {
		_, err := c.Exec(t.Context(), "INSERT OR ROLLBACK INTO once VALUES (1)")
		require.Error(t, err)
		_, err = c.Exec(t.Context(), "INSERT INTO once VALUES (2)")
		require.ErrorIs(t, err, errEnded)
		return nil
	}
	for name, err := range map[string]error{
		"a transaction": s.database().InTx(t.Context(), func(tx sqlstore.Tx) error { return lose(tx) }),
		"a group":       s.database().Write(t.Context(), lose),
	} {
		require.ErrorIs(t, err, errEnded, name)
		var unknown *interlock.UnknownOutcome
		require.NotErrorAs(t, err, &unknown, name)
	}
	var n int
	require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM once").Scan(&n))
	require.Equal(t, 1, n)
}

func preparedly(app *sql.Tx, query string) error {
	stmt, err := app.Prepare(query)
	if err != nil {
		return nil
	}
	defer stmt.Close()
	_, err = stmt.Exec()
	return err
}

func reading(app *sql.Tx, query string) error {
	rows, err := app.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// A statement that fails without more leaves the transaction as it was.
func TestAFailedStatementIsItsOwnMatter(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "w.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE once (a UNIQUE); INSERT INTO once VALUES (1)`)
		require.NoError(t, err)
		_, err = tx.Exec("INSERT INTO once VALUES (1)")
		require.Error(t, err)
		_, err = tx.Exec("nonsense")
		require.Error(t, err)
		_, err = tx.Exec("INSERT INTO once VALUES (2)")
		return err
	}))
	var n int
	require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM once").Scan(&n))
	require.Equal(t, 2, n)
}

// What the application attached to its table may take long: the transaction's limit
// ends it, and the writer is free.
func TestALimitEndsAStatement(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "w.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE d (n); INSERT INTO d VALUES (0); CREATE TABLE slow (n)`)
		return err
	}))
	const as = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < (SELECT coalesce(max(n), 0) FROM slow)) "
	const write, read = as + "UPDATE d SET n = (SELECT max(x) FROM c)", as + "SELECT max(x) FROM c"
	for name, ask := range map[string]func(context.Context, sqlstore.Tx) error{
		"a write": func(ctx context.Context, tx sqlstore.Tx) error { _, err := tx.Exec(ctx, write); return err },
		"a read": func(ctx context.Context, tx sqlstore.Tx) error {
			rows, err := tx.Query(ctx, read)
			if err == nil {
				rows.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(limit time.Duration) error {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				return s.database().InTx(ctx, func(tx sqlstore.Tx) error { return ask(ctx, tx) })
			}
			for range 2 { // it is run straight from then on
				require.NoError(t, run(time.Minute))
			}
			require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec("INSERT INTO slow VALUES (4000000000)"); return err }))
			require.ErrorIs(t, run(200*time.Millisecond), context.DeadlineExceeded)
			require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec("DELETE FROM slow"); return err }))
		})
	}
}

// aggregatePanics: in its value, and once more when SQLite lets go of it.
var aggregatePanics atomic.Bool

type twicePanicking struct{}

func (twicePanicking) Step(*sqlite.FunctionContext, []driver.Value) error          { return nil }
func (twicePanicking) WindowInverse(*sqlite.FunctionContext, []driver.Value) error { return nil }
func (twicePanicking) WindowValue(*sqlite.FunctionContext) (driver.Value, error) {
	if aggregatePanics.Load() {
		panic("an aggregate of the application's")
	}
	return int64(1), nil
}

func (twicePanicking) Final(*sqlite.FunctionContext) {
	if aggregatePanics.Load() {
		panic("an aggregate of the application's")
	}
}

func init() {
	sqlite.MustRegisterFunction("twice_panicking", &sqlite.FunctionImpl{NArgs: 1,
		MakeAggregate: func(sqlite.FunctionContext) (sqlite.AggregateFunction, error) { return twicePanicking{}, nil }})
}

// An aggregate of the application's panics again when its statement is ended, or
// closed with its connection. It is an error, and the next has another connection.
func TestAPanicThatComesTwice(t *testing.T) {
	ask := func(c sqlstore.Conn) error {
		rows, err := c.Query(context.Background(), "SELECT twice_panicking(a) FROM t GROUP BY a")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	}
	for name, way := range map[string]func(*Store, context.Context) error{
		"a transaction": func(s *Store, ctx context.Context) error {
			return s.database().InTx(ctx, func(tx sqlstore.Tx) error { return ask(tx) })
		},
		"a group": func(s *Store, ctx context.Context) error { return s.database().Write(ctx, ask) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(filepath.Join(t.TempDir(), "w.db"))
			require.NoError(t, err)
			defer aggregatePanics.Store(false)
			require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
				return err
			}))
			run := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				return way(s, ctx)
			}
			for range 2 {
				require.NoError(t, run())
			}
			aggregatePanics.Store(true)
			require.ErrorContains(t, run(), "panicked")
			aggregatePanics.Store(false)
			require.NoError(t, run())
			require.NoError(t, s.Close())
		})
	}
}
