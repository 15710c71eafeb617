package interlock_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// keyedCall is one way to ask for something under a key.
type keyedCall func(g *interlock.Gate, who interlock.Actor, key string) (interlock.Result, any, error)

func bookedHandler(context.Context, *sql.Tx, interlock.Transition) (any, error) {
	return map[string]any{"<booked>": 17}, nil
}

// keyedCalls change instance 17, which newLoan made, or make another.
func keyedCalls(t *testing.T) map[string]keyedCall {
	t.Helper()
	req := comment("once")
	creation := interlock.CreateRequest{Machine: "loan", Facts: map[string]any{"amount": json.Number("12")}}
	return map[string]keyedCall{
		"fire": func(g *interlock.Gate, who interlock.Actor, key string) (interlock.Result, any, error) {
			req := req
			req.IdempotencyKey = key
			res, err := g.Fire(t.Context(), who, req)
			return res, nil, err
		},
		"create": func(g *interlock.Gate, who interlock.Actor, key string) (interlock.Result, any, error) {
			req := creation
			req.IdempotencyKey = key
			res, err := g.Create(t.Context(), who, req)
			return res, nil, err
		},
		"facts": func(g *interlock.Gate, who interlock.Actor, key string) (interlock.Result, any, error) {
			res, err := g.EditFacts(t.Context(), who, interlock.FactsRequest{Machine: "loan", ID: "17", Patch: map[string]any{"amount": 5}, IdempotencyKey: key})
			return res, nil, err
		},
		"do": func(g *interlock.Gate, who interlock.Actor, key string) (interlock.Result, any, error) {
			req := req
			req.IdempotencyKey = key
			return interlock.Do(t.Context(), g, who, req, bookedHandler)
		},
		"create with": func(g *interlock.Gate, who interlock.Actor, key string) (interlock.Result, any, error) {
			req := creation
			req.IdempotencyKey = key
			return interlock.CreateWith(t.Context(), g, who, req, bookedHandler)
		},
	}
}

// Asked again, and after others have moved on, the answer is that of the first
// time in every byte, and nothing is applied.
func TestStoredAnswerIsThatOfTheFirstTime(t *testing.T) {
	for name, call := range keyedCalls(t) {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, nil)
			newLoan(t, g, "17")
			first, value, err := call(g, employee("erin"), "k")
			require.NoError(t, err)
			require.False(t, first.Replayed)
			id := first.Instance.ID
			_, err = g.Fire(t.Context(), employee("evan"), interlock.Request{Machine: "loan", ID: id, Event: "submit"})
			require.NoError(t, err)
			for range 2 {
				again, stored, err := call(g, employee("erin"), "k")
				require.NoError(t, err)
				require.True(t, again.Replayed)
				again.Replayed = false
				require.Equal(t, asJSON(t, first), asJSON(t, again))
				require.Equal(t, g.ETag(first.Instance), g.ETag(again.Instance))
				require.Equal(t, asJSON(t, value), asJSON(t, stored), "what the handler answered")
			}
			require.EqualValues(t, first.Transition.Seq+1, versionOf(t, g, "loan", id), "applied once")
			list, _, err := g.List(t.Context(), root, interlock.ListRequest{Machine: "loan"})
			require.NoError(t, err)
			require.LessOrEqual(t, len(list), 2)
		})
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// While the first is being carried out nobody else begins, and the second is
// told to ask again; the key of a crashed holder is free after its lease.
func TestKeyInProgress(t *testing.T) {
	for name, call := range keyedCalls(t) {
		t.Run(name, func(t *testing.T) {
			g, st := spied(t, nil)
			newLoan(t, g, "17")
			asked := 0
			during := func() {
				if asked++; asked > 1 {
					return
				}
				_, _, err := call(g, employee("erin"), "k")
				refusal(t, err, interlock.StageConflict, "key_in_progress")
			}
			st.commit = func(_ context.Context, _ *interlock.Commit, do func() error) error { during(); return do() }
			st.within = func(_ context.Context, do func() error) error { during(); return do() }
			res, _, err := call(g, employee("erin"), "k")
			require.NoError(t, err)
			require.False(t, res.Replayed)
			require.Positive(t, asked)
			again, _, err := call(g, employee("erin"), "k")
			require.NoError(t, err)
			require.True(t, again.Replayed)
		})
	}
}

