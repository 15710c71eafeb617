package postgres_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"io/fs"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

func migrated(t testing.TB, s *postgres.Store) *postgres.Store {
	t.Helper()
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, s.Activate(t.Context(), interlock.Revision{Machine: "m", ID: "r", States: []string{"new"}}, 0))
	return s
}

func creation(t testing.TB, s interlock.Store, id string) *interlock.Commit {
	t.Helper()
	epoch, err := s.Epoch(t.Context())
	require.NoError(t, err)
	at := time.UnixMicro(1)
	return &interlock.Commit{Epoch: epoch, Revision: interlock.Revision{Machine: "m", ID: "r"}, Instance: &interlock.InstanceChange{
		Next:   interlock.Instance{Tenant: "default", Machine: "m", ID: id, State: "new", Version: 1, CreatedAt: at, Since: at, UpdatedAt: at},
		Record: interlock.Record{Transition: interlock.Transition{ID: id, Tenant: "default", Machine: "m", Instance: id, Seq: 1, Time: at}},
	}}
}

func TestSimpleProtocolRefused(t *testing.T) {
	simple := testservice.Postgres(t) + "&default_query_exec_mode=simple_protocol"
	if !strings.Contains(simple, "?") {
		simple = strings.Replace(simple, "&", "?", 1)
	}
	for name, s := range map[string]*postgres.Store{
		"pgx": postgres.New(newPool(t, simple)), "database/sql": postgres.NewSQL(newDB(t, simple)),
	} {
		assert.ErrorContains(t, s.Migrate(t.Context()), "simple protocol is refused", name)
		_, err := s.Epoch(t.Context())
		assert.ErrorContains(t, err, "simple protocol is refused", name)
		assert.ErrorContains(t, s.Within(t.Context(), func(interlock.Tx) error { return nil }), "simple protocol is refused", name)
	}
}

func TestOtherDriverRefused(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	defer db.Close()
	require.ErrorContains(t, postgres.NewSQL(db).Migrate(t.Context()), "want a *sql.DB of the driver pgx/v5/stdlib")
}

func TestMistakesAreTold(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	for want, opt := range map[string]postgres.Option{
		`schema "a.b" is not a name`:      postgres.Schema("a.b"),
		`"loans--" is not a name`:         postgres.Table("m", "loans--", "id", "status"),
		"there is no such table":          postgres.Table("m", "loans", "id", "status"),
		`machine m, bound to table app.x`: postgres.Table("m", "app.x", "id", "status"),
	} {
		s := postgres.New(pool, opt)
		assert.ErrorContains(t, s.Migrate(t.Context()), want)
		assert.Error(t, s.Commit(t.Context(), &interlock.Commit{}))
	}
}

// TestSchemas: stores of two schemas in one database are apart, whatever the
// search_path is, and NoMigrate makes nothing.
func TestSchemas(t *testing.T) {
	ctx := t.Context()
	address := testservice.Postgres(t)
	pool := newPool(t, address)
	require.ErrorContains(t, postgres.New(pool, postgres.Schema("one"), postgres.NoMigrate()).Migrate(ctx), "schema one")
	one := migrated(t, postgres.New(pool, postgres.Schema("one")))
	two := migrated(t, postgres.New(pool, postgres.Schema("two")))
	require.NoError(t, one.Commit(ctx, creation(t, one, "a")))
	require.ErrorIs(t, two.Commit(ctx, creation(t, one, "b")), interlock.ErrStale, "another epoch")
	f, err := two.Load(ctx, "default", interlock.Ref{Machine: "m", ID: "a"}, nil)
	require.NoError(t, err)
	assert.Nil(t, f.Instance)
	require.NoError(t, postgres.New(pool, postgres.Schema("one"), postgres.NoMigrate()).Migrate(ctx))
	var n int
	require.NoError(t, pool.QueryRow(ctx, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&n))
	assert.Zero(t, n, "the application's schema stays clean")
	require.ErrorIs(t, one.Commit(ctx, creation(t, one, "a")), interlock.ErrExists)
}

