package sqlite

import (
	"context"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/sqlstore"
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

func (w recording) Write(ctx context.Context, fn func(sqlstore.Conn) error) error {
	return w.InTx(ctx, func(tx sqlstore.Tx) error { return fn(tx) })
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

// found is the column without which rows of a table, or of its alias, would be
// looked for among all of a tenant's.
var found = map[string]string{
	"h": "instance", "interlock_history": "instance", "t": "seq", "interlock_texts": "seq",
	"i": "id", "interlock_instance": "id", "a": "id", "interlock_actor": "id",
	"k": "key", "interlock_idempotency": "key|expires", "interlock_outbox": "id",
	"interlock_attempt": "instance", "interlock_attempt_count": "code", "interlock_api_key": "id",
}

var planLine = regexp.MustCompile(`^(SCAN|SEARCH) (\w+)(.*)$`)

// unindexed are the lines of a plan that find rows in a table that grows otherwise
// than by an index down to their ids.
func unindexed(plan []string) (bad []string) {
	for _, line := range plan {
		m := planLine.FindStringSubmatch(line)
		if m == nil || found[m[2]] == "" {
			continue
		}
		if m[1] == "SCAN" || !regexp.MustCompile(`\b(`+found[m[2]]+`)\b`).MatchString(m[3][strings.Index(m[3], "("):]) {
			bad = append(bad, line)
		}
	}
	return bad
}

// As rows grow, what decisions and commits look for stays as near.
func TestHotStatementsUseIndexes(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "s.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Migrate(t.Context()))
	ran := &statementsRun{args: map[string][]any{}}
	core, err := sqlstore.New(recording{s.database(), ran}, dialect(), nil)
	require.NoError(t, err)
	storetest.Hot(t, core, nil)
	require.Greater(t, len(ran.args), 25, "they are seen")
	for _, query := range slices.Sorted(maps.Keys(ran.args)) {
		if strings.Contains(query, "state NOT IN (") {
			continue // new rules look once at the states of all instances
		}
		assert.Empty(t, unindexed(s.plan(t, query, ran.args[query]...)), query)
	}
	for _, query := range []string{
		`SELECT * FROM interlock_history h WHERE h.tenant = 'x' AND h.machine = 'y' AND h.event = 'z'`,
		`SELECT * FROM interlock_texts`, `SELECT * FROM interlock_instance i WHERE i.machine = 'x' AND i.id = 'y'`,
	} {
		assert.NotEmpty(t, unindexed(s.plan(t, query)), query)
	}
}

func (s *Store) plan(t *testing.T, query string, args ...any) (lines []string) {
	t.Helper()
	rows, err := s.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	require.NoError(t, err, query)
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var line string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &line))
		lines = append(lines, line)
	}
	require.NoError(t, rows.Err())
	return lines
}
