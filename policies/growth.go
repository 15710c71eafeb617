package policies

import (
	"math"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/interlock-go/interlock"
)

// A step of topdown's can't be stopped, and takes as long as what it puts together,
// compares or copies is large: x1 := [x0, x0], x2 := [x1, x1] and so on forty times
// is years. Rules are light where nothing of the kind is possible.

const (
	lightest   = 16 // doublings up to which a rule is light
	manyTimes  = 10 // doublings that a comprehension, or a rule of many values, counts as
	unmeasured = 1 << 10
)

// growths tells of rules how many times larger than what they read what they make
// can be, as a number of doublings. More than anybody needs is unmeasured.
type growths struct {
	compiler *ast.Compiler
	known    map[*ast.Rule]float64
}

// light tells whether none of the rules that q asks for, nor any that they rest on,
// can make anything large by far.
func (m *machineRules) light(q *interlock.Query) bool {
	names := slices.Concat(q.Checks, q.Grants)
	if q.Deny && m.deny {
		names = append(names, "deny")
	}
	if q.Target && m.target {
		names = append(names, "target")
	}
	g := growths{m.compiler, map[*ast.Rule]float64{}}
	return !slices.ContainsFunc(names, func(name string) bool {
		return g.ofAll(m.compiler.GetRulesWithPrefix(packageRef(m.slug).Append(ast.StringTerm(name)))) > lightest
	})
}

func (g growths) ofAll(rules []*ast.Rule) float64 {
	most := 0.0
	for _, r := range rules {
		most = max(most, g.of(r))
	}
	return most
}

// of is what the rule reads at its largest, and on top of it each thing that it
// makes, each call of a function being one. Rules can't recur.
func (g growths) of(r *ast.Rule) float64 {
	if n, ok := g.known[r]; ok {
		return n
	}
	read := 0.0
	for other := range restsOn(g.compiler, r) {
		if len(other.Head.Args) == 0 {
			read = max(read, g.of(other))
		}
	}
	n := min(read+g.made(r), unmeasured)
	g.known[r] = n
	return n
}

// made counts what stands in one rule, its else included: it may all be put into
// each other.
func (g growths) made(r *ast.Rule) float64 {
	n := 0.0
	if r.Head.DocKind() != ast.CompleteDoc && !ground(r.Head) {
		n += manyTimes
	}
	ast.WalkTerms(r, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case *ast.Array:
			parts := 0
			v.Foreach(func(e *ast.Term) { parts += part(e) })
			n += doublings(parts)
		case ast.Set:
			parts := 0
			v.Foreach(func(e *ast.Term) { parts += part(e) })
			n += doublings(parts)
		case ast.Object:
			parts := 0
			v.Foreach(func(k, e *ast.Term) { parts += part(k) + part(e) })
			n += doublings(parts)
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			n += manyTimes
		case ast.Call:
			n += g.called(v[0])
		}
		return false
	})
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if e.IsCall() {
			n += g.called(e.OperatorTerm())
		}
		return false
	})
	return n
}

// called is what a function makes of its arguments; that of a built-in one is for
// compiled.Program.Prompt to say.
func (g growths) called(name *ast.Term) float64 {
	ref, ok := name.Value.(ast.Ref)
	if !ok {
		return unmeasured
	}
	return g.ofAll(g.compiler.GetRulesExact(ref))
}

func ground(h *ast.Head) bool {
	return (h.Key == nil || h.Key.IsGround()) && (h.Value == nil || h.Value.IsGround()) && h.Ref().IsGround()
}

func part(t *ast.Term) int {
	if t.IsGround() {
		return 0
	}
	return 1
}

func doublings(parts int) float64 {
	if parts < 2 {
		return 0
	}
	return math.Log2(float64(parts))
}
