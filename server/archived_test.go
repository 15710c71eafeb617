package server_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// shortened is a store from which the first rows of each chain have left.
type shortened struct {
	*sqlite.Store
	through int64
}

func (s *shortened) History(ctx context.Context, tenant string, ref interlock.Ref, after int64, limit int) ([]interlock.Record, error) {
	return s.Store.History(ctx, tenant, ref, max(after, s.through), limit)
}

// A chain that goes on from an archive isn't told as though it began there.
func TestHistorySaysWhatWasArchived(t *testing.T) {
	st := &shortened{Store: openSQLite(t).(*sqlite.Store)}
	w := newWorld(t, st)
	path := w.loan("h", "1000", "erin submit", "erin review", "evan verify")
	assert.Nil(t, w.must(200, "erin", "GET", path+"/history", "").json["archived_before"])
	first := w.must(200, "erin", "GET", path+"/history?limit=1", "")
	assert.Nil(t, first.json["archived_before"])
	next := path + "/history?limit=1&cursor=" + url.QueryEscape(first.json["next_cursor"].(string))
	assert.Nil(t, w.must(200, "erin", "GET", next, "").json["archived_before"])

	st.through = 2
	rest := w.must(200, "erin", "GET", path+"/history", "")
	require.Len(t, rest.json["history"], 2)
	assert.EqualValues(t, "3", rest.json["archived_before"])
	assert.EqualValues(t, "3", w.must(200, "erin", "GET", next, "").json["archived_before"], "between two pages")
}
