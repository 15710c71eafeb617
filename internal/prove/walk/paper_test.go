package walk

import (
	"maps"
	"slices"
	"strings"
)

// The model of the paper machine: what a reader of its definition would expect.

type person struct {
	id, person string
	roles      []string
}

// staff: ann has two accounts, gus may only read, zoe nothing.
var staff = []person{
	{"ann", "ann", []string{"clerk"}}, {"ann-2", "ann", []string{"clerk"}}, {"ben", "ben", []string{"clerk"}},
	{"cat", "cat", []string{"chief"}}, {"gus", "gus", []string{"guest"}}, {"zoe", "zoe", nil},
}

func (p person) has(role string) bool {
	return slices.Contains(p.roles, role) || role == "clerk" && slices.Contains(p.roles, "chief")
}

type paper struct {
	state   string
	amount  int
	version int64
	checked map[string]bool // persons who brought it to checked
	rows    []string        // its history
}

func (p *paper) clone() *paper {
	c := *p
	c.checked, c.rows = maps.Clone(p.checked), slices.Clone(p.rows)
	return &c
}

// edge is what an event says of a state: where it leads, or that it doesn't leave it.
type edge struct {
	to       []string
	stay     bool
	role     string
	note     string // required, forbidden or optional
	takesTxt bool
}

func edgeOf(state, event string) (edge, bool) {
	live := state != "paid" && state != "thrown" // an override leaves a final state, too
	switch {
	case event == "send" && state == "draft":
		return edge{to: []string{"sent"}, role: "clerk"}, true
	case event == "check" && state == "sent":
		return edge{to: []string{"checked"}, role: "clerk"}, true
	case event == "pay" && state == "checked":
		return edge{to: []string{"paid"}, role: "clerk", note: "forbidden"}, true
	case event == "back" && (state == "sent" || state == "checked"):
		return edge{to: []string{"draft"}, role: "clerk", note: "required"}, true
	case event == "throw" && live:
		return edge{to: []string{"thrown"}, role: "chief"}, true
	case event == "remark" && live:
		return edge{to: []string{state}, stay: true, role: "clerk", takesTxt: true}, true
	case event == "force" && state != "paid":
		return edge{to: []string{"sent", "checked", "paid"}, role: "chief", note: "required"}, true
	}
	return edge{}, false
}

var events = []string{"send", "check", "pay", "back", "throw", "remark", "force"}

// fire is what the model says to a request: "" and the paper after it, or why not.
func (p *paper) fire(who person, event, to, note string, form map[string]any) (string, *paper) {
	if p == nil || !who.has("clerk") && !who.has("guest") {
		return "graph not_found", nil
	}
	if !slices.Contains(events, event) {
		return "graph unknown_event", nil
	}
	e, legal := edgeOf(p.state, event)
	switch {
	case !legal:
		return "graph illegal_event", nil
	case to != "" && !slices.Contains(e.to, to):
		return "graph undeclared_target", nil
	case e.note == "required" && strings.TrimSpace(note) == "":
		return "input note_required", nil
	case e.note == "forbidden" && note != "":
		return "input note_forbidden", nil
	case e.takesTxt && (len(form) != 1 || form["text"] != "words"), !e.takesTxt && len(form) > 0:
		return "input input_invalid", nil
	case to == "" && len(e.to) > 1:
		return "input target_required", nil
	}
	if to == "" {
		to = e.to[0]
	}
	reasons := p.missing(who, e, to)
	if len(reasons) > 0 {
		return "policy denied [" + strings.Join(reasons, " ") + "]", nil
	}
	next := p.clone()
	if to == "checked" && !e.stay {
		next.checked[who.person] = true
	}
	next.append(who, event, to)
	return "", next
}

// missing are the conditions of an edge that don't hold.
func (p *paper) missing(who person, e edge, to string) []string {
	reasons := []string{}
	if to == "paid" {
		if len(p.checked) == 0 || p.checked[who.person] {
			reasons = append(reasons, "four_eyes")
		}
		if p.amount > maxAmount {
			reasons = append(reasons, "in_limit")
		}
	}
	if !who.has(e.role) {
		reasons = append(reasons, "role_required")
	}
	return reasons
}

func (p *paper) append(who person, event, to string) {
	p.rows = append(p.rows, strings.Join([]string{event, p.state, to, who.id, who.person}, " "))
	p.version++
	p.state = to
}

// edit is what the model says to a change of the amount.
func (p *paper) edit(who person, amount int) (string, *paper) {
	switch {
	case p == nil || !who.has("clerk") && !who.has("guest"):
		return "graph not_found", nil
	case p.state != "draft" && p.state != "sent":
		return "graph facts_locked", nil
	case amount < 0:
		return "input facts_invalid", nil
	case !who.has("clerk"):
		return "policy denied [role_required]", nil
	}
	next := p.clone()
	next.amount = amount
	next.append(who, "$facts", p.state)
	return "", next
}

func newPaper(who person, amount int) (string, *paper) {
	switch {
	case amount < 0:
		return "input facts_invalid", nil
	case !who.has("clerk"):
		return "policy denied [role_required]", nil
	}
	p := &paper{state: "draft", amount: amount, checked: map[string]bool{}}
	p.append(who, "$create", "draft")
	return "", p
}
