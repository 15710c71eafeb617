package compiled

import (
	"encoding/json"
	"iter"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Get is the value of an object's field, nil when v has none.
func Get(v Value, name string) Value {
	o, ok := v.(*object)
	if !ok {
		return nil
	}
	if at := o.findString(name); at >= 0 {
		return o.values[at]
	}
	return nil
}

// Item is an array's element at position i, nil where it has none.
func Item(v Value, i int) Value {
	a, ok := v.(*array)
	if !ok || i < 0 || i >= len(a.items) {
		return nil
	}
	return a.items[i]
}

// ToGo is a value as Go's: nil, bool, json.Number, string, []any for arrays and
// sets, map[string]any. Keys that aren't strings are their JSON. It is a copy.
func ToGo(v Value) (any, error) {
	switch v := v.(type) {
	case nil, *null:
		return nil, nil
	case *boolean:
		return v.is, nil
	case *text:
		return v.s, nil
	case *integer, *decimal:
		return json.Number(numberText(v)), nil
	case *array:
		return toList(v.items, nil)
	case *set:
		return toList(v.list, v.order())
	case *object:
		out := make(map[string]any, len(v.list))
		for i, key := range v.list {
			name, ok := key.(*text)
			if !ok {
				return ast.JSON(ToAST(v))
			}
			one, err := ToGo(v.values[i])
			if err != nil {
				return nil, err
			}
			out[name.s] = one
		}
		return out, nil
	}
	return ast.JSON(ToAST(v))
}

func toList(items []Value, order []int32) (any, error) {
	out := make([]any, len(items))
	for i := range items {
		var err error
		if out[i], err = ToGo(at(items, order, i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// IsTrue tells whether a value is exactly true: not undefined, not 1, not "true".
func IsTrue(v Value) bool {
	b, ok := v.(*boolean)
	return ok && b.is
}

// Text is a string's.
func Text(v Value) (string, bool) {
	t, ok := v.(*text)
	if !ok {
		return "", false
	}
	return t.s, true
}

// Int is an integer that fits 64 bits and is written without a point or an exponent.
func Int(v Value) (int64, bool) {
	i, ok := v.(*integer)
	if !ok {
		return 0, false
	}
	return i.n, true
}

// Digits is a number as it was written.
func Digits(v Value) (json.Number, bool) {
	if kindOf(v) != Number {
		return "", false
	}
	return json.Number(numberText(v)), true
}

// Len is how many elements a collection has, 0 for what isn't one.
func Len(v Value) int {
	if kindOf(v) < Array {
		return 0
	}
	n, _ := sizeOf(v)
	return n
}

// All gives the elements of a collection in Rego's order: positions and items,
// names and values, or twice the element of a set. Nothing for what isn't one.
func All(v Value) iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		switch v := v.(type) {
		case *array:
			for i, item := range v.items {
				var heap *arena
				if !yield(heap.integer(int64(i)), item) {
					return
				}
			}
		case *object:
			order := v.order()
			for i := range v.list {
				if !yield(at(v.list, order, i), at(v.values, order, i)) {
					return
				}
			}
		case *set:
			order := v.order()
			for i := range v.list {
				e := at(v.list, order, i)
				if !yield(e, e) {
					return
				}
			}
		}
	}
}

// Equal is Rego's ==; undefined equals nothing but undefined.
func Equal(a, b Value) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return equal(a, b)
}

// Compare orders values as Rego does, undefined first.
func Compare(a, b Value) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return compare(a, b)
}
