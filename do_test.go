package interlock_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

type handler = func(context.Context, *sql.Tx, interlock.Transition) (any, error)

// never is a handler that must not run.
func never(t *testing.T) handler {
	t.Helper()
	return func(context.Context, *sql.Tx, interlock.Transition) (any, error) {
		t.Error("the handler ran")
		return nil, nil
	}
}

// Who is refused costs no writing transaction.
func TestRefusedDoOpensNoTransaction(t *testing.T) {
	g, st := spied(t, nil)
	newLoan(t, g, "17")
	for _, who := range []interlock.Actor{{ID: "uma"}, employee("erin")} {
		_, _, err := interlock.Do(t.Context(), g, who, loan("approve"), never(t))
		require.Error(t, err)
	}
	_, _, err := interlock.CreateWith(t.Context(), g, interlock.Actor{ID: "uma"},
		interlock.CreateRequest{Machine: "loan", ID: "18", Facts: map[string]any{"amount": 1}}, never(t))
	refusal(t, err, interlock.StagePolicy, "denied")
	require.Zero(t, st.withins.Load())
}

// Before is asked in the transaction, too: what it says last counts.
func TestVetoInTheTransaction(t *testing.T) {
	asked := 0
	g := newGate(t, func(c *interlock.Config) {
		c.Before = append(c.Before, func(_ context.Context, tr interlock.Transition) error {
			if tr.Event != "submit" {
				return nil
			}
			if asked++; asked == 2 {
				return errors.New("the desk has closed")
			}
			return nil
		})
	})
	newLoan(t, g, "17")
	_, _, err := interlock.Do(t.Context(), g, employee("erin"), loan("submit"), never(t))
	refusal(t, err, interlock.StagePolicy, "vetoed")
	require.EqualValues(t, 1, versionOf(t, g, "loan", "17"))
}

func TestHandlerPastItsLimitIsRolledBack(t *testing.T) {
	g := newGate(t, func(c *interlock.Config) { c.HandlerLimit = 20 * time.Millisecond })
	newLoan(t, g, "17")
	_, _, err := interlock.Do(t.Context(), g, employee("erin"), loan("submit"),
		func(ctx context.Context, _ *sql.Tx, _ interlock.Transition) (any, error) {
			<-ctx.Done()
			return "done", nil // it doesn't notice
		})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualValues(t, 1, versionOf(t, g, "loan", "17"))
}

// A caller who leaves ends the handler, not the transaction under it: that is
// rolled back in good order.
func TestTransactionOutlivesItsCaller(t *testing.T) {
	g, st := spied(t, nil)
	newLoan(t, g, "17")
	ctx, leave := context.WithCancel(t.Context())
	st.within = func(tx context.Context, do func() error) error {
		require.NoError(t, ctx.Err())
		leave()
		require.NoError(t, tx.Err(), "the transaction outlives its caller")
		_, limited := tx.Deadline()
		require.True(t, limited)
		return do()
	}
	_, _, err := interlock.Do(ctx, g, employee("erin"), loan("submit"),
		func(context.Context, *sql.Tx, interlock.Transition) (any, error) { return nil, nil })
	require.ErrorIs(t, err, context.Canceled, "the handler is told that nobody waits, and what it did is rolled back")
	require.EqualValues(t, 1, versionOf(t, g, "loan", "17"))
}

func TestUnknownOutcomeOfDo(t *testing.T) {
	g, st := spied(t, nil)
	newLoan(t, g, "17")
	st.within = func(_ context.Context, do func() error) error {
		st.within = nil
		require.NoError(t, do())
		return errLost
	}
	_, value, err := interlock.Do(t.Context(), g, employee("erin"), loan("submit"),
		func(context.Context, *sql.Tx, interlock.Transition) (any, error) { return "booked", nil })
	require.NoError(t, err, "it was committed, and is found to be")
	require.Equal(t, "booked", value)
	require.EqualValues(t, 2, versionOf(t, g, "loan", "17"))
}

// What a Do has lost is looked for, never made again: its handler has run. Where
// a row stands, the look takes its lock; a creation has none, so that its absence
// proves nothing.
func TestLostDo(t *testing.T) {
	g, st := spied(t, nil)
	hasty := newGate(t, func(c *interlock.Config) { c.Store, c.CommitTimeout = st, 200*time.Millisecond })
	newLoan(t, g, "17")
	runs := 0
	count := func(context.Context, *sql.Tx, interlock.Transition) (any, error) { runs++; return nil, nil }

	st.lose = func() {}
	_, _, err := interlock.Do(t.Context(), g, employee("erin"), comment("hers"), count)
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	require.EqualValues(t, 1, versionOf(t, g, "loan", "17"))
	require.EqualValues(t, 2, st.withins.Load(), "the second is the look")
	require.EqualValues(t, 1, st.locks.Load(), "and takes the row's lock, which what it looks for would hold")

	st.lose = func() {
		_, err := g.Fire(t.Context(), employee("evan"), comment("his, in the same place"))
		require.NoError(t, err)
	}
	_, _, err = interlock.Do(t.Context(), g, employee("erin"), comment("hers"), count)
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	require.EqualValues(t, 2, versionOf(t, g, "loan", "17"))

	st.lose = func() {}
	_, _, err = interlock.CreateWith(t.Context(), hasty, employee("erin"),
		interlock.CreateRequest{Machine: "loan", ID: "18", Facts: map[string]any{"amount": 1}}, count)
	refusal(t, err, interlock.StageUnavailable, "outcome_unknown")
	require.Equal(t, 3, runs)
}

