package storetest

import (
	"context"
	"fmt"
	"iter"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var driftTests = []namedTest{
	{"is found, and what was never adopted", findDrift},
	{"by the column's type", driftOfTypes},
	{"of one tenant", driftOfTenant},
	{"more than a page", driftPages},
	{"of what isn't bound", driftUnbound},
	{"a repair writes back what history says", repairWrites},
	{"of two repairs one wins", repairRaces},
	{"a backfill adopts what it found, once", backfillRaces},
}

func (f *fixture) drift(tenant, machine string) []string {
	f.Helper()
	s, ok := f.store.(interface {
		Drift(ctx context.Context, tenant, machine string) iter.Seq2[interlock.Drift, error]
	})
	require.True(f, ok, "%T doesn't look for drift", f.store)
	out := []string{}
	for d, err := range s.Drift(f.ctx, tenant, machine) {
		require.NoError(f, err)
		require.Equal(f, machine, d.Machine)
		out = append(out, fmt.Sprintf("%s row=%v %q v%d %q", d.ID, d.Row, d.Found, d.Version, d.State))
	}
	return out
}

func findDrift(f *fixture) {
	for _, id := range []string{"a", "b", "c", "d", "z"} {
		f.exec(`INSERT INTO loans (id, status) VALUES ('` + id + `', 'new')`)
		if id != "z" {
			f.have(tenant, "loan", id)
		}
	}
	f.exec(`INSERT INTO loans (id, status) VALUES ('B', 'gone'), ('e', NULL)`)
	assert.Equal(f, []string{`B row=true "gone" v0 ""`, `e row=true "" v0 ""`, `z row=true "new" v0 ""`}, f.drift(tenant, "loan"))
	f.exec(`UPDATE loans SET status = 'done' WHERE id = 'b'`)
	f.exec(`UPDATE loans SET status = NULL WHERE id = 'c'`)
	f.exec(`DELETE FROM loans WHERE id = 'd'`)
	before := f.dump()
	assert.Equal(f, []string{
		`B row=true "gone" v0 ""`, `b row=true "done" v1 "new"`, `c row=true "" v1 "new"`,
		`d row=false "" v1 "new"`, `e row=true "" v0 ""`, `z row=true "new" v0 ""`,
	}, f.drift(tenant, "loan"))
	assert.Equal(f, before, f.dump(), "a look changes nothing")
}

func driftOfTypes(f *fixture) {
	for machine, ids := range map[string][]string{"ticket": {"7", "10"}, "photo": {photoID}} {
		for _, id := range ids {
			f.exec(`INSERT INTO ` + machine + `s (id, status) VALUES ('` + id + `', 'new')`)
			f.have(tenant, machine, id)
		}
		assert.Empty(f, f.drift(tenant, machine))
		f.exec(`UPDATE ` + machine + `s SET status = 'done'`)
		assert.Len(f, f.drift(tenant, machine), len(ids))
	}
	assert.Equal(f, []string{`10 row=true "done" v1 "new"`, `7 row=true "done" v1 "new"`}, f.drift(tenant, "ticket"), "in byte order")
}

func driftOfTenant(f *fixture) {
	f.exec(`INSERT INTO orders (id, status, org) VALUES ('o', 'new', 'acme'), ('p', 'new', 'other'), ('q', 'new', NULL)`)
	f.exec(`INSERT INTO loans (id, status) VALUES ('l', 'new')`)
	f.have("acme", "order", "o")
	assert.Empty(f, f.drift("acme", "order"))
	assert.Equal(f, []string{`p row=true "new" v0 ""`}, f.drift("other", "order"))
	assert.Empty(f, f.drift(tenant, "order"))
	assert.Empty(f, f.drift("acme", "loan"), "a table without the column is the default tenant's")
	assert.Len(f, f.drift(tenant, "loan"), 1)
}

func driftPages(f *fixture) {
	const rows = 5000
	numbers := `generate_series(1, ` + fmt.Sprint(rows) + `) AS s(n)`
	if !f.postgres {
		numbers = `(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ` + fmt.Sprint(rows) + `) SELECT n FROM s)`
	}
	f.exec(`INSERT INTO tickets (id, status) SELECT n, 'new' FROM ` + numbers)
	assert.Len(f, f.drift(tenant, "ticket"), rows)
}

func driftUnbound(f *fixture) {
	s := f.store.(interface {
		Drift(ctx context.Context, tenant, machine string) iter.Seq2[interlock.Drift, error]
	})
	for _, err := range s.Drift(f.ctx, tenant, "doc") {
		require.ErrorContains(f, err, "isn't bound")
		return
	}
	f.Error("an unbound machine has no drift to look for")
}

// mending is a commit that stays in its state and sets the column to it.
func (f *fixture) mending(i interlock.Instance, found string) *interlock.Commit {
	c := f.step(i, i.State)
	c.Bound = &interlock.BoundChange{From: found, To: i.State}
	return c
}

func repairWrites(f *fixture) {
	f.exec(`INSERT INTO loans (id, status, amount) VALUES ('l', 'new', 5)`)
	i := f.have(tenant, "loan", "l")
	f.exec(`UPDATE loans SET status = 'done' WHERE id = 'l'`)
	c := f.mending(i, "open")
	require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrStale, "it says something else by now")
	assert.Equal(f, []string{"[done 5]"}, f.query(`SELECT status, amount FROM loans`))
	f.must(f.mending(i, "done"))
	assert.Equal(f, []string{"[new 5]"}, f.query(`SELECT status, amount FROM loans`))
	assert.Empty(f, f.drift(tenant, "loan"))
	assert.EqualValues(f, 2, f.get(tenant, "loan", "l").Version)
}

func repairRaces(f *fixture) {
	f.exec(`INSERT INTO loans (id, status) VALUES ('l', 'new')`)
	i := f.have(tenant, "loan", "l")
	f.exec(`UPDATE loans SET status = 'done' WHERE id = 'l'`)
	race(f, interlock.ErrStale, func(int) *interlock.Commit { return f.mending(i, "done") })
	assert.Equal(f, []string{"[new]"}, f.query(`SELECT status FROM loans`))
}

func backfillRaces(f *fixture) {
	f.exec(`INSERT INTO loans (id, status) VALUES ('l', 'open')`)
	made := func(found string) *interlock.Commit {
		c := f.creation(tenant, "loan", "l")
		c.Instance.Next.State = "open"
		c.Instance.NextDigest = instanceDigest(c.Instance.Next)
		c.Bound = &interlock.BoundChange{From: found, To: found}
		return c
	}
	require.ErrorIs(f, f.store.Commit(f.ctx, made("new")), interlock.ErrStale, "the row says something else")
	race(f, interlock.ErrExists, func(int) *interlock.Commit { return made("open") })
	assert.Empty(f, f.drift(tenant, "loan"))
}
