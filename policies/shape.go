package policies

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// shapes looks at rules as they are written: what the gate asks for must be of
// the kind that it can ask.
func (c *compilation) shapes(list []*module) {
	for _, m := range list {
		if c.ms.isEmbedded(m) {
			continue
		}
		ast.WalkRules(m.parsed, func(r *ast.Rule) bool {
			if r.Default && isBool(r.Head.Value, true) {
				c.ds.at(r.Location, "default_true", "default %s := true is refused: what isn't known to hold must not hold", r.Head.Name)
			}
			return false
		})
	}
	for _, kind := range []struct {
		name  string
		names []string
	}{{"check", c.m.Checks()}, {"grant", c.m.Grants()}} {
		for _, name := range kind.names {
			if reservedRule(name) {
				c.ds.add("", 0, 0, "reserved", "machine %q names a %s %q: deny, target and params have a meaning of their own, choose another name", c.m.Name(), kind.name, name)
			} else if g := c.named[name]; g != nil {
				c.condition(kind.name, name, g)
			}
		}
	}
	if g := c.named["deny"]; g != nil {
		for _, r := range g.rules {
			c.denyRule(r)
		}
	}
	if g := c.named["target"]; g != nil {
		for _, r := range g.rules {
			c.targetRule(r)
		}
	}
}

func (c *compilation) condition(kind, name string, g *ruleGroup) {
	for _, r := range g.rules {
		if !singleValue(r) {
			c.ds.at(r.Location, "rule_shape", "the %s %q must be a rule that is true or not: %s if { … }", kind, name, name)
			return
		}
		if isBool(r.Head.Value, true) && !r.Default && r.Else == nil && isBareTrue(r.Body) {
			c.found.at(r.Location, "always_true", "the %s %q always holds", kind, name)
		}
		if v := r.Head.Value; v != nil && v.IsGround() && !isBool(v, true) && !isBool(v, false) {
			c.found.at(r.Location, "never_true", "the value %s isn't true: here the %s %q fails", v, kind, name)
		}
	}
	if g.title == "" && kind == "check" {
		c.found.at(g.rules[0].Location, "untitled", "the check %q has no title: write # METADATA and # title: … above it, callers read it as the reason", name)
	}
}

func singleValue(r *ast.Rule) bool {
	return len(r.Head.Args) == 0 && len(r.Head.Ref()) == 1 && r.Head.Key == nil
}

func isBool(t *ast.Term, want bool) bool {
	if t == nil {
		return false
	}
	b, ok := t.Value.(ast.Boolean)
	return ok && bool(b) == want
}

func isBareTrue(b ast.Body) bool {
	if len(b) != 1 || b[0].Negated || len(b[0].With) > 0 {
		return false
	}
	t, ok := b[0].Terms.(*ast.Term)
	return ok && isBool(t, true)
}

func (c *compilation) denyRule(r *ast.Rule) {
	if r.Head.RuleKind() != ast.MultiValue || len(r.Head.Ref()) != 1 || len(r.Head.Args) > 0 {
		c.ds.at(r.Location, "rule_shape", `deny must be a set of reasons: deny contains {"code": "…", "message": "…"} if { … }`)
		return
	}
	c.found.at(r.Location, "deny_rule", "a deny rule that is undefined denies nothing: say it as a check that must hold, if you can")
	object, ok := r.Head.Key.Value.(ast.Object)
	if !ok {
		return // a variable: decoded strictly when it is evaluated
	}
	var keys []string
	for _, k := range object.Keys() {
		s, ok := k.Value.(ast.String)
		if !ok {
			return
		}
		keys = append(keys, string(s))
		if !slices.Contains([]string{"code", "message", "params"}, string(s)) {
			c.ds.at(k.Location, "deny_reason", "a reason has code, message and params, not %q", string(s))
		}
	}
	for _, k := range []string{"code", "message"} {
		if !slices.Contains(keys, k) {
			c.ds.at(r.Head.Key.Location, "deny_reason", "the reason lacks %q", k)
		}
	}
}

