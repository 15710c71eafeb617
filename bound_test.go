package interlock_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// app is an application with its own table and a gate bound to it.
type app struct {
	*interlock.Gate
	st *sqlite.Store
}

func newApp(t *testing.T, change func(*interlock.Config)) app {
	t.Helper()
	st := memory(t, sqlite.Table("loan", "loans", "id", "status", "amount"))
	require.NoError(t, st.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE loans (id INTEGER PRIMARY KEY, status TEXT NOT NULL, amount INTEGER);
			CREATE TABLE bookings (loan INTEGER NOT NULL)`)
		return err
	}))
	g := newGate(t, func(c *interlock.Config) {
		c.Store = st
		if change != nil {
			change(c)
		}
	})
	for _, id := range []string{"erin", "mark"} {
		limit(t, g, id, 500000)
	}
	return app{g, st}
}

func (a app) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	require.NoError(t, a.st.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

func (a app) one(t *testing.T, query string) (s string) {
	t.Helper()
	require.NoError(t, a.st.DB().QueryRow(query).Scan(&s))
	return s
}

func (a app) status(t *testing.T) string { return a.one(t, `SELECT status FROM loans WHERE id = 7`) }

func TestATableBoundToNoMachineIsAnErrorAtStart(t *testing.T) {
	st := memory(t, sqlite.Table("laon", "loans", "id", "status"))
	_, err := interlock.New(interlock.Config{Machines: machines(t, loanYAML), Policy: loanRules(), Store: st})
	require.EqualError(t, err, `interlock: table loans is bound to machine "laon", which isn't in Config.Machines; there are: loan`)
}

func TestBoundRowMovesWithTheTransition(t *testing.T) {
	a := newApp(t, nil)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit") // adopted on the way
	require.Equal(t, "submitted", a.status(t))
	history, err := a.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "7"}, 0, 0)
	require.NoError(t, err)
	require.Equal(t, "$adopt", history[0].Event)
	require.Equal(t, "submit", history[1].Event)
	inst, err := a.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "7"})
	require.NoError(t, err)
	require.Equal(t, "1000", inst.Facts["amount"].(interface{ String() string }).String())
	require.Equal(t, []string{"erin"}, inst.Actors, "adoption is nobody's deed")
}

func TestDriftIsRefused(t *testing.T) {
	a := newApp(t, nil)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000), (8, 'verified', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit", "review", "verify")
	req := interlock.Request{Machine: "loan", ID: "7", Event: "approve"}
	a.exec(t, `UPDATE loans SET status = 'approved' WHERE id = 7`)
	_, err := a.Fire(t.Context(), manager("mark"), req)
	refusal(t, err, interlock.StageConflict, "drift")
	_, err = a.Available(t.Context(), manager("mark"), interlock.Ref{Machine: "loan", ID: "7"})
	refusal(t, err, interlock.StageConflict, "drift")
	require.Equal(t, "approved", a.status(t), "drift is reported, never mended silently")
	a.exec(t, `DELETE FROM loans WHERE id = 7`)
	_, err = a.Fire(t.Context(), manager("mark"), req)
	refusal(t, err, interlock.StageConflict, "drift")
	// A row that was never adopted is adopted in the initial state only.
	_, err = a.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "8", Event: "approve"})
	unseen := refusal(t, err, interlock.StageConflict, "drift").Message
	require.Contains(t, unseen, "the gate has never seen it")
	require.Contains(t, unseen, "Gate.Backfill", "the way in is told")
	require.NotContains(t, unseen, "history", "there is none")
	_, err = a.Get(t.Context(), manager("mark"), interlock.Ref{Machine: "loan", ID: "8"})
	refusal(t, err, interlock.StageConflict, "drift") // nothing vouches for its state, so it isn't said
}

