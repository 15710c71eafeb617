package tamper_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

func postgresStore(t *testing.T) interlock.Store {
	t.Helper()
	cfg, err := pgx.ParseConfig(testservice.Postgres(t))
	require.NoError(t, err)
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return postgres.NewSQL(db)
}

// writer is somebody who may do everything in the database.
type writer struct {
	*testing.T
	store  interlock.Store
	prefix string
}

func (w *writer) sql(query string, args ...any) {
	w.Helper()
	require.NoError(w, w.store.Within(w.Context(), func(tx interlock.Tx) error {
		_, err := tx.Handle().(*sql.Tx).ExecContext(w.Context(), strings.ReplaceAll(query, "il.", w.prefix), args...)
		return err
	}), query)
}

// keep copies the tables and takes away what guards them.
func (w *writer) keep() {
	w.Helper()
	for _, table := range []string{"history", "texts", "instance"} {
		w.sql(`CREATE TABLE kept_` + table + ` AS SELECT * FROM il.` + table)
	}
	if w.prefix == "interlock_" {
		for _, name := range []string{"history_no_update", "history_no_delete", "history_no_replace", "texts_no_update"} {
			w.sql(`DROP TRIGGER il.` + name)
		}
		return
	}
	w.sql(`ALTER TABLE il.history DISABLE TRIGGER ALL`)
	w.sql(`ALTER TABLE il.texts DISABLE TRIGGER ALL`)
}

func (w *writer) restore() {
	w.Helper()
	for _, table := range []string{"history", "texts", "instance"} {
		w.sql(`DELETE FROM il.` + table)
		w.sql(`INSERT INTO il.` + table + ` SELECT * FROM kept_` + table)
	}
}

// sqlEdits change one column of the rows that match.
var sqlEdits = []struct{ table, set string }{
	{"history", `id = id || 'x'`}, {"history", `event = event || 'x'`}, {"history", `from_state = from_state || 'x'`}, {"history", `to_state = to_state || 'x'`},
	{"history", `override = NOT override`}, {"history", `actor = 'mallory'`}, {"history", `person = 'Mallory'`}, {"history", `on_behalf_of = on_behalf_of || 'x'`},
	{"history", `on_behalf_of_person = on_behalf_of_person || 'x'`}, {"history", `time_us = time_us + 1`}, {"history", `revision = revision || 'x'`},
	{"history", `hash = prev`}, {"history", `prev = hash`}, {"history", `bytes = hash`}, {"texts", `note = note || 'x'`}, {"texts", `input = '{"why":"another"}'`},
	{"texts", `facts = '{"n":"another"}'`}, {"texts", `salt = X_BYTES`}, {"texts", ``}, {"history", `seq = seq + 100000`},
}

const ofVictim = ` machine = 'doc' AND instance = 'd'`

// inDatabase tampers by SQL with the real tables: every position is edited (the
// columns in turn) and deleted; some are swapped, inserted at, cut off and
// rebuilt from, which costs the whole chain each time.
func inDatabase(t *testing.T, h *history, c *tally) {
	t.Helper()
	w := &writer{T: t, store: h.store, prefix: prefixOf(t.Context(), h.store)}
	w.keep()
	const apart = 25
	for at := range h.spread(apart) {
		w.edits(h, c, at, apart)
		w.deletes(h, c, at, apart)
	}
	n := 0
	for at := range h.spread(4 * apart) { // a swap makes more faults
		if n++; n%4 == 1 {
			w.swaps(h, c, at, 4*apart)
		}
	}
	for p := 0; p < h.n; p += max(1, h.n/12) {
		w.insert(h, c, p)
		w.truncate(h, c, p)
		w.rebuild(h, c, p)
	}
	require.Empty(t, verify(t, h.store, h.witness()), "everything is back")
}

func (w *writer) edits(h *history, c *tally, at []int, apart int) {
	e := sqlEdits[at[0]%len(sqlEdits)]
	set := strings.Replace(e.set, "X_BYTES", "CAST('salt' AS BLOB)", 1)
	if w.prefix != "interlock_" {
		set = strings.Replace(e.set, "X_BYTES", `'salt'::bytea`, 1)
	}
	query := fmt.Sprintf(`UPDATE il.%s SET %s WHERE`, e.table, set)
	if e.set == "" {
		query, set = `DELETE FROM il.`+e.table+` WHERE`, "texts"
	}
	w.sql(query + ofVictim + fmt.Sprintf(` AND seq %% %d = %d`, apart, (at[0]+1)%apart))
	found := places(verify(w.T, w.store))
	for _, p := range at {
		c.count("edit", found[int64(p+1)] || found[int64(p+2)], "by SQL: %s of row %d", set, p+1)
	}
	w.restore()
}

func (w *writer) deletes(h *history, c *tally, at []int, apart int) {
	w.sql(fmt.Sprintf(`DELETE FROM il.history WHERE`+ofVictim+` AND seq %% %d = %d`, apart, (at[0]+1)%apart))
	found := places(verify(w.T, w.store))
	for _, p := range at {
		c.count("delete", found[int64(p+2)] || p == h.n-1 && found[int64(p)], "by SQL: row %d", p+1)
	}
	w.restore()
}

