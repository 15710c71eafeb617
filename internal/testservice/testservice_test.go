package testservice

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestPostgresGivesEachTestItsOwnDatabase(t *testing.T) {
	var first string
	t.Run("one", func(t *testing.T) {
		first = Postgres(t)
		require.NoError(t, execute(first, "CREATE TABLE t (x text)"))
	})
	require.ErrorContains(t, execute(first, "SELECT 1"), "does not exist", "dropped when its test ended")
	second := Postgres(t)
	require.NoError(t, execute(second, "CREATE TABLE t (x text)"), "nothing of the other test is here")

	conn, err := pgx.Connect(t.Context(), second)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	var encoding, collation, fsync string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT pg_encoding_to_char(encoding), datcollate, current_setting('fsync') FROM pg_database WHERE datname = current_database()`).Scan(&encoding, &collation, &fsync))
	require.Equal(t, []string{"UTF8", "C", "on"}, []string{encoding, collation, fsync})
}

func TestPostgresIsDroppedUnderAnOpenConnection(t *testing.T) {
	var conn *pgx.Conn
	t.Run("inner", func(t *testing.T) {
		var err error
		conn, err = pgx.Connect(t.Context(), Postgres(t))
		require.NoError(t, err)
	})
	require.Error(t, conn.Ping(t.Context()))
}

func TestRedisGivesEachTestItsOwnDatabase(t *testing.T) {
	ctx := t.Context()
	var first string
	t.Run("one", func(t *testing.T) {
		first = Redis(t)
		client, err := connectRedis(first, -1)
		require.NoError(t, err)
		defer client.Close()
		require.NoError(t, client.Set(ctx, "k", "v", 0).Err())
		second, err := connectRedis(Redis(t), -1)
		require.NoError(t, err)
		defer second.Close()
		require.NotEqual(t, client.Options().DB, second.Options().DB)
		require.Zero(t, second.DBSize(ctx).Val())
	})
	client, err := connectRedis(first, -1)
	require.NoError(t, err)
	defer client.Close()
	size, err := client.DBSize(ctx).Result()
	require.NoError(t, err)
	require.Zero(t, size, "flushed when its test ended")
}

func TestRedisLeavesDatabasesWithForeignKeysAlone(t *testing.T) {
	server, err := StartRedis()
	require.NoError(t, err)
	defer server.Close()
	foreign, err := connectRedis(server.URL(), 1)
	require.NoError(t, err)
	defer foreign.Close()
	require.NoError(t, foreign.Set(t.Context(), "theirs", "v", 0).Err())

	claimed, release, err := claimDatabase(server.URL())
	require.NoError(t, err)
	require.Equal(t, "redis://"+server.Addr()+"/2", claimed)
	require.NoError(t, release())
	require.Equal(t, "v", foreign.Get(t.Context(), "theirs").Val())
}

// Test processes that share a server ask it at the same time.
func TestRedisIsClaimedOnce(t *testing.T) {
	server, err := StartRedis()
	require.NoError(t, err)
	defer server.Close()
	const askers = 20
	claims := make(chan string, askers)
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			claimed, _, err := claimDatabase(server.URL())
			if err != nil {
				claimed = err.Error()
			}
			claims <- claimed
		})
	}
	all.Wait()
	close(claims)
	seen := map[string]bool{}
	for c := range claims {
		require.Regexp(t, `^redis://[^/]+/[1-9]\d*$`, c)
		require.False(t, seen[c], "%s was handed out twice", c)
		seen[c] = true
	}
}

func TestRedisServerFaults(t *testing.T) {
	server := NewRedis(t)
	ping := func(limit time.Duration) error {
		client, err := connectRedis(server.URL(), -1)
		require.NoError(t, err)
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return client.Ping(ctx).Err()
	}
	require.NoError(t, ping(time.Minute))
	server.Stall()
	require.Error(t, ping(300*time.Millisecond))
	server.Resume()
	require.NoError(t, ping(time.Minute))
	server.Stop()
	require.ErrorContains(t, ping(time.Minute), "refused")
	server.Restart()
	require.NoError(t, ping(time.Minute))
	server.Stall() // and let the cleanup find it stalled
}

func TestPostgresServerFaults(t *testing.T) {
	server := NewPostgres(t)
	require.NoError(t, execute(server.URL(), "CREATE TABLE kept AS SELECT 1 AS x"))
	conn, err := pgx.Connect(t.Context(), server.URL())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	ask := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return conn.Ping(ctx)
	}
	require.NoError(t, ask(time.Minute))
	server.Stall()
	require.Error(t, ask(300*time.Millisecond), "an open connection doesn't answer either")
	server.Resume()
	require.NoError(t, execute(server.URL(), "SELECT x FROM kept"))
	server.Restart()
	require.NoError(t, execute(server.URL(), "SELECT x FROM kept"), "committed before the crash")
	server.Stop()
	require.ErrorContains(t, execute(server.URL(), "SELECT 1"), "refused")
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	t.Run("it ends", func(t *testing.T) {
		_, err := start(spec{
			name: "broken", signal: "KILL", account: ourselves,
			command: func(string, int) []string { return []string{"/bin/sh", "-c", "echo no such luck; exit 3"} },
			url:     func(int) string { return "" },
			ready:   func(context.Context, string) error { return os.ErrDeadlineExceeded },
		})
		require.ErrorContains(t, err, "no such luck")
	})
	t.Run("it is not there", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := StartRedis()
		require.ErrorContains(t, err, "apt-get install redis-server")
	})
}

func TestDatabaseURLs(t *testing.T) {
	for _, c := range []struct{ server, want string }{
		{"redis://h:1", "redis://h:1/7"},
		{"redis://u:p@h:1/0?db=3&protocol=3", "redis://u:p@h:1/7?protocol=3"},
		{"unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=7"},
	} {
		require.Equal(t, c.want, withDatabase(c.server, 7))
	}
	_, _, err := createDatabase("host=localhost dbname=x")
	require.ErrorContains(t, err, "must be a URL")
}
