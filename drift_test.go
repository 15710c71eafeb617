package interlock_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

var seventh = interlock.Ref{Machine: "loan", ID: "7"}

// admin is a person with the role, who can't be the system.
func admin(t *testing.T, g *interlock.Gate) interlock.Actor {
	t.Helper()
	require.NoError(t, g.Bootstrap(t.Context(), "", "ada"))
	return interlock.Actor{ID: "ada"}
}

func (a app) drift(t *testing.T, by interlock.Actor) (all []string) {
	t.Helper()
	for d, err := range a.Drift(t.Context(), by, "loan") {
		require.NoError(t, err)
		all = append(all, d.String())
	}
	return all
}

// Found, refused, reported, and repaired by history's word, never by the column's.
func TestDriftIsFoundAndRepaired(t *testing.T) {
	told := &alarms{}
	var after []interlock.Transition
	a := newApp(t, func(c *interlock.Config) {
		c.Observer = told
		c.After = []func(context.Context, interlock.Transition){func(_ context.Context, tr interlock.Transition) { after = append(after, tr) }}
	})
	ada := admin(t, a.Gate)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000), (8, 'verified', 5), (9, 'created', 5)`)
	fire(t, a.Gate, employee("erin"), "7", "submit")
	require.Equal(t, []string{`loan/8: the row says "verified" and was never adopted`, `loan/9: the row says "created" and was never adopted`}, a.drift(t, ada))
	require.Empty(t, told.taken())

	a.exec(t, `UPDATE loans SET status = 'approved' WHERE id = 7`)
	_, err := a.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "7", Event: "review"})
	refusal(t, err, interlock.StageConflict, "drift")
	require.Contains(t, a.drift(t, ada), `loan/7: history says "submitted" (version 2), the row says "approved"`)
	require.Equal(t, []string{"drift", "drift"}, told.taken(), "one of the refusal, one of the look")

	before, err := a.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "9"})
	require.NoError(t, err)
	require.Equal(t, "created", before.State)
	res, err := a.Repair(t.Context(), ada, seventh, "somebody wrote into the table")
	require.NoError(t, err)
	require.Equal(t, "submitted", a.status(t))
	require.Equal(t, "submitted", res.Instance.State)
	require.NotContains(t, a.drift(t, ada), "loan/7")
	row := res.Transition
	require.Equal(t, []any{"$repair", "submitted", "submitted", "ada", "somebody wrote into the table", map[string]any{"found": "approved"}},
		[]any{row.Event, row.From, row.To, row.Actor, row.Note, row.Input})
	require.Equal(t, row, after[len(after)-1])
	require.Equal(t, []string{"erin"}, res.Instance.Entered["submitted"], "a repair enters nobody")
	require.Empty(t, res.Instance.Did["$repair"])
	fire(t, a.Gate, employee("erin"), "7", "review")

	again, err := a.Repair(t.Context(), ada, seventh, "once more")
	require.NoError(t, err)
	require.Empty(t, again.Transition.ID, "nothing was to be done")
	require.EqualValues(t, 4, versionOf(t, a.Gate, "loan", "7"))
	report, err := interlock.Verify(t.Context(), a.st, nil)
	require.NoError(t, err)
	require.Empty(t, report.Bad)
}

func TestWhatCannotBeRepaired(t *testing.T) {
	a := newApp(t, nil)
	ada := admin(t, a.Gate)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000), (8, 'verified', 5)`)
	fire(t, a.Gate, employee("erin"), "7", "submit")
	a.exec(t, `UPDATE loans SET status = 'approved' WHERE id = 7`)
	repair := func(by interlock.Actor, ref interlock.Ref, note string) error {
		_, err := a.Repair(t.Context(), by, ref, note)
		return err
	}
	refusal(t, repair(manager("mark"), seventh, "n"), interlock.StagePolicy, "denied")
	onBehalf := ada
	onBehalf.OnBehalfOf = &interlock.Actor{ID: "mark"}
	refusal(t, repair(onBehalf, seventh, "n"), interlock.StagePolicy, "denied")
	refusal(t, repair(ada, seventh, " "), interlock.StageInput, "note_required")
	refusal(t, repair(ada, interlock.Ref{Machine: "loan", ID: "8"}, "n"), interlock.StageConflict, "drift")
	refusal(t, repair(ada, interlock.Ref{Machine: "lone", ID: "7"}, "n"), interlock.StageGraph, "not_found")
	require.Equal(t, "approved", a.status(t))
	a.exec(t, `DELETE FROM loans WHERE id = 7`)
	require.ErrorContains(t, repair(ada, seventh, "n"), `put it back in state "submitted"`)
	for _, err := range a.Drift(t.Context(), manager("mark"), "loan") {
		refusal(t, err, interlock.StagePolicy, "denied")
	}

	plain := newGate(t, nil)
	newLoan(t, plain, "7")
	_, err := plain.Repair(t.Context(), root, seventh, "n")
	refusal(t, err, interlock.StageInput, "input_invalid")
}