func (w *writer) swaps(h *history, c *tally, at []int, apart int) {
	// By way of numbers that nobody has.
	a, b := (at[0]+1)%apart, (at[0]+2)%apart
	w.sql(fmt.Sprintf(`UPDATE il.history SET seq = seq + 200001 WHERE`+ofVictim+` AND seq %% %d = %d`, apart, a))
	w.sql(fmt.Sprintf(`UPDATE il.history SET seq = seq - 1 WHERE`+ofVictim+` AND seq < 200000 AND seq > 1 AND seq %% %d = %d`, apart, b))
	w.sql(`UPDATE il.history SET seq = seq - 200000 WHERE` + ofVictim + ` AND seq > 200000`)
	found := places(verify(w.T, w.store))
	for _, p := range at {
		c.count("reorder", found[int64(p+1)] || found[int64(p+2)], "by SQL: rows %d and %d", p+1, p+2)
	}
	w.restore()
}

func (w *writer) put(r *interlock.Record) {
	w.Helper()
	w.sql(`UPDATE il.history SET seq = $1, id = $2, actor = $3, hash = $4, prev = $5, bytes = $6 WHERE`+ofVictim+` AND seq = 300000`,
		r.Seq, r.ID, r.Actor, r.Hash, r.Prev, r.Bytes)
}

const historyColumns = `id, event, from_state, to_state, override, actor, person, on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts, stamp_us`

func (w *writer) insert(h *history, c *tally, p int) {
	for _, table := range []string{"history", "texts"} {
		w.sql(`UPDATE il.`+table+` SET seq = seq + 200001 WHERE`+ofVictim+` AND seq > $1`, p+1)
		w.sql(`UPDATE il.` + table + ` SET seq = seq - 200000 WHERE` + ofVictim + ` AND seq > 200000`)
	}
	w.sql(`INSERT INTO il.history (tenant, machine, instance, seq, `+historyColumns+`) SELECT tenant, machine, instance, 300000, `+historyColumns+`
		FROM il.history WHERE`+ofVictim+` AND seq = $1`, p+1)
	w.sql(`INSERT INTO il.texts (tenant, machine, instance, seq, note, input, facts, salt) SELECT tenant, machine, instance, seq + 1, note, input, facts, salt
		FROM il.texts WHERE`+ofVictim+` AND seq = $1`, p+1)
	r := h.inserted(p)
	w.put(&r)
	w.sql(`UPDATE il.instance SET version = version + 1 WHERE machine = 'doc' AND id = 'd'`)
	found := places(verify(w.T, w.store))
	c.count("insert", found[int64(p+3)] || p == h.n-1 && found[int64(p+2)], "by SQL: after row %d", p+1)
	w.restore()
}

func (w *writer) truncate(h *history, c *tally, p int) {
	if p == h.n-1 {
		return
	}
	for _, table := range []string{"history", "texts"} {
		w.sql(`DELETE FROM il.`+table+` WHERE`+ofVictim+` AND seq > $1`, p+1)
	}
	row := h.rows[h.first+p]
	w.sql(`DELETE FROM il.instance WHERE machine = 'doc' AND id = 'd'`)
	w.sql(`INSERT INTO il.instance SELECT * FROM versions WHERE version = $1`, row.Seq)
	w.onlyWitnessed(h, c, "truncate", p)
}

func (w *writer) rebuild(h *history, c *tally, p int) {
	m := h.untouched()
	chain := h.chain(m)
	rebuilt(chain, p)
	require.NoError(w, w.store.Within(w.Context(), func(tx interlock.Tx) error {
		stmt, err := tx.Handle().(*sql.Tx).PrepareContext(w.Context(), strings.ReplaceAll(
			`UPDATE il.history SET actor = $1, hash = $2, prev = $3, bytes = $4 WHERE`+ofVictim+` AND seq = $5`, "il.", w.prefix))
		if err != nil {
			return err
		}
		defer stmt.Close()
		for _, r := range chain[p:] {
			if _, err := stmt.ExecContext(w.Context(), r.Actor, r.Hash, r.Prev, r.Bytes, r.Seq); err != nil {
				return err
			}
		}
		return nil
	}))
	w.sql(`UPDATE il.instance SET head = $1 WHERE machine = 'doc' AND id = 'd'`, chain[h.n-1].Hash)
	w.onlyWitnessed(h, c, "rebuild", p)
}

func (w *writer) onlyWitnessed(h *history, c *tally, claim string, p int) {
	w.Helper()
	for _, f := range verify(w.T, w.store) {
		w.Errorf("%s at row %d: found without a witness: %s", claim, p+1, f)
	}
	found := false
	for _, f := range verify(w.T, w.store, h.witness()) {
		found = found || f.Instance == victim.ID && strings.HasPrefix(f.Problem, "checkpoint 1 knows ")
	}
	c.count(claim, found, "by SQL: at row %d", p+1)
	w.restore()
}

// prefixOf is how the store's tables are called.
func prefixOf(ctx context.Context, store interlock.Store) string {
	err := store.Within(ctx, func(tx interlock.Tx) error {
		_, err := tx.Handle().(*sql.Tx).ExecContext(ctx, "SELECT sqlite_version()")
		return err
	})
	if err != nil {
		return `"interlock".`
	}
	return "interlock_"
}

// versions keeps the victim's row as it is after each commit.
func versions(t *testing.T, store interlock.Store) func(context.Context, interlock.Transition) {
	t.Helper()
	prefix := prefixOf(t.Context(), store)
	into := `CREATE TABLE versions AS`
	return func(ctx context.Context, row interlock.Transition) {
		if row.Machine != victim.Machine || row.Instance != victim.ID {
			return
		}
		if err := store.Within(ctx, func(tx interlock.Tx) error {
			_, err := tx.Handle().(*sql.Tx).ExecContext(ctx, into+` SELECT * FROM `+prefix+`instance WHERE machine = 'doc' AND id = 'd'`)
			return err
		}); err != nil {
			t.Errorf("keep version %d: %v", row.Seq, err)
		}
		into = `INSERT INTO versions`
	}
}