// A lease that ran out under a commit that was on its way doesn't make two of
// them: whoever has the key when it commits wins, the other answers with that.
func TestLeaseRunsOutUnderACommit(t *testing.T) {
	for name, call := range keyedCalls(t) {
		t.Run(name, func(t *testing.T) {
			g, st := spied(t, nil)
			newLoan(t, g, "17")
			st.lease = time.Microsecond
			var second interlock.Result
			inside := false
			during := func() {
				if inside {
					return
				}
				inside = true
				require.Eventually(t, func() bool {
					var err error
					second, _, err = call(g, employee("erin"), "k")
					return err == nil
				}, patience, time.Millisecond)
				require.False(t, second.Replayed)
			}
			st.commit = func(_ context.Context, _ *interlock.Commit, do func() error) error { during(); return do() }
			st.within = func(_ context.Context, do func() error) error { during(); return do() }
			first, _, err := call(g, employee("erin"), "k")
			require.NoError(t, err)
			require.True(t, first.Replayed, "the second one's")
			require.Equal(t, second.Transition.ID, first.Transition.ID)
			list, _, err := g.List(t.Context(), root, interlock.ListRequest{Machine: "loan"})
			require.NoError(t, err)
			rows := 0
			for _, i := range list {
				rows += int(i.Version)
			}
			require.Equal(t, 2, rows, "newLoan's, and one more")
		})
	}
}

// The loser of that race may also find that it is no longer legal: then, too,
// it answers with what was done under its key.
func TestLeaseRunsOutBeforeTheDecision(t *testing.T) {
	g, st := spied(t, nil)
	newLoan(t, g, "17")
	req := loan("submit")
	req.IdempotencyKey = "k"
	st.lease = time.Microsecond
	asked := false
	st.load = func() {
		if !asked {
			asked = true
			require.Eventually(t, func() bool {
				_, err := g.Fire(t.Context(), employee("erin"), req)
				return err == nil
			}, patience, time.Millisecond)
		}
	}
	done, _, err := interlock.Do(t.Context(), g, employee("erin"), req, func(context.Context, *sql.Tx, interlock.Transition) (any, error) {
		t.Error("it was done already")
		return nil, nil
	})
	require.NoError(t, err)
	require.True(t, done.Replayed)
}

// Nothing was applied by a refusal, an error or a panic: the key is free at once.
func TestRefusalsGiveTheKeyBack(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	req := loan("approve")
	req.IdempotencyKey = "k"
	for range 2 {
		_, err := g.Fire(t.Context(), employee("erin"), req)
		refusal(t, err, interlock.StageGraph, "illegal_event")
	}
	broken := errors.New("the application's own")
	req = comment("x")
	req.IdempotencyKey = "k"
	_, _, err := interlock.Do(t.Context(), g, employee("erin"), req, func(context.Context, *sql.Tx, interlock.Transition) (any, error) {
		return nil, broken
	})
	require.ErrorIs(t, err, broken)
	require.Panics(t, func() {
		_, _, _ = interlock.Do(t.Context(), g, employee("erin"), req, func(context.Context, *sql.Tx, interlock.Transition) (any, error) {
			panic("the application's own")
		})
	})
	res, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	require.False(t, res.Replayed)
	require.EqualValues(t, 2, res.Instance.Version)
}

