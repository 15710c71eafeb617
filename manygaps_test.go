package interlock_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// chainOnly is a store whose history somebody made up.
type chainOnly struct {
	interlock.Store
	rows iter.Seq2[interlock.Record, error]
}

func (s chainOnly) Chain(context.Context) iter.Seq2[interlock.Record, error] { return s.rows }

// A chain in which every other row is missing, and each that is there speaks of
// another gap, takes as long as its rows are many: by pairs, these would take many
// minutes.
func TestVerifyManyGaps(t *testing.T) {
	c := newCalendar(t)
	newLoan(t, c.gate, "17")
	var first []interlock.Record
	for r, err := range c.store.Chain(t.Context()) {
		require.NoError(t, err)
		if r.Machine == "loan" {
			first = append(first, r)
		}
	}
	require.Len(t, first, 1)
	const gaps = 250_000
	rows := func(yield func(interlock.Record, error) bool) {
		for n := range int64(gaps) {
			r := first[0]
			r.Seq, r.Event = 2*n+4, "$archive"
			r.Input = map[string]any{"through": json.Number(fmt.Sprint(n | 1)), "erased": json.Number("0"),
				"hash": fmt.Sprintf("%x", r.Prev), "sha256": strings.Repeat("00", 32), "file": "history-00000001-000000000000.ndjson"}
			if !yield(r, nil) {
				return
			}
		}
	}
	began := time.Now()
	report, err := interlock.Verify(t.Context(), chainOnly{c.store, rows}, nil)
	require.NoError(t, err)
	require.EqualValues(t, gaps, report.Rows)
	require.Less(t, time.Since(began), time.Minute)
	require.Len(t, report.Bad, 100)
}
