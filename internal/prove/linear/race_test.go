package linear_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/testservice"
)

const racers = 16

// Sixteen clients ask for the same at the same moment, a thousand times over: an
// event, a creation, one request under one key. One of them wins; the others are
// told what became of it.
func TestRaceToOne(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		raceToOne(t, "sqlite", fixture.SQLite(t, "", fixture.Config{}))
	})
	t.Run("postgres", func(t *testing.T) {
		url := testservice.Postgres(t)
		raceToOne(t, "postgres", fixture.Postgres(t, url, fixture.Config{Conns: 8}), fixture.Postgres(t, url, fixture.Config{Conns: 8}))
	})
}

// race is one round.
type race struct {
	kind   string
	ops    []fixture.Op
	losers []string // codes that a loser may be told
}

func raceToOne(t *testing.T, store string, worlds ...*fixture.World) {
	t.Helper()
	rounds := prove.Size(8, 1_000)
	violations := 0
	told := map[string]int{}
	for n := range rounds {
		r := newRace(t, worlds[0].Gate, n)
		r.run(t, worlds)
		if wrong := r.wrong(told); wrong != "" {
			violations++
			t.Errorf("round %d, %s: %s", n, r.kind, wrong)
		}
	}
	report, err := worlds[0].Replay(t.Context())
	require.NoError(t, err)
	last := map[string]int64{}
	for _, c := range report.Commits {
		if c.Machine == fixture.Machine {
			last[c.Instance] = max(last[c.Instance], c.Seq)
		}
	}
	assert.Len(t, last, rounds)
	for name, seq := range last {
		if want := int64(2); seq != want && (seq != 1 || name[:6] != "create") {
			violations++
			t.Errorf("%s has %d rows", name, seq)
		}
	}
	prove.Record(t, prove.Row{Claim: "race-to-one/" + store, Tried: rounds, Least: 1_000, Violations: violations,
		Note: fmt.Sprintf("%d gates; the losers were told %v", len(worlds), told)})
	worlds[0].Redecided(t, "race-to-one/"+store)
}

func newRace(t *testing.T, g *interlock.Gate, n int) *race {
	t.Helper()
	r := &race{kind: []string{"event", "create", "event", "key"}[n%4], losers: []string{"illegal_event", "state_changed"}}
	name := fmt.Sprintf("%s-%d", r.kind, n)
	op := fixture.Op{Kind: "fire", Event: "submit", Instance: name}
	switch r.kind {
	case "create":
		op.Kind, op.Event, op.Amount, r.losers = "create", "$create", 5, []string{"exists"}
	case "key":
		op.Key, r.losers = name, []string{"key_in_progress"}
	}
	if r.kind != "create" {
		_, err := g.Create(t.Context(), fixture.As("clara"), interlock.CreateRequest{Machine: fixture.Machine, ID: name, Facts: map[string]any{"amount": 5}})
		require.NoError(t, err)
	}
	people := append(slices.Clone(fixture.Clerks), fixture.Officers...)
	for i := range racers {
		op.Client, op.Actor = i, fixture.As(people[i%len(people)])
		if r.kind == "key" {
			op.Actor = fixture.As(people[0])
		}
		r.ops = append(r.ops, op)
	}
	return r
}

// run lets all of them go at once, by turns over the gates.
func (r *race) run(t *testing.T, worlds []*fixture.World) {
	t.Helper()
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range r.ops {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			fixture.Ask(t.Context(), worlds[i%len(worlds)].Gate, &r.ops[i])
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// wrong says what doesn't belong; "" : one won.
func (r *race) wrong(told map[string]int) string {
	winners := map[string]int{}
	for i := range r.ops {
		switch op := &r.ops[i]; {
		case op.Outcome == fixture.Done:
			winners[op.Transition.ID]++
		case op.Outcome == fixture.Unknown || !slices.Contains(r.losers, op.Code):
			return fmt.Sprintf("a loser was told %s %s: %v", op.Stage, op.Code, op.Err)
		default:
			told[op.Code]++
		}
	}
	for _, n := range winners {
		// Under a key all are one request, and who isn't told to ask again is told the same.
		if len(winners) == 1 && (n == 1 || r.kind == "key") {
			return ""
		}
	}
	return fmt.Sprintf("winners: %v", winners)
}
