package interlock_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// meanwhile does f between a Do's decision and its transaction, once.
func (s *spy) meanwhile(f func()) {
	s.within = func(_ context.Context, do func() error) error {
		s.within = nil
		f()
		return do()
	}
}

func counted(runs *int) handler {
	return func(context.Context, *sql.Tx, interlock.Transition) (any, error) { *runs++; return nil, nil }
}

// What Do has decided on is compared in its transaction, and decided again there
// where it has changed.
func TestDoIsDecidedOnWhatItCommitsOn(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, g *interlock.Gate)
		stage     interlock.Stage
		code      string // "": it goes through
		locks     int64
	}{
		"nothing has changed": {func(*testing.T, *interlock.Gate) {}, "", "", 0},
		"another's comment": {func(t *testing.T, g *interlock.Gate) {
			t.Helper()
			_, err := g.Fire(t.Context(), employee("evan"), comment("his"))
			require.NoError(t, err)
		}, "", "", 1},
		"another state": {func(t *testing.T, g *interlock.Gate) { t.Helper(); fire(t, g, employee("evan"), "17", "submit") }, interlock.StageConflict, "state_changed", 1},
		"another limit": {func(t *testing.T, g *interlock.Gate) { t.Helper(); limit(t, g, "mark", 7) }, "", "", 1},
		"no longer active": {func(t *testing.T, g *interlock.Gate) {
			t.Helper()
			off := false
			_, err := g.SetActor(t.Context(), root, "mark", nil, &off)
			require.NoError(t, err)
		}, interlock.StageIdentity, "inactive", 1},
	} {
		t.Run(name, func(t *testing.T) {
			g, st := spied(t, nil)
			newLoan(t, g, "17")
			limit(t, g, "mark", 5000)
			runs := 0
			st.meanwhile(func() { c.meanwhile(t, g) })
			res, _, err := interlock.Do(t.Context(), g, manager("mark"), comment("hers"), counted(&runs))
			require.Equal(t, c.locks, st.locks.Load())
			if c.code != "" {
				refusal(t, err, c.stage, c.code)
				require.Zero(t, runs)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 1, runs)
			require.Equal(t, []string{"mark"}, res.Instance.Did["comment"][len(res.Instance.Did["comment"])-1:])
		})
	}
}

// A decision that waited too long for its transaction is made again in it.
func TestDoOfAnOldDecision(t *testing.T) {
	for age, locks := range map[time.Duration]int64{time.Nanosecond: 1, time.Hour: 0} {
		g, st := spied(t, func(c *interlock.Config) { c.DecisionAge = age })
		newApart(t, g)
		st.locks.Store(0)
		runs := 0
		_, _, err := interlock.Do(t.Context(), g, employee("erin"), comment("hers"), counted(&runs))
		require.NoError(t, err)
		require.Equal(t, 1, runs)
		require.Equal(t, locks, st.locks.Load(), age)
	}
}

// newApart makes the loan where no decision is young enough to be committed behind it.
func newApart(t *testing.T, g *interlock.Gate) {
	t.Helper()
	_, _, err := interlock.CreateWith(t.Context(), g, employee("erin"),
		interlock.CreateRequest{Machine: "loan", ID: "17", Facts: map[string]any{"amount": 1000}},
		func(context.Context, *sql.Tx, interlock.Transition) (any, error) { return nil, nil })
	require.NoError(t, err)
}

// What a policy read of the application's columns is compared in the transaction of
// a Do, and so is the column that is bound.
func TestColumnsChangedBeforeDo(t *testing.T) {
	st := &spy{}
	a := newApp(t, func(c *interlock.Config) {
		st.Store = c.Store.(*sqlite.Store)
		c.Store = st
	})
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit", "review", "verify")
	approve := interlock.Request{Machine: "loan", ID: "7", Event: "approve"}
	st.meanwhile(func() { a.exec(t, `UPDATE loans SET amount = 900000`) })
	_, _, err := interlock.Do(t.Context(), a.Gate, manager("mark"), approve, never(t))
	require.Equal(t, []string{"within_limit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	require.Equal(t, "verified", a.status(t))

	a.exec(t, `UPDATE loans SET amount = 1000`)
	st.meanwhile(func() { a.exec(t, `UPDATE loans SET status = 'approved'`) })
	_, _, err = interlock.Do(t.Context(), a.Gate, manager("mark"), approve, never(t))
	refusal(t, err, interlock.StageConflict, "drift")

	a.exec(t, `UPDATE loans SET status = 'verified'`)
	st.meanwhile(func() { a.exec(t, `DELETE FROM loans`) })
	_, _, err = interlock.Do(t.Context(), a.Gate, manager("mark"), approve, never(t))
	refusal(t, err, interlock.StageConflict, "drift")

	// A row that was never adopted is adopted under its lock.
	a.exec(t, `INSERT INTO loans VALUES (8, 'created', 1000)`)
	runs := 0
	_, _, err = interlock.Do(t.Context(), a.Gate, employee("erin"), interlock.Request{Machine: "loan", ID: "8", Event: "submit"}, counted(&runs))
	require.NoError(t, err)
	require.Equal(t, 1, runs)

	// So is what the decision on such a row rests on: nobody has compared it before.
	a.exec(t, `INSERT INTO loans VALUES (9, 'created', 1000)`)
	gwen := interlock.Actor{ID: "gwen"}
	_, err = a.Grant(t.Context(), root, gwen.ID, "employee", interlock.Scope{})
	require.NoError(t, err)
	st.meanwhile(func() {
		_, err := a.Revoke(t.Context(), root, gwen.ID, "employee", interlock.Scope{})
		require.NoError(t, err)
	})
	_, _, err = interlock.Do(t.Context(), a.Gate, gwen, interlock.Request{Machine: "loan", ID: "9", Event: "submit"}, never(t))
	refusal(t, err, interlock.StageGraph, "not_found")
}
