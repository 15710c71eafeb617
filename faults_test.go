package interlock_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/store/sqlite"
)

// countingStore counts, and fails where a test says so.
type countingStore struct {
	*sqlite.Store
	loads, commits atomic.Int64
	load           func() error                                     // before a load
	loadIn         func(ctx context.Context)                        // within it, and within the look for an API key
	commit         func(c *interlock.Commit, do func() error) error // around a commit
}

func (s *countingStore) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	s.loads.Add(1)
	if s.load != nil {
		if err := s.load(); err != nil {
			return interlock.Facts{}, err
		}
	}
	if s.loadIn != nil {
		s.loadIn(ctx)
	}
	return s.Store.Load(ctx, tenant, ref, actors)
}

func (s *countingStore) APIKey(ctx context.Context, id string) (*interlock.APIKey, error) {
	if s.loadIn != nil {
		s.loadIn(ctx)
	}
	return s.Store.APIKey(ctx, id)
}

func (s *countingStore) Commit(ctx context.Context, c *interlock.Commit) error {
	s.commits.Add(1)
	do := func() error { return s.Store.Commit(ctx, c) }
	if s.commit != nil {
		return s.commit(c, do)
	}
	return do()
}

func submitted(t *testing.T, g *interlock.Gate) (state string, rows int) {
	t.Helper()
	inst, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	history, err := g.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}, 0, 0)
	require.NoError(t, err)
	return inst.State, len(history)
}

func TestUnknownOutcome(t *testing.T) {
	st := &countingStore{Store: memory(t)}
	g := newGate(t, func(c *interlock.Config) { c.Store = st })
	newLoan(t, g, "17")
	req := interlock.Request{Machine: "loan", ID: "17", Event: "submit"}
	lost := &interlock.UnknownOutcome{Err: errors.New("connection reset during COMMIT")}

	st.commit = func(*interlock.Commit, func() error) error { return lost }
	_, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err, "it was not committed, and is now")
	state, rows := submitted(t, g)
	require.Equal(t, "submitted", state)
	require.Equal(t, 2, rows)

	st.commit = func(_ *interlock.Commit, do func() error) error { return errors.Join(do(), lost) }
	req.Event = "review"
	_, err = g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err, "it was committed, and is found to be")
	state, rows = submitted(t, g)
	require.Equal(t, "reviewed", state)
	require.Equal(t, 3, rows)

	st.commit = func(*interlock.Commit, func() error) error {
		st.commit = nil
		fire(t, g, employee("evan"), "17", "verify")
		return lost
	}
	req.Event = "verify"
	_, err = g.Fire(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageUnavailable, "store_failed") // somebody else's, and never erin's
	_, rows = submitted(t, g)
	require.Equal(t, 4, rows)
}

// The first try of a commit may still be on its way when its rules are retired,
// and come through when they are put in force again: nobody may say that it didn't.
func TestUnknownOutcomeUnderRetiredRules(t *testing.T) {
	st := &countingStore{Store: memory(t)}
	newLoan(t, newGate(t, func(c *interlock.Config) { c.Store = st }), "17")
	g := newGate(t, func(c *interlock.Config) { c.Store, c.CommitTimeout, c.Poll = st, 300*time.Millisecond, time.Hour })
	st.commit = func(*interlock.Commit, func() error) error {
		st.commit = nil
		require.NoError(t, st.Store.Activate(t.Context(), interlock.Revision{Machine: "loan", ID: "next", States: []string{"created"}}, 0))
		return &interlock.UnknownOutcome{Err: errors.New("connection reset during COMMIT")}
	}
	_, err := g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	refusal(t, err, interlock.StageUnavailable, "outcome_unknown")
}

func TestStoreThatDoesNotAnswerIsNoYes(t *testing.T) {
	st := &countingStore{Store: memory(t)}
	g := newGate(t, func(c *interlock.Config) { c.Store = st })
	newLoan(t, g, "17")
	st.load = func() error { return errors.New("down") }
	_, err := g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	_, err = g.Available(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	st.load = nil
	st.commit = func(*interlock.Commit, func() error) error { return errors.New("disk full") }
	_, err = g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	refusal(t, err, interlock.StageUnavailable, "store_failed")
}

// A store that never answers, or a pool whose connections others hold, ends in a
// refusal.
func TestReadsOfTheStoreEnd(t *testing.T) {
	st := &countingStore{Store: memory(t)}
	newLoan(t, newGate(t, func(c *interlock.Config) { c.Store = st }), "17")
	g := newGate(t, func(c *interlock.Config) { c.Store, c.ReadTimeout = st, 50*time.Millisecond })
	st.loadIn = func(ctx context.Context) { <-ctx.Done() }
	_, err := g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	_, err = g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	_, err = g.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	refusal(t, err, interlock.StageUnavailable, "store_failed")
	key, _, _ := interlock.NewAPIKey()
	_, err = g.APIKeyActor(t.Context(), key)
	refusal(t, err, interlock.StageUnavailable, "store_failed")
}

// A state that changed between decision and commit is not decided on again
// silently; facts that changed in the same state are.
func TestLostRaces(t *testing.T) {
	st := &countingStore{Store: memory(t)}
	g := newGate(t, func(c *interlock.Config) { c.Store = st })
	newLoan(t, g, "17")
	between := func(f func()) {
		first := true
		st.commit = func(_ *interlock.Commit, do func() error) error {
			if first {
				first = false
				f()
			}
			return do()
		}
	}
	between(func() {
		_, err := g.EditFacts(t.Context(), employee("evan"), interlock.FactsRequest{Machine: "loan", ID: "17", Patch: map[string]any{"amount": 5}})
		require.NoError(t, err)
	})
	res := fire(t, g, employee("erin"), "17", "submit")
	require.EqualValues(t, 3, res.Instance.Version)

	between(func() { fire(t, g, employee("evan"), "17", "review") })
	_, err := g.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "17", Event: "override", To: "verified", Note: "n"})
	r := refusal(t, err, interlock.StageConflict, "state_changed")
	require.Equal(t, "reviewed", r.Instance.State)
	require.Contains(t, r.Message, "submitted")
}

