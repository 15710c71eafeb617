package compiled_test

import (
	"cmp"
	"encoding/json"
	"testing"
	"testing/fstest"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

func moduleFS(name, source string) fstest.MapFS { return fstest.MapFS{name: {Data: []byte(source)}} }

// anything is a random value of OPA's, sets and objects with keys of any kind included.
func anything(s *source, depth int) ast.Value {
	if depth == 0 || s.chance(4) {
		return ast.MustInterfaceToValue(document(s, 0))
	}
	var list []*ast.Term
	o := ast.NewObject()
	n := s.n(5)
	if s.chance(1) {
		n = 30 // beyond what is looked through one by one
	}
	for range n {
		list = append(list, ast.NewTerm(anything(s, depth-1)))
		o.Insert(ast.NewTerm(anything(s, depth-1)), ast.NewTerm(anything(s, depth-1)))
	}
	switch s.n(3) {
	case 0:
		return ast.NewArray(list...)
	case 1:
		return ast.NewSet(list...)
	}
	return o
}

// Our values are compared, ordered, found and converted as OPA's.
func TestValuesAgreeWithOPA(t *testing.T) {
	s := seeded(7)
	for range 4000 {
		a, b := anything(s, 2), anything(s, 2)
		x, y := compiled.FromAST(a), compiled.FromAST(b)
		require.Equal(t, cmp.Compare(a.Compare(b), 0), cmp.Compare(compiled.Compare(x, y), 0), "%v and %v", a, b)
		require.Equal(t, a.Compare(b) == 0, compiled.Equal(x, y), "%v and %v", a, b)
		require.Equal(t, a.String(), compiled.ToAST(x).String())
		rebuilt := rebuild(x)
		require.True(t, compiled.Equal(x, rebuilt), "%v", a)
		require.Equal(t, a.String(), compiled.ToAST(rebuilt).String())
	}
}

// rebuild makes a value anew, its elements the other way round.
func rebuild(v compiled.Value) compiled.Value {
	var b compiled.Builder
	var keys, values []compiled.Value
	for k, item := range compiled.All(v) {
		keys, values = append([]compiled.Value{k}, keys...), append([]compiled.Value{rebuild(item)}, values...)
	}
	switch {
	case v.Kind() == compiled.Set:
		return b.Set(values...)
	case v.Kind() == compiled.Object && allText(keys):
		var fields []compiled.Field
		for i, k := range keys {
			name, _ := compiled.Text(k)
			fields = append(fields, compiled.Field{Name: name, Value: values[i]})
		}
		return b.Object(fields...)
	}
	return v
}

func allText(list []compiled.Value) bool {
	for _, v := range list {
		if v.Kind() != compiled.String {
			return false
		}
	}
	return true
}

func TestBuilderMakesWhatJSONSays(t *testing.T) {
	s := seeded(3)
	var b compiled.Builder
	for range 500 {
		doc := document(s, 4)
		own, err := b.Go(doc)
		require.NoError(t, err)
		require.Equal(t, ast.MustInterfaceToValue(doc).String(), compiled.ToAST(own).String())
		b.Reset()
	}
}

func TestReadingValues(t *testing.T) {
	var b compiled.Builder
	big, err := b.Go(json.Number("1e3"))
	require.NoError(t, err)
	o := b.Shaped(compiled.NewShape("z", "a"), b.Int(1), b.Array(b.Bool(true), b.Null(), big))
	require.Equal(t, `{"a": [true, null, 1e3], "z": 1}`, compiled.ToAST(o).String())
	n, ok := compiled.Int(compiled.Get(o, "z"))
	require.True(t, ok)
	require.EqualValues(t, 1, n)
	require.Nil(t, compiled.Get(o, "b"))
	require.Nil(t, compiled.Get(nil, "b"))
	require.Equal(t, 3, compiled.Len(compiled.Get(o, "a")))
	require.False(t, compiled.IsTrue(compiled.Get(o, "a")))
	digits, ok := compiled.Digits(big)
	require.True(t, ok)
	require.Equal(t, json.Number("1e3"), digits)
	_, ok = compiled.Int(big)
	require.False(t, ok)
	_, ok = compiled.Text(nil)
	require.False(t, ok)
	for i, item := range compiled.All(compiled.Get(o, "a")) {
		at, _ := compiled.Int(i)
		require.Equal(t, at == 0, compiled.IsTrue(item))
	}
	require.Panics(t, func() { b.Shaped(compiled.NewShape("a"), b.Int(1), b.Int(2)) })
}
