package interlock_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var errLost = &interlock.UnknownOutcome{Err: errors.New("connection reset during COMMIT")}

// A caller that goes away doesn't leave a commit half known; a store that
// stalls doesn't keep the caller for ever.
func TestCommitHasATimeOfItsOwn(t *testing.T) {
	g, st := spied(t, func(c *interlock.Config) { c.CommitTimeout = time.Minute })
	newLoan(t, g, "17")
	ctx, leave := context.WithCancel(t.Context())
	st.commit = func(commit context.Context, _ *interlock.Commit, do func() error) error {
		leave()
		require.NoError(t, commit.Err(), "the caller is gone, the commit isn't")
		until, limited := commit.Deadline()
		require.True(t, limited)
		require.LessOrEqual(t, time.Until(until), time.Minute)
		return do()
	}
	_, err := g.Fire(ctx, employee("erin"), loan("submit"))
	require.NoError(t, err)
}

// Somebody else's row in the place of one that was lost is no proof that it was
// committed.
func TestLostCommitAndSomebodyElses(t *testing.T) {
	g, st := spied(t, nil)
	newLoan(t, g, "17")
	st.commit = func(context.Context, *interlock.Commit, func() error) error {
		st.commit = nil
		_, err := g.Fire(t.Context(), employee("evan"), comment("mine"))
		require.NoError(t, err)
		return errLost
	}
	_, err := g.Fire(t.Context(), employee("erin"), comment("hers"))
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	require.EqualValues(t, 2, versionOf(t, g, "loan", "17"))
}

// While the store can't be asked, nobody can tell; when it can, what was lost
// is there once.
func TestLostCreation(t *testing.T) {
	g, st := spied(t, nil)
	hasty := newGate(t, func(c *interlock.Config) { c.Store, c.CommitTimeout = st, 100*time.Millisecond })
	req := interlock.CreateRequest{Machine: "loan", ID: "17", Facts: map[string]any{"amount": 1}}
	st.commit = func(context.Context, *interlock.Commit, func() error) error { return errLost }
	st.within = func(context.Context, func() error) error { return errLost }
	_, err := hasty.Create(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageUnavailable, "outcome_unknown")
	st.within = nil
	_, err = g.Create(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	require.EqualValues(t, 1, versionOf(t, g, "loan", "17"))
}

func TestRacesOfACreation(t *testing.T) {
	g, st := spied(t, nil)
	st.once(func() { newLoan(t, g, "17") })
	_, err := g.Create(t.Context(), employee("evan"), interlock.CreateRequest{Machine: "loan", ID: "17", Facts: map[string]any{"amount": 1}})
	refusal(t, err, interlock.StageConflict, "exists")
}

func TestKeyIsKeptForADay(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	g := newGate(t, func(c *interlock.Config) { c.Now = func() time.Time { return now } })
	newLoan(t, g, "17")
	req := comment("again")
	req.IdempotencyKey = "k"
	for _, c := range []struct {
		after    time.Duration
		replayed bool
		version  int64
	}{{0, false, 2}, {23 * time.Hour, true, 2}, {2 * time.Hour, false, 3}} {
		now = now.Add(c.after)
		res, err := g.Fire(t.Context(), employee("erin"), req)
		require.NoError(t, err)
		require.Equal(t, c.replayed, res.Replayed)
		require.EqualValues(t, c.version, res.Instance.Version)
	}
}

// Who may no longer read learns nothing by asking again.
func TestReplayAsksWhetherOneMayRead(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	req := comment("mine")
	req.IdempotencyKey = "k"
	_, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	res, err := g.Fire(t.Context(), interlock.Actor{ID: "erin"}, req)
	refusal(t, err, interlock.StageGraph, "not_found")
	require.Zero(t, res)
}

// The message for whoever delivers it is part of the commit, and says it all.
func TestCommitLeavesAMessage(t *testing.T) {
	g, st := spied(t, nil)
	newLoan(t, g, "17")
	req := loan("override")
	req.To, req.Note = "verified", "he is known"
	res, err := g.Fire(t.Context(), manager("mark"), req)
	require.NoError(t, err)
	var message []byte
	require.NoError(t, st.DB().QueryRow(`SELECT message FROM interlock_outbox WHERE id = ?`, res.Transition.ID).Scan(&message))
	all, err := json.Marshal(res.Transition)
	require.NoError(t, err)
	require.JSONEq(t, string(all), string(message))
}

// Staying is recorded and enters nobody.
func TestStayEntersNobody(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	g := newGate(t, func(c *interlock.Config) { c.Now = func() time.Time { return now } })
	newLoan(t, g, "17")
	before, err := g.Get(t.Context(), root, interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	now = now.Add(time.Hour)
	res, err := g.Fire(t.Context(), employee("evan"), comment("x"))
	require.NoError(t, err)
	after := res.Instance
	require.Equal(t, before.Entered, after.Entered)
	require.Equal(t, before.Since, after.Since)
	require.Equal(t, now, after.UpdatedAt)
	require.Equal(t, []string{"evan"}, after.Did["comment"])
	require.Equal(t, []string{"erin", "evan"}, after.Actors)
}

func TestHistoryNamesBothPersons(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	bot := employee("bot")
	bot.Kind, bot.Person, bot.OnBehalfOf = interlock.Service, "bob", &interlock.Actor{ID: "m1", Person: "mark"}
	_, err := g.Fire(t.Context(), bot, loan("submit"))
	require.NoError(t, err)
	rows, err := g.History(t.Context(), root, interlock.Ref{Machine: "loan", ID: "17"}, 1, 0)
	require.NoError(t, err)
	row := rows[0]
	require.Equal(t, []string{"bot", "bob", "m1", "mark"}, []string{row.Actor, row.Person, row.OnBehalfOf, row.OnBehalfOfPerson})
}
