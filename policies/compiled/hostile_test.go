package compiled_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

// hostile never ends within anybody's life, each in another way.
var hostile = []struct{ name, source string }{
	{"nested comprehensions", `x := [1 | some a in input.n; some b in input.n; some c in input.n; some d in input.n; some e in input.n; some f in input.n]`},
	{"scans without a result", `x if { some a in input.n; some b in input.n; some c in input.n; some d in input.n; some e in input.n; a + b + c + d + e == -1 }`},
	{"every in every", `x if every a in input.n { every b in input.n { every c in input.n { every d in input.n { every e in input.n { a + b + c + d + e >= 0 } } } } }`},
	{"calls of functions", `f(a, b) := count([1 | some c in input.n; c == a; c != b])

x := [f([a, e], b) | some a in input.n; some b in input.n; some c in input.n; some d in input.n; some e in input.n; c == d]`},
	{"built-ins on collections", `x := [count(input.set | {a, b}) | some a in input.n; some b in input.n; some c in input.n; some d in input.n]`},
	{"walks", `x := [1 | walk(input, [p, _]); walk(input, [q, _]); walk(input, [r, _]); walk(input, [s, _]); p != q; r != s]`},
	{"a range as long as numbers go", `x := count(numbers.range(1, 100000000000))`},
	{"a set that grows", `x := {[a, b, c, d] | some a in input.n; some b in input.n; some c in input.n; some d in input.n}`},
}

func many() compiled.Value {
	var b compiled.Builder
	items := make([]compiled.Value, 300)
	for i := range items {
		items[i] = b.Int(int64(i))
	}
	return b.Object(compiled.Field{Name: "n", Value: b.Array(items...)}, compiled.Field{Name: "set", Value: b.Set(items...)})
}

func TestHostilePoliciesStopAtTheDeadline(t *testing.T) {
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			p := program(t, module("h", "package h\n\n"+h.source, "x = data.h.x"))
			ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer stop()
			begun := time.Now()
			_, err := p.Eval(ctx, compiled.Query{Input: many()})
			require.True(t, topdown.IsCancel(err), "%v", err)
			require.Less(t, time.Since(begun), 20*time.Second) // the machine may be busy
		})
	}
}

func TestHostilePoliciesStopAtTheStepLimit(t *testing.T) {
	for _, h := range hostile {
		if strings.Contains(h.source, "numbers.range") {
			continue // one call of a built-in of OPA's, which only a deadline stops
		}
		t.Run(h.name, func(t *testing.T) {
			p := program(t, module("h", "package h\n\n"+h.source, "x = data.h.x"))
			_, err := p.Eval(t.Context(), compiled.Query{Input: many(), MaxSteps: 100_000})
			require.ErrorIs(t, err, compiled.ErrStepLimit)
			require.True(t, topdown.IsCancel(err))
		})
	}
}

// Each concatenation doubles the array: no loop, no call of a rule.
func TestBuiltinsInARowStopToo(t *testing.T) {
	var source strings.Builder
	source.WriteString("package h\n\nx := count(a40) if {\n\ta0 := input.n\n")
	for i := 1; i <= 40; i++ {
		fmt.Fprintf(&source, "\ta%d := array.concat(a%d, a%d)\n", i, i-1, i-1)
	}
	source.WriteString("}\n")
	p := program(t, module("h", source.String(), "x = data.h.x"))
	_, err := p.Eval(t.Context(), compiled.Query{Input: many(), MaxSteps: 100_000})
	require.ErrorIs(t, err, compiled.ErrStepLimit)
}

func TestCancelStopsBeforeTheFirstStep(t *testing.T) {
	p := program(t, module("h", "package h\n\nx := 1", "x = data.h.x"))
	cancel := topdown.NewCancel()
	cancel.Cancel()
	_, err := p.Eval(t.Context(), compiled.Query{Cancel: cancel})
	require.True(t, topdown.IsCancel(err), "%v", err)
}