func TestMigrateFromManyProcesses(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	results := make(chan error, 8)
	for range 8 {
		go func() { results <- postgres.New(pool).Migrate(t.Context()) }()
	}
	for range 8 {
		require.NoError(t, <-results)
	}
}

// Migrating a large database takes longer than commits wait for a lock; who comes
// meanwhile waits for it, and his own statements wait for locks no longer than ever.
func TestMigrateWaitsForAnothers(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	s := migrated(t, postgres.New(pool))
	held, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = held.Rollback(context.Background()) }()
	_, err = held.Exec(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended('schema of "interlock".', 0))`)
	require.NoError(t, err)
	second := background(func() error { return s.Migrate(t.Context()) })
	until(t, pool, oneWaits)
	select {
	case err := <-second:
		require.Fail(t, "it didn't wait", "%v", err)
	case <-time.After(2500 * time.Millisecond): // longer than the limit of other locks
	}
	require.NoError(t, held.Rollback(t.Context()))
	require.NoError(t, soon(t, second, "who waited"))

	held, err = pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), `LOCK TABLE interlock.store IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	require.ErrorContains(t, soon(t, background(func() error { return s.Migrate(t.Context()) }), "who meets a lock"), "lock timeout")
	require.NoError(t, held.Rollback(t.Context()))
}

// TestMigrationsMatch: both dialects have the same numbers, tables and columns.
func TestMigrationsMatch(t *testing.T) {
	table := regexp.MustCompile(`(?s)CREATE TABLE (il\.\w+) \((.*?)\n\)`)
	column := regexp.MustCompile(`(?m)^\t(\w+) +[A-Z]`)
	read := func(dir string) (names []string, tables map[string][]string) {
		tables = map[string][]string{}
		fsys := os.DirFS(dir)
		names, err := fs.Glob(fsys, "*.sql")
		require.NoError(t, err)
		for _, name := range names {
			text, err := fs.ReadFile(fsys, name)
			require.NoError(t, err)
			for _, m := range table.FindAllStringSubmatch(string(text), -1) {
				for _, c := range column.FindAllStringSubmatch(m[2], -1) {
					if c[1] != "PRIMARY" {
						tables[m[1]] = append(tables[m[1]], c[1])
					}
				}
			}
		}
		return names, tables
	}
	names, tables := read("migrations")
	otherNames, otherTables := read("../sqlite/migrations")
	require.NotEmpty(t, names)
	require.Len(t, tables, 13)
	assert.Equal(t, names, otherNames)
	assert.Equal(t, tables, otherTables)
}

// TestLockOrder: the single statement asks for actors, revision and epoch
// before it touches the instance.
func TestLockOrder(t *testing.T) {
	ctx := t.Context()
	pool := newPool(t, testservice.Postgres(t))
	s := migrated(t, postgres.New(pool))
	c := creation(t, s, "a")
	require.NoError(t, s.Commit(ctx, c))
	held, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = held.Exec(ctx, `SELECT 1 FROM interlock.revision FOR UPDATE`)
	require.NoError(t, err)
	c.Instance.PrevVersion, c.Instance.PrevState, c.Instance.Next.Version, c.Instance.Record.Seq = 1, "new", 2, 2
	result := make(chan error, 1)
	go func() { result <- s.Commit(ctx, c) }()
	until(t, pool, oneWaits)
	_, err = held.Exec(ctx, `SELECT 1 FROM interlock.instance FOR UPDATE NOWAIT`)
	require.NoError(t, err, "the waiting commit holds the instance")
	require.NoError(t, held.Commit(ctx))
	require.NoError(t, <-result)
}

