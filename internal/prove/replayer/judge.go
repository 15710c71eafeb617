package replayer

import (
	"slices"
	"strings"
)

// judge decides a row of an instance again: was it legal from there, and might
// he. It returns the version of the actor that the decision saw, -1 for none.
func (r *replay) judge(c *chain, w *row, now *Instance) int64 {
	rules := r.src.Rules[w.revision]
	if rules == nil || rules.Machine != c.machine || !r.t.revisions[c.machine+"/"+w.revision] {
		r.find(c, w.seq, "was decided under rules %q that nobody has", w.revision)
		return -1
	}
	who, saw := r.seen(c, w)
	if saw < 0 {
		return -1
	}
	if w.event == "$create" || w.event == "$adopt" {
		if now.Version != 0 || w.from != rules.Initial || w.to != rules.Initial {
			r.find(c, w.seq, "begins what is there already, or in %q", w.to)
		}
	} else if now.Version == 0 || w.from != now.State {
		r.find(c, w.seq, "leaves %q, where it was in %q", w.from, now.State)
	}
	q := &Question{Event: w.event, From: w.from, To: w.to, Note: w.note, Form: w.inputs, Facts: now.Facts, Attrs: who.Attrs, Instance: now}
	if r.src.Bound != nil {
		q.Facts = w.factsAfter // columns: as they were judged, which the row itself says
	}
	j := judgement{r, c, w, rules, q, who}
	switch w.event {
	case "$create":
		j.fit(w.inputs)
		j.might(rules.Create.Requires, append(slices.Clone(rules.Create.Checks), rules.Entry[rules.Initial]...))
	case "$adopt":
		if r.src.Bound == nil || !who.system {
			r.find(c, w.seq, "adopts what no table of the application has, or by somebody")
		}
	case "$facts":
		if !slices.Contains(rules.EditStates, now.State) || w.to != w.from {
			r.find(c, w.seq, "changes facts in state %q", now.State)
		}
		j.fit(merged(now.Facts, w.inputs))
		j.might(rules.EditFacts.Requires, rules.EditFacts.Checks)
	default:
		j.event()
	}
	return saw
}

// actorThen is who acted, as the decision saw him.
type actorThen struct {
	Actor
	system bool
	roles  []string
}

// seen finds what the decision saw of who acted, and asks whether that was in
// force when the row was committed. saw is -1 where there never was such an actor.
func (r *replay) seen(c *chain, w *row) (who actorThen, saw int64) {
	a := r.actors[key{c.tenant, w.actor}]
	if a == nil {
		a = nobody(c.tenant, w.actor)
		who.system = r.system(w.actor)
	}
	v := a.saw(w.sawActor)
	if v < 0 {
		r.find(c, w.seq, "was decided on a %s that never was", w.actor)
		return who, -1
	}
	who.Actor = a.versions[v]
	if who.system {
		return who, int64(v)
	}
	if a.chain == nil || v == 0 && (len(a.versions) < 2 || a.chain.rows[0].request() != w.request()) {
		r.find(c, w.seq, "was done by %s, of whom nothing is stored", w.actor)
	}
	if !a.between(v, w) {
		r.find(c, w.seq, "was decided on version %d of %s, which wasn't in force any more, or not yet", v, w.actor)
	}
	if !who.Active {
		r.find(c, w.seq, "was done by %s, who was switched off", w.actor)
	}
	if p := who.Person; p != "" && p != w.person {
		r.find(c, w.seq, "says that %s is %s, who is %s", w.actor, w.person, p)
	}
	if who.Person == "" && (v+1 >= len(a.versions) || a.versions[v+1].Person != w.person || a.chain.rows[v].request() != w.request()) {
		r.find(c, w.seq, "was done by %s without fixing his person", w.actor)
	}
	r.behalf(c, w)
	rules := r.src.Rules[w.revision]
	for _, g := range who.Grants {
		if g.Scope == "tenant" || g.Scope == "machine:"+c.machine || g.Scope == "instance:"+c.machine+"/"+c.instance {
			who.roles = append(append(who.roles, g.Role), rules.Roles[g.Role]...)
		}
	}
	return who, int64(v)
}

// behalf asks whether he for whom another acted could have: the row says who he
// is, not what was seen of him, so that one version of those between which it
// stands has to do.
func (r *replay) behalf(c *chain, w *row) {
	if w.behalf == "" {
		return
	}
	if a := r.actors[key{c.tenant, w.behalf}]; a != nil {
		for v, version := range a.versions {
			if a.between(v, w) && version.Active && (version.Person == "" || version.Person == w.behalfPerson) {
				return
			}
		}
	}
	r.find(c, w.seq, "was done for %s, who was switched off, unknown, or somebody else", w.behalf)
}

type judgement struct {
	r     *replay
	c     *chain
	w     *row
	rules *Rules
	q     *Question
	who   actorThen
}

func (j *judgement) find(format string, args ...any) { j.r.find(j.c, j.w.seq, format, args...) }

func (j *judgement) fit(facts map[string]any) {
	if j.r.src.Bound != nil {
		facts = j.w.factsAfter
	}
	if j.rules.FactsFit != nil && !j.rules.FactsFit(facts) {
		j.find("leaves facts that don't fit: %v", facts)
	}
}

func (j *judgement) event() {
	e := j.r.edge(j.w)
	switch {
	case e == nil:
		j.find("%q doesn't lead from %q to %q", j.w.event, j.w.from, j.w.to)
		return
	case e.Override != j.w.override:
		j.find("is marked as an override where it isn't one, or isn't where it is")
	case e.Note && strings.TrimSpace(j.w.note) == "":
		j.find("has no note")
	case e.Form != nil && !e.Form(j.w.inputs):
		j.find("has a form that doesn't fit")
	}
	checks := slices.Clone(e.Checks)
	if !e.Stay {
		checks = append(checks, j.rules.Entry[j.w.to]...)
	}
	j.might(e.Requires, checks)
	if len(e.To) > 1 && j.rules.Target != nil {
		for _, person := range j.w.persons() {
			j.q.Person = person
			if to := j.rules.Target(j.q); to != "" && to != j.w.to {
				j.find("leads to %q, where the policy says %q", j.w.to, to)
			}
		}
	}
}

// might: one of requires holds, and every check, for each person.
func (j *judgement) might(requires, checks []string) {
	held := false
	for _, need := range requires {
		switch condition, isOne := strings.CutPrefix(need, "$"); {
		case isOne:
			held = held || j.all(condition)
		case need == "system":
			held = held || j.who.system
		case need == "anyone":
			held = true
		default:
			held = held || slices.Contains(j.who.roles, need)
		}
	}
	if !held {
		j.find("%s by %s, who held %v then, needs one of %v", j.w.event, j.w.actor, j.who.roles, requires)
	}
	for _, check := range checks {
		if !j.all(check) {
			j.find("%s by %s, for whom %s doesn't hold", j.w.event, j.w.actor, check)
		}
	}
}

func (j *judgement) all(condition string) bool {
	holds := j.rules.Conditions[condition]
	for _, person := range j.w.persons() {
		j.q.Person = person
		if holds == nil || !holds(j.q) {
			return false
		}
	}
	return true
}
