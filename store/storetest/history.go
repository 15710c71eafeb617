package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var historyTests = []namedTest{
	{"append-only", appendOnly},
	{"erased texts", erased},
	{"pages", historyPages},
	{"chain and heads in order, at once", chainAndHeads},
	{"marks are of one moment", marks},
	{"guards that were taken away are named", guards},
	{"erased by a commit", eraseByCommit},
	{"search", search},
	{"search of attempts", searchAttempts},
	{"streams end when they are told to", streamsEnd},
	{"attempts are bounded", attempts},
	{"counters are exact", counters},
	{"attempts of anything", strangeAttempts},
}

func appendOnly(f *fixture) {
	f.have(tenant, "doc", "d")
	before := f.dump()
	h, texts := f.prefix+"history", f.prefix+"texts"
	tries := []string{
		`UPDATE ` + h + ` SET to_state = 'done'`,
		`UPDATE ` + h + ` SET seq = seq + 1`,
		`DELETE FROM ` + h,
		`UPDATE ` + texts + ` SET note = 'another'`,
		`INSERT INTO ` + h + ` SELECT * FROM ` + h,
	}
	if f.postgres {
		tries = append(tries, `TRUNCATE `+h, `TRUNCATE `+texts, `SET LOCAL session_replication_role = replica; DELETE FROM `+h,
			`INSERT INTO `+h+` SELECT * FROM `+h+` ON CONFLICT (tenant, machine, instance, seq) DO UPDATE SET to_state = 'done'`)
	} else {
		tries = append(tries, `INSERT OR REPLACE INTO `+h+` SELECT * FROM `+h, `REPLACE INTO `+h+` SELECT * FROM `+h,
			`UPDATE OR REPLACE `+h+` SET to_state = 'done'`,
			`INSERT INTO `+h+` SELECT * FROM `+h+` WHERE true ON CONFLICT (tenant, machine, instance, seq) DO UPDATE SET to_state = 'done'`)
	}
	for _, query := range tries {
		assert.Error(f, f.tryExec(query), query)
		require.Equal(f, before, f.dump(), query)
	}
}

func erased(f *fixture) {
	f.must(f.step(f.have(tenant, "doc", "d"), "open"))
	silent := f.step(f.get(tenant, "doc", "d"), "done")
	silent.Instance.Record.Note, silent.Instance.Record.Input, silent.Instance.Record.Facts, silent.Instance.Record.Salt = "", nil, nil, nil
	f.must(silent)
	f.exec(`DELETE FROM ` + f.prefix + `texts WHERE seq = 1`)
	rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, 0, 9)
	require.NoError(f, err)
	require.Len(f, rows, 3)
	assert.Equal(f, []any{"", true}, []any{rows[0].Note, rows[0].Erased})
	assert.Nil(f, rows[0].Input)
	assert.Nil(f, rows[0].Facts)
	assert.Empty(f, rows[0].Salt)
	assert.NotEmpty(f, rows[0].Bytes)
	assert.Equal(f, []any{"because", false}, []any{rows[1].Note, rows[1].Erased})
	assert.Equal(f, []any{"", false}, []any{rows[2].Note, rows[2].Erased}, "there was nothing to erase")
}

func historyPages(f *fixture) {
	i := f.have(tenant, "doc", "d")
	f.have(tenant, "doc", "e")
	for range 6 {
		f.must(f.step(i, "open"))
		i = f.get(tenant, "doc", "d")
	}
	for _, test := range []struct {
		after int64
		limit int
		want  []int64
	}{{0, 3, []int64{1, 2, 3}}, {3, 3, []int64{4, 5, 6}}, {6, 3, []int64{7}}, {7, 3, nil}} {
		rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, test.after, test.limit)
		require.NoError(f, err)
		var got []int64
		for _, r := range rows {
			got = append(got, r.Seq)
		}
		assert.Equal(f, test.want, got)
	}
}

