package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var readTests = []namedTest{
	{"nothing there", nothingThere},
	{"many, in their order", loadMany},
	{"what was written", readsWhatWasWritten},
	{"while somebody writes", readsWhileSomebodyWrites},
	{"read again, a row is the same", readAgain},
	{"never what was before", neverWhatWasBefore},
	{"list", list},
	{"list by actor", listByActor},
	{"counts", counts},
	{"actors", actors},
	{"tenants apart", tenants},
	{"ids that look alike", lookAlikes},
	{"migrating again changes nothing", migrateAgain},
}

func nothingThere(f *fixture) {
	facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, []string{"ann"})
	require.NoError(f, err)
	assert.Equal(f, interlock.Facts{Epoch: f.epoch}, facts)
	a, err := f.store.Actor(f.ctx, tenant, "ann")
	require.NoError(f, err)
	assert.Nil(f, a)
	key, err := f.store.Idempotent(f.ctx, tenant, "ann", "k")
	require.NoError(f, err)
	assert.Nil(f, key)
	many, err := f.store.LoadMany(f.ctx, tenant, nil, []string{"ann"})
	require.NoError(f, err)
	assert.Empty(f, many)
	assert.NotEmpty(f, f.epoch)
}

func loadMany(f *fixture) {
	f.exec(`INSERT INTO loans (id, status) VALUES ('x', 'new')`)
	ann, bob := f.haveActor(f.actor(tenant, "ann")), f.haveActor(f.actor(tenant, "bob"))
	for _, id := range []string{"a", "b", "c"} {
		f.have(tenant, "doc", id)
	}
	f.have(tenant, "loan", "x")
	refs := []interlock.Ref{{Machine: "doc", ID: "c"}, {Machine: "loan", ID: "x"}, {Machine: "doc", ID: "none"}, {Machine: "doc", ID: "a"}, {Machine: "doc", ID: "c"}, {Machine: "doc", ID: "\x00"}}
	many, err := f.store.LoadMany(f.ctx, tenant, refs, []string{"bob", "nobody", "ann"})
	require.NoError(f, err)
	require.Len(f, many, len(refs))
	for n, facts := range many {
		one, err := f.store.Load(f.ctx, tenant, refs[n], []string{"ann", "bob"})
		require.NoError(f, err)
		one.Memo, facts.Memo = nil, nil // goes with the row, or doesn't
		assert.Equal(f, one, facts, "%v", refs[n])
		assert.Equal(f, []interlock.ActorRecord{ann, bob}, facts.Actors)
	}
	assert.Nil(f, many[2].Instance)
	assert.NotNil(f, many[1].Bound)
}

func list(f *fixture) {
	var at time.Time
	for n := range 7 {
		i := f.have(tenant, "doc", fmt.Sprintf("d%d", n))
		if n%2 == 1 {
			f.must(f.step(i, "open"))
		}
		if n == 4 {
			at = f.get(tenant, "doc", "d4").UpdatedAt
		}
	}
	ids := func(q interlock.ListQuery) (out []string) {
		q.Tenant, q.Machine = tenant, "doc"
		found, err := f.store.List(f.ctx, q)
		require.NoError(f, err)
		for _, facts := range found {
			assert.Equal(f, f.epoch, facts.Epoch)
			out = append(out, facts.Instance.ID)
		}
		return out
	}
	assert.Equal(f, []string{"d0", "d1", "d2"}, ids(interlock.ListQuery{Limit: 3}))
	assert.Equal(f, []string{"d3", "d4", "d5"}, ids(interlock.ListQuery{Limit: 3, After: "d2"}))
	assert.Equal(f, []string{"d6"}, ids(interlock.ListQuery{Limit: 3, After: "d5"}))
	assert.Equal(f, []string{"d3", "d5"}, ids(interlock.ListQuery{Limit: 3, State: "open", After: "d1"}))
	assert.Equal(f, []string{"d4", "d5", "d6"}, ids(interlock.ListQuery{Limit: 9, UpdatedSince: at}))
	assert.Equal(f, []string{"d5", "d6"}, ids(interlock.ListQuery{Limit: 9, UpdatedSince: at.Add(time.Nanosecond)}))
	assert.Empty(f, ids(interlock.ListQuery{Limit: 9, State: "lost"}))
	_, err := f.store.List(f.ctx, interlock.ListQuery{Tenant: tenant, Machine: "doc"})
	assert.Error(f, err, "without a limit")
}

func listByActor(f *fixture) {
	f.have(tenant, "doc", "a")
	c := f.step(f.have(tenant, "doc", "b"), "open")
	c.Instance.Record.Actor = "bob"
	f.must(c)
	for who, want := range map[string]int{"ann": 2, "bob": 1, "Bob": 0} {
		found, err := f.store.List(f.ctx, interlock.ListQuery{Tenant: tenant, Machine: "doc", Actor: who, Limit: 9})
		require.NoError(f, err)
		assert.Len(f, found, want, who)
	}
}

