package compiled_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

func programOf(t *testing.T, query string, options compiled.Options) *compiled.Program {
	t.Helper()
	plan, err := compiled.Plan(context.Background(), rego.Query(query))
	require.NoError(t, err)
	p, err := compiled.Compile(plan, options)
	require.NoError(t, err)
	return p
}

func TestWhatCallsOnlyQuickFunctionsIsPrompt(t *testing.T) {
	for query, want := range map[string]bool{
		`x = input.a`: true,
		`x = [y | some y in input.a; y > 1; startswith(y, "a"); y in {"ab"}]`: true,
		`x = count(input.a) + 1`:        true,
		`x = sprintf("%d", [input.a])`:  false, // "%999999999d"
		`x = concat("", input.a)`:       false,
		`x = input.a * input.b`:         false, // digits add up
		`regex.match(input.a, input.b)`: false,
		`walk(input, [_, x])`:           false,
		`x = numbers.range(1, input.a)`: false,
		`x = time.now_ns()`:             false,
		`x = [y | some y in input.a; z := [u | some u in y; upper(u) == "A"]]`:     true,
		`x = [y | some y in input.a; z := [u | some u in y; indexof(u, "") == 1]]`: false,
	} {
		require.Equal(t, want, programOf(t, query, compiled.Options{}).Prompt(), query)
	}
	own := compiled.Options{Builtins: map[string]*topdown.Builtin{"count": {Decl: ast.Count, Func: topdown.GetBuiltin("count")}}}
	require.False(t, programOf(t, `x = count(input.a)`, own).Prompt(), "nobody knows what it does")
}

func TestDeadline(t *testing.T) {
	p := programOf(t, `x = [1 | some a in input; some b in input; some c in input; some d in input; a + b + c + d < 0]`, compiled.Options{})
	list := make([]any, 1000)
	for i := range list {
		list[i] = i
	}
	in, err := compiled.FromGo(list)
	require.NoError(t, err)
	m := p.Machine()
	defer m.Release()
	for _, deadline := range []time.Time{time.Now().Add(-time.Second), time.Now().Add(20 * time.Millisecond)} {
		_, err = m.Eval(context.Background(), compiled.Query{Input: in, Deadline: deadline})
		require.True(t, topdown.IsCancel(err), err)
	}
	results, err := m.Eval(context.Background(), compiled.Query{Input: compiled.FromAST(ast.NewArray()), Deadline: time.Now().Add(time.Minute)})
	require.NoError(t, err)
	require.Len(t, results, 1)
}

// What one builder made may be held by another's, and stays.
func TestBuildersMix(t *testing.T) {
	p := programOf(t, `x = {k | input.stays[k] == input.goes[k]}`, compiled.Options{})
	var lasting compiled.Builder
	stays := lasting.Object(compiled.Field{Name: "a", Value: lasting.Strings([]string{"x", "y"})}, compiled.Field{Name: "b", Value: lasting.Int(1 << 40)},
		compiled.Field{Name: "c", Value: lasting.Number("1.5")}, compiled.Field{Name: "d", Value: lasting.Set(lasting.String("s"), lasting.Null())})
	lasting.Reset()
	for range 3 {
		m := p.Machine()
		b := m.Builder()
		goes := b.Object(compiled.Field{Name: "a", Value: b.Strings([]string{"x", "y"})}, compiled.Field{Name: "b", Value: b.Int(1 << 40)}, compiled.Field{Name: "c", Value: b.Number("2.5")})
		results, err := m.Eval(context.Background(), compiled.Query{Input: b.Object(compiled.Field{Name: "stays", Value: stays}, compiled.Field{Name: "goes", Value: goes})})
		require.NoError(t, err)
		require.Equal(t, `{"a", "b"}`, compiled.ToAST(compiled.Get(results[0], "x")).String())
		m.Release()
	}
}

func TestToGoIsWhatOPAsJSONIs(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `1`, `-0.50`, `"é\n"`, `[]`, `{}`, `set()`, `[1, [2, {"a": null}]]`, `{3, 1, "b", [1], {"x": 1}}`,
		`{"b": 1, "a": {"c": [true]}}`, `{1: "one", [1, "a"]: {2}, null: 1}`, `{"a": {true: 1}}`, `12345678901234567890123456789`,
	} {
		v := ast.MustParseTerm(text).Value
		want, err := ast.JSON(v)
		require.NoError(t, err)
		got, err := compiled.ToGo(compiled.FromAST(v))
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
	none, err := compiled.ToGo(nil)
	require.NoError(t, err)
	require.Nil(t, none)
}

// Values that hold themselves twice over, forty times, take nothing to make and
// for ever to compare: they aren't made.
func TestHeavyValuesAreHandedOver(t *testing.T) {
	double := func(open, shut, first string) string {
		text := ""
		for _, side := range []string{"a", "b"} {
			text += fmt.Sprintf("%s0 := %s; ", side, first)
			for i := range 40 {
				text += fmt.Sprintf("%s%d := %s%s%d, %s%d%s; ", side, i+1, open, side, i, side, i, shut)
			}
		}
		return text
	}
	for name, query := range map[string]string{
		"arrays":         double("[", "]", "input.x") + "a40 == b40",
		"constants":      double("[", "]", "1") + "a40 == b40",
		"objects":        strings.NewReplacer("{a", `{"k": a`, "{b", `{"k": b`, ", a", `, "l": a`, ", b", `, "l": b`).Replace(double("{", "}", "input.x")) + "a40 == b40",
		"comprehensions": `l := numbers.range(1, 1000); x := [l | some _ in l]; y := [x | some _ in l]; z := [y | some _ in l]; w := [z | some _ in l]; w == w; count(w) == 1000`,
	} {
		p := programOf(t, query, compiled.Options{})
		m := p.Machine()
		began := time.Now()
		_, err := m.Eval(context.Background(), compiled.Query{Input: compiled.FromAST(ast.MustParseTerm(`{"x": 1}`).Value)})
		require.ErrorIs(t, err, compiled.ErrNotCompiled, name)
		require.Less(t, time.Since(began), 20*time.Second)
		m.Release()
	}
}

// Steps count what is gone through in one.
func TestSteps(t *testing.T) {
	p := programOf(t, `a := [y | some y in input]; b := [y | some y in input]; x := [1 | some _ in input; a == b]`, compiled.Options{})
	steps := func(n int) int64 {
		m := p.Machine()
		defer m.Release()
		list := make([]any, n)
		in, err := compiled.FromGo(list)
		require.NoError(t, err)
		_, err = m.Eval(context.Background(), compiled.Query{Input: in})
		require.NoError(t, err)
		return m.Steps()
	}
	require.Less(t, steps(0), int64(10))
	require.Greater(t, steps(100), int64(100*100))
	require.Greater(t, steps(200), int64(200*200))
}
