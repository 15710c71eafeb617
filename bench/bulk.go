package main

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/interlock-go/interlock/store/sqlite"
)

// bulk is a number of rows.
type bulk struct{ instances, actors int }

const bulkChunk = 50_000

// load fills the tables until all is there or the time is over, and tells what
// was loaded. An instance comes with a row of history. Nobody asks for these
// rows, so their digests and hashes are placeholders.
func (c *chain) load(ctx context.Context, want bulk, limit time.Duration) (got bulk, err error) {
	end := time.Now().Add(limit)
	for _, t := range []struct {
		tables []string
		want   int
		got    *int
	}{{[]string{"actor"}, want.actors, &got.actors}, {[]string{"instance", "history"}, want.instances, &got.instances}} {
		for *t.got < t.want && time.Now().Before(end) && ctx.Err() == nil {
			to := min(t.want, *t.got+bulkChunk)
			for _, table := range t.tables {
				if err := c.insert(ctx, table, *t.got, to); err != nil {
					return got, err
				}
			}
			*t.got = to
		}
	}
	return got, ctx.Err()
}

// bulkSQL are the rows from $1 up to, but without, $2. NAME makes an id of its
// number; BYTES makes so many.
var bulkSQL = map[string]string{
	"actor": `INSERT INTO il.actor (tenant, id, person, active, attrs, grants, version, head, content_digest, admin)
	SELECT 'default', NAME('actor-%07d'), NAME('actor-%07d'), TRUE, '{}', '[]', 1, BYTES(32), BYTES(32), FALSE FROM n`,
	"instance": `INSERT INTO il.instance (tenant, machine, id, state, version, facts, entered, did, actors, last, created_by, created_at, since, updated_at, head, content_digest)
	SELECT 'default', 'chain', NAME('case-%08d'), 's0', 1, '{"amount":10}', '{"s0":["ann"]}', '{}', '["ann"]', '{}', 'ann', 1, 1, 1, BYTES(32), BYTES(32) FROM n`,
	"history": `INSERT INTO il.history (tenant, machine, instance, seq, id, event, from_state, to_state, override, actor, person, on_behalf_of, on_behalf_of_person,
	time_us, revision, hash, prev, bytes, has_texts)
	SELECT 'default', 'chain', NAME('case-%08d'), 1, NAME('row-%08d'), '$create', 's0', 's0', FALSE, 'ann', 'ann', '', '', 1, 'r', BYTES(32), BYTES(32), BYTES(300), FALSE FROM n`,
}

// bulkSQLite inserts on the store's writer.
func bulkSQLite(s *sqlite.Store) func(ctx context.Context, table string, from, to int) error {
	return func(ctx context.Context, table string, from, to int) error {
		query := strings.NewReplacer("il.", "interlock_", "NAME('", "printf('", "d')", "d', i)", "BYTES(", "zeroblob(").Replace(bulkSQL[table])
		return s.Write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `WITH RECURSIVE n(i) AS (VALUES ($1) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2) `+query, from, to)
			return err
		})
	}
}

// bulkPostgres inserts on the pool.
func bulkPostgres(pool *pgxpool.Pool) func(ctx context.Context, table string, from, to int) error {
	return func(ctx context.Context, table string, from, to int) error {
		query := strings.NewReplacer("il.", `"interlock".`, "NAME('actor-%07d')", "'actor-' || lpad(i::text, 7, '0')", "NAME('case-%08d')", "'case-' || lpad(i::text, 8, '0')",
			"NAME('row-%08d')", "'row-' || lpad(i::text, 8, '0')", "BYTES(32)", "decode(repeat('00', 32), 'hex')", "BYTES(300)", "decode(repeat('00', 300), 'hex')").Replace(bulkSQL[table])
		_, err := pool.Exec(ctx, `WITH n AS (SELECT i FROM generate_series($1::bigint, $2::bigint - 1) AS i) `+query, from, to)
		return err
	}
}
