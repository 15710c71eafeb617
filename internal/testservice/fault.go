package testservice

import "testing"

// RedisServer is a Redis of one test's own, to be stopped and stalled. Its
// methods fail the test when the server doesn't obey, so they belong into the
// test's own goroutine.
type RedisServer struct{ owned }

// PostgresServer is a PostgreSQL of one test's own. Starting one takes a second
// or two: tests that only need a database use Postgres.
type PostgresServer struct{ owned }

// NewRedis starts a Redis that ends with the test. INTERLOCK_TEST_REDIS_URL is
// not looked at: nobody stalls a server that he was lent.
func NewRedis(tb testing.TB) *RedisServer {
	tb.Helper()
	s := &RedisServer{own(tb, "Redis", StartRedis)}
	tb.Attr("store", "redis")
	return s
}

// NewPostgres starts a PostgreSQL that ends with the test; its URL is that of
// an empty database.
func NewPostgres(tb testing.TB) *PostgresServer {
	tb.Helper()
	s := &PostgresServer{own(tb, "PostgreSQL", StartPostgres)}
	tb.Attr("store", "postgres")
	return s
}

type owned struct {
	tb     testing.TB
	server *Server
}

func own(tb testing.TB, name string, start func() (*Server, error)) owned {
	tb.Helper()
	server, err := start()
	if err != nil {
		tb.Fatalf("%s for this test: %v", name, err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Errorf("stop this test's %s: %v", name, err)
		}
	})
	return owned{tb, server}
}

// URL is the address; it stays the same over Stop and Restart.
func (o owned) URL() string { return o.server.URL() }

// Addr is the host and port of the address.
func (o owned) Addr() string { return o.server.Addr() }

// Stop ends the server as a crash does; connections to it are refused.
func (o owned) Stop() { o.tb.Helper(); o.must(o.server.Stop(), "stop") }

// Stall freezes the server: connections stay open and nothing answers.
func (o owned) Stall() { o.tb.Helper(); o.must(o.server.Stall(), "stall") }

// Resume lets a stalled server go on.
func (o owned) Resume() { o.tb.Helper(); o.must(o.server.Resume(), "resume") }

// Restart stops the server where it runs and starts it again at the same
// address. PostgreSQL keeps its data; Redis comes back empty.
func (o owned) Restart() { o.tb.Helper(); o.must(o.server.Restart(), "restart") }

func (o owned) must(err error, what string) {
	o.tb.Helper()
	if err != nil {
		o.tb.Fatalf("%s the server at %s: %v", what, o.server.Addr(), err)
	}
}
