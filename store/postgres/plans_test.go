package postgres

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/sqlstore"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/storetest"
)

// statementsRun are those that ran, with what they were given last.
type statementsRun struct {
	mu   sync.Mutex
	args map[string][]any
}

func (s *statementsRun) add(query string, args []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.args[query] = args
}

// recording keeps what is run on a database.
type recording struct {
	database
	ran *statementsRun
}

func (w recording) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	return recordingConn{w.database, w.ran}.Query(ctx, query, args...)
}

func (w recording) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return recordingConn{w.database, w.ran}.Exec(ctx, query, args...)
}

func (w recording) Write(ctx context.Context, fn func(sqlstore.Conn) error) error {
	return w.onConn(ctx, fn)
}

func (w recording) onConn(ctx context.Context, fn func(sqlstore.Conn) error) error {
	return w.database.onConn(ctx, func(c sqlstore.Conn) error { return fn(recordingConn{c, w.ran}) })
}

func (w recording) InTx(ctx context.Context, fn func(sqlstore.Tx) error) error {
	return w.database.InTx(ctx, func(tx sqlstore.Tx) error { return fn(recordingTx{recordingConn{tx, w.ran}, tx}) })
}

type recordingConn struct {
	sqlstore.Conn
	ran *statementsRun
}

func (c recordingConn) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	c.ran.add(query, args)
	return c.Conn.Query(ctx, query, args...)
}

func (c recordingConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	c.ran.add(query, args)
	return c.Conn.Exec(ctx, query, args...)
}

type recordingTx struct {
	recordingConn
	tx sqlstore.Tx
}

func (t recordingTx) Handle() any { return t.tx.Handle() }

// found is the column without which rows of a table would be looked for among
// all of a tenant's.
var found = map[string]string{
	"history": "instance", "texts": "instance", "instance": "id", "actor": "id", "idempotency": "key|expires", "outbox": "id",
	"attempt": "instance", "attempt_count": "code", "api_key": "id",
}

// node is one of a plan.
type node struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Cond     string `json:"Index Cond"`
	Plans    []node
}

// unindexed are the nodes that find rows in a table that grows otherwise than by
// an index down to their ids. Those that write have the rows already.
func (n *node) unindexed() (bad []string) {
	column := found[n.Relation]
	cond := n.Cond
	for i := range n.Plans {
		if n.Type == "Bitmap Heap Scan" && n.Plans[i].Type == "Bitmap Index Scan" {
			cond = n.Plans[i].Cond
		}
	}
	if column != "" && n.Type != "ModifyTable" && !regexp.MustCompile(`\b(`+column+`)\b`).MatchString(cond) {
		bad = append(bad, n.Type+" of "+n.Relation+" by "+cond)
	}
	for i := range n.Plans {
		bad = append(bad, n.Plans[i].unindexed()...)
	}
	return bad
}

// many are enough rows for the planner to think of indexes.
const many = `
INSERT INTO interlock.actor SELECT 'default', 'a' || n, 'p', true, '{}', '[]', 1, '', '', false FROM generate_series(1, 50000) n;
INSERT INTO interlock.instance SELECT 'default', 'door', 'i' || n, 'open', 1, '{}', '{}', '{}', '[]', '{}', '', 0, 0, n, '', '' FROM generate_series(1, 50000) n;
INSERT INTO interlock.history SELECT 'default', 'door', 'i' || n / 5, n % 5 + 1, 't' || n, 'open', '', '', false, 'a' || n, '', '', '', n, '', '', '', '', true FROM generate_series(5, 100000) n;
INSERT INTO interlock.texts SELECT 'default', 'door', 'i' || n / 5, n % 5 + 1, '', '', '', '' FROM generate_series(5, 100000) n;
INSERT INTO interlock.idempotency (tenant, actor, key, fingerprint, machine, instance, seq, expires) SELECT 'default', 'a' || n, 'k', '', 'door', 'i', 1, n FROM generate_series(1, 50000) n;
INSERT INTO interlock.attempt (tenant, machine, instance, body) SELECT 'default', 'door', 'i' || n, '{}' FROM generate_series(1, 50000) n;
INSERT INTO interlock.api_key SELECT 'k' || n, 'default', 'x', decode(repeat('00', 32), 'hex'), '', 0, 0 FROM generate_series(1, 50000) n;
ANALYZE`

// As rows grow, what decisions and commits look for stays as near.
func TestHotStatementsUseIndexes(t *testing.T) {
	pool, err := pgxpool.New(context.Background(), testservice.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	ran := &statementsRun{args: map[string][]any{}}
	s := build(recording{&poolDatabase{pool: pool}, ran}, nil, nil)
	storetest.Hot(t, s, func(writes ...func()) {
		open := s.HoldPlaces()
		var done sync.WaitGroup
		for _, write := range writes {
			done.Go(write)
		}
		for s.Waiting() < len(writes) {
			time.Sleep(time.Millisecond)
		}
		open()
		done.Wait()
	})
	_, err = pool.Exec(t.Context(), many)
	require.NoError(t, err)
	require.Greater(t, len(ran.args), 25, "they are seen")
	require.Contains(t, ran.args, s.group.batch)
	require.Contains(t, ran.args, s.single.quick)
	for _, query := range slices.Sorted(maps.Keys(ran.args)) {
		word, _, _ := strings.Cut(strings.TrimSpace(query), " ")
		if !slices.Contains([]string{"SELECT", "WITH", "INSERT", "UPDATE", "DELETE"}, word) || strings.Contains(query, "state NOT IN (") {
			continue // new rules look once at the states of all instances
		}
		assert.Empty(t, explain(t, pool, query, ran.args[query]...).unindexed(), query)
	}
	for _, query := range []string{
		`SELECT * FROM interlock.history h WHERE h.tenant = 'x' AND h.machine = 'y' AND h.event = 'z'`,
		`SELECT * FROM interlock.texts`, `SELECT * FROM interlock.instance i WHERE i.machine = 'x'`,
	} {
		assert.NotEmpty(t, explain(t, pool, query).unindexed(), query)
	}
}

func explain(t *testing.T, pool *pgxpool.Pool, query string, args ...any) *node {
	t.Helper()
	var text []byte
	require.NoError(t, pool.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) "+query, args...).Scan(&text), query)
	var plans []struct{ Plan node }
	require.NoError(t, json.Unmarshal(text, &plans))
	require.Len(t, plans, 1)
	return &plans[0].Plan
}
