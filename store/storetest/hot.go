package storetest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// Hot asks a gate over the store for all that applications ask for again and
// again, so that a store's own tests can look at how its
// statements find their rows. together, if not nil, runs writes so that they may
// share a statement.
func Hot(t *testing.T, store interlock.Store, together func(writes ...func())) {
	t.Helper()
	m, err := fsm.Parse("door.yaml", []byte(drillYAML))
	require.NoError(t, err)
	g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: store, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Close(context.Background())) }()
	ctx, kim := t.Context(), interlock.Actor{ID: "kim"}
	ref := func(id string) interlock.Ref { return interlock.Ref{Machine: "door", ID: id} }
	fire := func(id, event, key string) {
		_, err := g.Fire(ctx, kim, interlock.Request{Machine: "door", ID: id, Event: event, IdempotencyKey: key})
		require.NoError(t, err)
	}
	_, err = g.Grant(ctx, interlock.SystemActor("", "test"), "kim", "keeper", interlock.Scope{})
	require.NoError(t, err)
	for _, id := range []string{"1", "2", "3"} {
		_, err := g.Create(ctx, kim, interlock.CreateRequest{Machine: "door", ID: id, IdempotencyKey: "create " + id})
		require.NoError(t, err)
	}
	fire("1", "open", "open 1")
	fire("1", "open", "open 1") // the stored answer
	if together != nil {
		together(func() { fire("2", "open", "open 2") }, func() { fire("3", "open", "") })
	}
	_, err = g.Fire(ctx, kim, interlock.Request{Machine: "door", ID: "1", Event: "open"})
	require.Error(t, err)
	_, err = g.Get(ctx, kim, ref("1"))
	require.NoError(t, err)
	_, err = g.Available(ctx, kim, ref("1"))
	require.NoError(t, err)
	_, err = g.AvailableMany(ctx, kim, []interlock.Ref{ref("1"), ref("2")})
	require.NoError(t, err)
	_, err = g.History(ctx, kim, ref("1"), 0, 10)
	require.NoError(t, err)
	_, err = g.Attempts(ctx, kim, ref("1"), 10)
	require.NoError(t, err)
	_, err = store.List(ctx, interlock.ListQuery{Tenant: tenant, Machine: "door", State: "open", Actor: "kim", After: "0", Limit: 10})
	require.NoError(t, err)
	_, err = store.SweepKeys(ctx, time.Now(), 10)
	require.NoError(t, err)
	_, err = store.Search(ctx, interlock.AuditQuery{Tenant: tenant, Machine: "door", ID: "1", Limit: 10}, interlock.Ref{}, 0)
	require.NoError(t, err)
	for _, err := range store.Heads(ctx) {
		require.NoError(t, err)
	}
}