// What a handler has done outside the transaction can't be done again.
func TestHandlerRunsOnce(t *testing.T) {
	g, st := spied(t, nil)
	runs := 0
	st.apply = func(*interlock.Commit, func() error) error { return interlock.ErrStale }
	_, _, err := interlock.CreateWith(t.Context(), g, employee("erin"),
		interlock.CreateRequest{Machine: "loan", ID: "17", Facts: map[string]any{"amount": 1}},
		func(context.Context, *sql.Tx, interlock.Transition) (any, error) { runs++; return nil, nil })
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	require.Equal(t, 1, runs)
}

func TestDryRunOfCreateWith(t *testing.T) {
	g := newGate(t, nil)
	res, _, err := interlock.CreateWith(t.Context(), g, employee("erin"),
		interlock.CreateRequest{Machine: "loan", ID: "17", Facts: map[string]any{"amount": 1}, DryRun: true}, never(t))
	require.NoError(t, err)
	require.Equal(t, "created", res.Instance.State)
	require.Empty(t, res.Transition.ID)
	_, err = g.Get(t.Context(), root, interlock.Ref{Machine: "loan", ID: "17"})
	refusal(t, err, interlock.StageGraph, "not_found")
}

// Whoever loses too many races decides under the row's lock, and is asked
// there, too, whether the state is still the one that she saw.
func TestStateThatMovedBeforeTheLock(t *testing.T) {
	g, st := spied(t, nil)
	newLoan(t, g, "17")
	commits, inside := 0, false
	st.commit = func(_ context.Context, _ *interlock.Commit, do func() error) error {
		if inside {
			return do()
		}
		inside = true
		defer func() { inside = false }()
		if commits++; commits < 3 {
			_, err := g.Fire(t.Context(), employee("evan"), comment("once more"))
			require.NoError(t, err)
		} else {
			fire(t, g, employee("evan"), "17", "submit")
		}
		return do()
	}
	_, err := g.Fire(t.Context(), employee("erin"), comment("hers"))
	r := refusal(t, err, interlock.StageConflict, "state_changed")
	require.Equal(t, "submitted", r.Instance.State)
	require.EqualValues(t, 1, st.withins.Load())
	require.EqualValues(t, 4, versionOf(t, g, "loan", "17"))
}

// Who may not read an instance in its new state isn't told of it.
func TestStateThatMovedOutOfSight(t *testing.T) {
	pol := &rules{conditions: map[string]func(*interlock.Input) any{
		"visible": func(in *interlock.Input) any { return in.Instance.State == "open" },
	}}
	st := &spy{Store: memory(t)}
	g := newGate(t, func(c *interlock.Config) {
		c.Store, c.Policy = st, pol
		c.Machines = machines(t, `
machine: file
initial: open
create: {requires: [anyone]}
read: {requires: [anyone], checks: [visible]}
states: {open: {}, sealed: {}}
events:
  touch: {from: {any: true}, stay: true, requires: [anyone]}
  seal: {from: open, to: sealed, requires: [system]}
`)
	})
	_, err := g.Create(t.Context(), interlock.Actor{ID: "ann"}, interlock.CreateRequest{Machine: "file", ID: "1"})
	require.NoError(t, err)
	st.once(func() {
		_, err := g.Fire(t.Context(), root, interlock.Request{Machine: "file", ID: "1", Event: "seal"})
		require.NoError(t, err)
	})
	_, err = g.Fire(t.Context(), interlock.Actor{ID: "ann"}, interlock.Request{Machine: "file", ID: "1", Event: "touch"})
	r := refusal(t, err, interlock.StageGraph, "not_found")
	require.Nil(t, r.Instance)
}

// What a policy read of the application's columns is compared in the commit.
func TestColumnChangedBetweenDecisionAndCommit(t *testing.T) {
	st := &spy{}
	a := newApp(t, func(c *interlock.Config) {
		st.Store = c.Store.(*sqlite.Store)
		c.Store = st
	})
	a.exec(t, `INSERT INTO loans VALUES (7, 'created', 1000)`)
	fire(t, a.Gate, employee("erin"), "7", "submit", "review", "verify")
	st.once(func() { a.exec(t, `UPDATE loans SET amount = 900000`) })
	_, err := a.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "7", Event: "approve"})
	require.Equal(t, []string{"within_limit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	require.Equal(t, "verified", a.status(t))

	a.exec(t, `INSERT INTO loans VALUES (8, 'created', 1000)`)
	st.once(func() { a.exec(t, `DELETE FROM loans WHERE id = 8`) })
	_, err = a.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "8", Event: "submit"})
	refusal(t, err, interlock.StageConflict, "drift")
}
