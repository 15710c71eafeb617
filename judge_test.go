package interlock_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// desk is a machine with a grant, two targets and nothing else.
const desk = `
machine: desk
initial: open
create: {requires: [anyone]}
read: {requires: [anyone]}
states: {open: {}, left: {}, right: {}}
events:
  take: {from: open, to: left, requires: [$owner]}
  part: {from: open, to: [left, right], requires: [anyone]}
  tick: {from: {any: true}, stay: true, requires: [system]}
`

func newDesk(t *testing.T, pol *rules) *interlock.Gate {
	t.Helper()
	if pol.conditions["owner"] == nil {
		pol.conditions = map[string]func(*interlock.Input) any{"owner": func(in *interlock.Input) any { return in.Actor.Person == "ann" }}
	}
	g := newGate(t, func(c *interlock.Config) { c.Policy, c.Machines = pol, machines(t, desk) })
	_, err := g.Create(t.Context(), interlock.Actor{ID: "ann"}, interlock.CreateRequest{Machine: "desk", ID: "1"})
	require.NoError(t, err)
	return g
}

func onDesk(event string) interlock.Request {
	return interlock.Request{Machine: "desk", ID: "1", Event: event}
}

// A condition in `requires` has to grant each person that the act is ascribed
// to, in whichever order they stand.
func TestGrantHoldsForEachPerson(t *testing.T) {
	g := newDesk(t, &rules{})
	for _, ids := range [][2]string{{"ann", "bob"}, {"bob", "ann"}, {"bob", "bea"}} {
		who := interlock.Actor{ID: ids[0], OnBehalfOf: &interlock.Actor{ID: ids[1]}}
		_, err := g.Fire(t.Context(), who, onDesk("take"))
		refusal(t, err, interlock.StagePolicy, "denied")
	}
	_, err := g.Fire(t.Context(), interlock.Actor{ID: "ann"}, onDesk("take"))
	require.NoError(t, err)
}

func TestDenyRefuses(t *testing.T) {
	closed := []interlock.Reason{{Code: "closed", Message: "It is Sunday"}}
	pol := &rules{deny: func(in *interlock.Input) []interlock.Reason {
		if in.Event == "part" {
			return closed
		}
		return nil
	}}
	g := newDesk(t, pol)
	req := onDesk("part")
	req.To = "left"
	_, err := g.Fire(t.Context(), interlock.Actor{ID: "ann"}, req)
	require.Equal(t, closed, refusal(t, err, interlock.StagePolicy, "denied").Reasons)
	menu, err := g.Available(t.Context(), interlock.Actor{ID: "ann"}, interlock.Ref{Machine: "desk", ID: "1"})
	require.NoError(t, err)
	for _, o := range menu.Options {
		require.Equal(t, o.Event == "take", o.Allowed, o.Event)
	}
}

// A policy that means two targets means none.
func TestTwoTargetsAreNone(t *testing.T) {
	pol := &rules{target: func(in *interlock.Input) string { return in.Transition.To }}
	g := newDesk(t, pol)
	_, err := g.Fire(t.Context(), interlock.Actor{ID: "ann"}, onDesk("part"))
	refusal(t, err, interlock.StageInput, "target_required")
	pol.target = func(*interlock.Input) string { return "right" }
	res, err := g.Fire(t.Context(), interlock.Actor{ID: "ann"}, onDesk("part"))
	require.NoError(t, err)
	require.Equal(t, "right", res.Instance.State)
}