// chainAndHeads walks both streams side by side, over more rows than one page.
func chainAndHeads(f *fixture) {
	for _, machine := range []string{"zip", "interlock:z"} {
		require.NoError(f, f.store.Activate(f.ctx, f.revision(machine, "r1"), 0))
	}
	var want []string
	add := func(c *interlock.Commit) {
		f.must(c)
		var r interlock.Record
		if c.Instance != nil {
			r = c.Instance.Record
		} else {
			r = c.Actor.Record
		}
		want = append(want, fmt.Sprintf("%s|%s|%s|%06d", r.Tenant, r.Machine, r.Instance, r.Seq))
	}
	for _, name := range []string{"B", "a", "b", "ä"} {
		for n := range 90 {
			add(f.creation(name, "doc", fmt.Sprint(n)))
		}
		for _, id := range []string{"Z", "a", "é"} {
			add(f.creation(name, "zip", id))
			add(f.commitActor(f.actorChange(nil, f.actor(name, id))))
			add(f.step(f.get(name, "zip", id), "open"))
		}
		add(f.creation(name, "interlock:z", "x"))
	}
	// By their parts: joined texts would compare the separator.
	slices.SortFunc(want, func(a, b string) int { return slices.Compare(strings.Split(a, "|"), strings.Split(b, "|")) })
	nextHead, stop := iter.Pull2(f.store.Heads(f.ctx))
	defer stop()
	var got []string
	var last *interlock.Record
	closeChain := func() {
		head, err, ok := nextHead()
		require.NoError(f, err)
		require.True(f, ok)
		require.Equal(f, []any{last.Tenant, last.Machine, last.Instance, last.Seq, last.Hash}, []any{head.Tenant, head.Machine, head.ID, head.Version, head.Hash})
		if head.Machine == interlock.ActorMachine {
			require.Nil(f, head.Instance)
			require.Equal(f, head.Digest, actorDigest(*head.Actor))
		} else {
			require.Nil(f, head.Actor)
			require.Equal(f, head.Digest, instanceDigest(*head.Instance))
		}
	}
	for r, err := range f.store.Chain(f.ctx) {
		require.NoError(f, err)
		if last != nil && (last.Tenant != r.Tenant || last.Machine != r.Machine || last.Instance != r.Instance) {
			closeChain()
		}
		last = &r
		got = append(got, fmt.Sprintf("%s|%s|%s|%06d", r.Tenant, r.Machine, r.Instance, r.Seq))
	}
	closeChain()
	_, _, more := nextHead()
	assert.False(f, more)
	require.Equal(f, want, got)
}

func streamsEnd(f *fixture) {
	for n := range 3 {
		f.have(tenant, "doc", fmt.Sprint(n))
	}
	for _, err := range f.store.Chain(f.ctx) {
		require.NoError(f, err)
		break
	}
	for _, err := range f.store.Heads(f.ctx) {
		require.NoError(f, err)
		f.have(tenant, "doc", "written meanwhile")
		break
	}
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	var failed error
	for _, err := range f.store.Chain(ctx) {
		failed = err
	}
	assert.Error(f, failed)
	failed = nil
	for _, err := range f.store.Heads(ctx) {
		failed = err
	}
	assert.Error(f, failed)
}

func attempts(f *fixture) {
	attempt := func(id string, n int) interlock.Attempt {
		return interlock.Attempt{Tenant: tenant, Machine: "doc", Instance: id, Event: fmt.Sprint("e", n), To: "done", State: "new", Actor: "ann",
			Person: "Ann", Stage: interlock.StagePolicy, Code: "denied", Reasons: []string{"role_required"}, Time: f.now(), Revision: "r1"}
	}
	var want []interlock.Attempt
	for n := range 12 {
		a := attempt("d", n)
		require.NoError(f, f.store.AddAttempts(f.ctx, []interlock.Attempt{a, attempt("e", n)}, nil, 5))
		want = append([]interlock.Attempt{a}, want...)
	}
	got, err := f.store.Attempts(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, 100)
	require.NoError(f, err)
	assert.Equal(f, want[:5], got, "the newest, newest first")
	got, err = f.store.Attempts(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "d"}, 2)
	require.NoError(f, err)
	assert.Equal(f, want[:2], got)
	got, err = f.store.Attempts(f.ctx, "other", interlock.Ref{Machine: "doc", ID: "d"}, 2)
	require.NoError(f, err)
	assert.Empty(f, got)
	many := []interlock.Attempt{}
	for n := range 20 {
		many = append(many, attempt("f", n))
	}
	require.NoError(f, f.store.AddAttempts(f.ctx, many, nil, 5))
	got, err = f.store.Attempts(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "f"}, 100)
	require.NoError(f, err)
	require.Len(f, got, 5)
	assert.Equal(f, "e19", got[0].Event)
	require.NoError(f, f.store.AddAttempts(f.ctx, []interlock.Attempt{attempt("g", 1)}, nil, 0))
	got, err = f.store.Attempts(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "g"}, 100)
	require.NoError(f, err)
	assert.Empty(f, got, "keep 0 keeps none")
}

func counters(f *fixture) {
	count := func(event string, n int64) interlock.AttemptCount {
		return interlock.AttemptCount{Tenant: tenant, Machine: "doc", Event: event, Stage: interlock.StageGraph, Code: "illegal_event", Count: n}
	}
	results := make(chan error, racers)
	for n := range racers {
		go func() {
			// In either order: writers of the same counters must not deadlock.
			counts := []interlock.AttemptCount{count("a", 1), count("b", 2)}
			if n%2 == 0 {
				counts[0], counts[1] = counts[1], counts[0]
			}
			results <- f.store.AddAttempts(f.ctx, nil, counts, 0)
		}()
	}
	for range racers {
		require.NoError(f, <-results)
	}
	require.NoError(f, f.store.AddAttempts(f.ctx, nil, []interlock.AttemptCount{{Tenant: "other", Count: 1}}, 0))
	got, err := f.store.AttemptCounts(f.ctx, tenant)
	require.NoError(f, err)
	assert.Equal(f, []interlock.AttemptCount{count("a", racers), count("b", 2*racers)}, got)
}

