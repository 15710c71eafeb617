package interlock_test

import (
	"database/sql"
	"testing"

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
	tamper(`DELETE FROM interlock_epoch WHERE n = 3`)
	require.Contains(t, problems(), "17: it is of epoch "+first[1].ID+", which this store never had")
}
