// Package testservice gives tests a real PostgreSQL and a real Redis.
//
// Where INTERLOCK_TEST_POSTGRES_URL or INTERLOCK_TEST_REDIS_URL is set, that
// server is used. Otherwise the first test of a process that asks starts a
// private server from the installed binaries, in a temporary folder and on a
// free port of 127.0.0.1; the process's other tests share it, and it ends with
// the process, however that ends. Only a test that asks for a server of its own
// (NewPostgres, NewRedis) may stop or stall it.
//
// A service that can't be had fails the test and says what to install: a test
// that quietly did not run would promise what nobody checked.
//
// Every test that is given a service carries the attribute "store" with the
// value "postgres" or "redis", so that a run can be asked what it covered.
package testservice

import (
	"os"
	"sync"
	"testing"
)

// The environment variables that name servers to use instead of private ones.
// The PostgreSQL role must be allowed to create databases.
const (
	PostgresEnv = "INTERLOCK_TEST_POSTGRES_URL"
	RedisEnv    = "INTERLOCK_TEST_REDIS_URL"
)

// The servers that the tests of this process share: a test process is the one
// place where starting a database per test would cost more than a global does.
var (
	sharedPostgres = sync.OnceValues(func() (shared, error) { return given(PostgresEnv, StartPostgres) })
	sharedRedis    = sync.OnceValues(func() (shared, error) { return given(RedisEnv, StartRedis) })
)

type shared struct {
	url     string
	private *Server // nil where the server was given; held, because its watchdog ends it when it is collected
}

// Postgres returns the URL of an empty database that only this test uses
// (UTF8, collation C). The database is dropped when the test ends, even while
// connections to it are open. A test process that is killed leaves its databases
// behind in a server that was given to it; their names begin with
// interlock_test_.
func Postgres(tb testing.TB) string {
	tb.Helper()
	server, err := sharedPostgres()
	if err != nil {
		tb.Fatalf("PostgreSQL for this test: %v", err)
	}
	url, drop, err := createDatabase(server.url)
	if err != nil {
		tb.Fatalf("a database for this test: %v", err)
	}
	tb.Cleanup(func() {
		if err := drop(); err != nil {
			tb.Errorf("drop this test's database: %v", err)
		}
	})
	tb.Attr("store", "postgres")
	return url
}

// Redis returns the URL of an empty database, by its number, that only this
// test uses. It is flushed when the test ends. FLUSHALL, the server's settings
// and the channels of publish and subscribe reach other tests too: a test that
// needs those takes NewRedis.
func Redis(tb testing.TB) string {
	tb.Helper()
	server, err := sharedRedis()
	if err != nil {
		tb.Fatalf("Redis for this test: %v", err)
	}
	url, release, err := claimDatabase(server.url)
	if err != nil {
		tb.Fatalf("a Redis database for this test: %v", err)
	}
	tb.Cleanup(func() {
		if err := release(); err != nil {
			tb.Errorf("give this test's Redis database back: %v", err)
		}
	})
	tb.Attr("store", "redis")
	return url
}

func given(env string, start func() (*Server, error)) (shared, error) {
	if url := os.Getenv(env); url != "" {
		return shared{url: url}, nil
	}
	server, err := start()
	if err != nil {
		return shared{}, err
	}
	return shared{url: server.URL(), private: server}, nil // never closed: it ends with the process
}
