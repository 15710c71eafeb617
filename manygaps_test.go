package interlock_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
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
// another gap, takes as long as its rows are many: the last take no longer than the
// first. By pairs, they would take many times as long.
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
	const gaps, part = 50_000, 20
	var parts []time.Duration // each of so many rows
	var began, ended time.Time
	rows := func(yield func(interlock.Record, error) bool) {
		began = time.Now()
		defer func() { ended = time.Now() }()
		last := began
		for n := range int64(gaps) {
			if n%part == part-1 {
				now := time.Now()
				parts, last = append(parts, now.Sub(last)), now
			}
			r := first[0]
			r.Seq, r.Event = 2*n+4, "$archive"
			r.Input = map[string]any{"through": json.Number(fmt.Sprint(n | 1)), "erased": json.Number("0"),
				"hash": fmt.Sprintf("%x", r.Prev), "sha256": strings.Repeat("00", 32), "file": "history-00000001-000000000000.ndjson"}
			if !yield(r, nil) {
				return
			}
		}
	}
	report, err := interlock.Verify(t.Context(), chainOnly{c.store, rows}, nil)
	require.NoError(t, err)
	require.EqualValues(t, gaps, report.Rows)
	// Of many short parts some are undisturbed, however busy the machine is.
	early, late := slices.Min(parts[:len(parts)/5]), slices.Min(parts[len(parts)*4/5:])
	require.Less(t, late, 4*early, "%d rows at the end of the chain, and at its beginning", part)
	require.Less(t, time.Since(ended), ended.Sub(began), "nor is all gone through at the end")
	require.Len(t, report.Bad, 100)
}
