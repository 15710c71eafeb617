package compiled_test

import (
	"fmt"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

// gate has the shape of a gate's policy: twelve rules that refuse, with reasons.
const gate = `package gate

deny contains {"code": "amount", "message": "above your limit"} if input.facts.amount > input.actor.limit
deny contains {"code": "tenant", "message": "another tenant"} if input.actor.tenant != input.tenant
deny contains {"code": "self", "message": "not your own"} if input.created_by == input.actor.person
deny contains {"code": "role", "message": "wrong role"} if not allowed
deny contains {"code": "four_eyes", "message": "somebody else must approve"} if {
	input.event == "approve"
	some person in input.verified
	person == input.actor.person
}
deny contains {"code": "note", "message": "say why"} if { input.event in {"reject", "override"}; input.note == "" }
deny contains {"code": "country", "message": "not in this country"} if not input.facts.country in {"DE", "FR", "IT", "NL"}
deny contains {"code": "score", "message": "score too low"} if { input.event == "approve"; input.facts.score < 300 }
deny contains {"code": "docs", "message": "documents missing"} if count(input.facts.documents) < 2
deny contains {"code": "kind", "message": "people only"} if { input.actor.kind != "user"; input.event == "approve" }
deny contains {"code": "locked", "message": "locked"} if input.facts.locked
deny contains {"code": "email", "message": "company addresses only"} if not endswith(lower(input.actor.email), "@example.com")

allowed if {
	some role in input.actor.roles
	role in {"clerk", "manager"}
}
`

// asked are eight requests; every second one is refused.
func asked() []map[string]any {
	var all []map[string]any
	for i := range 8 {
		event := []string{"approve", "reject", "verify", "override"}[i%4]
		limit := 5000
		if i%2 == 1 {
			limit = 100
		}
		all = append(all, map[string]any{
			"event": event, "tenant": "t1", "created_by": "p9", "note": "because",
			"verified": []any{"p1", "p2"},
			"actor": map[string]any{
				"person": fmt.Sprintf("p%d", i+3), "tenant": "t1", "kind": "user", "limit": limit,
				"email": "A.Person@Example.com", "roles": []any{"auditor", "clerk"},
			},
			"facts": map[string]any{
				"amount": 1200, "country": "FR", "score": 640, "locked": false, "documents": []any{"id", "income", "rent"},
			},
		})
	}
	return all
}

func module(name, source, query string) []func(*rego.Rego) {
	return []func(*rego.Rego){rego.Query(query), rego.Module(name+".rego", source), rego.StrictBuiltinErrors(true)}
}

func program(t testing.TB, options []func(*rego.Rego)) *compiled.Program {
	t.Helper()
	policy, err := compiled.Plan(t.Context(), options...)
	require.NoError(t, err)
	p, err := compiled.Compile(policy, compiled.Options{})
	require.NoError(t, err)
	return p
}

func prepared(t testing.TB, options []func(*rego.Rego)) rego.PreparedEvalQuery {
	t.Helper()
	q, err := rego.New(options...).PrepareForEval(t.Context())
	require.NoError(t, err)
	return q
}

// BenchmarkDecision is one decision with its reasons: input that is ready, that
// is built for the occasion, that comes as OPA's values; and topdown's.
func BenchmarkDecision(b *testing.B) {
	options := module("gate", gate, "deny = data.gate.deny")
	p, topdown := program(b, options), prepared(b, options)
	requests := asked()
	var parsed []ast.Value
	for _, r := range requests {
		parsed = append(parsed, ast.MustInterfaceToValue(r))
	}
	ctx := b.Context()
	b.Run("compiled/ready", func(b *testing.B) {
		m := p.Machine()
		defer m.Release()
		var inputs []compiled.Value
		for _, r := range requests {
			v, err := m.Builder().Go(r)
			require.NoError(b, err)
			inputs = append(inputs, v)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := m.Eval(ctx, compiled.Query{Input: inputs[i%8], StrictBuiltinErrors: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("compiled/built", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m := p.Machine()
			if _, err := m.Eval(ctx, compiled.Query{Input: built(m.Builder(), i%8), StrictBuiltinErrors: true}); err != nil {
				b.Fatal(err)
			}
			m.Release()
		}
	})
	b.Run("compiled/converted", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m := p.Machine()
			results, err := m.Eval(ctx, compiled.Query{Input: m.Builder().AST(parsed[i%8]), StrictBuiltinErrors: true})
			if err != nil || len(results) == 0 || compiled.ToAST(results[0]) == nil {
				b.Fatal(err)
			}
			m.Release()
		}
	})
	b.Run("topdown/parsed", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := topdown.Eval(ctx, rego.EvalParsedInput(parsed[i%8])); err != nil {
				b.Fatal(err)
			}
		}
	})
}

