package interlock_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// Callers share facts, never a decision nor a context: one who goes away while
// he is being decided on takes nobody with him, and leaves nothing in the cache
// that the next would be refused by.
func TestCancelledCallerLeavesNothingBehind(t *testing.T) {
	cache, pol := newCache(), loanRules()
	entered := make(chan struct{})
	gone, leave := context.WithCancel(t.Context())
	four := pol.conditions["four_eyes"]
	pol.conditions["four_eyes"] = func(in *interlock.Input) any {
		if in.Note == "waits" {
			close(entered)
			<-gone.Done()
			return gone.Err()
		}
		return four(in)
	}
	g := newGate(t, func(c *interlock.Config) { c.Cache, c.Policy, c.PolicyTimeout = cache, pol, time.Minute })
	limit(t, g, "mark", 5000)
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	_, err := g.Get(t.Context(), manager("mark"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	cache.has(t, instKey("17"), 4)
	cache.has(t, actKey("mark"), 1)

	refused := make(chan error, 1)
	go func() {
		req := loan("approve")
		req.Note = "waits"
		_, err := g.Fire(gone, manager("mark"), req)
		refused <- err
	}()
	<-entered
	asked := loan("approve")
	asked.DryRun = true
	_, err = g.Fire(t.Context(), manager("mark"), asked)
	require.NoError(t, err, "decided by itself, while the other is still being decided on")
	leave()
	require.ErrorIs(t, <-refused, &interlock.Refusal{Stage: interlock.StageUnavailable})

	cache.mu.Lock()
	for key, e := range cache.entries {
		require.Contains(t, []string{"instance", "actor"}, key.Kind, "facts, nothing else")
		require.NotContains(t, string(e.Payload), "allowed")
	}
	cache.mu.Unlock()
	fire(t, g, manager("mark"), "17", "approve")
}
