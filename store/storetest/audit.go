package storetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

func marks(f *fixture) {
	for _, tenant := range []string{"B", "a", "ä"} {
		for n := range 40 {
			i := f.have(tenant, "doc", fmt.Sprint(n))
			if n%7 == 0 {
				f.must(f.step(i, "open"))
			}
		}
		f.haveActor(f.actor(tenant, "é"))
	}
	var want, got []interlock.Mark
	for h, err := range f.store.Heads(f.ctx) {
		require.NoError(f, err)
		want = append(want, interlock.Mark{Tenant: h.Tenant, Machine: h.Machine, ID: h.ID, Version: h.Version, Hash: h.Hash})
	}
	for m, err := range f.store.Marks(f.ctx) {
		require.NoError(f, err)
		if len(got) == 0 { // written while the marks are being read: not of their moment
			f.must(f.step(f.get("ä", "doc", "39"), "open"))
			f.have("ä", "doc", "later")
		}
		got = append(got, m)
	}
	require.Len(f, want, 123)
	assert.Equal(f, want, got)
	for _, err := range f.store.Marks(f.ctx) {
		require.NoError(f, err)
		break
	}
	f.have("a", "doc", "the connection is free again")
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	var failed error
	for _, err := range f.store.Marks(ctx) {
		failed = err
	}
	assert.Error(f, failed)
}

