package postgres_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/storetest"
)

func bindings() (opts []postgres.Option) {
	for _, b := range storetest.Bindings() {
		opts = append(opts, postgres.TableOf(b))
	}
	return opts
}

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func newDB(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

// empty drops everything, which is faster than another database.
const empty = `DROP SCHEMA IF EXISTS interlock CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public`

func TestConformance(t *testing.T) {
	t.Run("postgres pgx", func(t *testing.T) {
		pool := newPool(t, testservice.Postgres(t))
		storetest.Run(t, func(t *testing.T) interlock.Store {
			t.Helper()
			_, err := pool.Exec(context.Background(), empty)
			require.NoError(t, err)
			return postgres.New(pool, bindings()...)
		})
	})
	t.Run("postgres database sql", func(t *testing.T) {
		db := newDB(t, testservice.Postgres(t))
		storetest.Run(t, func(t *testing.T) interlock.Store {
			t.Helper()
			_, err := db.ExecContext(context.Background(), empty)
			require.NoError(t, err)
			return postgres.NewSQL(db, bindings()...)
		})
	})
}