// TestLockTimeout: who waits too long for a lock gets an error that is certain.
func TestLockTimeout(t *testing.T) {
	ctx := t.Context()
	pool := newPool(t, testservice.Postgres(t))
	s := migrated(t, postgres.New(pool))
	held, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = held.Exec(ctx, `SELECT 1 FROM interlock.revision FOR UPDATE`)
	require.NoError(t, err)
	started := time.Now()
	err = s.Commit(ctx, creation(t, s, "a"))
	require.ErrorContains(t, err, "lock timeout")
	var unknown *interlock.UnknownOutcome
	require.NotErrorAs(t, err, &unknown)
	assert.Greater(t, time.Since(started), 6*time.Second, "three tries of 2 s")
	require.NoError(t, held.Rollback(ctx))
	require.NoError(t, s.Commit(ctx, creation(t, s, "a")))
}

// TestCutConnection: when the answer to a commit is lost, its outcome is
// unknown, and said to be; here all of them had been written.
func TestCutConnection(t *testing.T) {
	ctx := t.Context()
	cut := newCutter(t, testservice.Postgres(t))
	config, err := pgxpool.ParseConfig(cut.url)
	require.NoError(t, err)
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db := newDB(t, cut.url)
	db.SetMaxOpenConns(1)
	for name, s := range map[string]*postgres.Store{"pgx": postgres.New(pool), "sql": postgres.NewSQL(db)} {
		migrated(t, s)
		warm := creation(t, s, name+"-warm")
		require.NoError(t, s.Commit(ctx, warm))
		for how, do := range map[string]func(*interlock.Commit) error{
			"commit": func(c *interlock.Commit) error { cut.armed.Store(true); return s.Commit(ctx, c) },
			"within": func(c *interlock.Commit) error {
				return s.Within(ctx, func(tx interlock.Tx) error {
					err := tx.Apply(ctx, c)
					cut.armed.Store(true)
					return err
				})
			},
		} {
			id := name + "-" + how
			c := creation(t, s, id)
			require.NoError(t, s.Commit(ctx, creation(t, s, id+"-warm")))
			var unknown *interlock.UnknownOutcome
			require.ErrorAs(t, do(c), &unknown, id)
			assert.Eventually(t, func() bool { // the server is told nothing, and goes on
				f, err := s.Load(ctx, "default", interlock.Ref{Machine: "m", ID: id}, nil)
				return err == nil && f.Instance != nil
			}, patience, 10*time.Millisecond, id)
		}
		// Cut before COMMIT was sent: certainly nothing.
		err := s.Within(ctx, func(tx interlock.Tx) error {
			cut.armed.Store(true)
			return tx.Apply(ctx, creation(t, fixedEpoch{s, warm.Epoch}, name+"-before"))
		})
		require.Error(t, err)
		var unknown *interlock.UnknownOutcome
		require.NotErrorAs(t, err, &unknown)
	}
}

// fixedEpoch spares a look at a store whose only connection is in use.
type fixedEpoch struct {
	interlock.Store
	epoch string
}

func (f fixedEpoch) Epoch(context.Context) (string, error) { return f.epoch, nil }

// cutter stands before the server; armed, it lets the next message through and
// cuts the connection before the answer.
type cutter struct {
	url   string
	armed atomic.Bool
}

func newCutter(t *testing.T, address string) *cutter {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	server := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	u.Host = l.Addr().String()
	c := &cutter{url: u.String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go c.copy(upstream, client, true)
			go c.copy(client, upstream, false)
		}
	}()
	return c
}

func (c *cutter) copy(to, from net.Conn, requests bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if requests && n == 16 && binary.BigEndian.Uint32(buffer[4:]) == cancelRequest {
			return // the driver's attempt to stop what was cut off would race with it
		}
		// The drivers look first whether a connection that rested for a second is alive.
		asks := requests && !bytes.Contains(buffer[:n], []byte("-- ping"))
		last := asks && c.armed.CompareAndSwap(true, false)
		if last {
			_ = from.Close() // the answer finds nobody
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
		if last {
			time.Sleep(200 * time.Millisecond) // the server works
			return
		}
	}
}
