package fsm

import (
	"cmp"
	"slices"
)

// compiler resolves a declaration's names and lays its edges out in tables.
type compiler struct {
	decoder
	decl      *declaration
	def       *definition
	declaredR map[string]bool  // roles that `roles` declares
	claimed   map[cell]claim   // (state, event) → the transition that has it
	entered   map[StateID]bool // states that an edge enters
	warnings  []Finding
	roleSlugs map[string]ref
}

type cell struct {
	state StateID
	event EventID
}

// compile checks a declaration as a whole; the machine is only of use when the
// report has no errors after it.
func compile(r *report, decl *declaration) *Machine {
	m := &Machine{}
	c := &compiler{decoder: decoder{r}, decl: decl, def: &m.def, claimed: map[cell]claim{}, entered: map[StateID]bool{}}
	c.def.name, c.def.slug, c.def.title, c.def.meta = decl.name.name, Slug(decl.name.name), decl.title, decl.meta
	c.def.source, c.def.excerpt = r.position(decl.name.at), r.excerpt(decl.name.at)
	c.states()
	c.roles()
	c.events()
	if r.failed() {
		return nil
	}
	c.access()
	c.schemas()
	c.edges()
	if r.failed() {
		return nil
	}
	c.collectNames()
	c.table()
	c.revise()
	if r.failed() {
		return nil
	}
	c.analyse(m)
	return m
}

func (c *compiler) states() {
	c.def.stateIDs = make(map[string]StateID, len(c.decl.states))
	slugs := map[string]ref{}
	for i, s := range c.decl.states {
		c.uniqueSlug(slugs, s.ref, "states")
		state := State{ID: StateID(i), Name: s.name, Slug: Slug(s.name), Title: titleOf(s.meta, s.name), Final: s.final, Closed: s.closed, Entry: refNames(s.entry), Meta: s.meta}
		c.def.states = append(c.def.states, state)
		c.def.stateIDs[s.name] = state.ID
	}
	if len(c.decl.states) == 0 {
		c.errorf(c.decl.name.at, "no_states", "the machine has no states; it needs at least the initial one")
		return
	}
	c.def.initial, _ = c.state(c.decl.initial)
}

// uniqueSlug reports a name whose slug another of its kind has.
func (c *compiler) uniqueSlug(slugs map[string]ref, name ref, kind string) {
	slug := Slug(name.name)
	if first, taken := slugs[slug]; taken {
		c.errorf(name.at, "same_slug", "the %s %s (line %d) and %s have one identifier, %q; rename one of them", kind, quote(first.name), first.at.line, quote(name.name), slug)
		return
	}
	slugs[slug] = name
}

func titleOf(meta Metadata, name string) string {
	if title, ok := meta["title"].(string); ok {
		return title
	}
	return name
}

func refNames(refs []ref) []string {
	var names []string
	for _, r := range refs {
		names = append(names, r.name)
	}
	return names
}

// state resolves a name; an undeclared one is an error.
func (c *compiler) state(r ref) (StateID, bool) {
	id, ok := c.def.stateIDs[r.name]
	if !ok {
		c.undeclaredState(r, c.decl)
	}
	return id, ok
}

func (d *decoder) undeclaredState(r ref, decl *declaration) {
	known := make([]string, len(decl.states))
	for i, s := range decl.states {
		known[i] = s.name
	}
	hint := suggest(r.name, known)
	switch {
	case r.name == "*":
		hint = "; any state is written {any: true}"
	case hint == "" && len(known) > 0 && len(known) <= 10:
		hint = "; the machine has " + listed(known)
	}
	d.errorf(r.at, "undeclared_state", "the state %s is not declared%s", quote(r.name), hint)
}

// stateList resolves a list in its order; nil when a name of it is undeclared.
func (c *compiler) stateList(refs []ref) []StateID {
	ids := make([]StateID, 0, len(refs))
	for _, r := range refs {
		if id, ok := c.state(r); ok {
			ids = append(ids, id)
		}
	}
	if len(ids) < len(refs) {
		return nil
	}
	return ids
}

func (c *compiler) events() {
	c.def.eventIDs = make(map[string]EventID, len(c.decl.events))
	slugs := map[string]ref{}
	for i, e := range c.decl.events {
		c.uniqueSlug(slugs, e.ref, "events")
		event := Event{ID: EventID(i), Name: e.name, Slug: Slug(e.name), Title: titleOf(e.meta, e.name), Note: e.note, Override: e.override, Meta: e.meta}
		c.def.events = append(c.def.events, event)
		c.def.eventIDs[e.name] = event.ID
	}
	if cells := len(c.def.states) * len(c.def.events); cells > maxCells {
		c.errorf(c.decl.name.at, "too_large", "%d states by %d events are more than a machine may have (%d pairs); split it", len(c.def.states), len(c.def.events), maxCells)
	}
}

// access resolves create, read, explain and facts.edit.
func (c *compiler) access() {
	one := func(a *accessDecl, otherwise ...string) Access {
		if a == nil {
			return Access{Requires: otherwise}
		}
		c.knownRoles(a.requires)
		return Access{Requires: refNames(a.requires), Checks: refNames(a.checks)}
	}
	c.def.create = one(c.decl.create)
	c.def.explain = one(c.decl.explain, RoleAdmin)
	c.def.factsEdit = one(c.decl.factsEdit)
	if a := c.decl.factsEdit; a != nil {
		c.def.factsEdit.States = c.origins(a.states, func(s State) bool { return s.Final || s.Closed })
	}
	c.def.read = one(c.decl.read)
	c.def.ifMatch = c.decl.ifMatch
}

