package interlock_test

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// governed is a gate with two administrators.
func governed(t *testing.T) (*interlock.Gate, *spy) {
	t.Helper()
	g, st := spied(t, nil)
	for _, id := range []string{"adam", "eve"} {
		_, err := g.Grant(t.Context(), root, id, interlock.AdminRole, interlock.Scope{})
		require.NoError(t, err)
	}
	return g, st
}

func TestAdministratorRemovedMeanwhile(t *testing.T) {
	g, st := governed(t)
	st.once(func() {
		_, err := g.Revoke(t.Context(), root, "adam", interlock.AdminRole, interlock.Scope{})
		require.NoError(t, err)
	})
	_, err := g.Grant(t.Context(), interlock.Actor{ID: "adam"}, "uma", "employee", interlock.Scope{})
	refusal(t, err, interlock.StagePolicy, "denied")
	rec, err := g.Actor(t.Context(), root, "uma")
	require.NoError(t, err)
	require.Empty(t, rec.Grants)
}

func TestAdministratorWhoIsNotHimself(t *testing.T) {
	g, _ := governed(t)
	newLoan(t, g, "17")
	adam := employee("adam")
	adam.Person = "person-of-adam"
	_, err := g.Fire(t.Context(), adam, comment("fixes the person"))
	require.NoError(t, err)
	grant := func(by interlock.Actor) error {
		_, err := g.Grant(t.Context(), by, "uma", "employee", interlock.Scope{})
		return err
	}
	refusal(t, grant(interlock.Actor{ID: "adam", Person: "mallory"}), interlock.StageIdentity, "person_mismatch")
	refusal(t, grant(interlock.Actor{ID: "adam", Person: adam.Person, OnBehalfOf: &interlock.Actor{ID: "eve"}}), interlock.StagePolicy, "denied")
	require.NoError(t, grant(interlock.Actor{ID: "adam", Person: adam.Person}))
	off := false
	_, err = g.SetActor(t.Context(), root, "adam", nil, &off)
	require.NoError(t, err)
	refusal(t, grant(interlock.Actor{ID: "adam", Person: adam.Person}), interlock.StageIdentity, "inactive")
}

// A second account of one's own is oneself.
func TestAdministratorsOtherAccount(t *testing.T) {
	g, _ := governed(t)
	newLoan(t, g, "17")
	second := employee("second")
	second.Person = "adam"
	_, err := g.Fire(t.Context(), second, comment("fixes the person"))
	require.NoError(t, err)
	for by, account := range map[*interlock.Actor]string{
		{ID: "adam"}:                "second",
		{ID: "eve", Person: "evan"}: "evan",
	} {
		_, err := g.Grant(t.Context(), *by, account, "manager", interlock.Scope{})
		require.Equal(t, []string{"own_person"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	}
}

func TestWhatCannotBeGranted(t *testing.T) {
	g := newGate(t, nil)
	for name, c := range map[string]struct {
		role  string
		scope interlock.Scope
	}{
		"an administrator of one machine": {interlock.AdminRole, interlock.Scope{Machine: "loan"}},
		"an administrator of a loan":      {interlock.AdminRole, interlock.Scope{Machine: "loan", ID: "17"}},
		"a machine that isn't there":      {"employee", interlock.Scope{Machine: "lone"}},
		"an id that can't be":             {"employee", interlock.Scope{Machine: "loan", ID: "a/b"}},
		"a reserved role":                 {"interlock:root", interlock.Scope{}},
	} {
		_, err := g.Grant(t.Context(), root, "uma", c.role, c.scope)
		require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageInput, Code: "input_invalid"}, name)
		if c.role == "interlock:root" {
			require.ErrorContains(t, err, "reserved")
		}
	}
	for pointer, attrs := range map[string]map[string]any{
		"/attrs/limitt": {"limitt": 5}, "/attrs/limit": {"limit": "5"},
	} {
		_, err := g.SetActor(t.Context(), root, "uma", attrs, nil)
		r := refusal(t, err, interlock.StageInput, "input_invalid")
		require.Equal(t, pointer, r.Fields[0].Pointer)
	}
	rec, err := g.Actor(t.Context(), root, "uma")
	require.NoError(t, err)
	require.Zero(t, rec.Version)
}

// A tenant whose administrators are all switched off by other means gets a new one.
func TestBootstrapPastTheInactive(t *testing.T) {
	g, st := spied(t, nil)
	require.NoError(t, g.Bootstrap(t.Context(), "", "adam"))
	require.NoError(t, st.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE interlock_actor SET active = 0`)
		return err
	}))
	require.NoError(t, g.Bootstrap(t.Context(), "", "eve"))
	rec, err := g.Actor(t.Context(), root, "eve")
	require.NoError(t, err)
	require.Len(t, rec.Grants, 1)
}

// Counters are exact: what couldn't be written is written later, a dry run is
// no attempt, and a request of Do counts once.
func TestAttemptsAreCountedOnce(t *testing.T) {
	g, st := spied(t, nil)
	newLoan(t, g, "17")
	var up atomic.Bool // the gate writes attempts in the background, too
	st.attempts = func() error {
		if !up.Load() {
			return errors.New("disk full")
		}
		return nil
	}
	uma := interlock.Actor{ID: "uma"}
	counted := func() map[string]int64 {
		_, err := g.Attempts(t.Context(), root, interlock.Ref{Machine: "loan", ID: "17"}, 0)
		require.NoError(t, err)
		counts, err := st.AttemptCounts(t.Context(), interlock.DefaultTenant)
		require.NoError(t, err)
		sums := map[string]int64{}
		for _, c := range counts {
			sums[c.Code+" "+c.Event] = c.Count
		}
		return sums
	}
	for range 3 {
		_, err := g.Fire(t.Context(), uma, loan("submit"))
		require.Error(t, err)
	}
	_, err := g.Attempts(t.Context(), root, interlock.Ref{Machine: "loan", ID: "17"}, 0)
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	dry := loan("approve")
	dry.DryRun = true
	_, err = g.Fire(t.Context(), employee("erin"), dry)
	refusal(t, err, interlock.StageGraph, "illegal_event")
	_, _, err = interlock.Do(t.Context(), g, employee("erin"), loan("review"),
		func(context.Context, *sql.Tx, interlock.Transition) (any, error) { return nil, nil })
	refusal(t, err, interlock.StageGraph, "illegal_event")
	for _, invented := range []string{"explode", "implode"} {
		_, err = g.Fire(t.Context(), employee("erin"), loan(invented))
		refusal(t, err, interlock.StageGraph, "unknown_event")
	}
	up.Store(true)
	require.Equal(t, map[string]int64{"not_found submit": 3, "illegal_event review": 1, "unknown_event ": 2}, counted())
}
