package interlock_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

func TestLoanStory(t *testing.T) {
	g := newGate(t, nil)
	limit(t, g, "mark", 500000)
	limit(t, g, "erin", 50000)
	limit(t, g, "evan", 500)
	newLoan(t, g, "17")
	res := fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	require.Equal(t, "verified", res.Instance.State)
	require.EqualValues(t, 4, res.Instance.Version)
	require.Equal(t, []string{"erin"}, res.Instance.Entered["verified"])

	_, err := g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
	r := refusal(t, err, interlock.StagePolicy, "denied")
	require.Equal(t, []string{"four_eyes"}, codes(r.Reasons))

	_, err = g.Fire(t.Context(), employee("evan"), interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
	require.Equal(t, []string{"within_limit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))

	_, err = g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	r = refusal(t, err, interlock.StageGraph, "illegal_event")
	require.Equal(t, []string{"approve", "deny", "comment", "override"}, r.LegalEvents)
	require.Equal(t, "verified", r.Instance.State)

	fire(t, g, manager("mark"), "17", "approve")
	_, err = g.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "17", Event: "override", To: "submitted", Note: "undo"})
	refusal(t, err, interlock.StageGraph, "illegal_event") // closed

	history, err := g.History(t.Context(), employee("evan"), interlock.Ref{Machine: "loan", ID: "17"}, 0, 0)
	require.NoError(t, err)
	require.Len(t, history, 5)
	require.Equal(t, "mark", history[4].Person)
	attempts, err := g.Attempts(t.Context(), employee("evan"), interlock.Ref{Machine: "loan", ID: "17"}, 0)
	require.NoError(t, err)
	require.Len(t, attempts, 4)
}

func TestFourCheats(t *testing.T) {
	at := func(t *testing.T) *interlock.Gate {
		t.Helper()
		g := newGate(t, nil)
		for _, id := range []string{"erin", "erin2", "mark", "evan"} {
			limit(t, g, id, 500000)
		}
		newLoan(t, g, "17")
		fire(t, g, employee("erin"), "17", "submit", "review")
		return g
	}
	t.Run("the verifier approves", func(t *testing.T) {
		g := at(t)
		fire(t, g, employee("erin"), "17", "verify")
		_, err := g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
		require.Equal(t, []string{"four_eyes"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	})
	t.Run("the manager who verified overrides", func(t *testing.T) {
		g := at(t)
		fire(t, g, manager("mark"), "17", "verify")
		_, err := g.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "17", Event: "override", To: "approved", Note: "urgent"})
		require.Equal(t, []string{"four_eyes"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	})
	t.Run("facts edited after verification", func(t *testing.T) {
		g := at(t)
		fire(t, g, employee("erin"), "17", "verify")
		_, err := g.EditFacts(t.Context(), employee("erin"), interlock.FactsRequest{Machine: "loan", ID: "17", Patch: map[string]any{"amount": 1}})
		refusal(t, err, interlock.StageGraph, "facts_locked")
	})
	t.Run("a second account of the same person", func(t *testing.T) {
		g := at(t)
		fire(t, g, employee("erin"), "17", "verify")
		second := employee("erin2")
		second.Person = "erin"
		_, err := g.Fire(t.Context(), second, interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
		require.Equal(t, []string{"four_eyes"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	})
	t.Run("an account changes its person", func(t *testing.T) {
		g := at(t)
		fire(t, g, employee("erin"), "17", "verify")
		other := employee("erin")
		other.Person = "somebody-else"
		_, err := g.Fire(t.Context(), other, interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
		refusal(t, err, interlock.StageIdentity, "person_mismatch")
	})
}

func TestNobodyAndTheSwitchedOff(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	req := interlock.Request{Machine: "loan", ID: "17", Event: "submit"}
	_, err := g.Fire(t.Context(), interlock.Actor{}, req)
	refusal(t, err, interlock.StageIdentity, "unauthenticated")
	off := false
	_, err = g.SetActor(t.Context(), root, "erin", nil, &off)
	require.NoError(t, err)
	_, err = g.Fire(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageIdentity, "inactive")
	_, err = g.Available(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	refusal(t, err, interlock.StageIdentity, "inactive")
}

func TestUnreadableAndUnknownAreAlike(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	stranger := interlock.Actor{ID: "uma"}
	_, unknown := g.Get(t.Context(), stranger, interlock.Ref{Machine: "loan", ID: "none"})
	_, unreadable := g.Get(t.Context(), stranger, interlock.Ref{Machine: "loan", ID: "17"})
	_, tenant := g.Get(t.Context(), interlock.Actor{Tenant: "other", ID: "erin", Roles: []string{"employee"}}, interlock.Ref{Machine: "loan", ID: "17"})
	_, machine := g.Get(t.Context(), stranger, interlock.Ref{Machine: "nope", ID: "17"})
	for _, err := range []error{unknown, unreadable, tenant, machine} {
		r := refusal(t, err, interlock.StageGraph, "not_found")
		require.Equal(t, unknown.Error(), r.Error())
	}
}

func TestRolesByScope(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	newLoan(t, g, "18")
	ref := func(id string) interlock.Ref { return interlock.Ref{Machine: "loan", ID: id} }
	uma := interlock.Actor{ID: "uma"}
	_, err := g.Grant(t.Context(), root, "uma", "employee", interlock.Scope{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	_, err = g.Get(t.Context(), uma, ref("17"))
	require.NoError(t, err)
	_, err = g.Get(t.Context(), uma, ref("18"))
	refusal(t, err, interlock.StageGraph, "not_found")
	_, err = g.Revoke(t.Context(), root, "uma", "employee", interlock.Scope{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	_, err = g.Get(t.Context(), uma, ref("17"))
	refusal(t, err, interlock.StageGraph, "not_found")
}

func TestAdministrators(t *testing.T) {
	g := newGate(t, nil)
	require.NoError(t, g.Bootstrap(t.Context(), "", "adam"))
	require.NoError(t, g.Bootstrap(t.Context(), "", "eve"), "there is one already: nothing happens")
	adam, eve := interlock.Actor{ID: "adam"}, interlock.Actor{ID: "eve"}
	_, err := g.Grant(t.Context(), eve, "uma", "employee", interlock.Scope{})
	refusal(t, err, interlock.StagePolicy, "denied")
	_, err = g.Grant(t.Context(), interlock.Actor{ID: "eve", Roles: []string{interlock.AdminRole}}, "uma", "employee", interlock.Scope{})
	refusal(t, err, interlock.StagePolicy, "denied") // vouched for isn't granted
	_, err = g.Grant(t.Context(), adam, "uma", "employee", interlock.Scope{})
	require.NoError(t, err)
	_, err = g.Grant(t.Context(), adam, "adam", "employee", interlock.Scope{})
	require.Equal(t, []string{"own_person"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	_, err = g.Revoke(t.Context(), root, "adam", interlock.AdminRole, interlock.Scope{})
	refusal(t, err, interlock.StagePolicy, "last_admin")
	off := false
	_, err = g.SetActor(t.Context(), root, "adam", nil, &off)
	refusal(t, err, interlock.StagePolicy, "last_admin")
	_, err = g.Grant(t.Context(), adam, "eve", interlock.AdminRole, interlock.Scope{})
	require.NoError(t, err)
	_, err = g.Revoke(t.Context(), eve, "adam", interlock.AdminRole, interlock.Scope{})
	require.NoError(t, err)
	for _, bad := range []string{"anyone", "system", "interlock:root", "employe"} {
		_, err = g.Grant(t.Context(), eve, "uma", bad, interlock.Scope{})
		refusal(t, err, interlock.StageInput, "input_invalid")
	}
	rec, err := g.Actor(t.Context(), eve, "uma")
	require.NoError(t, err)
	require.Len(t, rec.Grants, 1)
	require.Equal(t, "adam", rec.Grants[0].By)
	_, err = g.Actor(t.Context(), interlock.Actor{ID: "uma"}, "adam")
	refusal(t, err, interlock.StagePolicy, "denied")
	_, err = g.Actor(t.Context(), interlock.Actor{ID: "uma"}, "uma")
	require.NoError(t, err)
}

func TestInput(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	for _, c := range []struct {
		name    string
		req     interlock.Request
		code    string
		pointer string
	}{
		{"note missing", interlock.Request{Event: "override", To: "verified"}, "note_required", "/note"},
		{"note blank", interlock.Request{Event: "override", To: "verified", Note: " \n"}, "note_required", "/note"},
		{"target missing", interlock.Request{Event: "override", Note: "n"}, "target_required", "/to"},
		{"field missing", interlock.Request{Event: "comment"}, "input_invalid", "/input/text"},
		{"field unknown", interlock.Request{Event: "comment", Input: map[string]any{"text": "x", "y": 1}}, "input_invalid", "/input"},
		{"no form here", interlock.Request{Event: "submit", Input: map[string]any{"x/y": 1}}, "input_invalid", "/input/x~1y"},
		{"NUL in the note", interlock.Request{Event: "override", To: "verified", Note: "a\x00b"}, "input_invalid", "/note"},
		{"note not UTF-8", interlock.Request{Event: "override", To: "verified", Note: "\xff"}, "input_invalid", "/note"},
		{"NUL in a field", interlock.Request{Event: "comment", Input: map[string]any{"text": "a\x00"}}, "input_invalid", "/input/text"},
		{"NUL deeper", interlock.Request{Event: "comment", Input: map[string]any{"a/b": []any{1, map[string]any{"c": "\x00"}}}}, "input_invalid", "/input/a~1b/1/c"},
		{"NUL in a name", interlock.Request{Event: "comment", Input: map[string]any{"te\x00xt": "a"}}, "input_invalid", "/input"},
		{"field not UTF-8", interlock.Request{Event: "comment", Input: map[string]any{"text": "\xff"}}, "input_invalid", "/input/text"},
		{"not JSON", interlock.Request{Event: "comment", Input: map[string]any{"text": func() {}}}, "input_invalid", "/input"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.req.Machine, c.req.ID = "loan", "17"
			_, err := g.Fire(t.Context(), manager("mark"), c.req)
			r := refusal(t, err, interlock.StageInput, c.code)
			require.NotEmpty(t, r.Fields)
			require.Contains(t, r.Fields[0].Pointer, c.pointer)
		})
	}
	_, err := g.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "17", Event: "override", To: "denied", Note: "n"})
	refusal(t, err, interlock.StageGraph, "undeclared_target")
	_, err = g.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "17", Event: "explode"})
	refusal(t, err, interlock.StageGraph, "unknown_event")
	_, err = g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: "19", Facts: map[string]any{"amount": "5"}})
	refusal(t, err, interlock.StageInput, "facts_invalid")
	_, err = g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: "19", Facts: map[string]any{"amount": 5, "branch": "\x00"}})
	require.Equal(t, "/facts/branch", refusal(t, err, interlock.StageInput, "input_invalid").Fields[0].Pointer)
	_, err = g.SetActor(t.Context(), interlock.SystemActor("", "setup"), "erin", map[string]any{"limit": "\x00"}, nil)
	require.Equal(t, "/attrs/limit", refusal(t, err, interlock.StageInput, "input_invalid").Fields[0].Pointer)
	_, err = g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: "../x", Facts: map[string]any{"amount": 5}})
	refusal(t, err, interlock.StageInput, "id_invalid")
	_, err = g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: "17", Facts: map[string]any{"amount": 5}})
	refusal(t, err, interlock.StageConflict, "exists")
}

func TestPolicyFailureIsNeverAYes(t *testing.T) {
	pol := loanRules()
	g := newGate(t, func(c *interlock.Config) { c.Policy = pol })
	limit(t, g, "mark", 500000)
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	for name, value := range map[string]any{"undefined": nil, "a string": "true", "one": 1, "an error": errors.New("boom")} {
		pol.conditions["within_limit"] = func(*interlock.Input) any { return value }
		_, err := g.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
		var r *interlock.Refusal
		require.ErrorAs(t, err, &r, name)
		if _, failed := value.(error); failed {
			require.Equal(t, interlock.StageUnavailable, r.Stage)
			require.Equal(t, "policy_failed", r.Code)
		} else {
			require.Equal(t, interlock.StagePolicy, r.Stage)
		}
		menu, err := g.Available(t.Context(), manager("mark"), interlock.Ref{Machine: "loan", ID: "17"})
		require.NoError(t, err)
		require.False(t, menu.Options[0].Allowed)
	}
	inst, err := g.Get(t.Context(), manager("mark"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.Equal(t, "verified", inst.State)
}

func TestDryRunChangesNothing(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	res, err := g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "submit", DryRun: true})
	require.NoError(t, err)
	require.Equal(t, "submitted", res.Instance.State, "as it would be")
	require.Equal(t, "submitted", res.Transition.To)
	require.Empty(t, res.Transition.ID)
	history, err := g.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}, 0, 0)
	require.NoError(t, err)
	require.Len(t, history, 1)
}

