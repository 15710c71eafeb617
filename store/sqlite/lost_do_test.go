package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// The application's row and the transition are there, both or neither, and the answer
// says which, whatever a handler passes over.
func TestAHandlersRowAndTheTransitionAreOne(t *testing.T) {
	const insert = "INSERT INTO app VALUES (1)"
	for name, one := range map[string]struct {
		does func(*sql.Tx)
		both bool
	}{
		"nothing is lost": {both: true, does: func(app *sql.Tx) { _, _ = app.Exec(insert) }},
		"interrupted while rows are open": {does: func(app *sql.Tx) {
			_ = whileRowsAreOpen(func(app *sql.Tx) error { return ended(app, "INSERT INTO app "+forever) })(app)
			_, _ = app.Exec(insert)
		}},
		"rolled back while rows are open": {does: func(app *sql.Tx) {
			_ = whileRowsAreOpen(func(app *sql.Tx) error { _, err := app.Exec("INSERT OR ROLLBACK INTO app VALUES (0)"); return err })(app)
			_, _ = app.Exec(insert)
		}},
		"committed by its text": {does: func(app *sql.Tx) {
			_, _ = app.Exec(insert + "; COMMIT")
			_, _ = app.Exec("nonsense")
		}},
		"rolled back by its text, and begun anew": {does: func(app *sql.Tx) {
			_, _ = app.Exec("ROLLBACK; BEGIN; " + insert)
		}},
		"a read that is interrupted while rows are open": {both: true, does: func(app *sql.Tx) {
			_ = whileRowsAreOpen(func(app *sql.Tx) error { return ended(app, forever) })(app)
			_, _ = app.Exec(insert)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(filepath.Join(t.TempDir(), "w.db"))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			require.NoError(t, s.Write(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec("CREATE TABLE app (a UNIQUE); INSERT INTO app VALUES (0)")
				return err
			}))
			m, err := fsm.Parse("m.yaml", []byte("machine: m\ninitial: a\ncreate: {requires: [anyone]}\nread: {requires: [anyone]}\nstates: {a: {}, b: {}}\nevents:\n  go: {from: a, to: b, requires: [anyone]}\n"))
			require.NoError(t, err)
			g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: s, CommitTimeout: time.Minute, HandlerLimit: time.Minute})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, g.Close(context.Background())) })
			ann := interlock.Actor{ID: "ann"}
			_, err = g.Create(t.Context(), ann, interlock.CreateRequest{Machine: "m", ID: "1"})
			require.NoError(t, err)
			_, _, err = interlock.Do(t.Context(), g, ann, interlock.Request{Machine: "m", ID: "1", Event: "go"},
				func(_ context.Context, app *sql.Tx, _ interlock.Transition) (any, error) {
					one.does(app)
					return nil, nil
				})
			rows, version := 0, int64(1)
			if one.both {
				require.NoError(t, err)
				rows, version = 1, 2
			} else {
				require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageUnavailable, Code: "store_failed"})
			}
			var n int
			require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM app WHERE a = 1").Scan(&n))
			require.Equal(t, rows, n)
			f, err := s.Load(t.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "m", ID: "1"}, nil)
			require.NoError(t, err)
			require.Equal(t, version, f.Instance.Version)
		})
	}
}