func TestFactColumnsAreReadInTheCommit(t *testing.T) {
	a := newApp(t, nil)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit", "review", "verify")
	a.exec(t, `UPDATE loans SET amount = 900000 WHERE id = 7`)
	_, err := a.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "7", Event: "approve"})
	require.Equal(t, []string{"within_limit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	a.exec(t, `UPDATE loans SET amount = NULL WHERE id = 7`)
	_, err = a.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "7", Event: "approve"})
	require.Equal(t, []string{"facts_unfit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	_, err = a.EditFacts(t.Context(), employee("erin"), interlock.FactsRequest{Machine: "loan", ID: "7", Patch: map[string]any{"amount": 1}})
	refusal(t, err, interlock.StageGraph, "facts_locked")
}

func book(_ context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
	_, err := tx.Exec(`INSERT INTO bookings VALUES (?)`, t.Instance)
	return "booked " + t.Instance, err
}

func TestDoIsBothOrNeither(t *testing.T) {
	a := newApp(t, nil)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit", "review", "verify")
	req := interlock.Request{Machine: "loan", ID: "7", Event: "approve"}
	bookings := func() string { return a.one(t, `SELECT count(*) FROM bookings`) }

	_, _, err := interlock.Do(t.Context(), a.Gate, employee("erin"), req, book)
	refusal(t, err, interlock.StagePolicy, "denied")
	require.Equal(t, "0", bookings(), "a refused event runs no handler")

	broken := errors.New("no money")
	_, _, err = interlock.Do(t.Context(), a.Gate, manager("mark"), req, func(ctx context.Context, tx *sql.Tx, tr interlock.Transition) (any, error) {
		_, _ = book(ctx, tx, tr)
		return nil, broken
	})
	require.ErrorIs(t, err, broken)
	require.Panics(t, func() {
		_, _, _ = interlock.Do(t.Context(), a.Gate, manager("mark"), req, func(ctx context.Context, tx *sql.Tx, tr interlock.Transition) (any, error) {
			_, _ = book(ctx, tx, tr)
			panic("in the handler")
		})
	})
	_, _, err = interlock.Do(t.Context(), a.Gate, manager("mark"), req, func(_ context.Context, tx *sql.Tx, _ interlock.Transition) (any, error) {
		_, err := tx.Exec(`UPDATE loans SET status = 'denied' WHERE id = 7`)
		return nil, err
	})
	require.ErrorContains(t, err, "leave it to the gate")
	_, _, err = interlock.Do(t.Context(), a.Gate, manager("mark"), req, func(context.Context, string, interlock.Transition) (any, error) { return nil, nil })
	require.ErrorContains(t, err, "the handler takes")
	require.Equal(t, "0", bookings())
	require.Equal(t, "verified", a.status(t))

	runs := 0
	res, value, err := interlock.Do(t.Context(), a.Gate, manager("mark"), req, func(ctx context.Context, tx *sql.Tx, tr interlock.Transition) (any, error) {
		runs++
		var status string
		require.NoError(t, tx.QueryRow(`SELECT status FROM loans WHERE id = 7`).Scan(&status))
		require.Equal(t, "approved", status, "the handler sees the new state")
		return book(ctx, tx, tr)
	})
	require.NoError(t, err)
	require.Equal(t, "booked 7", value)
	require.Equal(t, "approved", res.Instance.State)
	require.Equal(t, 1, runs)
	require.Equal(t, "1", bookings())
	require.Equal(t, "approved", a.status(t))
}

func TestCreateWith(t *testing.T) {
	a := newApp(t, nil)
	insert := func(status string, amount int) func(context.Context, *sql.Tx, interlock.Transition) (any, error) {
		return func(_ context.Context, tx *sql.Tx, tr interlock.Transition) (any, error) {
			_, err := tx.Exec(`INSERT INTO loans VALUES (?, ?, ?)`, tr.Instance, status, amount)
			return nil, err
		}
	}
	req := interlock.CreateRequest{Machine: "loan", ID: "7"}
	rows := func() string { return a.one(t, `SELECT count(*) FROM loans`) }

	_, _, err := interlock.CreateWith(t.Context(), a.Gate, interlock.Actor{ID: "uma"}, req, insert("created", 5))
	refusal(t, err, interlock.StagePolicy, "denied")
	_, _, err = interlock.CreateWith(t.Context(), a.Gate, employee("erin"), req, insert("approved", 5))
	refusal(t, err, interlock.StageConflict, "drift")
	_, _, err = interlock.CreateWith(t.Context(), a.Gate, employee("erin"), req, insert("created", -5))
	refusal(t, err, interlock.StageInput, "facts_invalid")
	require.Equal(t, "0", rows(), "a refusal takes the application's row with it")
	_, err = a.Create(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageConflict, "drift") // no row

	res, _, err := interlock.CreateWith(t.Context(), a.Gate, employee("erin"), req, insert("created", 5))
	require.NoError(t, err)
	require.EqualValues(t, 1, res.Instance.Version)
	require.Equal(t, "1", rows())
	fire(t, a.Gate, employee("erin"), "7", "submit")
	require.Equal(t, "submitted", a.status(t))
}

func TestReadAfterDoSeesIt(t *testing.T) {
	cache := newCache()
	a := newApp(t, func(c *interlock.Config) { c.Cache = cache })
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit")
	cache.has(t, instKey("7"), 2)
	_, _, err := interlock.Do(t.Context(), a.Gate, employee("erin"), interlock.Request{Machine: "loan", ID: "7", Event: "review"}, book)
	require.NoError(t, err)
	inst, err := a.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "7"})
	require.NoError(t, err)
	require.Equal(t, "reviewed", inst.State, "what the handler may have changed is read again")
}

func TestCreateWithDryRun(t *testing.T) {
	a := newApp(t, nil)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 5)`)
	res, _, err := interlock.CreateWith(t.Context(), a.Gate, employee("erin"), interlock.CreateRequest{Machine: "loan", ID: "7", DryRun: true},
		func(context.Context, *sql.Tx, interlock.Transition) (any, error) {
			return nil, errors.New("a dry run runs no handler")
		})
	require.NoError(t, err)
	require.Equal(t, "created", res.Instance.State)
	require.EqualValues(t, 1, res.Instance.Version)
	_, err = a.History(t.Context(), root, interlock.Ref{Machine: "loan", ID: "7"}, 0, 0)
	require.NoError(t, err, "the row is there, unadopted")
}
