package fsm

import (
	"slices"
	"strings"
)

// roles checks the inclusions and precomputes what each role includes.
func (c *compiler) roles() {
	slugs := map[string]ref{}
	seen := map[string]bool{}
	declare := func(r ref) {
		if !seen[r.name] {
			seen[r.name] = true
			c.uniqueSlug(slugs, r, "roles")
		}
	}
	direct := map[string][]ref{}
	for _, role := range c.decl.roles {
		declare(role.ref)
		direct[role.name] = role.includes
	}
	for _, role := range c.decl.roles {
		for _, included := range role.includes {
			declare(included)
		}
	}
	c.declaredR = map[string]bool{}
	if c.decl.rolesGiven {
		c.declaredR = seen
	}
	c.roleSlugs = slugs
	c.def.closure = map[string][]string{}
	state := map[string]int{} // 1: being followed, 2: done
	for _, role := range c.decl.roles {
		c.follow(role.ref, direct, state, nil)
	}
}

// follow fills the closure of a role, depth first; a way back is a cycle.
func (c *compiler) follow(role ref, direct map[string][]ref, state map[string]int, way []string) []string {
	way = append(way, role.name)
	switch state[role.name] {
	case 1:
		cycle := way[slices.Index(way, role.name):]
		c.errorf(role.at, "role_cycle", "roles include each other in a circle (%s); take one inclusion away", strings.Join(cycle, " → "))
		return nil
	case 2:
		return c.def.closure[role.name]
	}
	state[role.name] = 1
	all := []string{role.name}
	for _, included := range direct[role.name] {
		all = append(all, c.follow(included, direct, state, way)...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	state[role.name] = 2
	c.def.closure[role.name] = all
	return all
}

// knownRoles reports roles of `requires` that the machine doesn't declare. Where
// it declares none at all, naming one is declaring it.
func (c *compiler) knownRoles(requires []ref) {
	for _, r := range requires {
		switch {
		case !isRole(r.name):
		case c.declaredR[r.name]:
		case c.decl.rolesGiven:
			c.errorf(r.at, "undeclared_role", "the role %s is not declared under `roles`%s", quote(r.name), suggest(r.name, sortedKeys(c.declaredR)))
			c.declaredR[r.name] = true // said once
		default:
			c.declaredR[r.name] = true
			c.uniqueSlug(c.roleSlugs, r, "roles")
		}
	}
}

// isRole tells a machine's own roles from the other words of `requires`.
func isRole(word string) bool {
	return word != Anyone && word != System && !strings.HasPrefix(word, "$") && !strings.HasPrefix(word, reservedPrefix)
}

// Expand returns roles with all that they include, sorted and without repeats.
// Roles that the machine doesn't know are kept as they are.
func (m *Machine) Expand(roles []string) []string {
	all := make([]string, 0, len(roles)*2)
	for _, role := range roles {
		if included, known := m.def.closure[role]; known {
			all = append(all, included...)
		} else {
			all = append(all, role)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// collectNames gathers roles, checks, grants and the default of read.
func (c *compiler) collectNames() {
	def := c.def
	checks, grants, everyone := map[string]bool{}, map[string]bool{}, map[string]bool{}
	requires := func(list []string, read bool) {
		for _, word := range list {
			if name, ok := strings.CutPrefix(word, "$"); ok {
				grants[name] = true
			}
			if read {
				everyone[word] = true
			}
		}
	}
	check := func(lists ...[]string) {
		for _, list := range lists {
			for _, name := range list {
				checks[name] = true
			}
		}
	}
	check(refNames(c.decl.checks), def.create.Checks, def.read.Checks, def.explain.Checks, def.factsEdit.Checks)
	for _, s := range def.states {
		check(s.Entry)
	}
	for _, e := range c.decl.events {
		check(refNames(e.checks))
		for _, t := range e.transitions {
			check(refNames(t.checks))
			requires(refNames(t.requires), true)
		}
	}
	requires(def.create.Requires, true)
	requires(def.factsEdit.Requires, true)
	requires(def.explain.Requires, c.decl.explain != nil)
	if c.decl.read == nil {
		def.read.Requires = sortedKeys(everyone)
	}
	requires(def.read.Requires, false)
	def.roles, def.checks, def.grants = sortedKeys(c.declaredR), sortedKeys(checks), sortedKeys(grants)
}