var (
	request = compiled.NewShape("event", "tenant", "created_by", "note", "verified", "actor", "facts")
	actor   = compiled.NewShape("person", "tenant", "kind", "limit", "email", "roles")
	facts   = compiled.NewShape("amount", "country", "score", "locked", "documents")
	persons = []string{"p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10"}
)

func built(b *compiled.Builder, i int) compiled.Value {
	limit := int64(5000 - 4900*(i%2))
	return b.Shaped(request,
		b.String([]string{"approve", "reject", "verify", "override"}[i%4]), b.String("t1"), b.String("p9"), b.String("because"),
		b.Array(b.String("p1"), b.String("p2")),
		b.Shaped(actor, b.String(persons[i]), b.String("t1"), b.String("user"), b.Int(limit),
			b.String("A.Person@Example.com"), b.Array(b.String("auditor"), b.String("clerk"))),
		b.Shaped(facts, b.Int(1200), b.String("FR"), b.Int(640), b.Bool(false),
			b.Array(b.String("id"), b.String("income"), b.String("rent"))))
}

// BenchmarkCollections builds and reads sets, objects and arrays of any size.
func BenchmarkCollections(b *testing.B) {
	for _, c := range collections {
		for _, n := range []int{10, 100, 1000} {
			options := module("c", "package c\n\n"+c.rule, "x = data.c.x")
			p, topdown := program(b, options), prepared(b, options)
			input := ast.MustInterfaceToValue(items(n))
			own := compiled.FromAST(input)
			ctx := b.Context()
			b.Run(fmt.Sprintf("%s/%d/compiled", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				m := p.Machine()
				defer m.Release()
				for b.Loop() {
					if _, err := m.Eval(ctx, compiled.Query{Input: own}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("%s/%d/topdown", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := topdown.Eval(ctx, rego.EvalParsedInput(input)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

var collections = []struct{ name, rule string }{
	{"array", "x := [i.id | some i in input.items; i.amount > 10]"},
	{"set", "x := {i.id | some i in input.items}"},
	{"objects", "x := {i.id: i.amount | some i in input.items}"},
	{"reasons", `x contains {"code": i.id, "amount": i.amount} if some i in input.items`},
	{"lookup", "ids := {i.id | some i in input.items}\n\nx := [i.id | some i in input.items; i.id in ids]"},
	{"union", "x := {i.id | some i in input.items} | {i.other | some i in input.items}"},
	{"every", "x if every i in input.items { i.amount >= 0 }"},
	{"index", "x[kind] := amounts if {\n\tkind := input.items[_].kind\n\tamounts := [a | some j; kind == input.items[j].kind; a := input.items[j].amount]\n}"},
	{"index unify", "x[kind] := amounts if {\n\tkind = input.items[_].kind\n\tamounts := [a | input.items[j].kind = kind; a := input.items[j].amount]\n}"},
	{"group", "x[i.kind] := amounts if {\n\tsome i in input.items\n\tamounts := [j.amount | some j in input.items; j.kind == i.kind]\n}"},
}

func items(n int) map[string]any {
	var all []any
	for i := range n {
		j := i * 7919 % n // in no order
		all = append(all, map[string]any{
			"id": fmt.Sprintf("item-%d", j), "other": fmt.Sprintf("item-%d", j+n/2), "amount": j, "kind": fmt.Sprintf("k%d", j%5),
		})
	}
	return map[string]any{"items": all}
}