// Each function calls the next twice with the same arguments: 2⁶⁰ calls, were
// their values not remembered.
func TestFunctionsAreEvaluatedOnceForEachArgument(t *testing.T) {
	var source strings.Builder
	source.WriteString("package h\n\nf0(x) := x + 1\n\n")
	for i := 1; i <= 60; i++ {
		fmt.Fprintf(&source, "f%d(x) := f%d(x) - f%d(x) if f%d(x) != null\n\n", i, i-1, i-1, i-1)
	}
	source.WriteString("x := f60(1)")
	p := program(t, module("h", source.String(), "x = data.h.x"))
	got, err := p.Eval(t.Context(), compiled.Query{MaxSteps: 10_000})
	require.NoError(t, err)
	require.Equal(t, `{{"x": 0}}`, got.String())
}

func TestDeepDataIsReadAndCompared(t *testing.T) {
	deep := `"end"`
	for range 1400 {
		deep = "[" + deep + "]"
	}
	var v any
	require.NoError(t, jsonDecode(deep, &v))
	input, err := compiled.FromGo(map[string]any{"a": v, "b": v})
	require.NoError(t, err)
	p := program(t, module("h", "package h\n\nx if { input.a == input.b; {input.a} == {input.b}; count([v | walk(input, [_, v])]) > 2800 }", "x = data.h.x"))
	got, err := p.Eval(t.Context(), compiled.Query{Input: input})
	require.NoError(t, err)
	require.Equal(t, `{{"x": true}}`, got.String())
}

// No planner makes rules that call themselves; a plan from elsewhere may.
func TestRecursionIsBounded(t *testing.T) {
	call := func(result ir.Local) *ir.CallStmt {
		return &ir.CallStmt{Func: "f", Args: []ir.Operand{{Value: ir.Input}, {Value: ir.Data}}, Result: result}
	}
	policy := &ir.Policy{
		Static: &ir.Static{},
		Plans:  &ir.Plans{Plans: []*ir.Plan{{Name: "p", Blocks: []*ir.Block{{Stmts: []ir.Stmt{call(2)}}}}}},
		Funcs: &ir.Funcs{Funcs: []*ir.Func{{
			Name: "f", Params: []ir.Local{0, 1}, Return: 2,
			Blocks: []*ir.Block{{Stmts: []ir.Stmt{call(3), &ir.ReturnLocalStmt{Source: 2}}}},
		}}},
	}
	p, err := compiled.Compile(policy, compiled.Options{})
	require.NoError(t, err)
	_, err = p.Eval(t.Context(), compiled.Query{})
	require.ErrorContains(t, err, "calls within each other")
}

func TestAPanicIsAnErrorAndTheMachineGoesOn(t *testing.T) {
	panics := rego.Function1(&rego.Function{Name: "panics", Decl: types.NewFunction(types.Args(types.A), types.A)},
		func(_ rego.BuiltinContext, op *ast.Term) (*ast.Term, error) {
			if op.Value.Compare(ast.Boolean(true)) == 0 {
				panic("as it says")
			}
			return op, nil
		})
	q, err := rego.New(rego.Query("panics(input)"), panics, rego.Target(compiled.Target)).PrepareForEval(t.Context())
	require.NoError(t, err)
	for range 3000 { // more often than calls may be within each other
		_, err = q.Eval(t.Context(), rego.EvalInput(true))
		require.ErrorContains(t, err, "as it says")
		got, err := q.Eval(t.Context(), rego.EvalInput("well"))
		require.NoError(t, err)
		require.Equal(t, "well", got[0].Expressions[0].Value)
	}
}

func TestErrorsAreTopdowns(t *testing.T) {
	var e *topdown.Error
	p := program(t, module("h", "package h\n\nx := 1 / 0", "x = data.h.x"))
	_, err := p.Eval(t.Context(), compiled.Query{StrictBuiltinErrors: true})
	require.ErrorAs(t, err, &e)
	require.Equal(t, "h.rego:3: eval_builtin_error: div: divide by zero", e.Error())
	got, err := p.Eval(t.Context(), compiled.Query{})
	require.NoError(t, err)
	require.Zero(t, got.Len())
	require.False(t, errors.Is(err, compiled.ErrNotCompiled))
}