func counts(f *fixture) {
	f.have(tenant, "doc", "a")
	f.have("other", "doc", "a")
	f.must(f.step(f.have(tenant, "doc", "b"), "open"))
	f.must(f.step(f.have(tenant, "doc", "c"), "open"))
	n, err := f.store.Counts(f.ctx, tenant, "doc")
	require.NoError(f, err)
	assert.Equal(f, map[string]int64{"new": 1, "open": 2}, n)
	n, err = f.store.Counts(f.ctx, tenant, "loan")
	require.NoError(f, err)
	assert.Empty(f, n)
}

func actors(f *fixture) {
	scoped := f.actor(tenant, "b", "manager", "viewer")
	scoped.Grants[0].Scope = interlock.Scope{Machine: "doc", ID: "d"}
	want := []interlock.ActorRecord{f.haveActor(f.actor(tenant, "a", "manager")), f.haveActor(scoped), f.haveActor(f.actor(tenant, "c"))}
	f.haveActor(f.actor("other", "bb"))
	assert.Equal(f, scoped.Grants, want[1].Grants)
	got, err := f.store.Actors(f.ctx, tenant, "", 2)
	require.NoError(f, err)
	assert.Equal(f, want[:2], got)
	got, err = f.store.Actors(f.ctx, tenant, "b", 2)
	require.NoError(f, err)
	assert.Equal(f, want[2:], got)
}

func tenants(f *fixture) {
	f.haveActor(f.actor(tenant, "ann"))
	i := f.have(tenant, "doc", "d")
	before := f.get(tenant, "doc", "d")
	other := f.have("other", "doc", "d") // the same id is free there
	c := f.step(other, "open")
	f.key(c, "k")
	f.must(c)
	assert.Equal(f, before, f.get(tenant, "doc", "d"))
	moved := f.step(i, "open")
	moved.Instance.Next.Tenant, moved.Instance.Record.Tenant = "third", "third"
	require.ErrorIs(f, f.store.Commit(f.ctx, moved), interlock.ErrStale)
	for _, name := range []string{"other", "third", "", "Default"} {
		facts, err := f.store.Load(f.ctx, name, interlock.Ref{Machine: "doc", ID: "d"}, []string{"ann"})
		require.NoError(f, err)
		assert.Empty(f, facts.Actors, name)
		assert.Equal(f, name == "other", facts.Instance != nil, name)
		key, err := f.store.Idempotent(f.ctx, name, "ann", "k")
		require.NoError(f, err)
		assert.Equal(f, name == "other", key != nil, name)
		rows, err := f.store.History(f.ctx, name, interlock.Ref{Machine: "doc", ID: "d"}, 0, 9)
		require.NoError(f, err)
		assert.Equal(f, name == "other", len(rows) > 0, name)
	}
	for name, state := range map[string]string{tenant: "new", "other": "open"} {
		page, err := f.store.List(f.ctx, interlock.ListQuery{Tenant: name, Machine: "doc", Limit: 9})
		require.NoError(f, err)
		require.Len(f, page, 1, "%s: its own, and once", name)
		assert.Equal(f, state, page[0].Instance.State)
		counts, err := f.store.Counts(f.ctx, name, "doc")
		require.NoError(f, err)
		assert.Equal(f, map[string]int64{state: 1}, counts)
	}
}

func lookAlikes(f *fixture) {
	ids := []string{"1", "01", "1.0", "a", "A", "a.b", "a_b", "a-b", "a~b", "aa", "AA", "ä", "a\u0308", "а", "a ", " a", "%", "a'b", `a"b`, "a;b", "NULL", "null"}
	for _, id := range ids {
		f.have(tenant, "doc", id)
		f.haveActor(f.actor(tenant, id))
	}
	for _, id := range ids {
		facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: id}, []string{id})
		require.NoError(f, err)
		require.NotNil(f, facts.Instance, "%q", id)
		assert.Equal(f, id, facts.Instance.ID)
		require.Len(f, facts.Actors, 1, "%q", id)
		assert.Equal(f, id, facts.Actors[0].ID)
	}
}

func migrateAgain(f *fixture) {
	f.have(tenant, "doc", "d")
	before := f.dump()
	m, ok := f.store.(interface{ Migrate(context.Context) error })
	require.True(f, ok)
	require.NoError(f, m.Migrate(f.ctx))
	require.Equal(f, before, f.dump())
	f.exec(`INSERT INTO ` + f.prefix + `schema_version (version, name, applied_us) VALUES (9999, 'later', 0)`)
	require.ErrorContains(f, m.Migrate(f.ctx), "newer")
	require.Equal(f, before, f.dump())
}

