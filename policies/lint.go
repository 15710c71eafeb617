package policies

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// lint looks at the compiled rules for what the type checker lets pass: values
// that can't occur, keys hidden from it, comparisons of unlike types. In a
// library, values that a machine lacks may be meant for another: there they are findings.
func (c *compilation) lint() {
	root := inputSchema(c.m)
	for _, m := range c.ms.closure(c.m.Slug()) {
		if c.ms.isEmbedded(m) {
			continue
		}
		kind, _, _ := refersTo(m.parsed.Package.Path)
		values := c.ds
		if kind == "lib" {
			values = c.found
		}
		for _, r := range c.compiler.Modules[m.file].Rules {
			l := &linter{compilation: c, root: root, values: values, aliases: map[ast.Var][]*ast.Term{}, results: map[ast.Var]string{}, guarded: map[string]string{}, counted: map[string]bool{}}
			l.rule(r)
		}
	}
}

// linter looks at one compiled rule. Compilation has put every nested call and
// reference into a variable of its own; aliases leads back.
type linter struct {
	*compilation
	root    schema
	values  *diagnostics
	aliases map[ast.Var][]*ast.Term
	results map[ast.Var]string // the type that a built-in puts into a variable
	guarded map[string]string  // by reference: the type that is_number and the like assure
	counted map[string]bool    // references whose members are counted
}

func (l *linter) rule(r *ast.Rule) {
	ast.WalkExprs(r, func(e *ast.Expr) bool { l.collect(e); return false })
	ast.WalkExprs(r, func(e *ast.Expr) bool { l.expr(e); return false })
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if ref, ok := t.Value.(ast.Ref); ok {
			l.reference(t, ref)
		}
		return false
	})
}

func (l *linter) expr(e *ast.Expr) {
	if e.Negated {
		l.negated(e)
	}
	if len(e.With) > 0 {
		l.found.at(e.Location, "replaced", "the rule asks of something else than what the gate asked: `with` belongs in tests")
	}
	if every, ok := e.Terms.(*ast.Every); ok {
		l.every(e, every)
	}
	if !e.IsCall() {
		return
	}
	args := e.Operands()
	switch e.Operator().String() {
	case "eq", "equal", "neq":
		if len(args) == 2 {
			l.compared(args[0], args[1])
			l.compared(args[1], args[0])
		}
	case "internal.member_2", "internal.member_3":
		l.member(args[len(args)-2], args[len(args)-1])
		if n := len(args); n > 2 && e.Operator().String() == "internal.member_2" {
			l.member(args[0], args[1]) // its result stands in a variable
		}
	case "lt", "lte", "gt", "gte":
		if len(args) >= 2 {
			l.ordered(e, args[0], args[1])
		}
	case "object.get":
		l.objectGet(e, args)
	}
}

// vocabulary is what a field of input can be: its names, and what they are.
func (l *linter) vocabulary(ref ast.Ref) (what string, known []string) {
	switch plain(ref) {
	case "input.event":
		return "event", append(l.events(), "$read", "$create", "$facts", "$explain")
	case "input.transition.from", "input.transition.to", "input.instance.state":
		return "state", l.states()
	case "input.actor.kind":
		return "kind", []string{"service", "system", "user"}
	case "input.actor.roles[]":
		return "role", l.m.Roles()
	}
	return "", nil
}

// plain is a path of constants in dots; a variable or index is [].
func plain(ref ast.Ref) string {
	var b strings.Builder
	for i, t := range ref {
		switch v := t.Value.(type) {
		case ast.Var:
			if i == 0 {
				b.WriteString(string(v))
			} else {
				b.WriteString("[]")
			}
		case ast.String:
			b.WriteString("." + string(v))
		default:
			b.WriteString("[]")
		}
	}
	return b.String()
}

