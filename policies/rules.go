package policies

import (
	"iter"
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

var _ interlock.Rules = (*Rules)(nil)

// Rules are one compiled state of a [Source]: immutable, safe for concurrent use.
type Rules struct {
	source   *Source
	opts     options
	machines map[string]*machineRules // by name and by slug
	store    storage.Store
	txn      storage.Transaction // shared by all evaluations
	data     compiled.Value      // the same documents for the compiled rules
	findings []Diagnostic
}

// Findings are what there is to say about rules that are legal, sorted by position.
func (r *Rules) Findings() []Diagnostic { return slices.Clone(r.findings) }

// Revision is the hex SHA-256 of the machine's package, the libraries that it
// uses, all data and the format's version; "" for a machine without rules. The
// machine is given by name or slug, here and below.
func (r *Rules) Revision(machine string) string {
	if m := r.machines[machine]; m != nil {
		return m.revision
	}
	return ""
}

// Defines tells whether the machine's policy has a rule of this name: a check's
// or grant's, "deny" or "target".
func (r *Rules) Defines(machine, condition string) bool {
	m := r.machines[machine]
	if m == nil {
		return false
	}
	_, ok := m.reads[condition]
	return ok
}

// Reads tells whether a condition (a check's or grant's name, "deny" or
// "target") reads the form or the note, itself or through other rules. What
// reads input as a whole, or by a computed key, may read both.
func (r *Rules) Reads(machine, condition string) (form, note bool) {
	m := r.machines[machine]
	if m == nil {
		return false, false
	}
	reads := m.reads[condition]
	return reads.form, reads.note
}

// machineRules are one machine's.
type machineRules struct {
	name     string
	slug     string
	revision string
	compiler *ast.Compiler
	titles   map[string]string // of every complete rule; the title, else ""
	params   map[string]bool   // checks that have a rule params["…"]
	deny     bool
	target   bool
	reads    map[string]reads
	encoder  *encoder
	states   map[string]bool

	topdownOnly bool // nothing of it may be compiled

	mu      sync.RWMutex
	queries map[string]*query

	confirmations map[string]*query
}

func newMachineRules(c *compilation) *machineRules {
	m := &machineRules{
		name: c.m.Name(), slug: c.m.Slug(), compiler: c.compiler,
		titles: map[string]string{}, params: map[string]bool{}, reads: map[string]reads{},
		queries: map[string]*query{}, confirmations: map[string]*query{}, states: map[string]bool{}, topdownOnly: onlyTopdown(c.compiler),
	}
	for _, s := range c.m.States() {
		m.states[s.Name] = true
	}
	m.encoder = newEncoder(c.m, inputRead(c.compiler))
	for name, g := range c.named {
		switch name {
		case "deny":
			m.deny = true
		case "target":
			m.target = true
		case "params":
			for _, check := range c.m.Checks() {
				if paramsFor(g, check) {
					m.params[check] = true
				}
			}
			continue
		default:
			m.titles[name] = g.title
		}
		m.reads[name] = readsOf(c.compiler, c.m.Slug(), name)
	}
	return m
}

// paramsFor tells whether a params rule may answer for the check: one whose key
// is its name, or isn't a constant.
func paramsFor(g *ruleGroup, check string) bool {
	return slices.ContainsFunc(g.rules, func(r *ast.Rule) bool {
		ref := r.Head.Ref()
		if len(ref) < 2 {
			return true
		}
		s, ok := ref[1].Value.(ast.String)
		return !ok || string(s) == check
	})
}

type reads struct{ form, note bool }

// restsOn are the rules that a rule refers to, its else branches included.
func restsOn(c *ast.Compiler, r *ast.Rule) iter.Seq[*ast.Rule] {
	return func(yield func(*ast.Rule) bool) {
		for branch := r; branch != nil; branch = branch.Else {
			for dep := range c.Graph.Dependencies(branch) {
				if next, ok := dep.(*ast.Rule); ok && !yield(next) {
					return
				}
			}
		}
	}
}

// readsOf walks the rule and all that it depends on.
func readsOf(c *ast.Compiler, slug, name string) reads {
	var out reads
	seen := map[*ast.Rule]bool{}
	var visit func(*ast.Rule)
	visit = func(r *ast.Rule) {
		if seen[r] {
			return
		}
		seen[r] = true
		out = out.or(readsIn(r))
		for next := range restsOn(c, r) {
			visit(next)
		}
	}
	for _, r := range c.GetRulesWithPrefix(packageRef(slug).Append(ast.StringTerm(name))) {
		visit(r)
	}
	return out
}

func (r reads) or(o reads) reads { return reads{r.form || o.form, r.note || o.note} }

func readsIn(r *ast.Rule) reads {
	var out reads
	ast.WalkTerms(r, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Var: // input by itself, outside a reference
			if v.Equal(ast.InputRootDocument.Value) {
				out = reads{true, true}
			}
		case ast.Ref:
			if !v[0].Equal(ast.InputRootDocument) {
				return false
			}
			key, fixed := ast.String(""), false
			if len(v) > 1 {
				key, fixed = v[1].Value.(ast.String)
			}
			out = out.or(reads{form: !fixed || key == "input", note: !fixed || key == "note"})
			for _, rest := range v[1:] { // a reference inside: input.x[input.note]
				if _, ok := rest.Value.(ast.Ref); ok {
					return false
				}
			}
			return true // the head must not count as a bare input
		}
		return false
	})
	return out
}