var textTests = []namedTest{
	{"facts come back as they were", factsExact},
	{"large", large},
	{"what no text is", noText},
}

func factsExact(f *fixture) {
	facts := map[string]any{
		"big": json.Number("9007199254740993"), "huge": json.Number("123456789012345678901234567890"), "small": json.Number("-0.10"),
		"exp": json.Number("1e-400"), "max": json.Number(fmt.Sprint(int64(math.MaxInt64))), "null": nil, "true": true,
		"text": "<&> \u2028 ☃ 𝄞 \" \\ / \n\t", "empty": "", "list": []any{json.Number("1"), "a", nil, []any{}}, "map": map[string]any{"ключ": map[string]any{}},
		"nul": "a\x00b", "": "empty key",
	}
	c := f.creation(tenant, "doc", "d")
	c.Instance.Next.Facts, c.Instance.Record.Input, c.Instance.Record.Facts = facts, facts, facts
	c.Instance.Record.Note = "Ж <b>☃</b>\n"
	f.must(c)
	assert.Equal(f, facts, f.get(tenant, "doc", "d").Facts)
	rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, 0, 1)
	require.NoError(f, err)
	assert.Equal(f, facts, rows[0].Input)
	assert.Equal(f, facts, rows[0].Facts)
	assert.Equal(f, "Ж <b>☃</b>\n", rows[0].Note)
	who := f.actor(tenant, "ann")
	who.Attrs = facts
	assert.Equal(f, facts, f.haveActor(who).Attrs)
	text := f.query(`SELECT facts FROM ` + f.prefix + `instance`)[0]
	assert.Contains(f, text, `"big":9007199254740993,"empty":""`, "canonical: sorted")
	assert.Contains(f, text, `<&>`, "canonical: not escaped for HTML")
}

func large(f *fixture) {
	facts := map[string]any{"text": strings.Repeat("☃", 500_000)}
	c := f.creation(tenant, "doc", "d")
	c.Instance.Next.Facts = facts
	c.Instance.Record.Bytes = []byte(strings.Repeat("\x00\xff", 500_000))
	f.must(c)
	assert.Equal(f, facts, f.get(tenant, "doc", "d").Facts)
	rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, 0, 1)
	require.NoError(f, err)
	assert.Equal(f, c.Instance.Record.Bytes, rows[0].Bytes)
}

// noText: no reading of what can't be stored is an error or a crash: it isn't there.
func noText(f *fixture) {
	f.have(tenant, "doc", "d")
	for _, bad := range []string{"d\x00", "\x00", "\xff", "d\xc3", "\xed\xa0\x80", ""} {
		for _, ref := range []interlock.Ref{{Machine: "doc", ID: bad}, {Machine: bad, ID: "d"}, {Machine: "loan", ID: bad}} {
			facts, err := f.store.Load(f.ctx, tenant, ref, []string{bad, "ann"})
			require.NoError(f, err, "%q", ref)
			assert.Nil(f, facts.Instance)
			assert.Equal(f, f.epoch, facts.Epoch)
			many, err := f.store.LoadMany(f.ctx, tenant, []interlock.Ref{ref, {Machine: "doc", ID: "d"}}, []string{bad})
			require.NoError(f, err, "%q", ref)
			assert.Nil(f, many[0].Instance)
			assert.NotNil(f, many[1].Instance)
			_, err = f.store.History(f.ctx, tenant, ref, 0, 1)
			assert.NoError(f, err)
			_, err = f.store.Attempts(f.ctx, tenant, ref, 1)
			assert.NoError(f, err)
		}
		facts, err := f.store.Load(f.ctx, bad, interlock.Ref{Machine: "doc", ID: "d"}, nil)
		require.NoError(f, err)
		assert.Nil(f, facts.Instance)
		_, err = f.store.Actor(f.ctx, tenant, bad)
		assert.NoError(f, err)
		_, err = f.store.Actors(f.ctx, bad, bad, 1)
		assert.NoError(f, err)
		_, err = f.store.Idempotent(f.ctx, tenant, bad, bad)
		assert.NoError(f, err)
		_, err = f.store.Counts(f.ctx, tenant, bad)
		assert.NoError(f, err)
		_, err = f.store.List(f.ctx, interlock.ListQuery{Tenant: tenant, Machine: "doc", State: bad, Actor: bad, After: bad, Limit: 1})
		assert.NoError(f, err)
		_, err = f.store.Revisions(f.ctx, bad)
		assert.NoError(f, err)
		_, err = f.store.AttemptCounts(f.ctx, bad)
		assert.NoError(f, err)
	}
}
