package compiled_test

import (
	"fmt"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"
)

// Loops within loops find by a table what they would find one by one.
func TestJoinsFindWhatTopdownFinds(t *testing.T) {
	var teams, people []any
	for i := range 40 {
		teams = append(teams, map[string]any{"id": []any{i % 7, fmt.Sprint("t", i), map[string]any{"n": i % 3}, nil}[i%4], "lead": fmt.Sprint("p", i)})
	}
	for i := range 90 {
		p := map[string]any{"name": fmt.Sprint("p", i), "team": []any{i % 7, fmt.Sprint("t", i%40), map[string]any{"n": i % 3}, float64(i % 7)}[i%4]}
		if i%11 == 0 {
			delete(p, "team")
		}
		people = append(people, p)
	}
	named := map[string]any{}
	for i, p := range people {
		named[fmt.Sprint("k", i*37%90)] = p
	}
	others := append(append([]any{}, people[1:]...), people[0]) // as many, but not the same
	input := ast.MustInterfaceToValue(map[string]any{"teams": teams, "people": people, "others": others, "named": named})
	for _, source := range []string{
		`x := [[t.id, [p.name | some p in input.people; p.team == t.id]] | some t in input.teams]`,
		`x := [[t.id, [p.name | p := input.people[_]; t.id == p.team; p.name != t.lead]] | some t in input.teams]`,
		`x := [[t.id, k] | some t in input.teams; some k, p in input.named; p.team = t.id]`,
		`x contains [t.id, k] if { some t in input.teams; some k in input.named; k.team.n == t.id.n }`,
		`x := [t.lead | some t in input.teams; every p in input.people { p.team == t.id }]`,
		`x := [t.lead | some t in input.teams; not has(t)]

has(t) if { some p in input.people; p.team == t.id }`,
		`x := [[t.id, c] | some t in input.teams; c := count({p | some p in input.people; p.team == t.id})]`,
		`x := [[i, n] | some i in numbers.range(1, 30); n := [p.name | some p in input.people; p.team == i % 7]]`,
		`x := [[r, [p | some p; input[k][p].team == 3]] | some r in [1, 2, 3, 4, 5]; some k in ["people", "others"]]`,
		`groups := [input.people, input.people, input.people, input.others, input.people]

x := [[i, [p | g[p].team == n]] | some g in groups; some i, n in [0, 1, 2, 3, 4, 5, 6]]`,
		`y contains p.team if some p in input.people

x := [[u, t.lead] | some t in input.teams; some u in y; u == t.id]`,
		`x := [p | some t in input.teams; p := [q.name | some q in input.people; q.team == input.teams[0].id] with input.teams as [t]]`,
	} {
		options := module("t", "package t\n\n"+source, "x = data.t.x")
		both := pair{topdown: prepared(t, options), compiled: prepared(t, append(options, rego.Target("compiled")))}
		var c comparison
		require.NoError(t, c.compare(t.Context(), both, input, true), source)
		require.Equal(t, 1, c.values, source)
	}
}

// What a loop's comprehension gives is remembered for the values from outside
// that it depends on, and for no others.
func TestComprehensionsAreRememberedByWhatTheyDependOn(t *testing.T) {
	input := ast.MustParseTerm(`{"n": [1, 2, 1, 2, 3, 1], "m": {"a": [1, 1], "b": [2]}, "k": 5}`).Value
	for _, source := range []string{
		`x := [y | some n in input.n; y := [n, [m | some m in input.n; m != n]]]`,
		`x := [y | some n in input.n; y := [m | some m in input.n; m > n] with input.n as [n, n + 1, n + 2]]`,
		`x := [y | some k, v in input.m; y := [[k, w] | some w in v]]`,
		`x := [y | some n in input.n; some k in [1, 2]; y := {n: {m: k | some m in input.n}}]`,
		`f(n) := [m | some m in input.n; m != n]

x := [y | some n in input.n; y := [f(n), f(1), f(n) == f(2)]]`,
		`x := [y | some n in input.n; z := n * 2; y := count([m | some m in input.n; m < z; m + input.k > n])]`,
		`x := [y | some n in input.n; y := [a | a := input.n[i]; i < n]]`,
	} {
		options := module("t", "package t\n\n"+source, "x = data.t.x")
		both := pair{topdown: prepared(t, options), compiled: prepared(t, append(options, rego.Target("compiled")))}
		var c comparison
		require.NoError(t, c.compare(t.Context(), both, input, true), source)
		require.Equal(t, 1, c.values, source)
	}
}
