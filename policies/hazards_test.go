package policies

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// What goes wrong with embedded Rego elsewhere: each was seen to say yes there,
// and doesn't here. Their neighbours: TestContract (undefined, errors,
// conflicts), TestTimeouts and TestTheWall (policies that don't end),
// TestDiagnostics (misspelt fields and values, foreign packages, blank data),
// TestDecideWhileReloading, and the flaws beside each file of lib.

// A verifier who approves his own case by a value of another type, a missing
// history, a missing limit.
func TestVerifierNeverApproves(t *testing.T) {
	for name, spoil := range map[string]func(*interlock.Input){
		"as he is":          func(in *interlock.Input) { in.Actor.Person = "vera" },
		"no history":        func(in *interlock.Input) { in.Instance.Entered["verified"] = nil },
		"history left out":  func(in *interlock.Input) { delete(in.Instance.Entered, "verified") },
		"no histories":      func(in *interlock.Input) { in.Instance.Entered = nil },
		"null amount":       func(in *interlock.Input) { in.Instance.Facts["amount"] = nil },
		"false amount":      func(in *interlock.Input) { in.Instance.Facts["amount"] = false },
		"no amount":         func(in *interlock.Input) { delete(in.Instance.Facts, "amount") },
		"no facts":          func(in *interlock.Input) { in.Instance.Facts = nil },
		"a text as limit":   func(in *interlock.Input) { in.Actor.Attrs["limit"] = "1" },
		"a list as limit":   func(in *interlock.Input) { in.Actor.Attrs["limit"] = []any{} },
		"no limit":          func(in *interlock.Input) { delete(in.Actor.Attrs, "limit") },
		"above the limit":   func(in *interlock.Input) { in.Instance.Facts["amount"] = json.Number("5001") },
		"a machine unknown": func(in *interlock.Input) { in.Machine = "laon" },
		"a number too long": func(in *interlock.Input) { in.Instance.Facts["amount"] = json.Number("1e100000000") },
	} {
		for _, indexing := range []bool{true, false} {
			in := loanInput()
			spoil(in)
			v, err := rulesOf(t, loanRules, WithIndexing(indexing)).Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}})
			require.False(t, err == nil && len(v.Passed) == 2, name)
		}
	}
}

// The values that a form brings are of their declared types, too.
func TestFormOfAnotherTypeIsAnError(t *testing.T) {
	r := rulesOf(t, loanRules)
	in := loanInput()
	in.Form = map[string]any{"amount": "3"}
	_, err := r.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes"}})
	require.ErrorContains(t, err, `input has a string as "amount", which is declared a number`)
	in.Form = map[string]any{"amount": 3, "reference": "x", "undeclared": nil}
	_, err = r.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes"}})
	require.NoError(t, err)
}

// A broad `allow` counts for nothing: the gate asks for names, and says that nobody asks for this one.
func TestAllowIsNoWord(t *testing.T) {
	report, err := Check(context.Background(), Sources(loanAnd("allow := true"), Timeout(patience)), []*fsm.Machine{machine(t, loanMachine)})
	require.NoError(t, err)
	require.Empty(t, report.Errors)
	require.True(t, strings.HasPrefix(report.Findings[0].Message, `machine "loan" and its rules never name "allow"`), report.Findings)
	in := loanInput()
	in.Actor.Person = "vera"
	v, err := report.Rules.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes"}})
	require.NoError(t, err)
	require.Empty(t, v.Passed)
}

// What leaves the package for a caller is codes, titles and parameters, and no Rego.
func TestReasonsTellNoRules(t *testing.T) {
	in := loanInput()
	in.Actor.Person = "vera"
	v, err := rulesOf(t, loanRules).Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes"}})
	require.NoError(t, err)
	require.Equal(t, []interlock.Reason{{Code: "four_eyes", Message: "Somebody else must approve what you verified"}}, v.Failed)
	require.Nil(t, v.Trace)
}
