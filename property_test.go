package interlock_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/store/sqlite"
)

// randomMachine draws a small machine: some events with several targets, forms,
// notes, checks, grants.
func randomMachine(t *rapid.T) string {
	states := []string{"a", "b", "c"}
	src := "machine: m\ninitial: a\ncreate: {requires: [system]}\nread: {requires: [anyone]}\nstates: {a: {}, b: {}, c: {}}\nevents:\n"
	for i := range rapid.IntRange(1, 4).Draw(t, "events") {
		to := rapid.SampledFrom([]string{"a", "b", "c", "[a, b]", "[b, c]", "[a, b, c]"}).Draw(t, "to")
		note := rapid.SampledFrom([]string{"optional", "required", "forbidden"}).Draw(t, "note")
		requires := rapid.SampledFrom([]string{"[r1]", "[r2]", "[anyone]", "", "[r1, $g1]", "[$g1]", "[$g2, r2]", "[system]"}).Draw(t, "requires")
		if requires != "" { // nobody is named: nobody may
			requires = ", requires: " + requires
		}
		checks := rapid.SampledFrom([]string{"[]", "[c1]", "[c2]", "[c1, c2]", "[c3]", "[c1, c3]"}).Draw(t, "checks")
		form := rapid.SampledFrom([]string{"", ", input: {type: object, properties: {x: {type: integer}}, additionalProperties: false}",
			", input: {type: object, properties: {x: {type: integer}}, required: [x], additionalProperties: false}"}).Draw(t, "form")
		src += fmt.Sprintf("  e%d: {from: [%s], to: %s, note: %s%s, checks: %s%s}\n", i,
			rapid.SampledFrom([]string{"a", "b", "a, b", "a, b, c"}).Draw(t, "from"), to, note, requires, checks, form)
	}
	return src + "  hold: {from: " + rapid.SampledFrom(states).Draw(t, "hold") + ", stay: true, requires: [anyone], checks: [c1, c2, c3]}\n  grants: {from: a, to: b, requires: [$g1, $g2]}\n"
}

// randomRules draws conditions that are constant, read the form (c2, g2), or the note (c3).
func randomRules(t *rapid.T) *rules {
	c1, g1 := rapid.Bool().Draw(t, "c1"), rapid.Bool().Draw(t, "g1")
	readsX := func(in *interlock.Input) any {
		x, ok := number(in.Form["x"])
		return ok && x > 0
	}
	r := &rules{conditions: map[string]func(*interlock.Input) any{
		"c1": func(*interlock.Input) any { return c1 },
		"g1": func(*interlock.Input) any { return g1 },
		"c2": readsX, "g2": readsX,
		"c3": func(in *interlock.Input) any { return in.Note != "" },
	}, readsForm: []string{"c2", "g2"}, readsNote: []string{"c3"}}
	if rapid.Bool().Draw(t, "c2 fails") {
		r.conditions["c2"] = func(in *interlock.Input) any {
			if len(in.Form) == 0 {
				return fmt.Errorf("x is not there")
			}
			return readsX(in)
		}
	}
	switch rapid.SampledFrom([]string{"none", "b", "form", "any"}).Draw(t, "target") {
	case "b":
		r.target = func(*interlock.Input) string { return "b" }
	case "any":
		r.target = func(in *interlock.Input) string { return in.Transition.To }
	case "form":
		r.readsForm = append(r.readsForm, "target")
		r.target = func(in *interlock.Input) string {
			if len(in.Form) > 0 {
				return "c"
			}
			return ""
		}
	}
	if rapid.Bool().Draw(t, "deny") {
		r.readsNote = append(r.readsNote, "deny")
		r.deny = func(in *interlock.Input) []interlock.Reason {
			if in.Note == "please" {
				return []interlock.Reason{{Code: "no", Message: "no"}}
			}
			return nil
		}
	}
	return r
}