func (l *linter) compared(field, value *ast.Term) {
	s, ok := value.Value.(ast.String)
	if !ok {
		return
	}
	for _, ref := range l.paths(field) {
		if what, known := l.vocabulary(ref); what != "" {
			l.known(value, what, string(s), known)
		}
	}
}

func (l *linter) known(at *ast.Term, what, name string, known []string) {
	if what == "role" && strings.HasPrefix(name, "interlock:") {
		return
	}
	l.oneOf(l.values, at, what, name, known)
}

// member is `value in list`: either may be the field.
func (l *linter) member(value, list *ast.Term) {
	if s, ok := value.Value.(ast.String); ok {
		for _, ref := range l.paths(list) {
			if plain(ref) == "input.actor.roles" {
				l.known(value, "role", string(s), l.m.Roles())
			}
		}
	}
	for _, one := range l.elements(list) {
		l.compared(value, one)
	}
}

func (l *linter) elements(list *ast.Term) []*ast.Term {
	var out []*ast.Term
	candidates := []*ast.Term{list}
	if v, ok := list.Value.(ast.Var); ok {
		candidates = l.aliases[v]
	}
	for _, t := range candidates {
		switch v := t.Value.(type) {
		case ast.Set:
			out = append(out, v.Slice()...)
		case *ast.Array:
			v.Foreach(func(e *ast.Term) { out = append(out, e) })
		}
	}
	return out
}

// ordered is < and its like: they compare values of unlike types without a
// word, and null is less than every number.
func (l *linter) ordered(e *ast.Expr, a, b *ast.Term) {
	if !l.isInput(a) && !l.isInput(b) {
		return
	}
	x, y := l.kind(a), l.kind(b)
	switch {
	case x == "" || y == "":
		l.found.at(e.Location, "untyped_comparison", "values of unlike types compare without an error (null < number < string): declare one type for both sides, or ask is_number first")
	case x != y:
		l.ds.at(e.Location, "unlike_types", "a %s is compared with a %s: the answer never depends on their values", x, y)
	}
}

// objectGet hides a path from the type checker.
func (l *linter) objectGet(e *ast.Expr, args []*ast.Term) {
	if len(args) < 3 {
		return
	}
	for _, ref := range l.paths(args[0]) {
		if !ref[0].Equal(ast.InputRootDocument) {
			continue
		}
		path := ast.Ref{args[1]}
		if list, ok := args[1].Value.(*ast.Array); ok {
			path = nil
			list.Foreach(func(t *ast.Term) { path = append(path, t) })
		}
		l.keys(args[1], ref.Concat(path))
		l.found.at(e.Location, "object_get", "object.get hides %s from the check of fields: read the field itself, it is undefined when it is absent", plain(ref))
	}
}

// keys reports the first constant key of the path that its object doesn't have.
func (l *linter) keys(at *ast.Term, path ast.Ref) {
	for i := 1; i < len(path); i++ {
		parent := l.at(path[:i])
		props, ok := parent["properties"].(schema)
		key, isText := path[i].Value.(ast.String)
		if !ok || !isText {
			continue
		}
		if _, known := props[string(key)]; !known {
			loc := at
			if loc.Location == nil {
				loc = path[i]
			}
			l.ds.at(loc.Location, "unknown_field", "%s has no %q%s", plain(path[:i]), string(key), meantField(string(key), props))
			return
		}
	}
}

func meantField(name string, props schema) string {
	if len(props) == 0 {
		return "; the machine declares none"
	}
	return meant(name, slices.Sorted(maps.Keys(props)))
}

// reference looks at one reference: its keys, and that data are where it looks.
func (l *linter) reference(t *ast.Term, ref ast.Ref) {
	for _, path := range l.resolve(ref) {
		switch {
		case path[0].Equal(ast.InputRootDocument):
			l.keys(t, path)
			l.computed(t, path)
		case path[0].Equal(ast.DefaultRootDocument):
			l.dataExists(t, path)
		}
	}
}

