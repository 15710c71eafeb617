package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

// What peers write of a commit is what the store writes, column by column.
func TestPeersWriteTheSame(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		ctx := t.Context()
		store, err := sqlite.Open(filepath.Join(t.TempDir(), "ours.db"))
		require.NoError(t, err)
		t.Cleanup(func() { store.Close() })
		ours, err := openCases(ctx, store, 1)
		require.NoError(t, err)
		each, peers, err := openEachSQLite(ctx, filepath.Join(t.TempDir(), "peer.db"), 1)
		require.NoError(t, err)
		t.Cleanup(func() { each.db.Close() })

		c := ours[0].next()
		refuses(t, peers[0], c, each.commit)
		require.NoError(t, store.Commit(ctx, c))
		require.NoError(t, each.commit(ctx, like(peers[0], c)))
		for table, columns := range written {
			read := func(db *sql.DB) string {
				var got string
				query := `SELECT json_array(` + columns("hex") + `) FROM interlock_` + table + where(table)
				require.NoError(t, db.QueryRowContext(ctx, query, c.Instance.Record.ID).Scan(&got), query)
				return got
			}
			require.JSONEq(t, read(store.DB()), read(each.db), table)
		}
		require.Error(t, each.commit(ctx, like(peers[0], c)), "the same commit again")
	})

	t.Run("PostgreSQL", func(t *testing.T) {
		t.Setenv(postgresEnv, testservice.Postgres(t))
		ctx := t.Context()
		d, err := newDatabase(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, d.close()) })
		store := postgres.New(d.pool)
		ours, err := openCases(ctx, store, 2)
		require.NoError(t, err)
		peers, err := openCases(ctx, postgres.New(d.pool, postgres.Schema("peers")), 2)
		require.NoError(t, err)
		four := &fourPostgres{pool: d.pool}
		for _, s := range fourStatements {
			four.statements = append(four.statements, bind(s, "peers.", true))
		}
		for i, commit := range []func(context.Context, *interlock.Commit) error{
			(&onePostgres{d.pool, bind(singleStatement, "peers.", true)}).commit,
			four.commit,
		} {
			c := ours[i].next()
			refuses(t, peers[i], c, commit)
			require.NoError(t, store.Commit(ctx, c))
			require.NoError(t, commit(ctx, like(peers[i], c)))
			for table, columns := range written {
				read := func(schema string) string {
					var got string
					query := `SELECT json_build_array(` + columns("encode") + `)::text FROM ` + schema + `.` + table + where(table)
					require.NoError(t, d.pool.QueryRow(ctx, query, c.Instance.Record.ID).Scan(&got), query)
					return got
				}
				require.JSONEq(t, read("interlock"), read("peers"), "%d: %s", i, table)
			}
			require.Error(t, commit(ctx, like(peers[i], c)), "the same commit again")
		}

		top, err := newCeiling(d, "peers.", peers[0])
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, top.close()) })
		w, err := top.run(ctx, 2, 0)
		require.NoError(t, err) // it counts what was written
		require.Positive(t, w.rate)
	})
}

// refuses sees that the peer writes nothing where one of the predicates doesn't hold.
func refuses(t *testing.T, w *caseWriter, c *interlock.Commit, commit func(context.Context, *interlock.Commit) error) {
	t.Helper()
	for name, change := range map[string]func(*interlock.Commit){
		"epoch":    func(c *interlock.Commit) { c.Epoch = "another" },
		"revision": func(c *interlock.Commit) { c.Revision.ID = "another" },
		"actor":    func(c *interlock.Commit) { c.Actors[0].Version++ },
		"digest":   func(c *interlock.Commit) { c.Instance.PrevDigest = caseHead },
		"head":     func(c *interlock.Commit) { c.Instance.PrevHead = caseDigest },
		"state":    func(c *interlock.Commit) { c.Instance.PrevState = "draft" },
		"version":  func(c *interlock.Commit) { c.Instance.PrevVersion++ },
	} {
		wrong, instance := like(w, c), *c.Instance
		wrong.Instance, wrong.Actors = &instance, append([]interlock.ActorCheck{}, c.Actors...)
		change(wrong)
		require.ErrorContains(t, commit(t.Context(), wrong), "0 rows were updated", name)
	}
}

// like is the commit as the peer's database takes it.
func like(w *caseWriter, c *interlock.Commit) *interlock.Commit {
	out := *c
	out.Epoch = w.epoch
	return &out
}

// written are the columns of each table but the database's own stamps. Bytes
// are read by the given function.
var written = map[string]func(bytes string) string{
	"instance": columns("tenant, machine, id, state, version, facts, entered, did, actors, last, created_by, created_at, since, updated_at", "head, content_digest"),
	"history": columns("tenant, machine, instance, seq, id, event, from_state, to_state, override, actor, person, on_behalf_of, on_behalf_of_person, time_us, revision, has_texts",
		"hash, prev, bytes"),
	"texts":  columns("tenant, machine, instance, seq, note, input, facts", "salt"),
	"outbox": columns("id, tenant, machine, instance, seq", "message"),
}

func columns(plain, binary string) func(string) string {
	return func(bytes string) string {
		out := plain
		for _, name := range splitList(binary) {
			if bytes == "encode" {
				out += ", encode(" + name + ", 'hex')"
			} else {
				out += ", " + bytes + "(" + name + ")"
			}
		}
		return out
	}
}

// where finds the row of a record by its id.
func where(table string) string {
	switch table {
	case "instance":
		return ` WHERE $1 LIKE '%-' || id || '-%'`
	case "texts":
		return ` WHERE $1 LIKE '%-' || instance || '-' || CAST(seq AS TEXT)`
	}
	return ` WHERE id = $1`
}

func TestScriptHasNoStrayVariables(t *testing.T) {
	c := (&caseWriter{epoch: "e", actor: "ann", id: "x", version: 1}).next()
	c.Instance.Next.Facts["frozen"] = json.RawMessage("true") // :true would be a variable
	script, err := pgbenchScript(c, "il.")
	require.NoError(t, err)
	require.NotRegexp(t, `[^:]:(true|false|null|\d)`, script)
	require.NotContains(t, script, "{tenant}")
}