func TestIdempotencyKey(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	req := interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "hello"}, IdempotencyKey: "k1"}
	first, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	again, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, first.Transition.ID, again.Transition.ID)
	req.Input = map[string]any{"text": "other"}
	_, err = g.Fire(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageInput, "key_reused")
	other, err := g.Fire(t.Context(), employee("evan"), req)
	require.NoError(t, err, "another actor's key is another key")
	require.False(t, other.Replayed)
	require.EqualValues(t, 3, other.Instance.Version)
}

func TestRaceHasOneWinner(t *testing.T) {
	g := newGate(t, nil)
	for _, id := range []string{"a", "b", "c"} {
		newLoan(t, g, id)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won, lost := 0, 0
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, err := g.Fire(context.Background(), employee("erin"), interlock.Request{Machine: "loan", ID: id, Event: "submit"})
				mu.Lock()
				defer mu.Unlock()
				var r *interlock.Refusal
				switch {
				case err == nil:
					won++
				case errors.As(err, &r) && (r.Stage == interlock.StageConflict || r.Stage == interlock.StageGraph):
					lost++
				default:
					t.Errorf("neither won nor lost: %v", err)
				}
			}()
		}
		wg.Wait()
		require.Equal(t, 1, won)
		require.Equal(t, 7, lost)
	}
}