func strangeAttempts(f *fixture) {
	bad := "x\x00\xff'; DROP TABLE loans; --"
	err := f.store.AddAttempts(f.ctx, []interlock.Attempt{{Tenant: tenant, Machine: "doc", Instance: bad, Event: bad, Actor: bad, Time: time.Now()}},
		[]interlock.AttemptCount{{Tenant: tenant, Machine: bad, Event: bad, Code: bad, Count: 1}}, 9)
	require.NoError(f, err)
	got, err := f.store.Attempts(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: bad}, 1)
	require.NoError(f, err)
	assert.Len(f, got, 1)
	_, err = f.store.AttemptCounts(f.ctx, tenant)
	require.NoError(f, err)
}

var revisionTests = []namedTest{
	{"activate", activate},
	{"accept", accept},
	{"states in use", statesInUse},
	{"fewer states", activateFewerStates},
}

func (f *fixture) statuses(machine string) (out []string) {
	f.Helper()
	revisions, err := f.store.Revisions(f.ctx, machine)
	require.NoError(f, err)
	for _, r := range revisions {
		out = append(out, r.ID+" "+r.Status)
		assert.Equal(f, states, r.States)
		assert.WithinDuration(f, time.Now(), r.Since, time.Minute)
	}
	return out
}

func activate(f *fixture) {
	assert.Equal(f, []string{"r1 active"}, f.statuses("doc"))
	require.NoError(f, f.store.Activate(f.ctx, f.revision("doc", "r2"), grace))
	assert.Equal(f, []string{"r2 active", "r1 accepting"}, f.statuses("doc"))
	before := f.dump()
	require.NoError(f, f.store.Activate(f.ctx, f.revision("doc", "r2"), 0))
	assert.Equal(f, before, f.dump(), "idempotent")
	f.graceEnds("r1")
	assert.Equal(f, []string{"r2 active", "r1 retired"}, f.statuses("doc"))
	require.NoError(f, f.store.Activate(f.ctx, f.revision("doc", "r3"), 0))
	assert.Equal(f, []string{"r3 active", "r2 retired", "r1 retired"}, f.statuses("doc"))
	require.NoError(f, f.store.Activate(f.ctx, f.revision("doc", "r1"), time.Hour))
	assert.Equal(f, []string{"r1 active", "r3 accepting", "r2 retired"}, f.statuses("doc"), "back to a former one")
	assert.Equal(f, []string{"r1 active"}, f.statuses("loan"))
	results := make(chan error, racers)
	for n := range racers {
		go func() { results <- f.store.Activate(f.ctx, f.revision("race", fmt.Sprint("r", n%4)), time.Hour) }()
	}
	for range racers {
		require.NoError(f, <-results)
	}
	active := 0
	for _, s := range f.statuses("race") {
		if s[len(s)-6:] == "active" {
			active++
		}
	}
	assert.Equal(f, 1, active)
}

func accept(f *fixture) {
	require.NoError(f, f.store.Accept(f.ctx, f.revision("doc", "r2"), time.Hour))
	assert.Equal(f, []string{"r2 accepting", "r1 active"}, f.statuses("doc"))
	c := f.creation(tenant, "doc", "d")
	c.Revision.ID = "r2"
	f.must(c)
	require.NoError(f, f.store.Accept(f.ctx, f.revision("doc", "r1"), 0))
	assert.Equal(f, []string{"r2 accepting", "r1 active"}, f.statuses("doc"), "the active one stays that")
}

func statesInUse(f *fixture) {
	f.must(f.step(f.have(tenant, "doc", "a"), "open"))
	f.must(f.step(f.have("other", "doc", "b"), "open"))
	f.must(f.step(f.have("other", "doc", "c"), "done"))
	f.have("other", "doc", "e")
	before := f.dump()
	r := f.revision("doc", "r2")
	r.States = []string{"new"}
	err := f.store.Activate(f.ctx, r, time.Hour)
	var inUse *interlock.StatesInUse
	require.True(f, errors.As(err, &inUse), "%v", err)
	assert.Equal(f, map[string]int64{"open": 2, "done": 1}, inUse.Counts)
	assert.Equal(f, "doc", inUse.Machine)
	assert.Equal(f, before, f.dump())
}

// A former revision with states that the new one lacks could bring an instance
// where nothing moves it any more.
func activateFewerStates(f *fixture) {
	i := f.have(tenant, "doc", "a")
	r := f.revision("doc", "r2")
	r.States = states[:1]
	require.NoError(f, f.store.Activate(f.ctx, r, time.Hour))
	require.ErrorIs(f, f.store.Commit(f.ctx, f.step(i, "open")), interlock.ErrStale)
	require.NoError(f, f.store.Activate(f.ctx, f.revision("doc", "r3"), time.Hour))
	revisions, err := f.store.Revisions(f.ctx, "doc")
	require.NoError(f, err)
	var statuses []string
	for _, r := range revisions {
		statuses = append(statuses, r.ID+" "+r.Status)
	}
	assert.Equal(f, []string{"r3 active", "r2 accepting", "r1 retired"}, statuses)
}
