package policies

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/interlock-go/interlock/policies/compiled"
)

// maker makes the values of one evaluator. What it is given has been checked; lists
// of it stay their caller's.
type maker[V any] interface {
	null() V
	truth(bool) V
	words(string) V
	integer(int64) V
	digits(json.Number) V
	list([]V) V
	shaped(s *shape, values []V) V      // values in the order of the shape's names
	named(names []string, values []V) V // names in no order, each once
	kind(V) string                      // null, boolean, number, string, array, object

	lasting() maker[V]    // makes what stays
	owner(e *encoder) any // of what is remembered in this form
	builds() *sync.Pool   // of what puts these values together
}

var termBuilds, ownBuilds sync.Pool

// shape is an object's fixed names, as both evaluators take them.
type shape struct {
	size  int // of the names, as build counts
	terms []*ast.Term
	own   *compiled.Shape
}

func newShape(names []string) *shape {
	s := &shape{own: compiled.NewShape(names...)}
	for _, n := range names {
		s.size += len(n) + perValue
		s.terms = append(s.terms, ast.StringTerm(n))
	}
	return s
}

// terms makes OPA's values, for topdown.
type terms struct{}

func (terms) null() *ast.Term           { return ast.InternedNullTerm }
func (terms) truth(is bool) *ast.Term   { return ast.InternedTerm(is) }
func (terms) words(s string) *ast.Term  { return ast.StringTerm(s) }
func (terms) kind(t *ast.Term) string   { return ast.ValueName(t.Value) }
func (terms) integer(n int64) *ast.Term { return ast.NumberTerm(json.Number(strconv.FormatInt(n, 10))) }

func (terms) lasting() maker[*ast.Term] { return sortedTerms{} }
func (terms) owner(e *encoder) any      { return &e.kinds }

func (terms) builds() *sync.Pool { return &termBuilds }
func (own) builds() *sync.Pool   { return &ownBuilds }

func (terms) digits(n json.Number) *ast.Term { return ast.NumberTerm(n) }

func (terms) list(items []*ast.Term) *ast.Term {
	if len(items) == 0 {
		return ast.InternedEmptyArray
	}
	return ast.ArrayTerm(slices.Clone(items)...)
}

func (terms) shaped(s *shape, values []*ast.Term) *ast.Term {
	pairs := make([][2]*ast.Term, len(values))
	for i, v := range values {
		pairs[i] = [2]*ast.Term{s.terms[i], v}
	}
	return ast.ObjectTerm(pairs...)
}

func (terms) named(names []string, values []*ast.Term) *ast.Term {
	if len(names) == 0 {
		return ast.InternedEmptyObject
	}
	pairs := make([][2]*ast.Term, len(values))
	for i, v := range values {
		pairs[i] = [2]*ast.Term{ast.StringTerm(names[i]), v}
	}
	return ast.ObjectTerm(pairs...)
}

// sortedTerms are read by several evaluations at once. An object of OPA's sorts
// its keys when they are first gone through, in place, and copies of it don't wait for that.
type sortedTerms struct{ terms }

func (s sortedTerms) shaped(names *shape, values []*ast.Term) *ast.Term {
	return sortedObject(s.terms.shaped(names, values))
}

func (s sortedTerms) named(names []string, values []*ast.Term) *ast.Term {
	return sortedObject(s.terms.named(names, values))
}

func sortedObject(t *ast.Term) *ast.Term {
	if o, ok := t.Value.(ast.Object); ok {
		o.Keys()
	}
	return t
}

// own makes the compiled rules' values, in the memory of the machine that will
// evaluate them.
type own struct{ *compiled.Builder }

func (o own) null() compiled.Value                       { return o.Null() }
func (o own) truth(is bool) compiled.Value               { return o.Bool(is) }
func (o own) words(s string) compiled.Value              { return o.String(s) }
func (o own) integer(n int64) compiled.Value             { return o.Int(n) }
func (o own) digits(n json.Number) compiled.Value        { return o.Number(n) }
func (o own) list(items []compiled.Value) compiled.Value { return o.Array(items...) }
func (own) lasting() maker[compiled.Value]               { return own{new(compiled.Builder)} }
func (own) owner(e *encoder) any                         { return e }
func (own) kind(v compiled.Value) string                 { return v.Kind().String() }

func (o own) shaped(s *shape, values []compiled.Value) compiled.Value {
	return o.Shaped(s.own, values...)
}

func (o own) named(names []string, values []compiled.Value) compiled.Value {
	return o.Named(names, values)
}
