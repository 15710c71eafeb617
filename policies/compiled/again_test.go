package compiled_test

import (
	"fmt"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

// A machine that goes on from one input to the next answers as one that begins anew,
// whatever has changed, and doesn't evaluate what hasn't.
func TestAgainIsAsAnew(t *testing.T) {
	compared, failing, anew, again := 0, 0, int64(0), int64(0)
	for seed := uint64(1); compared < 1500; seed++ {
		s := seeded(seed)
		p := generate(s)
		compiler, err := ast.CompileModulesWithOpt(p.modules, ast.CompileOpts{})
		if err != nil {
			continue // the grammar makes modules that aren't well typed
		}
		query := p.queries[s.n(len(p.queries))]
		plan, err := compiled.Plan(t.Context(), rego.Compiler(compiler), rego.Query("x = "+query))
		if err != nil {
			continue
		}
		program, err := compiled.Compile(plan, compiled.Options{})
		if err != nil {
			continue
		}
		q := compiled.Query{Data: own(t, map[string]any{"base": fields(s)}), StrictBuiltinErrors: s.chance(3)}
		goesOn := program.Machine()
		kept := map[string]compiled.Value{}
		for name, v := range fields(s) {
			kept[name] = own(t, v)
		}
		for range 12 {
			if s.chance(1) { // what is made now may lie where the input before did
				goesOn.Builder().Reset()
			}
			q.Input = partly(t, s, goesOn.Builder(), kept)
			fresh := program.Machine()
			q.Again = false
			want, wantErr := fresh.Eval(t.Context(), q)
			q.Again = true
			got, err := goesOn.Eval(t.Context(), q)
			said := fmt.Sprintf("seed %d, query %s\ninput %v\n%v\n%v", seed, query, compiled.ToAST(q.Input), p.modules["lib.rego"], p.modules["test.rego"])
			if wantErr != nil {
				failing++
				require.EqualError(t, err, wantErr.Error(), said)
			} else {
				require.NoError(t, err, said)
				require.Equal(t, texts(want), texts(got), said)
				anew, again = anew+fresh.Steps(), again+goesOn.Steps()
			}
			fresh.Release()
			compared++
		}
		goesOn.Release()
	}
	t.Logf("compared %d, with an error %d; steps anew %d, going on %d", compared, failing, anew, again)
	require.Positive(t, failing)
	require.Less(t, again, anew)
}

func own(t *testing.T, v any) compiled.Value {
	t.Helper()
	out, err := compiled.FromGo(v)
	require.NoError(t, err)
	return out
}

func texts(list []compiled.Value) (out []string) {
	for _, v := range list {
		out = append(out, compiled.ToAST(v).String())
	}
	return out
}

// partly is an input that mostly has fields of ever the same values, which no reset
// takes back.
func partly(t *testing.T, s *source, b *compiled.Builder, kept map[string]compiled.Value) compiled.Value {
	t.Helper()
	now := map[string]compiled.Value{}
	for name, v := range fields(s) {
		var err error
		now[name], err = b.Go(v)
		require.NoError(t, err)
	}
	if s.chance(8) {
		for _, name := range []string{"a", "b", "c", "d", "rows"} {
			if v, ok := kept[name]; ok && s.chance(8) {
				now[name] = v
			}
		}
	}
	var made []compiled.Field
	for name, v := range now {
		made = append(made, compiled.Field{Name: name, Value: v})
	}
	return b.Object(made...)
}

// What reads an input only by names of its fields goes on; what may read all of it, or
// more than it, doesn't.
func TestWhatGoesOn(t *testing.T) {
	for name, tt := range map[string]struct {
		rule  string
		again bool
	}{
		"another field":       {`r := input.a.x + 1`, true},
		"nothing":             {`r := count(data.base)`, true},
		"through a rule":      {"r := f(1)\nf(n) := input.a.x + n", true},
		"the field":           {`r := input.event`, false},
		"through another":     {"r := other\nother := input.event", false},
		"a computed name":     {`r := [v | some k in ["event"]; v := input[k]]`, false},
		"all of it":           {`r := count(input)`, false},
		"all, handed on":      {"r := f(input)\nf(x) := x.a.x", false},
		"all, by iteration":   {`r := {k | some k, _ in input}`, false},
		"with another":        {"r := v if v := o with input.a.x as input.event\no := input.a.x", false},
		"more than the input": {`r := time.now_ns()`, false},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := compiled.Plan(t.Context(), rego.Query("x = data.p.r"), rego.Module("p.rego", "package p\n"+tt.rule))
			require.NoError(t, err)
			program, err := compiled.Compile(plan, compiled.Options{})
			require.NoError(t, err)
			m := program.Machine()
			defer m.Release()
			a, data := own(t, map[string]any{"x": 1}), own(t, map[string]any{"base": []any{1}})
			steps := make([]int64, 2)
			for i := range steps {
				var b compiled.Builder
				in := b.Object(compiled.Field{Name: "a", Value: a}, compiled.Field{Name: "event", Value: b.String(fmt.Sprint("e", i))})
				results, err := m.Eval(t.Context(), compiled.Query{Input: in, Data: data, Again: true})
				require.NoError(t, err)
				require.Len(t, results, 1)
				steps[i] = m.Steps()
			}
			_, err = m.Eval(t.Context(), compiled.Query{Input: own(t, map[string]any{"event": "e", "a": map[string]any{"x": 2}}), Data: data, Again: true})
			require.NoError(t, err)
			require.Equal(t, tt.again, steps[1] < steps[0], "%d steps and then %d", steps[0], steps[1])
		})
	}
}

// What the builder made is nothing to go on from once it was taken back, though what
// it makes then lies in the same place; other data is nothing to go on from either.
func TestNothingGoesOnFromOtherMemory(t *testing.T) {
	plan, err := compiled.Plan(t.Context(), rego.Query("x = data.p.r"), rego.Module("p.rego", "package p\nr := [a, b]\na := input.a.x + 1\nb := data.base"))
	require.NoError(t, err)
	program, err := compiled.Compile(plan, compiled.Options{})
	require.NoError(t, err)
	m := program.Machine()
	defer m.Release()
	b, data := m.Builder(), own(t, map[string]any{"base": 0})
	for i := range int64(6) {
		if i == 4 {
			data = own(t, map[string]any{"base": 1})
		}
		b.Reset()
		in := b.Object(compiled.Field{Name: "a", Value: b.Object(compiled.Field{Name: "x", Value: b.Int(5000 + i)})})
		results, err := m.Eval(t.Context(), compiled.Query{Input: in, Data: data, Again: true})
		require.NoError(t, err)
		require.Equal(t, []string{fmt.Sprintf(`{"x": [%d, %d]}`, 5001+i, i/4)}, texts(results))
	}
}
