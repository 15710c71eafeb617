package interlock_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// A gate that runs takes up a new epoch by itself: what it has cached isn't
// read any more, and what it has decided is decided again.
func TestRunningGateTakesUpANewEpoch(t *testing.T) {
	cache := newCache()
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store, c.Cache = st, cache })
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit")
	cache.has(t, instKey("17"), 2)
	_, err := st.BumpEpoch(t.Context(), "test")
	require.NoError(t, err)
	fire(t, g, employee("erin"), "17", "review")
	epoch, err := st.Epoch(t.Context())
	require.NoError(t, err)
	_, err = g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.Equal(t, epoch, cache.epoch)
}

// History of several epochs is whole; a row of an epoch that the store never had,
// or of an earlier one than the row before it, is not.
func TestVerifyKnowsTheEpochs(t *testing.T) {
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store = st })
	newLoan(t, g, "17")
	_, err := st.BumpEpoch(t.Context(), "test")
	require.NoError(t, err)
	fire(t, g, employee("erin"), "17", "submit")
	newLoan(t, g, "18")
	problems := func() (all []string) {
		report, err := interlock.Verify(t.Context(), st, nil)
		require.NoError(t, err)
		for _, bad := range report.Bad {
			all = append(all, bad.Instance+": "+bad.Problem)
		}
		return all
	}
	require.Empty(t, problems())
	tamper := func(query string) {
		require.NoError(t, st.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(query)
			return err
		}))
	}
	tamper(`DROP TRIGGER interlock_epoch_no_update; DROP TRIGGER interlock_epoch_no_delete; UPDATE interlock_epoch SET n = 3 WHERE n = 1`)
	require.Contains(t, problems(), "17: it is of an earlier epoch than the row before")
	first, err := st.Epochs(t.Context())
	require.NoError(t, err)
	defer func() {
		tamper(`DELETE FROM interlock_epoch`)
		require.Contains(t, problems(), ": the store's epochs are gone")
	}()
	require.Contains(t, problems(), fmt.Sprintf(": the store says that its epoch is %s, and the newest that it tells of is %s", first[0].ID, first[1].ID))
	tamper(`DELETE FROM interlock_epoch WHERE n = 3`)
	require.Contains(t, problems(), "17: it is of epoch "+first[1].ID+", which this store never had")
}

// Clocks jump: order is by version, durations are the monotonic clock's, and the
// chain keeps what the gate's clock said.
func TestClockThatJumps(t *testing.T) {
	now := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store, c.Now = st, func() time.Time { return now } })
	newLoan(t, g, "17")
	var want []time.Time
	for i, jump := range []time.Duration{-48 * time.Hour, 0, 24 * 365 * time.Hour, -time.Minute} {
		now = now.Add(jump)
		want = append(want, now)
		res, err := g.Fire(t.Context(), employee("erin"), comment("x"))
		require.NoError(t, err)
		require.EqualValues(t, i+2, res.Transition.Seq)
	}
	rows, err := g.History(t.Context(), root, interlock.Ref{Machine: "loan", ID: "17"}, 1, 0)
	require.NoError(t, err)
	for i, row := range rows {
		require.Equal(t, want[i], row.Time)
	}
	report, err := interlock.Verify(t.Context(), st, nil)
	require.NoError(t, err)
	require.Empty(t, report.Bad)
	require.Greater(t, report.SkewMS, int64(time.Hour/time.Millisecond), "and the skew is told")
}

// That something isn't there is never kept: what was just made is there at once.
func TestAbsenceIsNotCached(t *testing.T) {
	g := newGate(t, func(c *interlock.Config) { c.Cache = newCache() })
	for range 2 {
		_, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
		refusal(t, err, interlock.StageGraph, "not_found")
		_, err = g.Fire(t.Context(), employee("erin"), loan("submit"))
		refusal(t, err, interlock.StageGraph, "not_found")
	}
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit")
}
