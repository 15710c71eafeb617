package compiled_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

func jsonDecode(text string, into any) error { return json.Unmarshal([]byte(text), into) }

func ask(t *testing.T, source string, q compiled.Query) string {
	t.Helper()
	got, err := program(t, module("t", "package t\n\n"+source, "x = data.t.x")).Eval(t.Context(), q)
	if err != nil {
		return err.Error()
	}
	return got.String()
}

func TestWhatIsNotCompiledIsNamed(t *testing.T) {
	const negated = "package t\n\nx if { some name in input.names; not data.t[name].y.z }\n"
	policy, err := compiled.Plan(t.Context(), rego.Query("x = data.a.x"),
		rego.Module("a.rego", strings.Replace(negated, "package t", "package a", 1)), rego.Module("t.rego", "package t\n\nb.y if true\n\nc.d.e if true\n"))
	require.NoError(t, err)
	_, err = compiled.Compile(policy, compiled.Options{})
	require.ErrorIs(t, err, compiled.ErrNotCompiled)
	require.ErrorContains(t, err, "a.rego:3:34: not compiled: the negation of a reference")
}

// The bound is of one evaluation, however often its machine has been used.
func TestStepsAreOfOneEvaluation(t *testing.T) {
	p := program(t, module("t", "package t\n\nx := count([n | some n in numbers.range(1, 50)])", "x = data.t.x"))
	m := p.Machine()
	defer m.Release()
	for range 100 {
		_, err := m.Eval(t.Context(), compiled.Query{MaxSteps: 500})
		require.NoError(t, err)
	}
	_, err := m.Eval(t.Context(), compiled.Query{MaxSteps: 20})
	require.ErrorIs(t, err, compiled.ErrStepLimit)
}

// OPA's planner leaves such expressions out, errors and all.
func TestPlannedTellsWhatThePlannerPassesOver(t *testing.T) {
	for source, want := range map[string]string{
		"x if [v | v := 1 / 0]":                                   "t.rego:3:6: not compiled: a comprehension whose value nobody asks for",
		"x if { {[y | y := input.a]} }":                           "",
		"x := y if { y := [z | some z in input.a; [z | z > 1]] }": "not compiled",
		"x if [v | v := 1] == [1]":                                "",
		"x if { some y in [z | z := input.a]; y > 1 }":            "",
		"x if { {1, 2} }":                                         "",
	} {
		compiler := ast.MustCompileModules(map[string]string{"t.rego": "package t\n\n" + source})
		err := compiled.Planned(compiler)
		if want == "" {
			require.NoError(t, err, source)
		} else {
			require.ErrorIs(t, err, compiled.ErrNotCompiled, source)
			require.ErrorContains(t, err, want, source)
		}
	}
}

func TestPlansThatNobodyMadeAreRefused(t *testing.T) {
	stmts := func(all ...ir.Stmt) *ir.Policy {
		return &ir.Policy{
			Static: &ir.Static{Strings: []*ir.StringConst{{Value: "a"}}},
			Plans:  &ir.Plans{Plans: []*ir.Plan{{Name: "p", Blocks: []*ir.Block{{Stmts: all}}}}},
		}
	}
	for name, policy := range map[string]*ir.Policy{
		"no plan":                   {},
		"a break out of everything": stmts(&ir.BreakStmt{Index: 1}),
		"a break out of a loop":     stmts(&ir.ScanStmt{Source: 0, Key: 2, Value: 3, Block: &ir.Block{Stmts: []ir.Stmt{&ir.BreakStmt{Index: 1}}}}),
		"an unknown function":       stmts(&ir.CallStmt{Func: "nobody.knows", Result: 2}),
		"an operand of nothing":     stmts(&ir.EqualStmt{A: ir.Operand{}, B: ir.Operand{Value: ir.Bool(true)}}),
		"an unknown string":         stmts(&ir.EqualStmt{A: ir.Operand{Value: ir.StringIndex(7)}, B: ir.Operand{Value: ir.Bool(true)}}),
		"a number that isn't there": stmts(&ir.MakeNumberRefStmt{Index: 9, Target: 2}),
		"a path that isn't there":   stmts(&ir.WithStmt{Local: 0, Path: []int{5}, Value: ir.Operand{Value: ir.Bool(true)}, Block: &ir.Block{}}),
		"a return of a plan":        stmts(&ir.ReturnLocalStmt{Source: 2}),
		"a local below zero":        stmts(&ir.ResetLocalStmt{Target: -1}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compiled.Compile(policy, compiled.Options{})
			require.ErrorIs(t, err, compiled.ErrNotCompiled)
		})
	}
}

func TestWithIsForgottenAfterwards(t *testing.T) {
	require.Equal(t, `{{"x": [1, 2, 1, 3]}}`, ask(t, `a := input.n

x := [b, c, d, e] if {
	b := a
	c := a with input.n as 2
	d := a
	e := a with input as {"n": 3}
}`, compiled.Query{Input: compiled.FromAST(ast.MustParseTerm(`{"n": 1}`).Value)}))
}