// The menu and the gate can't drift apart: what the menu refuses no body makes
// Fire accept, and what it allows without needs Fire accepts as it is.
func TestMenuAndGateAgree(t *testing.T) {
	st := &frozenStore{Store: memory(t), facts: map[interlock.Ref]interlock.Facts{}}
	rapid.Check(t, func(rt *rapid.T) {
		src := randomMachine(rt)
		m, err := fsm.Parse("m.yaml", []byte(src))
		require.NoError(rt, err, src)
		g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Policy: randomRules(rt), Store: st, Logger: quiet()})
		require.NoError(rt, err, src)
		defer func() { require.NoError(rt, g.Close(context.Background())) }()
		created, err := g.Create(context.Background(), root, interlock.CreateRequest{Machine: "m"})
		require.NoError(rt, err)
		ref := interlock.Ref{Machine: "m", ID: created.Instance.ID}
		roles := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"r1", "r2"}), rapid.ID[string])
		one, other := roles.Draw(rt, "roles"), roles.Draw(rt, "other roles")
		for _, roles := range [][]string{one, other, one} { // what is kept of one menu is right for the next
			who := interlock.Actor{ID: "ann", Roles: roles}
			menu, err := g.Available(context.Background(), who, ref)
			require.NoError(rt, err)
			for _, option := range menu.Options {
				agree(rt, g, who, ref, option)
			}
			for _, e := range m.Events() { // what isn't on the menu is not legal
				if !slices.ContainsFunc(menu.Options, func(o interlock.Option) bool { return o.Event == e.Name }) {
					_, err := try(g, who, ref, e.Name, "", "", nil)
					require.ErrorIs(rt, err, &interlock.Refusal{Stage: interlock.StageGraph})
				}
			}
		}
	})
}

// frozenStore reads an instance once: nothing changes it here.
type frozenStore struct {
	*sqlite.Store
	facts map[interlock.Ref]interlock.Facts
}

func (s *frozenStore) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	f, ok := s.facts[ref]
	if !ok {
		var err error
		if f, err = s.Store.Load(ctx, tenant, ref, actors); err != nil || f.Instance == nil {
			return f, err
		}
		s.facts[ref] = f
	}
	return f, nil
}

func try(g *interlock.Gate, who interlock.Actor, ref interlock.Ref, event, to, note string, form map[string]any) (interlock.Result, error) {
	return g.Fire(context.Background(), who, interlock.Request{Machine: ref.Machine, ID: ref.ID, Event: event, To: to, Note: note, Input: form, DryRun: true})
}

func agree(t *rapid.T, g *interlock.Gate, who interlock.Actor, ref interlock.Ref, o interlock.Option) {
	if o.Allowed && len(o.Needs) == 0 {
		_, err := try(g, who, ref, o.Event, "", "", nil)
		require.NoError(t, err, "allowed without needs: %+v", o)
	}
	accepted := map[string]bool{}
	for _, to := range []string{"", "a", "b", "c"} {
		for _, note := range []string{"", "n", "please"} {
			for _, form := range []map[string]any{nil, {"x": 1}, {"x": 0}} {
				if res, err := try(g, who, ref, o.Event, to, note, form); err == nil {
					accepted[res.Transition.To] = true
				}
			}
		}
	}
	for _, target := range o.To {
		require.False(t, !target.Allowed && accepted[target.State], "refused on the menu, accepted by the gate: %s %+v", o.Event, target)
	}
	require.False(t, !o.Allowed && len(accepted) > 0, "refused on the menu, accepted by the gate: %+v", o)
}

// allow ⇔ one of requires holds ∧ every check is exactly true ∧ deny is empty ∧
// nothing failed: the contract, written down once more without the gate.
func TestGateKeepsTheContract(t *testing.T) {
	st := &frozenStore{Store: memory(t), facts: map[interlock.Ref]interlock.Facts{}}
	rapid.Check(t, func(rt *rapid.T) {
		src := randomMachine(rt)
		m, err := fsm.Parse("m.yaml", []byte(src))
		require.NoError(rt, err, src)
		pol := randomRules(rt)
		pol.target = nil // the caller names the target
		g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Policy: pol, Store: st, Logger: quiet()})
		require.NoError(rt, err, src)
		defer func() { require.NoError(rt, g.Close(context.Background())) }()
		created, err := g.Create(context.Background(), root, interlock.CreateRequest{Machine: "m"})
		require.NoError(rt, err)
		ref := interlock.Ref{Machine: "m", ID: created.Instance.ID}
		roles := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"r1", "r2"}), rapid.ID[string]).Draw(rt, "roles")
		for _, e := range m.Edges() {
			if e.From != m.Initial() {
				continue
			}
			event := m.Event(e.Event)
			for _, note := range []string{"", "n", "please"} {
				for _, form := range []map[string]any{{}, {"x": json.Number("1")}, {"x": json.Number("0")}} {
					_, err := try(g, interlock.Actor{ID: "ann", Roles: roles}, ref, event.Name, m.State(e.To).Name, note, form)
					want := contract(pol, event, e, roles, note, form)
					require.Equal(rt, want, err == nil, "%s %+v roles %v note %q form %v: %v\n%s", event.Name, e, roles, note, form, err, src)
				}
			}
		}
	})
}

