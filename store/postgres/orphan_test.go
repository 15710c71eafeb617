package postgres_test

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

// partition passes connections on until it cuts them: the client's end is closed,
// and the server isn't told, as when the network between them is gone.
type partition struct {
	listener net.Listener
	mu       sync.Mutex
	clients  []net.Conn
	servers  []net.Conn
}

// cancelRequest is the code of a message that would end the server's work; it
// doesn't come through either.
const cancelRequest = 80877102

func newPartition(t *testing.T, target string) *partition {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &partition{listener: l}
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.servers {
			_ = s.Close()
		}
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			c.mu.Lock()
			c.clients, c.servers = append(c.clients, client), append(c.servers, server)
			c.mu.Unlock()
			go func() {
				first := make([]byte, 8)
				if _, err := io.ReadFull(client, first); err != nil || binary.BigEndian.Uint32(first[4:]) == cancelRequest {
					_ = client.Close()
					_ = server.Close()
					return
				}
				_, _ = server.Write(first)
				_, _ = io.Copy(server, client)
			}()
			go func() { _, _ = io.Copy(client, server) }()
		}
	}()
	return c
}

func (c *partition) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.clients {
		_ = conn.Close()
	}
	c.clients = nil
}

const doorYAML = `
machine: door
initial: shut
create: {requires: [keeper]}
read: {requires: [keeper]}
states: {shut: {}, open: {}}
events: {open: {from: shut, to: open, requires: [keeper]}}
`

// A commit whose connection is lost while it waits for the actor's row goes on
// in the server, and nothing in the instance tells of it yet. "Nothing was
// changed" must not be said of it: what is said is what remains.
func TestCommitThatGoesOnWithoutItsConnection(t *testing.T) {
	address := testservice.Postgres(t)
	u, err := url.Parse(address)
	require.NoError(t, err)
	proxy := newPartition(t, u.Host)
	u.Host = proxy.listener.Addr().String()
	direct := newPool(t, address)
	m, err := fsm.Parse("door.yaml", []byte(doorYAML))
	require.NoError(t, err)
	for name, store := range map[string]func() interlock.Store{
		"pgx": func() interlock.Store { return postgres.New(newPool(t, u.String()), postgres.Schema("door")) },
		"database/sql": func() interlock.Store {
			return postgres.NewSQL(newDB(t, u.String()), postgres.Schema("door_sql"))
		},
	} {
		schema := map[string]string{"pgx": "door", "database/sql": "door_sql"}[name]
		for _, end := range []string{"COMMIT", "ROLLBACK"} {
			t.Run(name+" "+end, func(t *testing.T) {
				ctx := t.Context()
				g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: store(), CommitTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler)})
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, g.Close(context.Background())) })
				erin := interlock.Actor{ID: "erin", Roles: []string{"keeper"}}
				created, err := g.Create(ctx, erin, interlock.CreateRequest{Machine: "door"})
				require.NoError(t, err)

				holder, err := direct.Begin(ctx)
				require.NoError(t, err)
				defer func() { _ = holder.Rollback(context.Background()) }()
				_, err = holder.Exec(ctx, `SELECT 1 FROM `+schema+`.actor WHERE id = 'erin' FOR UPDATE`)
				require.NoError(t, err)
				answer := background(func() error {
					_, err := g.Fire(ctx, erin, interlock.Request{Machine: "door", ID: created.Instance.ID, Event: "open"})
					return err
				})
				until(t, direct, oneWaits)
				proxy.cut()
				select {
				case err = <-answer:
				case <-time.After(500 * time.Millisecond):
					_, end := holder.Exec(ctx, end)
					require.NoError(t, end)
					err = <-answer
				}
				_ = holder.Rollback(ctx)
				until(t, direct, allRest)
				inst, readErr := g.Get(ctx, erin, interlock.Ref{Machine: "door", ID: created.Instance.ID})
				require.NoError(t, readErr)
				if err == nil {
					assert.Equal(t, "open", inst.State)
					assert.EqualValues(t, 2, inst.Version)
				} else {
					assert.Equal(t, "shut", inst.State, "it was refused: %v", err)
				}
				require.NoError(t, err)
			})
		}
	}
}

func background(f func() error) chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

const (
	oneWaits = `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	allRest  = `SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`
)

func until(t *testing.T, pool *pgxpool.Pool, query string) {
	t.Helper()
	require.Eventually(t, func() bool {
		var is bool
		err := pool.QueryRow(t.Context(), query).Scan(&is)
		return err == nil && is
	}, patience, 5*time.Millisecond)
}
