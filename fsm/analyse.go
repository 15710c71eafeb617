package fsm

import "fmt"

// Codes of the warnings in [Machine.Findings].
const (
	FindingUnreachable     = "unreachable_state"        // no way leads there from the initial state
	FindingDeadEnd         = "dead_end"                 // nothing leads further, and it isn't declared final
	FindingNobody          = "nobody_can_take"          // a transition without `requires`
	FindingEmptyTransition = "empty_transition"         // a wildcard that leaves no state over
	FindingOverrideNothing = "override_reaches_nothing" // an override that begins in no reachable state
	FindingUnusedCheck     = "unused_check"             // a check that no transition asks
	FindingUnknownRequired = "schema_required"          // a schema requires what it doesn't describe
)

// analyse gathers what is legal but hardly meant.
func (c *compiler) analyse(m *Machine) {
	reached := make([]bool, len(c.def.states))
	for _, id := range m.Reachable(c.def.initial, true) {
		reached[id] = true
	}
	for i, s := range c.decl.states {
		c.analyseState(m, StateID(i), s, reached[i])
	}
	if len(c.def.edges) == 0 && len(c.decl.checks) > 0 {
		c.warn(c.decl.checks[0].at, FindingUnusedCheck, "the machine has no transitions, so that nothing asks its checks")
	}
	live := make([]bool, len(c.def.events))
	for _, e := range c.def.edges {
		live[e.Event] = live[e.Event] || reached[e.From]
	}
	for i := range c.decl.events {
		e := &c.decl.events[i]
		if e.override && !live[i] {
			c.warn(e.at, FindingOverrideNothing, "the override %s begins in no state that can be reached; say from where it leads", quote(e.name))
		}
		c.analyseEvent(e)
	}
	sortFindings(c.warnings)
	c.def.findings = c.warnings
}

func (c *compiler) warn(at place, code, format string, args ...any) {
	c.warnings = append(c.warnings, c.finding(at, Warning, code, fmt.Sprintf(format, args...)))
}

func (c *compiler) analyseState(m *Machine, id StateID, s stateDecl, reached bool) {
	if !reached {
		c.warn(s.at, FindingUnreachable, "no way leads from the initial state %s to %s; give it a transition or take it out", quote(c.decl.initial.name), quote(s.name))
	}
	if len(s.entry) > 0 && !c.entered[id] {
		c.warn(s.entry[0].at, FindingUnusedCheck, "nothing asks the entry checks of %s, since no transition enters it (creation is no transition)", quote(s.name))
	}
	if s.final || s.closed {
		return
	}
	normal, exceptional := false, false
	for _, event := range m.Legal(id) {
		for _, edge := range m.Step(id, event) {
			if edge.To != id {
				normal, exceptional = normal || !edge.Override, exceptional || edge.Override
			}
		}
	}
	switch {
	case normal:
	case exceptional:
		c.warn(s.at, FindingDeadEnd, "nothing but overrides leads on from %s; give it a transition or declare it `final: true`", quote(s.name))
	default:
		c.warn(s.at, FindingDeadEnd, "nothing leads on from %s; give it a transition, or declare it `final: true` or `closed: true`", quote(s.name))
	}
}

func (c *compiler) analyseEvent(e *eventDecl) {
	made := 0
	for _, t := range e.transitions {
		made += t.made
		if t.made == 0 {
			c.warn(t.from.at, FindingEmptyTransition, "this wildcard of the event %s leaves no state over; name the states from which it leads", quote(e.name))
			if len(t.checks) > 0 {
				c.warn(t.checks[0].at, FindingUnusedCheck, "nothing asks these checks, since the transition begins in no state")
			}
		} else if len(t.requires) == 0 && c.decl.metaform {
			c.warn(t.at, FindingNobody, "nobody can take this transition, since %s doesn't say `requires_moderator: true` (moderators) or `false` (anyone)", quote(t.to[0].name))
		} else if len(t.requires) == 0 {
			c.warn(t.at, FindingNobody, "nobody can take this transition of the event %s, since it has no `requires`; name who may, or `anyone`", quote(e.name))
		}
	}
	if made == 0 && len(e.checks) > 0 {
		c.warn(e.checks[0].at, FindingUnusedCheck, "nothing asks the checks of the event %s, since it begins in no state", quote(e.name))
	}
}
