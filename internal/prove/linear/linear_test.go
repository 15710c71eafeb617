// Package linear holds the proofs of races: what any number of clients at once
// are told is what one after the other would have been told.
package linear_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/anomaly"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/testservice"
)

// The whole: 16 clients on 20 instances, whose guests' roles come and go. One
// commit in fifty loses its answer on its way to the gate, which has to find out;
// one answer in a hundred doesn't reach its client, who never finds out.
func TestLinearizable(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		losing := &fixture.Losing{Of: 50}
		w := fixture.SQLite(t, "", fixture.Config{Wrap: losing.Over})
		linearizable(t, "sqlite", w, losing, func() {})
	})
	t.Run("postgres", func(t *testing.T) {
		losing := &fixture.Losing{Of: 50}
		w := fixture.Postgres(t, testservice.Postgres(t), fixture.Config{Wrap: losing.Over})
		var cut atomic.Int64
		linearizable(t, "postgres", w, losing, func() { cut.Add(cutOne(t, w)) })
		assert.NotZero(t, cut.Load(), "no connection was cut")
	})
}

// cutOne ends a connection of the gate's that is at work.
func cutOne(t *testing.T, w *fixture.World) int64 {
	t.Helper()
	var n int64
	err := w.DB.QueryRow(`SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY state = 'active' DESC, random() LIMIT 1) x`).Scan(&n)
	assert.NoError(t, err)
	return n
}

func linearizable(t *testing.T, store string, w *fixture.World, losing *fixture.Losing, fault func()) {
	t.Helper()
	load := fixture.Load{Door: w.Door(), Ops: prove.Size(300, 50_000), Seed: 1, Reads: 12, Guests: true, Looks: w.Store,
		Lose: func(r *rand.Rand) bool { return r.IntN(100) == 0 }}
	if !prove.Full() {
		load.Instances = 4
	}
	rec := during(t, fault, func() *fixture.Recording { return load.Run(t.Context()) })
	rec.Ops = append(rec.Ops, final(t, w, rec)...)
	for i := range rec.Ops {
		if op := &rec.Ops[i]; op.Outcome != fixture.Done && op.Err != nil && op.Code == "" {
			t.Errorf("an error that is no refusal: %v", op.Err)
		}
	}
	begun := time.Now()
	violations := 0
	if !check(t, rec) {
		violations++
	}
	checked := time.Since(begun).Round(time.Millisecond)
	prove.Record(t, prove.Row{Claim: "linearizable/" + store, Tried: len(rec.Ops), Least: 50_000, Violations: violations,
		Note: fmt.Sprintf("%d done, %d unknown; %d answers of commits lost after and %d before; codes %v; checked in %v",
			rec.Count(fixture.Done), rec.Count(fixture.Unknown), losing.After.Load(), losing.Before.Load(), rec.Codes(), checked)})
	w.Redecided(t, "linearizable/"+store, rec)
	anomalies(t, store, w, rec)
}

// during runs what is proved, and a fault every 300 ms beside it.
func during[T any](t *testing.T, fault func(), do func() T) T {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		fault() // however quickly the rest is done
		for tick := time.NewTicker(300 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				fault()
			}
		}
	}()
	defer func() { stop(); <-ended }()
	return do()
}

// final reads every instance once more when all is quiet: what was said to be done is still there.
func final(t *testing.T, w *fixture.World, rec *fixture.Recording) []fixture.Op {
	t.Helper()
	names := map[string]bool{}
	for i := range rec.Ops {
		names[rec.Ops[i].Instance] = true
	}
	var ops []fixture.Op
	for name := range names {
		op := fixture.Op{Client: 999, Kind: "read", Actor: fixture.As(fixture.Clerks[0]), Instance: name, Tries: 1, Start: time.Since(rec.Begun)}
		fixture.Ask(t.Context(), w.Gate, &op)
		op.End = time.Since(rec.Begun)
		assert.NotEqual(t, fixture.Unknown, op.Outcome, "%v", op.Err)
		ops = append(ops, op)
	}
	return ops
}

// check asks porcupine whether the recording can be told as one request after the other.
func check(t *testing.T, rec *fixture.Recording) bool {
	t.Helper()
	limit := 5 * time.Minute
	result := porcupine.CheckOperationsTimeout(sequential, operations(rec), limit)
	require.NotEqual(t, porcupine.Unknown, result, "it couldn't be told in %v", limit)
	return result == porcupine.Ok
}

// operations are the recording's; what got no answer may have happened at any
// later moment, or never.
func operations(rec *fixture.Recording) []porcupine.Operation {
	end := int64(0)
	for i := range rec.Ops {
		end = max(end, int64(rec.Ops[i].End))
	}
	ops := make([]porcupine.Operation, 0, len(rec.Ops))
	for i := range rec.Ops {
		op := &rec.Ops[i]
		if op.Outcome == fixture.Unknown && slices.Contains([]string{"read", "look"}, op.Kind) {
			continue // changed nothing, said nothing
		}
		back := int64(op.End)
		if op.Outcome == fixture.Unknown {
			back = end + 1
		}
		ops = append(ops, porcupine.Operation{ClientId: i, Input: op, Output: op, Call: int64(op.Start), Return: back})
	}
	return ops
}

// anomalies looks for cycles between the rows of actors and those of instances.
func anomalies(t *testing.T, store string, w *fixture.World, rec *fixture.Recording) {
	t.Helper()
	report, err := w.Replay(t.Context())
	require.NoError(t, err)
	txns := transactions(report.Commits, rec)
	found := anomaly.Find(txns)
	for _, f := range found[:min(3, len(found))] {
		t.Error(f)
	}
	prove.Record(t, prove.Row{Claim: "anomalies/" + store, Tried: len(txns), Least: 20_000, Violations: len(found)})
}
