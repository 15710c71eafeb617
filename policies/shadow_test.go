package policies

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

// swap puts another query's program in the place of q's, as a fault in the
// compiled rules would.
func swap(t *testing.T, r *Rules, q *interlock.Query, text string) {
	t.Helper()
	m := r.machines["m"]
	prepared, err := m.query(q, r.opts)
	require.NoError(t, err)
	require.NotNil(t, prepared.program)
	prepared.program = m.program(text, r.opts)
	require.NotNil(t, prepared.program)
}

const (
	refuses  = `ok if input.event == "stray"`
	otherYes = `answer = [[[true]], [[]], [], [], []]`
	mistaken = `answer = [1 / count(input.actor.claims)]`
)

func TestADifferenceIsARefusalAndAnAlarm(t *testing.T) {
	for name, other := range map[string]string{"another value": otherYes, "no answer": "answer = 1; false"} {
		t.Run(name, func(t *testing.T) {
			var told []Difference
			r := checkRules(t, refuses, OnDifference(func(d Difference) { told = append(told, d) }))
			q := ask(interlock.Query{})
			swap(t, r, q, other)
			v, err := r.Decide(context.Background(), q)
			require.ErrorIs(t, err, ErrDifference)
			require.Equal(t, interlock.Verdict{}, v)
			require.Len(t, told, 1)
			require.Equal(t, "m", told[0].Machine)
			require.Contains(t, told[0].Query, `data.interlock.machine.m["ok"]`)
			require.NotEqual(t, told[0].Compiled, told[0].Topdown)
			require.Equal(t, 1, r.source.Differences())
		})
	}
}

// What is contained may be wrong until its shadow notices; nothing else may.
func TestDraftsAreAnsweredByTheCompiledRulesAlone(t *testing.T) {
	r := checkRules(t, refuses, Shadow(3), OnDifference(func(Difference) {}))
	q := ask(interlock.Query{Draft: true})
	swap(t, r, q, otherYes)
	var passed, differences int
	const asked = 900
	for range asked {
		v, err := r.Decide(context.Background(), q)
		if err != nil {
			require.ErrorIs(t, err, ErrDifference)
			differences++
			continue
		}
		passed += len(v.Passed)
	}
	require.Equal(t, asked, passed+differences)
	require.InDelta(t, asked/3, differences, asked/6, "one in three, by chance")
	q.Draft = false
	_, err := r.Decide(context.Background(), q)
	require.ErrorIs(t, err, ErrDifference, "a commit needs both")
	q.Trace = true
	v, err := r.Decide(context.Background(), q)
	require.NoError(t, err, "a trace is topdown's")
	require.Empty(t, v.Passed)
}

// A no needs nobody's consent; a yes needs it for everything that it says yes to.
func TestAYesNeedsBoth(t *testing.T) {
	const rules = `ok if input.event == "go"

granted if input.event == "go"

other if input.event == "stray"

deny contains {"code": "d", "message": "m"} if input.event == "stray"

target := "b" if input.event == "go"`
	all := interlock.Query{Checks: []string{"ok"}, Grants: []string{"granted", "other"}, Deny: true, Target: true}
	few := all
	few.Target = false
	for _, tt := range []struct {
		name, compiled string
		q              interlock.Query
		differs        bool
	}{
		{"right", `answer = [[[true]], [[]], [[true], []], [set()], ["b"]]`, all, false},
		{"no check", `answer = [[[]], [[]], [[true], []], [set()], []]`, few, false},
		{"denied", `answer = [[[true]], [[]], [[true], []], [{{"code": "x", "message": "y"}}], []]`, few, false},
		{"not granted", `answer = [[[true]], [[]], [[], []], [set()], []]`, few, false},
		{"granted by another", `answer = [[[true]], [[]], [[], [true]], [set()], ["b"]]`, all, true},
		{"a no that rules out a target", `answer = [[[]], [[]], [[true], []], [set()], ["a"]]`, all, true},
		{"a target that is no state", `answer = [[[true]], [[]], [[true], []], [set()], ["elsewhere"]]`, all, true},
		{"another target", `answer = [[[true]], [[]], [[true], []], [set()], ["a"]]`, all, true},
		{"no target", `answer = [[[true]], [[]], [[true], []], [set()], []]`, all, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, shadow := range []int{1 << 40, 1} {
				r := checkRules(t, rules, Shadow(shadow), OnDifference(func(Difference) {}))
				q := ask(tt.q)
				q.Target = tt.q.Target
				swap(t, r, q, tt.compiled)
				_, err := r.Decide(context.Background(), q)
				if tt.name == "a target that is no state" {
					require.Empty(t, r.machines["m"].confirmations, "an input may name any")
				}
				if tt.differs || shadow == 1 && tt.name != "right" {
					require.ErrorIs(t, err, ErrDifference)
					require.Equal(t, 1, r.source.Differences())
					continue
				}
				require.NoError(t, err)
				require.Zero(t, r.source.Differences())
			}
		})
	}
	// What topdown denies, or doesn't pass, isn't confirmed.
	for _, tt := range []struct{ rules, compiled string }{
		{strings.Replace(rules, `"m"} if input.event == "stray"`, `"m"} if input.event == "go"`, 1), `answer = [[[true]], [[]], [[true], []], [set()], ["b"]]`},
		{strings.Replace(rules, `ok if input.event == "go"`, `ok if input.event == "stray"`, 1), `answer = [[[true]], [[]], [[true], []], [set()], ["b"]]`},
		{strings.Replace(rules, `ok if input.event == "go"`, `ok := "true" if input.event == "go"`, 1), `answer = [[[true]], [[]], [[true], []], [set()], ["b"]]`},
	} {
		r := checkRules(t, tt.rules, Shadow(1<<40), OnDifference(func(Difference) {}))
		q := ask(all)
		swap(t, r, q, tt.compiled)
		_, err := r.Decide(context.Background(), q)
		require.ErrorIs(t, err, ErrDifference)
	}
}