func guards(f *fixture) {
	store, ok := f.store.(interface {
		Unguarded(context.Context) ([]string, error)
	})
	require.True(f, ok)
	missing, err := store.Unguarded(f.ctx)
	require.NoError(f, err)
	require.Empty(f, missing)
	var whole string // a text that the guard's is a part of is another's
	if !f.postgres {
		whole = strings.Trim(f.query(`SELECT sql FROM sqlite_schema WHERE name = 'interlock_history_no_delete'`)[0], "[]")
	}
	taken := map[string]string{
		"interlock_history_no_update":  `DROP TRIGGER interlock_history_no_update`,
		"interlock_history_no_replace": `DROP TRIGGER interlock_history_no_replace`,
		"interlock_history_no_delete": `DROP TRIGGER interlock_history_no_delete;
			CREATE TRIGGER interlock_history_no_delete BEFORE DELETE ON interlock_history BEGIN SELECT 1 /* ` + whole + ` */; END`,
		"interlock_texts_no_update": `DROP TRIGGER interlock_texts_no_update;
			CREATE TRIGGER interlock_texts_no_update BEFORE UPDATE ON interlock_texts WHEN 0 BEGIN SELECT RAISE(ABORT, 'never'); END`,
		"interlock_epoch_no_update": `DROP TRIGGER interlock_epoch_no_update;
			CREATE TRIGGER interlock_epoch_no_update BEFORE UPDATE ON interlock_mark BEGIN SELECT RAISE(ABORT, 'epochs are append-only'); END`,
		"interlock_epoch_no_delete":  `DROP TRIGGER interlock_epoch_no_delete`,
		"interlock_epoch_no_replace": `DROP TRIGGER interlock_epoch_no_replace`,
	}
	if f.postgres {
		h, texts, epoch := f.prefix+"history", f.prefix+"texts", f.prefix+"epoch"
		taken = map[string]string{
			"history_no_change": `ALTER TABLE ` + h + ` DISABLE TRIGGER history_no_change`,
			"history_no_delete": `CREATE OR REPLACE FUNCTION ` + f.prefix + `refuse_unarchived() RETURNS trigger LANGUAGE plpgsql AS
				'DECLARE through bigint; BEGIN RETURN OLD; IF OLD.seq > through THEN RAISE EXCEPTION ''never''; END IF; END'`,
			"history_no_truncate": `DROP TRIGGER history_no_truncate ON ` + h,
			"texts_no_update": `DROP TRIGGER texts_no_update ON ` + texts + `; CREATE TRIGGER texts_no_update BEFORE UPDATE ON ` + texts + `
				FOR EACH ROW WHEN (false) EXECUTE FUNCTION ` + f.prefix + `refuse_change()`,
			"texts_no_truncate": `ALTER TABLE ` + texts + ` DISABLE TRIGGER texts_no_truncate`,
			"epoch_no_change":   `ALTER TABLE ` + epoch + ` ENABLE TRIGGER epoch_no_change`, // only in ordinary sessions
			"epoch_no_truncate": `DROP TRIGGER epoch_no_truncate ON ` + epoch + `; CREATE TRIGGER epoch_no_truncate BEFORE TRUNCATE ON ` + f.prefix + `mark
				FOR EACH STATEMENT EXECUTE FUNCTION ` + f.prefix + `refuse_change()`,
		}
	}
	n := 0
	for name, query := range taken {
		f.exec(query)
		n++
		missing, err := store.Unguarded(f.ctx)
		require.NoError(f, err)
		require.Len(f, missing, n, "%s: %v", name, missing)
		require.Contains(f, strings.Join(missing, "\n"), "trigger "+name+" ")
	}
	report, err := interlock.Verify(f.ctx, f.store, nil)
	require.NoError(f, err)
	require.GreaterOrEqual(f, len(report.Bad), n)
	if f.postgres {
		f.exec(`DROP FUNCTION ` + f.prefix + `refuse_change() CASCADE; CREATE FUNCTION ` + f.prefix + `refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
		missing, err := store.Unguarded(f.ctx)
		require.NoError(f, err)
		require.Len(f, missing, n)
	}
}

func eraseByCommit(f *fixture) {
	f.exec(`INSERT INTO bares (id, status) VALUES ('d', 'new'), ('other', 'new')`)
	for _, machine := range []string{"doc", "bare"} {
		i := f.have(tenant, machine, "d")
		c := f.creation(tenant, machine, "other")
		c.Outbox = []byte("of the other")
		if f.bound(machine) {
			c.Bound = &interlock.BoundChange{From: "new", To: "new"}
		}
		f.must(c)
		var ids []string
		for range 3 {
			c := f.step(i, "new")
			c.Outbox = []byte("with texts")
			if f.bound(machine) {
				c.Bound = &interlock.BoundChange{From: "new", To: "new"}
			}
			f.must(c)
			ids = append(ids, c.Instance.Record.ID)
			i = f.get(tenant, machine, "d")
		}
		ref := interlock.Ref{Machine: machine, ID: "d"}
		attempt := interlock.Attempt{Tenant: tenant, Machine: machine, Instance: "d", Event: "go", Time: f.now()}
		require.NoError(f, f.store.AddAttempts(f.ctx, []interlock.Attempt{attempt}, nil, 9))
		print := `X'00'`
		if f.postgres {
			print = `'x'::bytea`
		}
		for key, seq := range map[string]string{"two": "2", "three": "3"} {
			f.exec(`INSERT INTO ` + f.prefix + `idempotency (tenant, actor, key, fingerprint, machine, instance, seq, expires, answer)
				VALUES ('` + tenant + `', 'ann', '` + machine + key + `', ` + print + `, '` + machine + `', 'd', ` + seq + `, 0, '"because"')`)
		}
		if f.bound(machine) {
			f.exec(`DELETE FROM bares WHERE id = 'd'`) // the person's row is gone already: that is when texts are erased
		}
		erase := f.step(i, "new")
		erase.Revision = interlock.Revision{} // whatever rules there are now
		erase.Erase = &interlock.Erasure{Rows: []interlock.ErasedRow{{Seq: 2, ID: ids[0], Message: []byte("without")}, {Seq: 4, ID: ids[2], Message: []byte("without")}}}
		stale := *erase
		ch := *erase.Instance
		ch.PrevHead = []byte("another")
		stale.Instance = &ch
		before := f.dump()
		require.ErrorIs(f, f.store.Commit(f.ctx, &stale), interlock.ErrStale)
		own := *erase
		own.Erase = &interlock.Erasure{Rows: []interlock.ErasedRow{{Seq: 5, ID: "x"}}}
		require.Error(f, f.store.Commit(f.ctx, &own), "its own texts")
		require.Equal(f, before, f.dump())
		f.must(erase)
		rows, err := f.store.History(f.ctx, tenant, ref, 0, 9)
		require.NoError(f, err)
		var gone []int64
		for _, r := range rows {
			if r.Erased {
				gone = append(gone, r.Seq)
				assert.Equal(f, []any{"", 0}, []any{r.Note, len(r.Salt)})
				assert.NotEmpty(f, r.Bytes)
			}
		}
		assert.Equal(f, []int64{2, 4}, gone)
		assert.Len(f, f.query(`SELECT 1 FROM `+f.prefix+`outbox WHERE machine = '`+machine+`' AND seq IN (2, 4) AND length(message) = 7`), 2)
		assert.Len(f, f.query(`SELECT 1 FROM `+f.prefix+`outbox WHERE machine = '`+machine+`' AND length(message) > 7`), 2)
		assert.Equal(f, []string{"[" + machine + "three]"}, f.query(`SELECT key FROM `+f.prefix+`idempotency WHERE machine = '`+machine+`' AND answer IS NOT NULL`))
		kept, err := f.store.Attempts(f.ctx, tenant, ref, 9)
		require.NoError(f, err)
		assert.Len(f, kept, 1, "not asked for")
		i = f.get(tenant, machine, "d")
		again := f.step(i, "new")
		again.Revision = interlock.Revision{}
		again.Erase = &interlock.Erasure{Attempts: true}
		f.must(again)
		kept, err = f.store.Attempts(f.ctx, tenant, ref, 9)
		require.NoError(f, err)
		assert.Empty(f, kept)
	}
	a := f.haveActor(f.actor(tenant, "ann"))
	ch := f.actorChange(&a, a)
	c := f.commitActor(ch)
	c.Erase = &interlock.Erasure{Rows: []interlock.ErasedRow{{Seq: 1, ID: "none", Message: []byte("m")}}}
	f.must(c)
	rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: interlock.ActorMachine, ID: "ann"}, 0, 9)
	require.NoError(f, err)
	assert.Equal(f, []bool{true, false}, []bool{rows[0].Erased, rows[1].Erased})
}

func search(f *fixture) {
	for _, tenant := range []string{tenant, "other"} {
		for _, id := range []string{"a", "b", "c"} {
			f.must(f.step(f.have(tenant, "doc", id), "open"))
		}
		f.haveActor(f.actor(tenant, "ann"))
	}
	behalf := f.step(f.get(tenant, "doc", "b"), "done")
	behalf.Instance.Record.OnBehalfOf = "bob"
	f.must(behalf)
	at := behalf.Instance.Record.Time
	find := func(q interlock.AuditQuery, after interlock.Ref, seq int64) (out []string) {
		f.Helper()
		q.Tenant = tenant
		if q.Limit == 0 {
			q.Limit = 100
		}
		rows, err := f.store.Search(f.ctx, q, after, seq)
		require.NoError(f, err)
		for _, r := range rows {
			require.Equal(f, tenant, r.Tenant)
			out = append(out, fmt.Sprintf("%s/%s/%d", r.Machine, r.Instance, r.Seq))
		}
		return out
	}
	all := []string{"doc/a/1", "doc/a/2", "doc/b/1", "doc/b/2", "doc/b/3", "doc/c/1", "doc/c/2", "interlock:actor/ann/1"}
	none := interlock.Ref{}
	assert.Equal(f, all, find(interlock.AuditQuery{}, none, 0))
	assert.Equal(f, all[4:6], find(interlock.AuditQuery{Limit: 2}, interlock.Ref{Machine: "doc", ID: "b"}, 2))
	assert.Equal(f, all[:7], find(interlock.AuditQuery{Machine: "doc"}, none, 0))
	assert.Equal(f, all[2:5], find(interlock.AuditQuery{Machine: "doc", ID: "b"}, none, 0))
	assert.Equal(f, all[4:5], find(interlock.AuditQuery{Actor: "bob"}, none, 0))
	assert.Equal(f, []string{"doc/a/1", "doc/b/1", "doc/c/1"}, find(interlock.AuditQuery{Event: "$create"}, none, 0))
	assert.Equal(f, all[4:5], find(interlock.AuditQuery{From: at}, none, 0))
	assert.NotContains(f, find(interlock.AuditQuery{Until: at}, none, 0), all[4])
	assert.Empty(f, find(interlock.AuditQuery{Actor: "x\x00"}, none, 0))
	assert.Empty(f, find(interlock.AuditQuery{Event: "' OR true --"}, none, 0))
}

func searchAttempts(f *fixture) {
	at := f.now()
	var list []interlock.Attempt
	for n := range 600 { // more than one page of the store's own
		list = append(list, interlock.Attempt{Tenant: tenant, Machine: "doc", Instance: fmt.Sprint("i", n%3), Event: fmt.Sprint("e", n%2), Actor: fmt.Sprint("a", n%5),
			Code: "denied", Reasons: []string{fmt.Sprint("r", n%7)}, Time: at.Add(time.Duration(n) * time.Second)})
	}
	require.NoError(f, f.store.AddAttempts(f.ctx, list, nil, 1000))
	require.NoError(f, f.store.AddAttempts(f.ctx, []interlock.Attempt{{Tenant: "other", Machine: "doc", Instance: "i0", Time: at}}, nil, 1000))
	count := func(q interlock.AuditQuery) (n int) {
		f.Helper()
		q.Tenant, q.Limit = tenant, 70
		for after := int64(0); ; {
			rows, next, err := f.store.SearchAttempts(f.ctx, q, after)
			require.NoError(f, err)
			require.LessOrEqual(f, len(rows), 70)
			n += len(rows)
			if after = next; next == 0 {
				return n
			}
		}
	}
	assert.Equal(f, 600, count(interlock.AuditQuery{}))
	assert.Equal(f, 200, count(interlock.AuditQuery{Machine: "doc", ID: "i1"}))
	assert.Equal(f, 0, count(interlock.AuditQuery{Machine: "loan"}))
	assert.Equal(f, 300, count(interlock.AuditQuery{Event: "e1"}))
	assert.Equal(f, 120, count(interlock.AuditQuery{Actor: "a4"}))
	assert.Equal(f, 86, count(interlock.AuditQuery{Check: "r0"}))
	assert.Equal(f, 600, count(interlock.AuditQuery{Check: "denied"}))
	assert.Equal(f, 10, count(interlock.AuditQuery{Until: at.Add(10 * time.Second)}))
	assert.Equal(f, 590, count(interlock.AuditQuery{From: at.Add(10 * time.Second)}))
}
