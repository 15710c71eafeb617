package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/interlock-go/interlock"
)

// failing is a store that loses its database on demand.
type failing struct {
	interlock.Store
	down bool
}

func (f *failing) Migrate(ctx context.Context) error {
	return f.Store.(interface{ Migrate(context.Context) error }).Migrate(ctx)
}

var errDown = errors.New("pq: SELECT * FROM secret_table: connection refused")

func (f *failing) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	if f.down {
		return interlock.Facts{}, errDown
	}
	return f.Store.Load(ctx, tenant, ref, actors)
}

func (f *failing) LoadMany(ctx context.Context, tenant string, refs []interlock.Ref, actors []string) ([]interlock.Facts, error) {
	if f.down {
		return nil, errDown
	}
	return f.Store.LoadMany(ctx, tenant, refs, actors)
}

func (f *failing) List(ctx context.Context, q interlock.ListQuery) ([]interlock.Facts, error) {
	if f.down {
		return nil, errDown
	}
	return f.Store.List(ctx, q)
}

func (f *failing) Actor(ctx context.Context, tenant, id string) (*interlock.ActorRecord, error) {
	if f.down {
		return nil, errDown
	}
	return f.Store.Actor(ctx, tenant, id)
}

func (f *failing) Counts(ctx context.Context, tenant, machine string) (map[string]int64, error) {
	if f.down {
		return nil, errDown
	}
	return f.Store.Counts(ctx, tenant, machine)
}

// Where the truth can't be read the answer is 503 on every route that needs it,
// with a time to come back and not a word of why.
func TestStoreDown(t *testing.T) {
	st := &failing{Store: openSQLite(t)}
	w := newWorld(t, st)
	path := w.loan("d", "1000")
	st.down = true
	for _, tc := range []struct{ method, path, body string }{
		{"GET", "/v1/machines", ""},
		{"GET", "/v1/machines/loan", ""},
		{"GET", "/v1/machines/loan/instances", ""},
		{"POST", "/v1/machines/loan/instances", `{"facts":{"amount":1}}`},
		{"GET", path, ""},
		{"GET", path + "?events=true", ""},
		{"GET", path + "/events", ""},
		{"POST", path + "/events", `{"event":"submit"}`},
		{"POST", path + "/events?dry_run=true", `{"event":"submit"}`},
		{"PATCH", path + "/facts", `{"amount":2}`},
		{"GET", path + "/history", ""},
		{"GET", path + "/explain?event=submit", ""},
		{"POST", "/v1/available", `{"instances":[{"machine":"loan","id":"d"}]}`},
		{"GET", "/v1/actors/erin", ""},
		{"PUT", "/v1/actors/uma/roles/employee", ""},
	} {
		a := w.must(503, "erin", tc.method, tc.path, tc.body)
		assert.Equal(t, "store_failed", a.code(), tc.path)
		assert.Equal(t, "unavailable", a.json["stage"])
		assert.NotContains(t, a.raw, "secret_table")
	}
	assert.Contains(t, w.log.String(), "secret_table")
	w.must(200, "", "GET", "/healthz", "")
	w.must(200, "", "GET", "/openapi.json", "")
	st.down = false
	w.must(200, "erin", "POST", path+"/events", `{"event":"submit"}`)
}
