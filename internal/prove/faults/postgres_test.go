package faults

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

// pgWorld is a gate on a PostgreSQL that a test may do anything to.
type pgWorld struct {
	t      *testing.T
	server *testservice.PostgresServer
	url    string        // of a database of this test's own
	pool   *pgxpool.Pool // the gate's
	store  *postgres.Store
	db     *sql.DB // straight to the server
	world  *load.World
}

// newPostgresWorld makes a database of the test's own in the server, behind
// front where there is one: it gets the server's address and answers another.
func newPostgresWorld(t *testing.T, server *testservice.PostgresServer, front func(addr string) string) *pgWorld {
	t.Helper()
	p := &pgWorld{t: t, server: server}
	u, err := url.Parse(server.URL())
	require.NoError(t, err)
	name := strings.ToLower("faults_" + rand.Text())
	p.db, err = sql.Open("pgx", server.URL())
	require.NoError(t, err)
	require.NoError(t, p.exec("CREATE DATABASE "+name))
	require.NoError(t, p.db.Close())
	u.Path = "/" + name
	p.url = u.String()
	if front != nil {
		u.Host = front(u.Host)
	}
	cfg, err := pgxpool.ParseConfig(u.String())
	require.NoError(t, err)
	cfg.MaxConns = 8
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	p.pool, err = pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(p.pool.Close)
	p.db, err = sql.Open("pgx", p.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.db.Close() })
	p.store = postgres.New(p.pool)
	p.world = open(t, load.Config{Store: p.store, DB: p.db, Prefix: `"interlock".`, Change: hasty})
	return p
}

// hasty is a gate that doesn't wait long for its store, so that a run sees more
// than one time-out.
func hasty(c *interlock.Config) { c.CommitTimeout, c.ReadTimeout = time.Second, time.Second }

// prove runs the load with the fault. What the store can't do is refused as
// unavailable, and everything goes on by itself afterwards.
func (p *pgWorld) prove(claim string, requests int, f fault) *load.Ledger {
	p.t.Helper()
	return p.proveWith(claim, requests, f, func(pl *load.Plan) { pl.Unavailable = true })
}

func (p *pgWorld) proveWith(claim string, requests int, f fault, change func(*load.Plan)) *load.Ledger {
	p.t.Helper()
	full := 800
	pl := plan(20, full, f)
	pl.Requests[load.During] = prove.Size(requests/15, requests)
	pl.AtLeast[load.During] = time.Duration(prove.Size(0, int(1500*time.Millisecond))) // longer than the gate waits
	change(&pl)
	ledger, err := load.Run(p.world.URL, pl)
	require.NoError(p.t, err)
	record(p.t, claim, 2*full+requests, ledger, p.world, load.Terms{Unavailable: true})
	return ledger
}

func (p *pgWorld) exec(query string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := p.db.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

// The tests share one server, each with a database of its own: it starts slowly.
func TestPostgres(t *testing.T) {
	together(t)
	server := testservice.NewPostgres(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *testservice.PostgresServer)
	}{
		{"stalled", postgresStalled},
		{"restarted", postgresRestarted},
		{"reset", postgresReset},
		{"terminated", postgresTerminated},
		{"poolexhausted", postgresPoolExhausted},
		{"locked", postgresLocked},
		{"deadlocked", postgresDeadlocked},
		{"full", postgresFull},
		{"readonly", postgresReadOnly},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, server) })
	}
}

func postgresStalled(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	p := newPostgresWorld(t, server, nil)
	p.prove("postgres/stalled", 60, fault{calm(p.server.Stall), calm(p.server.Resume)})
}

// Restarted as after a crash: every connection is gone, and what was committed is
// read back from the write-ahead log.
func postgresRestarted(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	p := newPostgresWorld(t, server, nil)
	p.prove("postgres/restarted", 900, fault{begin: func() error {
		for range prove.Size(0, 4) {
			p.server.Restart()
			time.Sleep(200 * time.Millisecond)
		}
		p.server.Stop()
		return nil
	}, end: calm(p.server.Restart)})
}

// Reset: the connection is cut after some bytes of what the server answers, in
// the middle of transactions and of their end.
func postgresReset(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	var x *toxic
	p := newPostgresWorld(t, server, func(addr string) string {
		x = newToxic(t, addr)
		return x.proxy.Listen
	})
	p.prove("postgres/reset", 900, x.fault("limit_data", "downstream", `{"bytes": 4000}`))
}

// Terminated: an administrator ends the gate's connections while they work.
func postgresTerminated(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	p := newPostgresWorld(t, server, nil)
	p.prove("postgres/terminated", 900, repeated(func() error {
		return p.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND datname = current_database() AND state <> 'idle' AND application_name = ''
			ORDER BY random() LIMIT 1`)
	}))
}

// Exhausted: others hold every connection of the pool. Health and metrics need none.
func postgresPoolExhausted(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	p := newPostgresWorld(t, server, nil)
	var held []*pgxpool.Conn
	p.prove("postgres/exhausted", 60, fault{
		begin: func() error {
			for range p.pool.Config().MaxConns {
				c, err := p.pool.Acquire(context.Background())
				if err != nil {
					return err
				}
				held = append(held, c)
			}
			resp, err := http.Get(p.world.URL + "/healthz")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("healthz answers %d without a connection to the database", resp.StatusCode)
			}
			return nil
		},
		end: func() error {
			for _, c := range held {
				c.Release()
			}
			return nil
		},
	})
	http.DefaultClient.CloseIdleConnections()
}

// Locked: somebody else holds the rows of the instances for longer than a commit
// waits.
func postgresLocked(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	p := newPostgresWorld(t, server, nil)
	var tx *sql.Tx
	p.prove("postgres/locked", 60, fault{
		begin: func() error {
			var err error
			if tx, err = p.db.BeginTx(context.Background(), nil); err != nil {
				return err
			}
			_, err = tx.Exec(`SELECT 1 FROM interlock.instance FOR UPDATE`)
			return err
		},
		end: func() error { return tx.Rollback() },
	})
}

// Deadlocked: somebody else locks in the other order, instance before actor. The
// database ends one of the two.
func postgresDeadlocked(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	p := newPostgresWorld(t, server, nil)
	require.NoError(t, p.exec(`ALTER SYSTEM SET deadlock_timeout = '20ms'`))
	require.NoError(t, p.exec(`SELECT pg_reload_conf()`))
	before := p.deadlocks()
	var ours atomic.Int64 // that ended us; the gate may win every time
	lock := func() error {
		tx, err := p.db.BeginTx(context.Background(), nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		for _, query := range []string{
			`SELECT 1 FROM interlock.instance WHERE machine = 'loan' AND id IN ('l1', 'l2', 'l3', 'l4') ORDER BY id FOR UPDATE`,
			`SELECT pg_sleep(0.02)`,
			`SELECT 1 FROM interlock.actor WHERE id IN ('mia', 'moe', 'max', 'may') ORDER BY id FOR UPDATE`,
		} {
			if _, err := tx.Exec(query); err != nil {
				if strings.Contains(err.Error(), "40P01") {
					ours.Add(1)
					return nil
				}
				return err
			}
		}
		return nil
	}
	p.proveWith("postgres/deadlocked", 900, repeated(lock), func(pl *load.Plan) {
		pl.Felt = func() bool { return ours.Load() > 0 || p.deadlocks() > before }
	})
}

func (p *pgWorld) deadlocks() (n int) {
	p.t.Helper()
	require.NoError(p.t, p.db.QueryRow(`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&n))
	return n
}