// An error of the compiled rules is no answer, and no difference where topdown
// doesn't come to evaluate what fails.
func TestAnErrorOfTheCompiledRulesIsTopdownsToAnswer(t *testing.T) {
	r := checkRules(t, `ok if input.event == "go"`)
	q := ask(interlock.Query{Draft: true})
	swap(t, r, q, mistaken)
	v, err := r.Decide(context.Background(), q)
	require.NoError(t, err)
	require.Equal(t, []string{"ok"}, v.Passed)
	require.Zero(t, r.source.Differences())
}

func TestCompiledRulesCanBeTurnedOff(t *testing.T) {
	r := checkRules(t, refuses, WithCompiled(false))
	p, err := r.machines["m"].query(ask(interlock.Query{}), r.opts)
	require.NoError(t, err)
	require.Nil(t, p.program)
}

func TestWhatIsNotCompiledIsForTopdown(t *testing.T) {
	for name, rego := range map[string]string{
		"rules replaced":            "helper := 1\n\nok if { helper == 2 with data.interlock.machine.m.helper as 2 }",
		"a function replaced":       "ok if { count(input.actor.roles) == 7 with count as 7 }",
		"a comprehension by itself": "ok if { input.event == \"go\"; [x | some x in input.actor.roles] }",
	} {
		t.Run(name, func(t *testing.T) {
			r := checkRules(t, rego)
			for _, draft := range []bool{true, false} {
				q := ask(interlock.Query{Draft: draft})
				p, err := r.machines["m"].query(q, r.opts)
				require.NoError(t, err)
				require.Nil(t, p.program)
				v, err := r.Decide(context.Background(), q)
				require.NoError(t, err)
				require.Equal(t, []string{"ok"}, v.Passed)
			}
		})
	}
}

func TestTheGatesPoliciesAreCompiled(t *testing.T) {
	r := rulesOf(t, loanRules)
	in := loanInput()
	for _, q := range []*interlock.Query{
		{Input: in, Checks: []string{"four_eyes", "within_limit"}, Deny: true, Target: true},
		{Input: in, Checks: []string{"four_eyes"}},
	} {
		p, err := r.machines["loan"].query(q, r.opts)
		require.NoError(t, err)
		require.IsType(t, &compiled.Program{}, p.program)
		require.NotNil(t, p.program)
	}
}

// Both evaluators read one input.
func TestBothInputsAreTheSame(t *testing.T) {
	e := rulesOf(t, loanRules).machines["loan"].encoder
	in := loanInput()
	in.Instance.Facts["nested"] = map[string]any{"list": []any{nil, true, "x", json.Number("1.50"), int64(1) << 60, 0.25}, "none": map[string]any{}}
	in.Actor.Claims = map[string]any{"z": 1, "a": []string{"b"}}
	in.Instance.Last["verify"] = interlock.InputLast{Person: "erin", At: "2026-01-01T00:00:00Z", Count: 2}
	want, err := encode(e, terms{}, in)
	require.NoError(t, err)
	var b compiled.Builder
	got, err := encode(e, own{&b}, in)
	require.NoError(t, err)
	require.Equal(t, want.String(), compiled.ToAST(got).String())
	in.Instance.Facts["bad"] = json.Number("1e999")
	_, err = encode(e, terms{}, in)
	_, same := encode(e, own{&b}, in)
	require.Error(t, err)
	require.EqualError(t, same, err.Error())
}
