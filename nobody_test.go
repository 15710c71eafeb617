package interlock_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// What nobody is named for, nobody may: not an event, a creation, an edit of
// facts, by whatever roles, nor the system.
func TestWithoutRequiresNobodyMay(t *testing.T) {
	for name, pol := range map[string]interlock.Policy{"no policy": nil, "a policy": loanRules()} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, func(c *interlock.Config) {
				c.Policy = pol
				c.Machines = machines(t, `
machine: box
initial: open
create: {requires: [system]}
read: {requires: [anyone]}
facts: {schema: {type: object, properties: {n: {type: integer}}}}
states: {open: {}, shut: {}}
events:
  shut: {from: open, to: shut}
  peek: {from: open, stay: true, requires: [anyone]}
`, `
machine: sealed
initial: open
read: {requires: [anyone]}
states: {open: {}, shut: {}}
events: {shut: {from: open, to: shut, requires: [r]}}
`)
			})
			_, err := g.Create(t.Context(), root, interlock.CreateRequest{Machine: "box", ID: "1"})
			require.NoError(t, err)
			everybody := interlock.Actor{ID: "ann", Roles: []string{"r", "admin", "anyone", "system", interlock.AdminRole, ""}}
			for _, who := range []interlock.Actor{everybody, root, {ID: "bot", Kind: interlock.Service}} {
				_, err := g.Fire(t.Context(), who, interlock.Request{Machine: "box", ID: "1", Event: "shut"})
				require.Equal(t, []string{"role_required"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
				_, err = g.Create(t.Context(), who, interlock.CreateRequest{Machine: "sealed", ID: "1"})
				refusal(t, err, interlock.StagePolicy, "denied")
				_, err = g.EditFacts(t.Context(), who, interlock.FactsRequest{Machine: "box", ID: "1", Patch: map[string]any{"n": 1}})
				refusal(t, err, interlock.StagePolicy, "denied")
				menu, err := g.Available(t.Context(), who, interlock.Ref{Machine: "box", ID: "1"})
				require.NoError(t, err)
				require.False(t, menu.Options[0].Allowed)
				require.NotEmpty(t, menu.Options[0].To[0].Reasons, "a no always says why")
				require.True(t, menu.Options[1].Allowed)
			}
		})
	}
}