func TestRoleRevokedBetweenDecisionAndCommit(t *testing.T) {
	st := &countingStore{Store: memory(t)}
	g := newGate(t, func(c *interlock.Config) { c.Store = st })
	newLoan(t, g, "17")
	_, err := g.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	first := true
	st.commit = func(c *interlock.Commit, do func() error) error {
		if c.Instance != nil && first {
			first = false
			_, err := g.Revoke(t.Context(), root, "evan", "employee", interlock.Scope{})
			require.NoError(t, err)
		}
		return do()
	}
	_, err = g.Fire(t.Context(), granted("evan"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	refusal(t, err, interlock.StageGraph, "not_found")
}

func TestOldDecisionIsMadeAgain(t *testing.T) {
	decisions := 0
	pol := loanRules()
	four := pol.conditions["four_eyes"]
	pol.conditions["four_eyes"] = func(in *interlock.Input) any {
		if decisions++; decisions == 1 {
			time.Sleep(550 * time.Millisecond) // a pause after the facts were read
		}
		return four(in)
	}
	st := memory(t)
	before := newGate(t, func(c *interlock.Config) { c.Store, c.Policy = st, pol })
	limit(t, before, "mark", 500000)
	newLoan(t, before, "17")
	fire(t, before, employee("erin"), "17", "submit", "review", "verify")
	g := newGate(t, func(c *interlock.Config) { c.Store, c.Policy, c.DecisionAge = st, pol, 500*time.Millisecond })
	fire(t, g, manager("mark"), "17", "approve")
	require.GreaterOrEqual(t, decisions, 2)
}

// The age of a decision is that of its facts: it counts from before they were read.
func TestSlowReadIsOld(t *testing.T) {
	st := &countingStore{Store: memory(t)}
	newLoan(t, newGate(t, func(c *interlock.Config) { c.Store = st }), "17")
	g := newGate(t, func(c *interlock.Config) { c.Store, c.DecisionAge = st, 500*time.Millisecond })
	before := st.loads.Load()
	st.load = func() error {
		if st.loads.Load() == before+1 {
			time.Sleep(550 * time.Millisecond)
		}
		return nil
	}
	fire(t, g, employee("erin"), "17", "submit")
	require.GreaterOrEqual(t, st.loads.Load(), before+2)
}

func TestActivation(t *testing.T) {
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store, c.Grace = st, -1 })
	newLoan(t, g, "17")
	old := newGate(t, func(c *interlock.Config) { c.Store, c.Grace = st, -1 })
	before := g.Revision("loan")
	fire(t, g, employee("erin"), "17", "submit")

	lacking := machines(t, `
machine: loan
initial: created
create: {requires: [employee]}
read: {requires: [employee]}
states: {created: {}, filed: {}}
events: {submit: {from: created, to: filed, requires: [employee]}, reopen: {from: filed, to: created, requires: [employee]}}
facts: {schema: {type: object}}
`)
	err := g.Activate(t.Context(), lacking, nil, nil)
	var in *interlock.StatesInUse
	require.ErrorAs(t, err, &in)
	require.Equal(t, map[string]int64{"submitted": 1}, in.Counts)
	require.Equal(t, before, g.Revision("loan"), "nothing has changed")
	fire(t, g, employee("erin"), "17", "review")

	moves := map[string]map[string]string{"loan": {"reviewed": "filed"}}
	require.NoError(t, g.Activate(t.Context(), lacking, nil, moves))
	inst, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.Equal(t, "filed", inst.State)
	require.Equal(t, []string{"erin"}, inst.Entered["filed"], "the map renames the keys of entered")
	require.NotContains(t, inst.Entered, "reviewed")
	history, err := g.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}, 0, 0)
	require.NoError(t, err)
	require.Equal(t, "$move", history[len(history)-1].Event)

	// The replica that still has the retired rules commits nothing.
	_, err = old.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "x"}})
	refusal(t, err, interlock.StageUnavailable, "state_unknown")
	_, err = old.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: "18", Facts: map[string]any{"amount": 1}})
	refusal(t, err, interlock.StageUnavailable, "revision_retired")
	report, err := interlock.Verify(t.Context(), st, nil)
	require.NoError(t, err)
	require.Empty(t, report.Bad)
}

