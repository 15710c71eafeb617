package postgres_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

// trips counts what is sent and waited for.
type trips struct{ atomic.Int64 }

func (t *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	t.Add(1)
	return ctx
}

func (t *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Beside a table of the application's, and in its transactions, a step is the
// one statement that it is elsewhere, and two for the table.
func TestStepsInTransactionsAreOneStatement(t *testing.T) {
	ctx := t.Context()
	config, err := pgxpool.ParseConfig(testservice.Postgres(t))
	require.NoError(t, err)
	var sent trips
	config.ConnConfig.Tracer = &sent
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(ctx, `CREATE SCHEMA app; CREATE TABLE app.door (id TEXT PRIMARY KEY, status TEXT NOT NULL); INSERT INTO app.door VALUES ('d', 'new')`)
	require.NoError(t, err)
	free := postgres.New(pool)
	migrated(t, free)
	c := creation(t, free, "d")
	bound := postgres.New(pool, postgres.Table(c.Instance.Next.Machine, "app.door", "id", "status"))
	migrated(t, bound)
	require.NoError(t, free.Commit(ctx, c))
	hire(t, free, c)

	within := func(s *postgres.Store, step *interlock.Commit) int64 {
		var n int64
		require.NoError(t, s.Within(ctx, func(tx interlock.Tx) error {
			before := sent.Load()
			err := tx.Apply(ctx, step)
			n = sent.Load() - before
			return err
		}))
		return n
	}
	c = next(c)
	require.EqualValues(t, 1, within(free, c))
	c = next(c)
	c.Bound = &interlock.BoundChange{From: "new", To: "open"}
	_, err = bound.Load(ctx, "default", interlock.Ref{Machine: c.Instance.Next.Machine, ID: "d"}, nil) // the binding is known
	require.NoError(t, err)
	require.EqualValues(t, 3, within(bound, c))
	var status string
	require.NoError(t, pool.QueryRow(ctx, `SELECT status FROM app.door`).Scan(&status))
	require.Equal(t, "open", status)
	require.ErrorIs(t, bound.Within(ctx, func(tx interlock.Tx) error { return tx.Apply(ctx, c) }), interlock.ErrStale, "once")
}
