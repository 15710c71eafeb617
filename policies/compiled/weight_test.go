package compiled_test

import (
	"context"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

// Values that are given weigh what those of an evaluation do.
func TestWhatIsGivenWeighs(t *testing.T) {
	const many = 5000
	list, named := make([]any, many), map[string]any{}
	var values []compiled.Value
	var b compiled.Builder
	for i := range many {
		list[i] = i
		values = append(values, b.Int(int64(i)))
		named[ast.Number(string(rune('a'+i%26))).String()+ast.IntNumberTerm(i).String()] = i
	}
	var fields []compiled.Field
	var names []string
	for k := range named {
		names = append(names, k)
		fields = append(fields, compiled.Field{Name: k, Value: b.Int(1)})
	}
	made := func(v any) compiled.Value {
		own, err := b.Go(v)
		require.NoError(t, err)
		return own
	}
	terms := make([]*ast.Term, many)
	for i := range terms {
		terms[i] = ast.IntNumberTerm(i)
	}
	for name, l := range map[string]compiled.Value{
		"array":          b.Array(values...),
		"strings":        b.Strings(make([]string, many)),
		"set":            b.Set(values...),
		"object":         b.Object(fields...),
		"named":          b.Named(names, values),
		"shaped":         b.Shaped(compiled.NewShape(names...), values...),
		"Go's list":      made(list),
		"Go's map":       made(named),
		"Go's strings":   made(make([]string, many)),
		"OPA's array":    compiled.FromAST(ast.NewArray(terms...)),
		"OPA's object":   compiled.FromAST(ast.MustInterfaceToValue(named)),
		"OPA's set":      b.AST(ast.NewSet(terms...)),
		"in each other":  b.Array(b.Array(b.Array(values...))),
		"OPA's in other": compiled.FromAST(ast.NewArray(ast.ArrayTerm(terms...))),
	} {
		n := make([]any, 300)
		for i := range n {
			n[i] = i
		}
		input := b.Object(compiled.Field{Name: "l", Value: l}, compiled.Field{Name: "n", Value: made(n)})
		_, err := evaluated(t, `l := input.l; a := {[i, l] | some i in input.n}; [1, l] in a`, compiled.Query{Input: input})
		require.ErrorIs(t, err, compiled.ErrNotCompiled, name)
		_, err = evaluated(t, `l := input.l; a := {[i, l] | some i in input.n; i < 10}; [1, l] in a; max([l, l]) == l`, compiled.Query{Input: input})
		require.NoError(t, err, name)
	}
}

// So does what functions make of them.
func TestWhatFunctionsMakeWeighs(t *testing.T) {
	for _, made := range []string{
		`input.l`, `s - {1}`, `s & s`, `s | {"x"}`, `array.concat(input.l, [1])`, `array.reverse(input.l)`, `sort(input.l)`, `sort(s)`,
		`object.keys({k: 1 | some k in input.l})`, `json.unmarshal(json.marshal(input.l))`, `[v | walk(input.l, [_, v])]`,
	} {
		_, err := evaluated(t, `s := {x | some x in input.l}; l := `+made+`; a := {[i, l] | some i in input.n}; [1, l] in a`, compiled.Query{Input: large(t, 5000, 300)})
		require.ErrorIs(t, err, compiled.ErrNotCompiled, made)
	}
	_, err := evaluated(t, `x := [input, 1] with input.n as [input.l | some _ in input.l]`, compiled.Query{Input: large(t, 2000, 1)})
	require.NoError(t, err)
	_, err = evaluated(t, `l := [input.l | some _ in input.l]; input == 1 with input.n as l with input.o as l`, compiled.Query{Input: large(t, 2000, 1)})
	require.ErrorIs(t, err, compiled.ErrNotCompiled)
}

// What OPA's functions are given is written out, with all that is the same as often
// as it is held.
func TestWhatIsTooLargeToBeWrittenOut(t *testing.T) {
	for _, query := range []string{
		`x := max([[l, 1] | some _ in input.l; l := input.l])`, // of equals only OPA knows which
		`x := json.marshal([l | some _ in input.l; l := input.l])`,
	} {
		_, err := evaluated(t, query, compiled.Query{Input: large(t, 1000, 1)})
		require.ErrorIs(t, err, compiled.ErrNotCompiled, query)
		_, err = evaluated(t, query, compiled.Query{Input: large(t, 100, 1)})
		require.NoError(t, err, query)
	}
	_, err := evaluated(t, `x := json.marshal(input)`, compiled.Query{Input: large(t, 200_000, 1)})
	require.ErrorIs(t, err, compiled.ErrNotCompiled)
	input, data := large(t, 1, 1), compiled.FromAST(ast.MustParseTerm(`{"l": {}}`).Value)
	_, err = evaluated(t, `x := json.marshal(data)`, compiled.Query{Input: input, Data: data})
	require.NoError(t, err)
}

// What is gone through in one is counted before, and looked at after.
func TestWorkIsCounted(t *testing.T) {
	const many = 3000
	for _, query := range []string{
		`input.l = input.m`, `input.l == input.m`, `[input.l, 1] < [input.m, 2]`,
		`a := [input.l]; input.m in a`, `a := {"k": input.l}; input.m in a`, `a := {[input.l, 1]}; not [input.m, 2] in a`, `a := {[input.l, 1]: 2}; a[[input.m, 1]] = 2`,
		`"k", input.m in {"k": input.l}`, `object.get({"k": 1}, [input.l], 2) == 2`,
		`a := {[input.l, 2], [input.m, 1]}; some x in a; x[1] == 2`, `a := {[input.l, 1], [input.m, 1]}`,
		`count(input.s & input.t) == 1`, `count(input.s - input.t) == 0`,
		`a := {"k": input.l | some _ in [1, 2]}`,
		`max([[input.l, 1], [input.m, 2]])[1] == 2`, `min([[input.l, 1], [input.m, 2]])[1] == 1`,
	} {
		input := large(t, many, 1)
		steps, err := evaluated(t, query, compiled.Query{Input: input})
		require.NoError(t, err, query)
		require.GreaterOrEqual(t, steps, int64(many), query)
		_, err = evaluated(t, query+"; count(input.n) == 1", compiled.Query{Input: input, MaxSteps: many / 2})
		require.True(t, topdown.IsCancel(err), "%s: %v", query, err)
	}
	for _, query := range []string{`input.l = input.m`, `x := {input.l}`, `x := {"k": 1, input.l: 1}`} { // nothing comes after
		_, err := evaluated(t, query, compiled.Query{Input: large(t, many, 1), MaxSteps: many / 2})
		require.True(t, topdown.IsCancel(err), "%s: %v", query, err)
	}
}

// What a table or a memory spares is known: topdown isn't spared it.
func TestSpared(t *testing.T) {
	spared := func(query string) int64 {
		p := programOf(t, query, compiled.Options{})
		m := p.Machine()
		defer m.Release()
		_, err := m.Eval(context.Background(), compiled.Query{Input: large(t, 300, 100)})
		require.NoError(t, err)
		require.Less(t, m.Steps(), int64(2000))
		return m.Spared()
	}
	require.Zero(t, spared(`count(input.l) == count(input.n)`))
	require.Greater(t, spared(`x := [1 | some a in input.n; some b in input.l; a == b]`), int64(95*299))
	require.Greater(t, spared(`x := [y | some a in input.n; b := input.n[0]; y := count([1 | some c in input.n; c != b])]`), int64(98*100))
}

// large has a list of n integers twice, not the same, and one of few, and in two sets.
func large(t *testing.T, n, few int) compiled.Value {
	t.Helper()
	list := make([]any, n)
	for i := range list {
		list[i] = i
	}
	var b compiled.Builder
	var fields []compiled.Field
	for name, list := range map[string][]any{"l": list, "m": list, "n": list[:min(few, n)]} {
		v, err := b.Go(list)
		require.NoError(t, err)
		fields = append(fields, compiled.Field{Name: name, Value: v})
	}
	for _, name := range []string{"s", "t"} {
		v, err := b.Go(list[:min(n, 3000)])
		require.NoError(t, err)
		fields = append(fields, compiled.Field{Name: name, Value: b.Set(b.Array(v, b.Int(2)))})
	}
	return b.Object(fields...)
}

// evaluated gives the steps that it took.
func evaluated(t *testing.T, query string, q compiled.Query) (int64, error) {
	t.Helper()
	m := programOf(t, query, compiled.Options{}).Machine()
	defer m.Release()
	_, err := m.Eval(context.Background(), q)
	return m.Steps(), err
}
