package storetest

import (
	"context"
	"fmt"
	"strings"

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
	for range f.store.Marks(f.ctx) {
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
	taken := map[string]string{
		"interlock_history_no_update":  `DROP TRIGGER interlock_history_no_update`,
		"interlock_history_no_replace": `DROP TRIGGER interlock_history_no_replace`,
		"interlock_history_no_delete": `DROP TRIGGER interlock_history_no_delete;
			CREATE TRIGGER interlock_history_no_delete BEFORE DELETE ON interlock_history BEGIN SELECT 1; END`,
		"interlock_texts_no_update": `DROP TRIGGER interlock_texts_no_update;
			CREATE TRIGGER interlock_texts_no_update BEFORE UPDATE ON interlock_texts WHEN 0 BEGIN SELECT RAISE(ABORT, 'never'); END`,
	}
	if f.postgres {
		h, texts := f.prefix+"history", f.prefix+"texts"
		taken = map[string]string{
			"history_no_change":   `ALTER TABLE ` + h + ` DISABLE TRIGGER history_no_change`,
			"history_no_truncate": `DROP TRIGGER history_no_truncate ON ` + h,
			"texts_no_update": `DROP TRIGGER texts_no_update ON ` + texts + `; CREATE TRIGGER texts_no_update BEFORE UPDATE ON ` + texts + `
				FOR EACH ROW WHEN (false) EXECUTE FUNCTION ` + f.prefix + `refuse_change()`,
			"texts_no_truncate": `ALTER TABLE ` + texts + ` DISABLE TRIGGER texts_no_truncate`,
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
		require.Len(f, missing, 4)
	}
}