func contract(pol *rules, event *fsm.Event, e fsm.Edge, roles []string, note string, form map[string]any) bool {
	if event.Note == fsm.NoteRequired && note == "" || event.Note == fsm.NoteForbidden && note != "" {
		return false
	}
	if event.Input == nil && len(form) > 0 || event.Input != nil && len(event.Input.Check(form)) > 0 {
		return false
	}
	in := &interlock.Input{Form: form, Note: note}
	who := false
	for _, r := range e.Requires {
		switch {
		case r == "anyone", slices.Contains(roles, r):
			who = true
		case r[0] == '$' && !slices.ContainsFunc(e.Requires, func(r string) bool { return r == "anyone" || slices.Contains(roles, r) }):
			who = who || pol.conditions[r[1:]](in) == true
		}
	}
	for _, c := range e.Checks {
		if pol.conditions[c](in) != true {
			return false
		}
	}
	return who && (pol.deny == nil || len(pol.deny(in)) == 0)
}

// What a decision is made on is all that there is, and nothing is nil.
func TestPolicyInputIsComplete(t *testing.T) {
	var seen *interlock.Input
	pol := loanRules()
	four := pol.conditions["four_eyes"]
	pol.conditions["four_eyes"] = func(in *interlock.Input) any { seen = in; return four(in) }
	pol.conditions["within_limit"] = func(in *interlock.Input) any { seen = in; return false }
	g := newGate(t, func(c *interlock.Config) { c.Policy = pol })
	limit(t, g, "mark", 5)
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	_, err := g.Fire(t.Context(), manager("mark"), interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
	require.Error(t, err)
	require.Equal(t, map[string][]string{"created": {"erin"}, "submitted": {"erin"}, "reviewed": {"erin"}, "verified": {"erin"}}, seen.Instance.Entered)
	require.Equal(t, map[string][]string{"submit": {"erin"}, "review": {"erin"}, "verify": {"erin"}}, seen.Instance.Did)
	require.Len(t, seen.Instance.Last, 3)
	require.EqualValues(t, 1, seen.Instance.Last["verify"].Count)
	require.NotNil(t, seen.Instance.Facts)
	require.NotNil(t, seen.Instance.Actors)
	require.NotNil(t, seen.Instance.Memo, "so that it is translated once")
	require.Equal(t, interlock.InputTransition{From: "verified", To: "approved", Metadata: map[string]any{"title": "Approve"}}, seen.Transition)
	require.Equal(t, []string{"employee", "manager"}, seen.Actor.Roles)
	require.NotNil(t, seen.Form)
	require.NotNil(t, seen.Actor.Claims)
	require.NotEmpty(t, seen.Now.RFC3339)
}

// Whoever acts on behalf of somebody else can't get round four eyes: every
// check must hold with each person.
func TestOnBehalfOf(t *testing.T) {
	g := newGate(t, nil)
	limit(t, g, "bot", 500000)
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	behalf := func(id string) interlock.Actor {
		return interlock.Actor{ID: "bot", Kind: interlock.Service, Roles: []string{"employee"}, OnBehalfOf: &interlock.Actor{ID: id}}
	}
	req := interlock.Request{Machine: "loan", ID: "17", Event: "approve"}
	_, err := g.Fire(t.Context(), behalf("erin"), req)
	require.Equal(t, []string{"four_eyes"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
	off := false
	_, err = g.SetActor(t.Context(), root, "evan", nil, &off)
	require.NoError(t, err)
	_, err = g.Fire(t.Context(), behalf("evan"), req)
	refusal(t, err, interlock.StageIdentity, "inactive")
	res, err := g.Fire(t.Context(), behalf("mark"), req)
	require.NoError(t, err)
	require.Equal(t, []string{"bot", "mark"}, res.Instance.Did["approve"])
	require.Equal(t, "mark", res.Transition.OnBehalfOf)
}
