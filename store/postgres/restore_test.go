package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/storetest"
)

// TestRestore: a backup is a copy of the whole database.
func TestRestore(t *testing.T) {
	u, err := url.Parse(testservice.Postgres(t))
	require.NoError(t, err)
	live := strings.TrimPrefix(u.Path, "/")
	admin := *u
	admin.Path = "/postgres"
	replace := func(t *testing.T, database, by string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), admin.String())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close(context.Background())) }()
		_, err = conn.Exec(t.Context(), `DROP DATABASE IF EXISTS `+pgx.Identifier{database}.Sanitize()+` WITH (FORCE)`)
		require.NoError(t, err)
		if by != "" {
			_, err = conn.Exec(t.Context(), `CREATE DATABASE `+pgx.Identifier{database}.Sanitize()+` TEMPLATE `+pgx.Identifier{by}.Sanitize())
			require.NoError(t, err)
		}
	}
	var pool *pgxpool.Pool
	storetest.RunRestore(t, storetest.Drill{
		Open: func(t *testing.T, witness string) interlock.Store {
			t.Helper()
			var err error
			pool, err = pgxpool.New(context.Background(), u.String())
			require.NoError(t, err)
			return postgres.New(pool, postgres.Witness(witness))
		},
		Close:   func(*testing.T) { pool.Close() },
		Backup:  func(t *testing.T) { t.Helper(); replace(t, live+"_backup", live) },
		Restore: func(t *testing.T) { t.Helper(); replace(t, live, live+"_backup") },
	})
	replace(t, live+"_backup", "")
}

// Another server, or a standby that took over, is told from the one before
// without any witness.
func TestAnotherServerIsRefused(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	start := func() error { return postgres.New(pool).Migrate(t.Context()) }
	require.NoError(t, start())
	require.NoError(t, start())
	var server string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT server FROM interlock.store`).Scan(&server))
	require.Regexp(t, `^\d{10,}/[0-9A-F]{8}$`, server)
	system, timeline, _ := strings.Cut(server, "/")
	for _, other := range []string{"7000000000000000001/" + timeline, system + "/0000FFFF"} {
		_, err := pool.Exec(t.Context(), `UPDATE interlock.store SET server = $1`, other)
		require.NoError(t, err)
		var rewound *interlock.RewoundError
		require.ErrorAs(t, start(), &rewound)
		require.ErrorContains(t, rewound, other)
		require.ErrorContains(t, rewound, "interlock epoch bump")
		_, err = postgres.New(pool).BumpEpoch(t.Context(), "promoted")
		require.NoError(t, err)
		require.NoError(t, start())
	}
}

// A role that may not read what the server is called starts all the same.
func TestServerThatDoesNotTell(t *testing.T) {
	address := testservice.Postgres(t)
	owner := newPool(t, address)
	require.NoError(t, postgres.New(owner).Migrate(t.Context()))
	u, err := url.Parse(address)
	require.NoError(t, err)
	mute := strings.TrimPrefix(u.Path, "/") + "_mute" // a role is the server's, not the database's
	_, err = owner.Exec(t.Context(), strings.ReplaceAll(`UPDATE interlock.store SET server = 'elsewhere'; CREATE ROLE MUTE LOGIN;
		GRANT USAGE ON SCHEMA interlock TO MUTE; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA interlock TO MUTE;
		REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC`, "MUTE", mute))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := owner.Exec(context.Background(), strings.ReplaceAll(`DROP OWNED BY MUTE; DROP ROLE MUTE`, "MUTE", mute))
		require.NoError(t, err)
	})
	u.User = url.User(mute)
	require.NoError(t, postgres.New(newPool(t, u.String()), postgres.NoMigrate()).Migrate(t.Context()))
}