// The row moves between the look and the commit of a repair: what is written is
// what history says then, and the row says what was found then.
func TestRepairLosesARace(t *testing.T) {
	a, st := spiedApp(t)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit")
	a.exec(t, `UPDATE loans SET status = 'approved' WHERE id = 7`)
	st.once(func() { a.exec(t, `UPDATE loans SET status = 'denied' WHERE id = 7`) })
	res, err := a.Repair(t.Context(), root, seventh, "n")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"found": "denied"}, res.Transition.Input)
	require.Equal(t, "submitted", a.status(t))

	// Somebody repairs it first: nothing is left to do.
	a.exec(t, `UPDATE loans SET status = 'approved' WHERE id = 7`)
	st.once(func() {
		_, err := a.Repair(t.Context(), root, seventh, "first")
		require.NoError(t, err)
	})
	res, err = a.Repair(t.Context(), root, seventh, "second")
	require.NoError(t, err)
	require.Empty(t, res.Transition.ID)
	require.EqualValues(t, 4, versionOf(t, a.Gate, "loan", "7"))
}

// An administrator who is one no longer when it comes to the commit repairs nothing.
func TestRepairByWhoIsAdministratorNoLonger(t *testing.T) {
	a, st := spiedApp(t)
	ada := admin(t, a.Gate)
	_, err := a.Grant(t.Context(), root, "bea", interlock.AdminRole, interlock.Scope{})
	require.NoError(t, err)
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit")
	a.exec(t, `UPDATE loans SET status = 'approved' WHERE id = 7`)
	st.once(func() {
		_, err := a.Revoke(t.Context(), root, "ada", interlock.AdminRole, interlock.Scope{})
		require.NoError(t, err)
	})
	_, err = a.Repair(t.Context(), ada, seventh, "n")
	refusal(t, err, interlock.StagePolicy, "denied")
	require.Equal(t, "approved", a.status(t))
}

// A row in another state than the initial one becomes an instance by an
// administrator's word alone, who says what he found; nobody has entered it.
func TestBackfill(t *testing.T) {
	a, st := spiedApp(t)
	ada := admin(t, a.Gate)
	a.exec(t, `INSERT INTO loans VALUES (7, 'verified', 1000)`)
	fill := func(by interlock.Actor, state, note string) (interlock.Result, error) {
		return a.Backfill(t.Context(), by, seventh, state, note)
	}
	_, err := fill(manager("mark"), "verified", "n")
	refusal(t, err, interlock.StagePolicy, "denied")
	_, err = fill(ada, "verified", "")
	refusal(t, err, interlock.StageInput, "note_required")
	_, err = fill(ada, "verifed", "n")
	refusal(t, err, interlock.StageInput, "input_invalid")
	_, err = fill(ada, "approved", "n")
	refusal(t, err, interlock.StageConflict, "drift")
	_, err = a.Backfill(t.Context(), ada, interlock.Ref{Machine: "loan", ID: "6"}, "verified", "n")
	refusal(t, err, interlock.StageGraph, "not_found")

	st.once(func() { a.exec(t, `UPDATE loans SET status = 'denied' WHERE id = 7`) })
	_, err = fill(ada, "verified", "n")
	refusal(t, err, interlock.StageConflict, "drift")
	a.exec(t, `UPDATE loans SET status = 'verified' WHERE id = 7`)

	res, err := fill(ada, "verified", "of the old system")
	require.NoError(t, err)
	require.Equal(t, []any{"$backfill", "verified", "verified", map[string]any{"found": "verified"}},
		[]any{res.Transition.Event, res.Transition.From, res.Transition.To, res.Transition.Input})
	require.EqualValues(t, 1, res.Instance.Version)
	require.Empty(t, res.Instance.Entered)
	require.Equal(t, []string{"ada"}, res.Instance.Actors)
	_, err = fill(ada, "verified", "again")
	refusal(t, err, interlock.StageConflict, "exists")
	require.Empty(t, a.drift(t, ada))

	// Who verified it isn't known: conditions on that aren't met.
	_, err = a.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "7", Event: "approve"})
	require.Equal(t, []string{"four_eyes"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	_, err = a.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "7", Event: "deny", Note: "n"})
	require.NoError(t, err)
	require.Equal(t, "denied", a.status(t))
	report, err := interlock.Verify(t.Context(), a.st, nil)
	require.NoError(t, err)
	require.Empty(t, report.Bad)
}

// spiedApp is newApp with a spy before its store.
func spiedApp(t *testing.T) (app, *spy) {
	t.Helper()
	s := &spy{}
	a := newApp(t, func(c *interlock.Config) {
		s.Store = c.Store.(*sqlite.Store)
		c.Store = s
	})
	return a, s
}
