package compiled

import (
	"cmp"
	"hash/maphash"
	"strings"
	"unicode/utf8"
)

// Kind is the type of a Value. Values of unlike kinds are ordered as the kinds are.
type Kind uint8

// The kinds of Rego's values, in the order that Rego sorts them in.
const (
	Undefined Kind = iota // of a nil Value
	Null
	Boolean
	Number
	String
	Array
	Object
	Set
)

var kindNames = [...]string{"undefined", "null", "boolean", "number", "string", "array", "object", "set"}

func (k Kind) String() string { return kindNames[k] }

// Value is a value of Rego: immutable once it is built, nil when undefined.
// One that a Builder made or an evaluation returned is valid for as long as its
// documentation says; one that FromAST or FromGo made is valid for ever and may
// be used by any number of evaluations at once.
type Value interface {
	Kind() Kind
	hash() uint64
}

type (
	null    struct{}
	boolean struct{ is bool }
	text    struct {
		s string
		h uint64 // the hash of s where it is known, else 0
	}
	array struct {
		items  []Value
		frozen bool   // not to be appended to
		weight weight // of the items
	}
)

var (
	theNull  Value = &null{}
	theTrue  Value = &boolean{true}
	theFalse Value = &boolean{false}
)

func (*null) Kind() Kind    { return Null }
func (*boolean) Kind() Kind { return Boolean }
func (*text) Kind() Kind    { return String }
func (*array) Kind() Kind   { return Array }

func boolOf(is bool) Value {
	if is {
		return theTrue
	}
	return theFalse
}

// kindOf is Kind for values that may be undefined.
func kindOf(v Value) Kind {
	if v == nil {
		return Undefined
	}
	return v.Kind()
}

// seed keeps those who write inputs from aiming at one slot of a hash table.
// No order that anybody can see depends on it.
var seed = maphash.MakeSeed()

func hashText(s string) uint64 { return maphash.String(seed, s) | 1 }

func mix(h, x uint64) uint64 {
	h ^= x
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func (*null) hash() uint64 { return 0x6e756c6c }

func (b *boolean) hash() uint64 {
	if b.is {
		return 0x74727565
	}
	return 0x66616c73
}

func (t *text) hash() uint64 {
	if t.h != 0 {
		return t.h
	}
	return hashText(t.s)
}

func (a *array) hash() uint64 {
	h := mix(uint64(Array), uint64(len(a.items)))
	for _, v := range a.items {
		h = mix(h, v.hash())
	}
	return h
}

// equal is Rego's ==. Neither may be undefined.
func equal(a, b Value) bool {
	switch a := a.(type) {
	case *text:
		b, ok := b.(*text)
		return ok && (a == b || a.s == b.s)
	case *integer:
		switch b := b.(type) {
		case *integer:
			return a.n == b.n
		case *decimal:
			return compareNumbers(a, b) == 0
		}
		return false
	case *decimal:
		return b.Kind() == Number && compareNumbers(a, b) == 0
	case *boolean:
		b, ok := b.(*boolean)
		return ok && a.is == b.is
	case *null:
		return b.Kind() == Null
	case *array:
		b, ok := b.(*array)
		switch {
		case a == b:
			return true
		case !ok || len(a.items) != len(b.items):
			return false
		}
		for i, v := range a.items {
			if !equal(v, b.items[i]) {
				return false
			}
		}
		return true
	case *object:
		b, ok := b.(*object)
		return ok && (a == b || a.equal(b))
	case *set:
		b, ok := b.(*set)
		return ok && (a == b || a.equal(b))
	}
	return false
}

// compare orders values as Rego does. Neither may be undefined.
func compare(a, b Value) int {
	if a == b {
		return 0
	}
	if ka, kb := a.Kind(), b.Kind(); ka != kb {
		return cmp.Compare(ka, kb)
	}
	switch a := a.(type) {
	case *text:
		return strings.Compare(a.s, b.(*text).s)
	case *integer, *decimal:
		return compareNumbers(a, b)
	case *boolean:
		is := b.(*boolean).is
		switch {
		case a.is == is:
			return 0
		case is:
			return -1
		}
		return 1
	case *array:
		b := b.(*array)
		for i := 0; i < len(a.items) && i < len(b.items); i++ {
			if c := compare(a.items[i], b.items[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(a.items), len(b.items))
	case *object:
		return a.compare(b.(*object))
	case *set:
		return a.compare(b.(*set))
	}
	return 0 // both are null
}

// same tells whether two arguments can't be told apart: scalars by value,
// composites by identity. A composite that is merely equal isn't the same.
func same(a, b Value) bool {
	if a == b {
		return true
	}
	switch a := a.(type) {
	case *text:
		b, ok := b.(*text)
		return ok && a.s == b.s
	case *integer:
		b, ok := b.(*integer)
		return ok && a.n == b.n
	case *decimal:
		b, ok := b.(*decimal)
		return ok && a.text == b.text
	}
	return false
}

// lookup is what v[key] gives, nil when it is undefined.
func lookup(v, key Value) Value {
	switch v := v.(type) {
	case *object:
		return v.get(key)
	case *array:
		if n, ok := index(key); ok && n >= 0 && n < int64(len(v.items)) {
			return v.items[n]
		}
	case *set:
		if v.find(key) >= 0 {
			return key // as it was asked for: 1, where the set has 1.0
		}
	}
	return nil
}

// sizeOf is the number of a composite's elements, or of a string's characters.
func sizeOf(v Value) (int, bool) {
	switch v := v.(type) {
	case *array:
		return len(v.items), true
	case *object:
		return len(v.list), true
	case *set:
		return len(v.list), true
	case *text:
		return utf8.RuneCountInString(v.s), true
	}
	return 0, false
}