// origins resolves `from`. A wildcard leaves out what skip says; it is sorted,
// a list keeps its order.
func (c *compiler) origins(o origin, skip func(State) bool) []StateID {
	if !o.any {
		return c.stateList(o.states)
	}
	except := c.stateList(o.except)
	var ids []StateID
	for _, s := range c.def.states {
		if !skip(s) && !slices.Contains(except, s.ID) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func (c *compiler) edges() {
	for i := range c.decl.events {
		e := &c.decl.events[i]
		for j := range e.transitions {
			if !c.transition(EventID(i), e, &e.transitions[j]) {
				return
			}
		}
	}
	slices.SortStableFunc(c.def.edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Event, b.Event))
	})
}

// transition makes the edges of one transition; false when there are too many.
func (c *compiler) transition(event EventID, e *eventDecl, t *transitionDecl) bool {
	c.knownRoles(t.requires)
	from := c.origins(t.from, func(s State) bool { return s.Closed || s.Final && !e.override })
	to := c.stateList(t.to)
	if len(c.def.edges)+len(from)*max(len(to), 1) > maxEdges {
		c.errorf(t.at, "too_large", "with this the machine has more than %d transitions; split it", maxEdges)
		return false
	}
	requires := refNames(t.requires)
	checks := make([][]string, len(to))
	for i, id := range to {
		checks[i] = c.checksOf(e, t, c.def.states[id].Entry)
	}
	from = c.unclaimed(event, e, t, from)
	t.made = len(from) * max(len(to), 1)
	for _, id := range from {
		at := c.claimed[cell{id, event}].at
		edge := Edge{From: id, Event: event, Override: e.override, Requires: requires, Meta: t.meta, Source: c.position(at)}
		if t.stay {
			edge.To, edge.Stay, edge.Checks = id, true, c.checksOf(e, t, nil)
			c.def.edges = append(c.def.edges, edge)
		}
		for j, target := range to {
			edge.To, edge.Checks = target, checks[j]
			c.entered[target] = true
			c.def.edges = append(c.def.edges, edge)
		}
	}
	return true
}

// checksOf is machine's, event's, edge's and entry checks without repeats.
func (c *compiler) checksOf(e *eventDecl, t *transitionDecl, entry []string) []string {
	var all []string
	for _, list := range [][]string{refNames(c.decl.checks), refNames(e.checks), refNames(t.checks), entry} {
		for _, name := range list {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// claim is a transition's hold of a (state, event) pair.
type claim struct {
	at       place
	wildcard bool
}

// unclaimed takes the (state, event) pairs for a transition and reports those
// that it can't have.
func (c *compiler) unclaimed(event EventID, e *eventDecl, t *transitionDecl, from []StateID) []StateID {
	free := make([]StateID, 0, len(from))
	var overlap []string
	for i, id := range from {
		at, state := t.from.at, &c.def.states[id]
		if !t.from.any {
			at = t.from.states[i].at
		}
		first, taken := c.claimed[cell{id, event}]
		switch {
		case state.Closed:
			c.errorf(at, "leaves_closed", "the state %s is closed: nothing leaves it, so the event %s can't begin there", quote(state.Name), quote(e.name))
		case state.Final && !e.override:
			c.errorf(at, "leaves_final", "the state %s is final: only overrides leave it; take it out of `from`, or declare the event %s `override: true`", quote(state.Name), quote(e.name))
		case taken && t.from.any:
			overlap = append(overlap, quote(state.Name))
		case taken && first.wildcard:
			c.errorf(at, "ambiguous_wildcard", "the wildcard on line %d already leads from %s by the event %s; name this state after its `except`", first.at.line, quote(state.Name), quote(e.name))
		case taken:
			c.errorf(at, "duplicate_transition", "the event %s already has a transition from %s, on line %d; write one with all targets (`to: [a, b]`), of which the caller or the policy's `target` picks one", quote(e.name), quote(state.Name), first.at.line)
		default:
			c.claimed[cell{id, event}] = claim{at, t.from.any}
			free = append(free, id)
		}
	}
	if len(overlap) > 0 {
		c.errorf(t.from.at, "ambiguous_wildcard", "the event %s has another transition from %s; name what this wildcard doesn't mean: `except: […]`", quote(e.name), listed(overlap[:min(len(overlap), 5)]))
	}
	return free
}

// table makes the rows of Step and the lists of Legal.
func (c *compiler) table() {
	def, width := c.def, len(c.def.events)
	def.spans = make([]span, len(def.states)*width)
	def.legal = make([][]EventID, len(def.states))
	for i := 0; i < len(def.edges); {
		from, event, end := def.edges[i].From, def.edges[i].Event, i+1
		for end < len(def.edges) && def.edges[end].From == from && def.edges[end].Event == event {
			end++
		}
		def.spans[int(from)*width+int(event)] = span{int32(i), int32(end)}
		def.legal[from] = append(def.legal[from], event)
		i = end
	}
}
