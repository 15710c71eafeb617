package compiled

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Builder makes input as evaluations read it, without a way over OPA's values
// or JSON. Any number of evaluations may read its values at once, and those of
// one builder may hold another's. What the zero Builder makes is valid for ever;
// what a machine's own makes, until that machine's Release. The Builder itself
// isn't for concurrent use.
type Builder struct{ arena *arena }

// Builder is the machine's own; what it makes outlives evaluations, so that
// one input may be changed in a field and asked again.
func (m *Machine) Builder() *Builder { return &m.builder }

// Reset takes back all that a machine's own builder made.
func (b *Builder) Reset() {
	if b.arena != nil {
		b.arena.reset()
	}
}

// Null is Rego's null.
func (*Builder) Null() Value { return theNull }

// Bool is true or false.
func (*Builder) Bool(is bool) Value { return boolOf(is) }

// Int is an integer.
func (b *Builder) Int(n int64) Value { return b.arena.integer(n) }

// Number is a number as it is written. The text must be a JSON number.
func (b *Builder) Number(n json.Number) Value { return numberOf(b.arena, string(n)) }

// String is a string; it isn't copied.
func (b *Builder) String(s string) Value { return b.arena.text(s) }

// Array is an array of the items, none of which may be undefined.
func (b *Builder) Array(items ...Value) Value {
	a := b.arena.array(append(b.arena.list(len(items)), items...))
	a.frozen = true
	return a
}

// Strings is an array of strings.
func (b *Builder) Strings(list []string) Value {
	items := b.arena.list(len(list))
	for _, s := range list {
		items = append(items, b.arena.text(s))
	}
	a := b.arena.array(items)
	a.frozen = true
	return a
}

// Set is a set of the items, none of which may be undefined.
func (b *Builder) Set(items ...Value) Value {
	s := b.arena.set()
	for _, item := range items {
		s.add(b.arena, item)
	}
	s.weight = weightOfAll(s.list)
	if order := s.order(); order != nil {
		s.list = b.rearranged(s.list, order)
	}
	s.inOrder()
	return s
}

// Field is one of an object's.
type Field struct {
	Name  string
	Value Value // a field that is undefined isn't there
}

// Object is an object of the fields; of two with one name the later counts.
func (b *Builder) Object(fields ...Field) Value {
	o := b.arena.object()
	for _, f := range fields {
		if f.Value != nil {
			o.put(b.arena, b.arena.text(f.Name), f.Value)
		}
	}
	return b.ordered(o)
}

// Named is Object of names with their values, none of which may be undefined. It
// keeps neither list.
func (b *Builder) Named(names []string, values []Value) Value {
	o := b.arena.object()
	o.list, o.values = b.arena.list(len(names)), b.arena.list(len(names))
	for i, name := range names {
		o.put(b.arena, b.arena.text(name), values[i])
	}
	return b.ordered(o)
}

func (b *Builder) ordered(o *object) Value {
	if order := o.order(); order != nil {
		o.list, o.values = b.rearranged(o.list, order), b.rearranged(o.values, order)
	}
	o.inOrder()
	o.weigh()
	return o
}

func (b *Builder) rearranged(list []Value, order []int32) []Value {
	out := b.arena.list(len(list))
	for _, at := range order {
		out = append(out, list[at])
	}
	return out
}

// inOrder freezes keys that stand in Rego's order: they need nothing else.
func (k *keys) inOrder() {
	k.ascending, k.frozen = true, true
	k.sorted, k.table, k.hashes = nil, nil, nil
}

// Go is what encoding/json makes of a document, or any of Go's other values, as
// FromGo has it.
func (b *Builder) Go(v any) (Value, error) {
	switch v := v.(type) {
	case nil:
		return theNull, nil
	case bool:
		return boolOf(v), nil
	case string:
		return b.String(v), nil
	case int:
		return b.Int(int64(v)), nil
	case int64:
		return b.Int(v), nil
	case json.Number:
		if n, plain := numberOf(b.arena, string(v)).(*integer); plain {
			return n, nil
		}
	case []string:
		return b.Strings(v), nil
	case []any:
		items := b.arena.list(len(v))
		for _, item := range v {
			own, err := b.Go(item)
			if err != nil {
				return nil, err
			}
			items = append(items, own)
		}
		a := b.arena.array(items)
		a.frozen = true
		return a, nil
	case map[string]any:
		o := b.arena.object()
		o.list, o.values = b.arena.list(len(v)), b.arena.list(len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			own, err := b.Go(v[name])
			if err != nil {
				return nil, err
			}
			o.list, o.values = append(o.list, b.arena.text(name)), append(o.values, own)
		}
		o.inOrder()
		o.weigh()
		return o, nil
	}
	return FromGo(v)
}

// AST is OPA's value as FromAST has it.
func (b *Builder) AST(v ast.Value) Value {
	own := fromAST(b.arena, v)
	settle(own)
	return own
}

// settle freezes what was made in Rego's order.
func settle(v Value) {
	switch v := v.(type) {
	case *array:
		v.frozen = true
		for _, item := range v.items {
			settle(item)
		}
	case *object:
		v.frozen = true
		for i, key := range v.list {
			settle(key)
			settle(v.values[i])
		}
	case *set:
		v.frozen = true
		for _, key := range v.list {
			settle(key)
		}
	}
}

// Shape is what objects with the same names have in common. Make it once, and
// the objects cost their values only.
type Shape struct {
	keys keys
	at   []int // where the values of the names go, as they were given
}

// NewShape is the shape of objects with these names, no two of which may be the same.
func NewShape(names ...string) *Shape {
	s := &Shape{at: make([]int, len(names))}
	sorted := slices.Sorted(slices.Values(names))
	for _, name := range sorted {
		s.keys.list = append(s.keys.list, &text{name, hashText(name)})
	}
	for i, name := range names {
		s.at[i], _ = slices.BinarySearchFunc(sorted, name, strings.Compare)
	}
	s.keys.inOrder()
	return s
}

// Shaped is an object of a shape: one value for each of its names, in the order
// in which NewShape got them, none undefined.
func (b *Builder) Shaped(s *Shape, values ...Value) Value {
	if len(values) != len(s.at) {
		panic("compiled: a shape wants a value for each of its names")
	}
	o := b.arena.object()
	o.keys = s.keys
	o.values = b.arena.list(len(values))[:len(values)]
	for i, v := range values {
		o.values[s.at[i]] = v
	}
	o.weight = weight(len(values)).plus(weightOfAll(values))
	return o
}