func TestHooks(t *testing.T) {
	var after []string
	veto := true
	g := newGate(t, func(c *interlock.Config) {
		c.Before = append(c.Before, func(_ context.Context, tr interlock.Transition) error {
			if veto && tr.Event == "submit" {
				return errors.New("the desk is closed")
			}
			return nil
		})
		c.After = append(c.After, func(context.Context, interlock.Transition) { panic("a broken hook") },
			func(_ context.Context, tr interlock.Transition) { after = append(after, tr.Event) })
	})
	newLoan(t, g, "17")
	_, err := g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	r := refusal(t, err, interlock.StagePolicy, "vetoed")
	require.Equal(t, "the desk is closed", r.Reasons[0].Message)
	veto = false
	fire(t, g, employee("erin"), "17", "submit")
	require.Equal(t, []string{"$create", "submit"}, after)
}

func TestMachineNeedsItsPolicy(t *testing.T) {
	_, err := interlock.New(interlock.Config{Machines: machines(t, loanYAML), Store: memory(t), Logger: quiet()})
	require.ErrorContains(t, err, "four_eyes")
	_, err = interlock.New(interlock.Config{Machines: machines(t, loanYAML)})
	require.ErrorContains(t, err, "Store")
	_, err = interlock.New(interlock.Config{Store: memory(t)})
	require.ErrorContains(t, err, "Machines")
}

// A hot instance starves nobody: whoever loses too often waits for the lock.
func TestHotInstance(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	const callers, each = 16, 10
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				_, err := g.Fire(context.Background(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "x"}})
				if err != nil {
					t.Errorf("starved: %v", err)
				}
			}
		})
	}
	wg.Wait()
	inst, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.EqualValues(t, 1+callers*each, inst.Version)
}