// brokenPolicy stops compiling once it is told to.
type brokenPolicy struct {
	*rules
	broken bool
}

func (p *brokenPolicy) Compile(ctx context.Context, ms []*fsm.Machine) (interlock.Rules, error) {
	if p.broken {
		return nil, errors.New("loan.rego:3:1: unexpected token")
	}
	return p.rules.Compile(ctx, ms)
}

func TestReloadKeepsTheLastGoodRules(t *testing.T) {
	pol := &brokenPolicy{rules: loanRules()}
	g := newGate(t, func(c *interlock.Config) { c.Policy = pol })
	newLoan(t, g, "17")
	before := g.Revision("loan")
	pol.broken = true
	require.ErrorContains(t, g.Reload(t.Context()), "loan.rego:3:1")
	require.Equal(t, before, g.Revision("loan"))
	fire(t, g, employee("erin"), "17", "submit")
	pol.broken = false
	pol.rules.revision = "2"
	require.NoError(t, g.Reload(t.Context()))
	require.NotEqual(t, before, g.Revision("loan"))
}

func TestVerifyFindsWhatWasTamperedWith(t *testing.T) {
	for name, sql := range map[string]string{
		"a column":  `UPDATE interlock_history SET actor = 'mallory' WHERE machine = 'loan' AND seq = 2`,
		"the bytes": `UPDATE interlock_history SET bytes = CAST(x'00' || bytes AS BLOB) WHERE machine = 'loan' AND seq = 2`,
		"a column and its bytes": `UPDATE interlock_history SET actor = 'anna', person = 'anna', bytes = unhex(replace(hex(bytes), hex('erin'), hex('anna')))
			WHERE machine = 'loan' AND seq = 2`,
		"a row in the middle": `DELETE FROM interlock_history WHERE machine = 'loan' AND seq = 2`,
		"the first row":       `DELETE FROM interlock_history WHERE machine = 'loan' AND seq = 1`,
		"the newest row":      `DELETE FROM interlock_history WHERE machine = 'loan' AND seq = 3`,
		"the state":           `UPDATE interlock_instance SET state = 'approved'`,
		"the facts":           `UPDATE interlock_instance SET facts = '{"amount":1}'`,
		"the instance":        `DELETE FROM interlock_instance`,
		"an order":            `UPDATE interlock_history SET seq = CASE seq WHEN 2 THEN 103 WHEN 3 THEN 102 ELSE seq END WHERE machine = 'loan'`,
	} {
		t.Run(name, func(t *testing.T) {
			st := memory(t)
			g := newGate(t, func(c *interlock.Config) { c.Store = st })
			newLoan(t, g, "17")
			fire(t, g, employee("erin"), "17", "submit", "review")
			report, err := interlock.Verify(t.Context(), st, nil)
			require.NoError(t, err)
			require.True(t, report.OK(), report.Bad)
			require.EqualValues(t, 2, report.Chains, "the loan's and erin's")
			require.EqualValues(t, 4, report.Rows)
			tamper(t, st, sql)
			report, err = interlock.Verify(t.Context(), st, nil)
			require.NoError(t, err)
			require.True(t, slices.ContainsFunc(report.Bad, func(f interlock.Fault) bool { return f.Instance != "" }),
				"that the guards are gone is a fault, too, but not this one: %v", report.Bad)
		})
	}
}

// tamper is somebody with the database's password: the triggers are dropped.
func tamper(t *testing.T, st *sqlite.Store, statement string) {
	t.Helper()
	rows, err := st.DB().Query(`SELECT name FROM sqlite_master WHERE type = 'trigger'`)
	require.NoError(t, err)
	defer rows.Close()
	var triggers []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		triggers = append(triggers, name)
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	require.NotEmpty(t, triggers, "history is append-only by the database, too")
	require.Error(t, st.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM interlock_history`)
		return err
	}))
	require.NoError(t, st.Write(t.Context(), func(tx *sql.Tx) error {
		for _, name := range triggers {
			if _, err := tx.Exec(`DROP TRIGGER "` + name + `"`); err != nil {
				return err
			}
		}
		_, err := tx.Exec(statement)
		return err
	}))
}

// Verification of a store in use finds nothing that isn't there.
func TestVerifyWhileInUse(t *testing.T) {
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store = st })
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			id := fmt.Sprintf("l%d", i%40)
			_, _ = g.Create(context.Background(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: id, Facts: map[string]any{"amount": 1}})
			_, _ = g.Fire(context.Background(), employee(fmt.Sprintf("e%d", i)), interlock.Request{Machine: "loan", ID: id, Event: "comment", Input: map[string]any{"text": "x"}})
		}
	}()
	for range 20 {
		report, err := interlock.Verify(t.Context(), st, nil)
		require.NoError(t, err)
		require.Empty(t, report.Bad)
	}
	close(stop)
	<-done
}
