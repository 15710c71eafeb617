package storetest

import (
	"encoding/json"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var boundTests = []namedTest{
	{"moves with the instance", boundMoves},
	{"ids by the column's type", boundIDs},
	{"facts as JSON", boundFacts},
	{"rows belong to one tenant", boundTenants},
	{"column of the tenant", boundTenantColumn},
	{"row without an instance, instance without a row", boundHalves},
	{"NULL in the state", boundNull},
	{"change of the row waits for the commit", boundLocked},
}

const photoID = "0198c0de-0000-7000-8000-00000000abcd"

func boundMoves(f *fixture) {
	ids := map[string]string{"loan": "l-1", "ticket": "42", "photo": photoID, "bare": "b"}
	for machine, id := range ids {
		table := machine + "s"
		f.exec(`INSERT INTO ` + table + ` (id, status, amount) VALUES ('` + id + `', 'new', 1)`)
		c := f.step(f.have(tenant, machine, id), "open")
		c.Bound = &interlock.BoundChange{From: "new", To: "open"}
		f.must(c)
		assert.Equal(f, []string{"[open]"}, f.query(`SELECT status FROM `+table), machine)
		facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: machine, ID: id}, nil)
		require.NoError(f, err)
		assert.True(f, facts.IsBound)
		assert.Equal(f, "open", facts.Bound.State)
		assert.Equal(f, "open", facts.Instance.State)
		c = f.step(*facts.Instance, "done")
		require.Error(f, f.store.Commit(f.ctx, c), "without Bound the column would stay behind")
		f.exec(`UPDATE ` + table + ` SET status = 'done'`) // by hand
		c.Bound = &interlock.BoundChange{From: "open", To: "done"}
		require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrStale, machine)
		// Drift is there to be seen, in one and in many.
		many, err := f.store.List(f.ctx, interlock.ListQuery{Tenant: tenant, Machine: machine, Limit: 5})
		require.NoError(f, err)
		require.Len(f, many, 1)
		assert.Equal(f, "done", many[0].Bound.State)
		assert.Equal(f, "open", many[0].Instance.State)
		assert.True(f, many[0].IsBound)
	}
}

// boundIDs: an id that the column's type can't hold, or would hold as another
// text, is no row; never an error, and never the other's row.
func boundIDs(f *fixture) {
	f.exec(`INSERT INTO tickets (id, status) VALUES (7, 'new')`)
	f.exec(`INSERT INTO photos (id, status) VALUES ('` + photoID + `', 'new')`)
	f.exec(`INSERT INTO loans (id, status) VALUES ('7', 'new')`)
	for _, test := range []struct{ machine, id string }{
		{"ticket", "007"}, {"ticket", "7.0"}, {"ticket", "7x"}, {"ticket", "x"}, {"ticket", "99999999999999999999"}, {"ticket", "8"},
		{"ticket", "7e0"}, {"photo", "x"}, {"photo", "0198C0DE-0000-7000-8000-00000000ABCD"}, {"photo", "0198c0de00007000800000000000abcd"},
		{"photo", "0198c0de-0000-7000-8000-00000000abce"}, {"loan", "07"}, {"loan", "7.0"}, {"loan", "x"},
	} {
		ref := interlock.Ref{Machine: test.machine, ID: test.id}
		facts, err := f.store.Load(f.ctx, tenant, ref, nil)
		require.NoError(f, err, "%v", ref)
		assert.Nil(f, facts.Bound, "%v", ref)
		assert.True(f, facts.IsBound)
		many, err := f.store.LoadMany(f.ctx, tenant, []interlock.Ref{ref, {Machine: test.machine, ID: "7"}}, nil)
		require.NoError(f, err, "%v", ref)
		assert.Nil(f, many[0].Bound, "%v", ref)
		c := f.creation(tenant, test.machine, test.id)
		c.Bound = &interlock.BoundChange{From: "new", To: "new"}
		require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrNoRow, "%v", ref)
		require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) error {
			facts, err := tx.Load(f.ctx, tenant, ref, nil)
			assert.Nil(f, facts.Bound, "%v", ref)
			return err
		}))
	}
	for _, ref := range []interlock.Ref{{Machine: "ticket", ID: "7"}, {Machine: "photo", ID: photoID}, {Machine: "loan", ID: "7"}} {
		facts, err := f.store.Load(f.ctx, tenant, ref, nil)
		require.NoError(f, err)
		assert.NotNil(f, facts.Bound, "%v", ref)
	}
}

