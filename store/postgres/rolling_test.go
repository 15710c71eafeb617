package postgres_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

const doorWithBellYAML = doorYAML + `
title: with a bell
`

// doorGate is a replica with the definition and a connection pool of its own.
func doorGate(t *testing.T, store interlock.Store, yaml string, grace, poll time.Duration) *interlock.Gate {
	t.Helper()
	m, err := fsm.Parse("door.yaml", []byte(yaml))
	require.NoError(t, err)
	g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: store, Grace: grace, Poll: poll, CommitTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, g.Close(context.Background())) })
	return g
}

var keeper = interlock.Actor{ID: "kim", Roles: []string{"keeper"}}

func newDoor(t *testing.T, g *interlock.Gate) interlock.Request {
	t.Helper()
	res, err := g.Create(t.Context(), keeper, interlock.CreateRequest{Machine: "door"})
	require.NoError(t, err)
	return interlock.Request{Machine: "door", ID: res.Instance.ID, Event: "open"}
}

// A replica is told by the database that its rules were retired; where it can't
// be, it asks.
func TestReplicaHearsOfRetirement(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	for name, c := range map[string]struct {
		store interlock.Store
		poll  time.Duration
	}{
		"told":  {postgres.New(pool, postgres.Schema("told")), time.Hour},
		"asks":  {postgres.NewSQL(newDB(t, pool.Config().ConnString()), postgres.Schema("asks")), 10 * time.Millisecond},
		"other": {postgres.New(pool, postgres.Schema("told_not")), 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			former := doorGate(t, c.store, doorYAML, 0, c.poll)
			req := newDoor(t, former)
			require.NoError(t, former.InForce())
			doorGate(t, c.store, doorWithBellYAML, -1, time.Hour)
			require.Eventually(t, func() bool { return former.InForce() != nil }, patience, 5*time.Millisecond)
			_, err := former.Fire(t.Context(), keeper, req)
			require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageUnavailable, Code: "revision_retired"})
		})
	}
}

// A connection that is lost is made again, and what was told meanwhile is found.
func TestListenerComesBack(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	heard := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	store := postgres.New(pool)
	require.NoError(t, store.Migrate(ctx))
	ended := background(func() error { return store.Listen(ctx, func() { heard <- struct{}{} }) })
	<-heard // at the beginning
	require.NoError(t, store.Activate(ctx, interlock.Revision{Machine: "m", ID: "r1"}, 0))
	<-heard
	_, err := store.BumpEpoch(ctx, "test")
	require.NoError(t, err)
	<-heard
	_, err = pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
	require.NoError(t, err)
	require.Error(t, <-ended, "so that whoever listens begins again")
	ended = background(func() error { return store.Listen(ctx, func() { heard <- struct{}{} }) })
	<-heard
	cancel()
	require.Error(t, <-ended)
}

// inFlight holds a commit open in its transaction, decided and written, until
// release.
func inFlight(t *testing.T, g *interlock.Gate, req interlock.Request) (release func() error) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	answer := background(func() error {
		_, _, err := interlock.Do(t.Context(), g, keeper, req, func(context.Context, pgx.Tx, interlock.Transition) (any, error) {
			close(entered)
			<-leave
			return nil, nil
		})
		return err
	})
	<-entered
	return func() error { close(leave); return <-answer }
}

// A revocation and a strict activation answer when what is in flight has ended,
// and then nothing more commits on the old.
func TestAnswersWaitForWhatIsInFlight(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	former := doorGate(t, postgres.New(pool), doorYAML, 0, time.Hour)
	kim := interlock.Actor{ID: "kim"}
	system := interlock.SystemActor("", "test")
	_, err := former.Grant(t.Context(), system, "kim", "keeper", interlock.Scope{})
	require.NoError(t, err)
	for _, c := range []struct {
		name string
		act  func() error
		code string
	}{
		{"revoke", func() error {
			_, err := former.Revoke(t.Context(), system, "kim", "keeper", interlock.Scope{})
			return err
		}, ""},
		{"activate", func() error { doorGate(t, postgres.New(pool), doorWithBellYAML, -1, time.Hour); return nil }, "revision_retired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := newDoor(t, former), newDoor(t, former)
			release := inFlight(t, former, first)
			done := background(c.act)
			until(t, pool, oneWaits)
			select {
			case err := <-done:
				t.Fatalf("it answered while a commit was in flight: %v", err)
			default:
			}
			require.NoError(t, release(), "what is in flight comes through")
			require.NoError(t, <-done)
			_, err := former.Fire(t.Context(), kim, second)
			require.Error(t, err)
			if c.code != "" {
				require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageUnavailable, Code: c.code})
			}
			rows := 0
			require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM interlock.history WHERE instance = $1`, second.ID).Scan(&rows))
			require.Equal(t, 1, rows)
			if c.name == "revoke" {
				_, err = former.Grant(t.Context(), system, "kim", "keeper", interlock.Scope{})
				require.NoError(t, err)
			}
		})
	}
}

// Whoever can't get at the actor's row, because commits hold it again and again,
// says that nothing was revoked: never a false success.
func TestRevokeThatCannotBeDone(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	g := doorGate(t, postgres.New(pool), doorYAML, 0, time.Hour)
	system := interlock.SystemActor("", "test")
	_, err := g.Grant(t.Context(), system, "kim", "keeper", interlock.Scope{})
	require.NoError(t, err)
	holder := holdActor(t, pool)
	began := time.Now()
	_, err = g.Revoke(t.Context(), system, "kim", "keeper", interlock.Scope{})
	require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageUnavailable, Code: "store_failed"})
	require.ErrorContains(t, err, "still holds")
	require.Greater(t, time.Since(began), 4*time.Second, "it was tried more than once")
	require.NoError(t, holder.Rollback(t.Context()))
	kim, err := g.Actor(t.Context(), system, "kim")
	require.NoError(t, err)
	require.Len(t, kim.Grants, 1)
	_, err = g.Revoke(t.Context(), system, "kim", "keeper", interlock.Scope{})
	require.NoError(t, err)
}

func holdActor(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	holder, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = holder.Rollback(context.Background()) })
	_, err = holder.Exec(t.Context(), `SELECT 1 FROM interlock.actor WHERE id = 'kim' FOR SHARE`)
	require.NoError(t, err)
	return holder
}