func (c *compilation) targetRule(r *ast.Rule) {
	if !singleValue(r) {
		c.ds.at(r.Location, "rule_shape", `target must be one state's name: target := "…" if { … }`)
		return
	}
	for ; r != nil; r = r.Else {
		if s, ok := r.Head.Value.Value.(ast.String); ok {
			c.oneOf(c.ds, r.Head.Value, "state", string(s), c.states())
		}
	}
}

func (c *compilation) states() []string {
	var out []string
	for _, s := range c.m.States() {
		out = append(out, s.Name)
	}
	return out
}

func (c *compilation) events() []string {
	var out []string
	for _, e := range c.m.Events() {
		out = append(out, e.Name)
	}
	return out
}

func (c *compilation) oneOf(ds *diagnostics, at *ast.Term, what, name string, known []string) {
	if !slices.Contains(known, name) {
		ds.at(at.Location, "unknown_"+what, "machine %q has no %s %q%s", c.m.Name(), what, name, meant(name, known))
	}
}

// references looks at which packages the rules reach for: their own and libraries that there are.
func (c *compilation) references(list []*module) {
	for _, m := range list {
		ast.WalkTerms(m.parsed, func(t *ast.Term) bool {
			r, ok := t.Value.(ast.Ref)
			if !ok || t.Location == nil {
				return false
			}
			switch kind, name, fixed := refersTo(r); {
			case kind == "lib" && fixed && c.ms.libs[name] == nil:
				c.ds.at(t.Location, "unknown_library", "there is no package interlock.lib.%s%s", name, meant(name, slices.Sorted(maps.Keys(c.ms.libs))))
			case kind == "machine" && fixed && name != c.m.Slug() && name != "":
				c.ds.at(t.Location, "foreign_rules", "rules of another machine can't be read from here: put what both need in interlock.lib.<name>")
			}
			return false
		})
	}
}

func (ms *modules) isEmbedded(m *module) bool {
	_, name, _ := place(m.parsed.Package.Path)
	kind, _, _ := refersTo(m.parsed.Package.Path)
	return kind == "lib" && ms.embedded[name]
}

// unused are rules of the machine's package that neither the machine nor another rule names.
func (c *compilation) unused() {
	asked := append(slices.Clone(c.m.Checks()), c.m.Grants()...)
	for _, m := range c.ms.machines[c.m.Slug()] {
		for i, r := range c.compiler.Modules[m.file].Rules {
			name := ruleName(m.parsed.Rules[i])
			switch {
			case name == "params":
				c.paramsRule(m.parsed.Rules[i])
			case name == "target":
				if !c.choosesTarget() {
					c.found.at(r.Location, "unused_rule", "target is never asked for: no event of machine %q has several targets", c.m.Name())
				}
			case reservedRule(name) || slices.Contains(asked, name) || r.Default:
			case len(c.compiler.Graph.Dependents(r)) == 0:
				c.found.at(r.Location, "unused_rule", "machine %q and its rules never name %q%s", c.m.Name(), name, meant(name, asked))
			}
		}
	}
}

func (c *compilation) paramsRule(r *ast.Rule) {
	if ref := r.Head.Ref(); len(ref) > 1 {
		if s, ok := ref[1].Value.(ast.String); ok && !slices.Contains(c.m.Checks(), string(s)) {
			c.found.at(r.Location, "unused_rule", "machine %q has no check %q to give parameters for%s", c.m.Name(), string(s), meant(string(s), c.m.Checks()))
		}
	}
}

// choosesTarget tells whether an event may go to more than one state from the same one.
func (c *compilation) choosesTarget() bool {
	for _, s := range c.m.States() {
		for _, e := range c.m.Events() {
			if len(c.m.Step(s.ID, e.ID)) > 1 {
				return true
			}
		}
	}
	return false
}