// What may still be committed keeps its key: asked again before the lease is
// over it is neither decided again nor denied, and afterwards applied once.
func TestUnknownOutcomeKeepsTheKey(t *testing.T) {
	g, st := spied(t, nil)
	hasty := newGate(t, func(c *interlock.Config) { c.Store, c.CommitTimeout = st, 300*time.Millisecond })
	newLoan(t, g, "17")
	req := comment("once")
	req.IdempotencyKey = "k"
	st.commit = func(ctx context.Context, c *interlock.Commit, _ func() error) error {
		require.NoError(t, st.Store.Commit(context.WithoutCancel(ctx), c), "it is committed, but the answer is lost")
		return errLost
	}
	st.within = func(context.Context, func() error) error { return errLost }
	_, err := hasty.Fire(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageUnavailable, "outcome_unknown")
	st.commit, st.within = nil, nil
	res, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	require.True(t, res.Replayed)
	require.EqualValues(t, 2, versionOf(t, g, "loan", "17"))

	// And when it was not committed: until the lease is over nobody can tell.
	req.IdempotencyKey = "l"
	st.lease = time.Hour
	st.commit = func(context.Context, *interlock.Commit, func() error) error { return errLost }
	st.within = func(context.Context, func() error) error { return errLost }
	_, err = hasty.Fire(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageUnavailable, "outcome_unknown")
	st.commit, st.within = nil, nil
	_, err = g.Fire(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageConflict, "key_in_progress")
	require.EqualValues(t, 2, versionOf(t, g, "loan", "17"))
}

// Another request under the key is told so, whether the first is done or not,
// and learns nothing of another actor's.
func TestKeyOfAnotherRequest(t *testing.T) {
	for name, call := range keyedCalls(t) {
		g, st := spied(t, nil)
		newLoan(t, g, "17")
		other := loan("submit")
		other.IdempotencyKey = "k"
		st.once(func() {
			_, err := g.Fire(t.Context(), employee("erin"), other)
			refusal(t, err, interlock.StageInput, "key_reused")
		})
		_, _, err := call(g, employee("erin"), "k")
		require.NoError(t, err, name)
		st.commit = nil
		_, err = g.Fire(t.Context(), employee("erin"), other)
		refusal(t, err, interlock.StageInput, "key_reused")
		res, _, err := call(g, employee("evan"), "k")
		require.NoError(t, err, name)
		require.False(t, res.Replayed, "%s: another actor's key is another key", name)
	}
	g := newGate(t, nil)
	one := interlock.CreateRequest{Machine: "loan", Facts: map[string]any{"amount": 1}, IdempotencyKey: "k", Besides: []byte("a")}
	_, err := g.Create(t.Context(), employee("erin"), one)
	require.NoError(t, err)
	one.Besides = []byte("b")
	_, err = g.Create(t.Context(), employee("erin"), one)
	refusal(t, err, interlock.StageInput, "key_reused")
}

// Whoever erases texts erases them from the stored answer as well.
func TestStoredAnswerWithoutErasedTexts(t *testing.T) {
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store = st })
	newLoan(t, g, "17")
	req := comment("private")
	req.Note, req.IdempotencyKey = "private", "k"
	_, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	require.NoError(t, st.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("DELETE FROM interlock_texts")
		return err
	}))
	res, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	require.True(t, res.Replayed)
	require.NotContains(t, asJSON(t, res), "private")
	require.Empty(t, res.Instance.Facts)
	require.Equal(t, "created", res.Instance.State)
}

func TestExpiredKeysAreSwept(t *testing.T) {
	now := time.Now()
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) {
		c.Store, c.KeySweep, c.Now = st, time.Millisecond, func() time.Time { return now.Add(-25 * time.Hour) }
	})
	newLoan(t, g, "17")
	req := comment("x")
	req.IdempotencyKey = "k"
	_, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	later := newGate(t, func(c *interlock.Config) { c.Store, c.KeySweep = st, time.Millisecond })
	require.Eventually(t, func() bool {
		k, err := st.Idempotent(t.Context(), interlock.DefaultTenant, "erin", "k")
		return err == nil && k == nil
	}, patience, time.Millisecond)
	require.NoError(t, later.Close(t.Context()))
}