func TestConflictsNameTheRule(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"x := 1 if input.a\n\nx := 2 if input.a", "t.rego:5: eval_conflict_error: rule data.t.x produced conflicting values"},
		{"f(_) := 1\n\nf(_) := 2\n\nx := f(1)", "t.rego:5: eval_conflict_error: function data.t.f produced conflicting values for the same inputs"},
		{"x := {1: v | some v in [1, 2]}", "t.rego:3: eval_conflict_error: object keys must be unique"},
		{`x[k] := v if some k, v in {1: 2, 2: 3}

x[k] := v if some k, v in {1: 4}`, "t.rego:5: eval_conflict_error: object keys must be unique"},
	} {
		input := ast.MustParseTerm(`{"a": 1}`).Value
		require.Equal(t, c.want, ask(t, c.source, compiled.Query{Input: compiled.FromAST(input)}))
		_, err := prepared(t, module("t", "package t\n\n"+c.source, "x = data.t.x")).Eval(t.Context(), rego.EvalParsedInput(input))
		require.ErrorContains(t, err, c.want, "topdown") // it goes on to say which values
	}
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	p := program(t, append(module("t", "package t\n\nx if { print(\"seen\", input.a, input.b); input.a == 1 }", "x = data.t.x"), rego.EnablePrintStatements(true)))
	got, err := p.Eval(t.Context(), compiled.Query{
		Input: compiled.FromAST(ast.MustParseTerm(`{"a": 1}`).Value), PrintHook: topdown.NewPrintHook(&out),
	})
	require.NoError(t, err)
	require.Equal(t, `{{"x": true}}`, got.String())
	require.Equal(t, "seen 1 <undefined>\n", out.String())
}

func TestTimeAndChanceAreThoseOfTheQuery(t *testing.T) {
	const source = `x := [time.now_ns(), rand.intn("a", 1000000)]`
	at := time.Unix(7, 5)
	cache := builtins.NDBCache{}
	first := ask(t, source, compiled.Query{Time: at, NDBuiltinCache: cache})
	require.Contains(t, first, "[7000000005, ")
	require.Equal(t, first, ask(t, source, compiled.Query{Time: time.Unix(8, 0), NDBuiltinCache: cache}), "replayed")
}

func TestUndefinedInputIsNotNull(t *testing.T) {
	const source = `x := [is_null(input) | true]`
	require.Equal(t, `{{"x": []}}`, ask(t, source, compiled.Query{}))
	require.Equal(t, `{{"x": [true]}}`, ask(t, source, compiled.Query{Input: compiled.FromAST(ast.Null{})}))
}

func TestNumbersAreExact(t *testing.T) {
	require.Equal(t, `{{"x": [9223372036854775808, -9223372036854775809, 18446744073709551614, 0.3, 1.10, true, true]}}`,
		ask(t, `x := [input.max + 1, input.min - 1, input.max * 2, 0.1 + 0.2, 1.10, 1.0 == 1, {1} == {1.0}]`,
			compiled.Query{Input: compiled.FromAST(ast.MustParseTerm(`{"max": 9223372036854775807, "min": -9223372036854775808}`).Value)}))
}

func TestSeveralPlansOfABundle(t *testing.T) {
	var out bytes.Buffer
	m := ast.MustParseModule("package t\n\nallow if input.n > 1\n\ndeny contains input.n")
	c := compile.New().WithTarget("plan").WithOutput(&out).WithEntrypoints("t/allow", "t/deny").
		WithFS(moduleFS("t.rego", m.String())).WithPaths(".")
	require.NoError(t, c.Build(t.Context()))
	var policy ir.Policy
	require.NoError(t, json.Unmarshal(c.Bundle().PlanModules[0].Raw, &policy))
	p, err := compiled.Compile(&policy, compiled.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"t/allow", "t/deny"}, p.Plans())
	input := compiled.FromAST(ast.MustParseTerm(`{"n": 2}`).Value)
	for plan, want := range map[string]string{"t/allow": `{{"result": true}}`, "t/deny": `{{"result": {2}}}`} {
		got, err := p.Eval(t.Context(), compiled.Query{Plan: plan, Input: input})
		require.NoError(t, err)
		require.Equal(t, want, got.String())
	}
	_, err = p.Eval(t.Context(), compiled.Query{Plan: "t/other"})
	require.ErrorContains(t, err, `no plan "t/other"`)
}

// One program and one input for all; run it with -race.
func TestConcurrentEvaluations(t *testing.T) {
	p := program(t, module("gate", gate, "deny = data.gate.deny"))
	var b compiled.Builder
	inputs := make([]compiled.Value, 8)
	want := make([]string, 8)
	for i := range inputs {
		inputs[i] = built(&b, i)
		got, err := p.Eval(t.Context(), compiled.Query{Input: inputs[i]})
		require.NoError(t, err)
		want[i] = got.String()
	}
	require.NotEqual(t, want[0], want[1])
	var wg sync.WaitGroup
	problems := make(chan string, 8)
	for range 8 {
		wg.Go(func() {
			m := p.Machine()
			defer m.Release()
			for i := range 400 {
				results, err := m.Eval(t.Context(), compiled.Query{Input: inputs[i%8]})
				if err != nil || len(results) != 1 {
					problems <- fmt.Sprint(results, err)
					return
				}
				if got := "{" + compiled.ToAST(results[0]).String() + "}"; got != want[i%8] {
					problems <- got
					return
				}
			}
		})
	}
	wg.Wait()
	close(problems)
	require.Empty(t, problems)
}