// Every reason is told, not only the first.
func TestAllReasonsAreTold(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	_, err := g.Fire(t.Context(), interlock.Actor{ID: "erin", Roles: []string{"employee"}}, loan("approve"))
	require.Equal(t, []string{"four_eyes", "within_limit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
}

// Names that the gate gives itself are never vouched for.
func TestReservedRolesAreDropped(t *testing.T) {
	g := newGate(t, func(c *interlock.Config) { c.Machines, c.Policy = machines(t, loanYAML, desk), deskAndLoan() })
	newLoan(t, g, "17")
	_, err := g.Create(t.Context(), root, interlock.CreateRequest{Machine: "desk", ID: "1"})
	require.NoError(t, err)
	who := employee("eve")
	who.Roles = append(who.Roles, interlock.AdminRole, "system", "anyone", "$owner")
	_, err = g.Explain(t.Context(), who, loan("submit"), false)
	refusal(t, err, interlock.StagePolicy, "denied")
	for _, event := range []string{"tick", "take"} {
		_, err = g.Fire(t.Context(), who, onDesk(event))
		refusal(t, err, interlock.StagePolicy, "denied")
	}
	require.NoError(t, g.Bootstrap(t.Context(), "", "eve"))
	_, err = g.Explain(t.Context(), employee("eve"), loan("submit"), false)
	require.NoError(t, err, "granted, it counts")
}

func deskAndLoan() *rules {
	pol := loanRules()
	pol.conditions["owner"] = func(*interlock.Input) any { return false }
	return pol
}

// An attribute that was stored under another declaration is shown to no policy:
// values of unlike types compare without an error.
func TestAttributeThatDoesNotFitAnyMore(t *testing.T) {
	words := loanYAMLWith(t, "limit: {type: integer, minimum: 0}", "limit: {type: string}")
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store, c.Machines = st, machines(t, words) })
	_, err := g.SetActor(t.Context(), root, "mark", map[string]any{"limit": "a lot"}, nil)
	require.NoError(t, err)
	pol := loanRules()
	for name := range pol.conditions {
		pol.conditions[name] = func(*interlock.Input) any { t.Error("the policy was asked"); return true }
	}
	g = newGate(t, func(c *interlock.Config) { c.Store, c.Policy = st, pol })
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	_, err = g.Fire(t.Context(), manager("mark"), loan("approve"))
	require.Equal(t, []string{"attrs_unfit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
}

// patient rules never answer before their context ends.
type patient struct{ *rules }

func (p patient) Compile(context.Context, []*fsm.Machine) (interlock.Rules, error) { return p, nil }

func (p patient) Decide(ctx context.Context, _ *interlock.Query) (interlock.Verdict, error) {
	if _, limited := ctx.Deadline(); !limited {
		panic("an evaluation without an end")
	}
	<-ctx.Done()
	return interlock.Verdict{Passed: []string{"four_eyes", "within_limit"}}, ctx.Err()
}

func TestPolicyThatDoesNotEnd(t *testing.T) {
	g := newGate(t, func(c *interlock.Config) { c.Policy, c.PolicyTimeout = patient{loanRules()}, 10*time.Millisecond })
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	_, err := g.Fire(t.Context(), manager("mark"), loan("approve"))
	r := refusal(t, err, interlock.StageUnavailable, "policy_failed")
	require.ErrorIs(t, r, context.DeadlineExceeded)
}

// What a caller may send is bounded, and what is not a name is nobody.
func TestLimits(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	long := func(n int) string { return string(make([]byte, n)) }
	noted, keyed := comment("x"), comment("x")
	noted.Note = long(4097)
	keyed.IdempotencyKey = long(256)
	for name, req := range map[string]interlock.Request{"note": noted, "form": comment(long(48 << 10)), "key": keyed} {
		_, err := g.Fire(t.Context(), employee("erin"), req)
		require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageInput, Code: "input_invalid"}, name)
	}
	self := employee("erin")
	self.OnBehalfOf = &interlock.Actor{ID: "erin"}
	for name, who := range map[string]interlock.Actor{
		"id":           {ID: "a/b"},
		"tenant":       {ID: "a", Tenant: "a b"},
		"person":       {ID: "a", Person: "-"},
		"kind":         {ID: "a", Kind: "robot"},
		"claims":       {ID: "a", Claims: map[string]any{"x": func() {}}},
		"oneself":      self,
		"on behalf of": {ID: "a", OnBehalfOf: &interlock.Actor{ID: "a/b"}},
	} {
		_, err := g.Fire(t.Context(), who, comment("x"))
		require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageIdentity, Code: "actor_invalid"}, name)
	}
	require.EqualValues(t, 1, versionOf(t, g, "loan", "17"))
}