// computed is a key that a variable brings from elsewhere; one that only this
// reference binds iterates.
func (l *linter) computed(t *ast.Term, path ast.Ref) {
	for i := 1; i < len(path); i++ {
		v, ok := path[i].Value.(ast.Var)
		props, object := l.at(path[:i])["properties"].(schema)
		if !ok || !object {
			continue
		}
		fixed := false
		for _, to := range l.aliases[v] {
			if s, ok := to.Value.(ast.String); ok {
				if _, known := props[string(s)]; !known {
					l.ds.at(to.Location, "unknown_field", "%s has no %q%s", plain(path[:i]), string(s), meantField(string(s), props))
				}
			} else if _, ok := to.Value.(ast.Ref); ok {
				fixed = true
			}
		}
		if _, ok := l.results[v]; ok || fixed {
			l.found.at(t.Location, "computed_key", "the key of %s is computed: a name that doesn't exist there is undefined and nobody is told", plain(path[:i]))
		}
	}
}

// dataExists demands that rules or data files define what is read: a blank data
// file must not silently turn rules off.
func (l *linter) dataExists(t *ast.Term, path ast.Ref) {
	var names []string
	for _, p := range path[1:] {
		s, ok := p.Value.(ast.String)
		if !ok {
			break
		}
		names = append(names, string(s))
	}
	if len(names) > 0 && names[0] == "interlock" {
		fixed := path[:1+len(names)]
		if len(names) > 3 && len(l.compiler.GetRulesDynamicWithOpts(fixed, ast.RulesOptions{})) == 0 && len(l.compiler.GetRulesWithPrefix(fixed)) == 0 {
			l.ds.at(t.Location, "unknown_rule", "there is no rule %s", fixed)
		}
		return
	}
	var at any = l.data
	for i, name := range names {
		object, ok := at.(map[string]any)
		if !ok {
			if _, list := at.([]any); !list {
				l.ds.at(t.Location, "unknown_data", "data.%s has no members", strings.Join(names[:i], "."))
			}
			return
		}
		next, ok := object[name]
		if !ok {
			l.ds.at(t.Location, "unknown_data", "no data file gives data.%s%s", strings.Join(names[:i+1], "."), meant(name, slices.Sorted(maps.Keys(object))))
			return
		}
		at = next
	}
}

// every holds of an empty list: whoever asks that nobody of them was somebody
// must ask as well that there was anybody.
func (l *linter) every(e *ast.Expr, every *ast.Every) {
	for _, path := range l.paths(every.Domain) {
		if path[0].Equal(ast.InputRootDocument) && !l.counted[path.String()] {
			l.found.at(e.Location, "empty_every", "this holds where %s is empty, too: ask count(%s) > 0 beside it", plain(path), plain(path))
		}
	}
}

// negated is a condition that holds when something can't be told: `not late`
// is true where the date is missing.
func (l *linter) negated(e *ast.Expr) {
	asked := ""
	look := func(ref ast.Ref) {
		for _, path := range l.resolve(ref) {
			for _, field := range []string{"input.instance.facts", "input.actor.attrs", "input.actor.claims", "input.input"} {
				if p := plain(path); p == field || strings.HasPrefix(p, field+".") || strings.HasPrefix(p, field+"[]") {
					asked = p
				}
			}
		}
	}
	walkRules(l.compiler, e, func(r *ast.Rule) { ast.WalkRefs(r, func(ref ast.Ref) bool { look(ref); return false }) })
	ast.WalkRefs(e, func(ref ast.Ref) bool { look(ref); return false })
	ast.WalkVars(e, func(v ast.Var) bool {
		for _, path := range l.paths(ast.NewTerm(v)) {
			look(path)
		}
		return false
	})
	if asked != "" {
		l.found.at(e.Location, "negated_condition", "this holds where %s is missing, too: say what must be so instead of what must not", asked)
	}
}
