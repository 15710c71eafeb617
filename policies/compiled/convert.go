package compiled

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
)

// FromAST is OPA's value as one of ours, nil for nil. It panics on what isn't a
// value yet: a variable, a reference, a comprehension.
func FromAST(v ast.Value) Value {
	own := fromAST(nil, v)
	freeze(own)
	return own
}

// FromGo is what encoding/json makes of a document, with numbers as json.Number
// or of any of Go's types; structs go by their JSON.
func FromGo(v any) (Value, error) {
	converted, err := ast.InterfaceToValue(v)
	if err != nil {
		return nil, fmt.Errorf("compiled: %w", err)
	}
	return FromAST(converted), nil
}

// ToAST is our value as OPA's, nil for nil.
func ToAST(v Value) ast.Value {
	if v == nil {
		return nil
	}
	return term(v).Value
}

func fromAST(a *arena, v ast.Value) Value {
	switch v := v.(type) {
	case nil:
		return nil
	case ast.Null:
		return theNull
	case ast.Boolean:
		return boolOf(bool(v))
	case ast.Number:
		return numberOf(a, string(v))
	case ast.String:
		return a.text(string(v))
	case *ast.Array:
		items := a.list(v.Len())
		v.Foreach(func(t *ast.Term) { items = append(items, fromAST(a, t.Value)) })
		return a.array(items)
	case ast.Object:
		o := a.object()
		o.origin, o.ascending = v, true
		o.list, o.values = a.list(v.Len()), a.list(v.Len())
		v.Foreach(func(k, t *ast.Term) {
			o.list = append(o.list, fromAST(a, k.Value))
			o.values = append(o.values, fromAST(a, t.Value))
		})
		o.weigh()
		return o
	case ast.Set:
		s := a.set()
		s.origin, s.ascending = v, true
		s.list = a.list(v.Len())
		v.Foreach(func(t *ast.Term) { s.list = append(s.list, fromAST(a, t.Value)) })
		s.weight = weightOfAll(s.list)
		return s
	}
	panic(fmt.Sprintf("compiled: %s isn't a value", ast.ValueName(v)))
}

// freeze makes a value readable by several at once.
func freeze(v Value) {
	switch v := v.(type) {
	case *array:
		if v.frozen {
			return
		}
		v.frozen = true
		for _, item := range v.items {
			freeze(item)
		}
	case *object:
		if v.frozen {
			return
		}
		v.freeze()
		for i, key := range v.list {
			freeze(key)
			freeze(v.values[i])
		}
	case *set:
		if v.frozen {
			return
		}
		v.freeze()
		for _, key := range v.list {
			freeze(key)
		}
	}
}

func terms(list []Value) []*ast.Term {
	out := make([]*ast.Term, len(list))
	for i, v := range list {
		out[i] = term(v)
	}
	return out
}

func term(v Value) *ast.Term {
	switch v := v.(type) {
	case *null:
		return ast.InternedNullTerm
	case *boolean:
		return ast.InternedTerm(v.is)
	case *integer:
		if n := int(v.n); int64(n) == v.n {
			return ast.IntNumberTerm(n)
		}
		return ast.NewTerm(numberText(v))
	case *decimal:
		return ast.NewTerm(ast.Number(v.text))
	case *text:
		return ast.StringTerm(v.s)
	case *array:
		return ast.ArrayTerm(terms(v.items)...)
	case *object:
		if v.origin != nil {
			return ast.NewTerm(v.origin)
		}
		o := ast.NewObjectWithCapacity(len(v.list))
		for i, key := range v.list {
			o.Insert(term(key), term(v.values[i]))
		}
		return ast.NewTerm(o)
	case *set:
		if v.origin != nil {
			return ast.NewTerm(v.origin)
		}
		return ast.SetTerm(terms(v.list)...)
	}
	return nil
}