func boundFacts(f *fixture) {
	f.exec(`INSERT INTO loans (id, status, amount, ratio, note, flag) VALUES
		('a', 'new', 9007199254740993, 0.25, 'zwölf "<&>" ☃', TRUE), ('b', 'new', NULL, NULL, NULL, NULL), ('c', 'new', -1, 3, '', FALSE)`)
	want := map[string]map[string]any{
		"a": {"amount": json.Number("9007199254740993"), "ratio": json.Number("0.25"), "note": `zwölf "<&>" ☃`, "flag": true},
		"b": {"amount": nil, "ratio": nil, "note": nil, "flag": nil},
	}
	for id, facts := range want {
		got, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "loan", ID: id}, nil)
		require.NoError(f, err)
		require.NotNil(f, got.Bound)
		assert.Equal(f, facts, got.Bound.Facts)
	}
	// Numbers are compared by value: a cache or a client may write them otherwise.
	c := f.creation(tenant, "loan", "c")
	c.Bound = &interlock.BoundChange{From: "new", To: "new", Facts: map[string]any{"amount": -1, "ratio": 3.0, "note": "", "flag": false}}
	f.must(c)
	for column, value := range map[string]string{"amount": "-2", "ratio": "3.01", "note": "'x'", "flag": "TRUE"} {
		f.exec(`UPDATE loans SET amount = -1, ratio = 3, note = '', flag = FALSE`)
		f.exec(`UPDATE loans SET ` + column + ` = ` + value)
		next := f.step(f.get(tenant, "loan", "c"), "open")
		next.Bound = c.Bound
		require.ErrorIs(f, f.store.Commit(f.ctx, next), interlock.ErrStale, column)
	}
}

func boundTenants(f *fixture) {
	f.exec(`INSERT INTO loans (id, status) VALUES ('a', 'new')`)
	facts, err := f.store.Load(f.ctx, "other", interlock.Ref{Machine: "loan", ID: "a"}, nil)
	require.NoError(f, err)
	assert.Nil(f, facts.Bound)
	c := f.creation("other", "loan", "a")
	c.Bound = &interlock.BoundChange{From: "new", To: "new"}
	require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrNoRow)
	require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) error {
		_, _, err := tx.BoundState(f.ctx, "other", interlock.Ref{Machine: "loan", ID: "a"})
		assert.ErrorIs(f, err, interlock.ErrNoRow)
		return nil
	}))
}

func boundTenantColumn(f *fixture) {
	f.exec(`INSERT INTO orders (id, status, org) VALUES ('a', 'new', 'acme'), ('b', 'new', 'other'), ('c', 'new', NULL)`)
	for _, test := range []struct {
		tenant, id string
		there      bool
	}{{"acme", "a", true}, {"acme", "b", false}, {"other", "b", true}, {tenant, "a", false}, {"acme", "c", false}, {tenant, "c", false}} {
		ref := interlock.Ref{Machine: "order", ID: test.id}
		facts, err := f.store.Load(f.ctx, test.tenant, ref, nil)
		require.NoError(f, err)
		assert.Equal(f, test.there, facts.Bound != nil, "%v", test)
		many, err := f.store.LoadMany(f.ctx, test.tenant, []interlock.Ref{ref}, nil)
		require.NoError(f, err)
		assert.Equal(f, test.there, many[0].Bound != nil, "%v", test)
	}
	c := f.step(f.have("acme", "order", "a"), "open")
	c.Bound = &interlock.BoundChange{From: "new", To: "open"}
	f.must(c)
	assert.Equal(f, []string{"[a open]", "[b new]", "[c new]"}, f.query(`SELECT id, status FROM orders ORDER BY id`))
}

func boundHalves(f *fixture) {
	f.exec(`INSERT INTO loans (id, status) VALUES ('row', 'open'), ('gone', 'new')`)
	f.have(tenant, "loan", "gone")
	f.exec(`DELETE FROM loans WHERE id = 'gone'`)
	many, err := f.store.LoadMany(f.ctx, tenant, []interlock.Ref{{Machine: "loan", ID: "row"}, {Machine: "loan", ID: "gone"}, {Machine: "loan", ID: "none"}}, nil)
	require.NoError(f, err)
	assert.Nil(f, many[0].Instance)
	assert.Equal(f, "open", many[0].Bound.State)
	assert.NotNil(f, many[1].Instance)
	assert.Nil(f, many[1].Bound)
	assert.Nil(f, many[2].Instance)
	assert.Nil(f, many[2].Bound)
	list, err := f.store.List(f.ctx, interlock.ListQuery{Tenant: tenant, Machine: "loan", Limit: 9})
	require.NoError(f, err)
	assert.Len(f, list, 1, "rows that were never adopted are not listed")
}

func boundNull(f *fixture) {
	f.exec(`INSERT INTO loans (id) VALUES ('a')`)
	facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "loan", ID: "a"}, nil)
	require.NoError(f, err)
	require.NotNil(f, facts.Bound)
	assert.Empty(f, facts.Bound.State)
	c := f.creation(tenant, "loan", "a")
	c.Bound = &interlock.BoundChange{From: "new", To: "new"}
	require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrStale)
}

// boundLocked: a write of the application's that goes past the gate waits for
// the commit that read the row.
func boundLocked(f *fixture) {
	f.exec(`INSERT INTO loans (id, status) VALUES ('a', 'new')`)
	c := f.step(f.have(tenant, "loan", "a"), "open")
	c.Bound = &interlock.BoundChange{From: "new", To: "open"}
	release := f.hold(func(tx interlock.Tx) error {
		_, err := tx.Load(f.ctx, tenant, interlock.Ref{Machine: "loan", ID: "a"}, nil)
		return err
	})
	wrote := f.blocked(func() error { return f.tryExec(`UPDATE loans SET amount = 1`) })
	require.NoError(f, release())
	require.NoError(f, <-wrote)
	started := time.Now()
	f.must(c)
	assert.Less(f, time.Since(started), patience, "nothing is held any more")
}
