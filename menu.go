package interlock

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/interlock-go/interlock/fsm"
)

// Menu is what one actor can do with one instance now.
type Menu struct {
	Instance Instance `json:"-"`
	Options  []Option `json:"events"` // each event that leaves this state, in declared order; never nil
}

// Option is an event as offered to an actor now.
type Option struct {
	Event       string          `json:"event"`
	Title       string          `json:"title"`
	Allowed     bool            `json:"allowed"` // any target is
	Needs       []string        `json:"needs"`   // what only the caller can still give: note, input, to, if_match; never nil
	To          []Target        `json:"to"`
	Note        fsm.NoteMode    `json:"note"`
	Override    bool            `json:"override"`
	InputSchema json.RawMessage `json:"input_schema"` // null: no form
	UI          map[string]any  `json:"ui"`           // the event's metadata besides title
}

// Target is one state that an option leads to.
type Target struct {
	State   string   `json:"state"`
	Title   string   `json:"title"`
	Self    bool     `json:"self,omitempty"` // a self-edge
	Stay    bool     `json:"stay,omitempty"` // recorded, enters nobody
	Allowed bool     `json:"allowed"`
	Reasons []Reason `json:"reasons"` // why not; never nil
}

// menu judges every event that leaves this state, with an empty form and note.
// What rests on what the caller may still give is a need; all else is final.
func (d *decider) menu(ctx context.Context) ruling {
	m, inst := d.f.m, d.f.inst
	state, _ := m.StateByName(inst.State)
	menu := &Menu{Instance: *inst, Options: []Option{}}
	for _, id := range m.Legal(state) {
		menu.Options = append(menu.Options, d.option(ctx, m.Event(id), m.Step(state, id)))
	}
	return ruling{menu: menu}
}

func (d *decider) option(ctx context.Context, event *fsm.Event, edges []fsm.Edge) Option {
	o := Option{Event: event.Name, Title: event.Title, Needs: []string{}, To: make([]Target, 0, len(edges)),
		Note: event.Note, Override: event.Override, UI: map[string]any{}}
	for k, v := range event.Meta {
		if k != "title" {
			o.UI[k] = copyValue(v) // what it holds is the machine's
		}
	}
	if event.Input != nil {
		o.InputSchema = slices.Clone(event.Input.JSON())
	}
	several := len(edges) > 1
	byPolicy := several && d.f.snap.defines(d.f.m.Name(), "target")
	needs := map[string]bool{
		"note":  event.Note == fsm.NoteRequired,
		"input": event.Input != nil && len(event.Input.Check(map[string]any{})) > 0,
		"to":    several,

		"if_match": d.f.m.IfMatch(),
	}
	meant := 0
	for i := range edges {
		c := d.edge(event, &edges[i], byPolicy)
		// All that split reads of a menu's candidate is the edge's and the machine's: parts keeps it.
		c.formOpen, c.noteOpen = event.Input != nil, event.Note != fsm.NoteForbidden
		j := d.judge(ctx, c)
		if byPolicy && !j.openTarget {
			if j.target == c.to {
				meant++
				needs["to"] = !j.allowed
			} else if j.elsewhere() {
				j.deny(Reason{Code: "target_mismatch", Message: "The policy chooses another target", Params: map[string]any{"to": c.to}})
			}
		}
		o.add(d.f.m, c, j, needs)
	}
	if meant > 1 {
		needs["to"] = true
	}
	for _, n := range []string{"note", "input", "to", "if_match"} {
		if o.Allowed && needs[n] {
			o.Needs = append(o.Needs, n)
		}
	}
	return o
}

func (o *Option) add(m *machine, c candidate, j judgement, needs map[string]bool) {
	to, _ := m.StateByName(c.to)
	t := Target{State: c.to, Title: m.State(to).Title, Self: c.from == c.to && !c.stay, Stay: c.stay, Allowed: j.allowed, Reasons: []Reason{}}
	if j.refusal != nil {
		t.Allowed = false
		t.Reasons = append(t.Reasons, Reason{Code: j.refusal.Code, Message: j.refusal.Message})
	}
	t.Reasons = append(t.Reasons, j.reasons...)
	if t.Allowed {
		o.Allowed = true
		needs["input"] = needs["input"] || j.needForm
		needs["note"] = needs["note"] || j.needNote
	}
	o.To = append(o.To, t)
}

// create decides an instance that isn't there yet, as it would be.
func (d *decider) create(ctx context.Context) ruling {
	m, q := d.f.m, d.q
	initial := m.State(m.Initial())
	d.f.inst = overlay(&Instance{Tenant: q.actor.Tenant, Machine: m.Name(), ID: q.ref.ID, State: initial.Name, Facts: q.form,
		CreatedBy: q.actor.Person, CreatedAt: q.now, Since: q.now, UpdatedAt: q.now}, d.f.bound)
	if d.f.isBound && d.f.bound == nil {
		return d.no(&Refusal{Stage: StageConflict, Code: "drift", Message: "the application's table has no row of this id: insert it in the same transaction (CreateWith), or before"})
	}
	if no := d.factsFit(q.form, d.f.inst.Facts); no != nil {
		return d.no(no)
	}
	c := d.access("$create", m.Create(), initial.Name)
	c.checks = append(append([]string{}, c.checks...), initial.Entry...)
	if r := d.may(ctx, c, "create an instance of "+m.Name()); r.refusal != nil {
		return r
	}
	if d.f.stored != nil {
		return d.no(q.exists())
	}
	if d.f.isBound && d.f.bound.State != initial.Name {
		return d.no(&Refusal{Stage: StageConflict, Code: "drift", Message: "the application's row is not in the initial state " + initial.Name})
	}
	return ruling{event: "$create", from: initial.Name, to: initial.Name}
}

// factsEdit decides a merge patch of the facts.
func (d *decider) factsEdit(ctx context.Context) ruling {
	m, q, inst := d.f.m, d.q, d.f.inst
	access := m.FactsEdit()
	if access.States != nil {
		var names []string
		here := false
		for _, s := range access.States {
			names = append(names, m.State(s).Name)
			here = here || m.State(s).Name == inst.State
		}
		if !here {
			state, _ := m.StateByName(inst.State)
			return d.no(&Refusal{Stage: StageGraph, Code: "facts_locked", Instance: inst, LegalEvents: eventNames(m, m.Legal(state)),
				Message: "facts may be edited in " + strings.Join(names, ", ") + ", not in " + inst.State})
		}
	}
	q.facts = mergePatch(d.f.stored.Facts, q.form)
	next := *d.f.stored
	next.Facts = q.facts
	if no := d.factsFit(q.form, overlay(&next, d.f.bound).Facts); no != nil {
		return d.no(no)
	}
	if r := d.may(ctx, d.access("$facts", access, inst.State), "edit the facts"); r.refusal != nil {
		return r
	}
	if no := d.demanded(); no != nil {
		return d.no(no)
	}
	return ruling{event: "$facts", from: inst.State, to: inst.State, stay: true}
}

// may judges one candidate that is no event.
func (d *decider) may(ctx context.Context, c candidate, what string) ruling {
	j := d.judge(ctx, c)
	switch {
	case j.refusal != nil:
		return d.no(j.refusal)
	case !j.allowed:
		return d.no(&Refusal{Stage: StagePolicy, Code: "denied", Message: "you may not " + what, Reasons: j.reasons})
	}
	return ruling{}
}

func (d *decider) factsFit(given, all map[string]any) *Refusal {
	var wrong []fsm.FieldError
	if d.f.bound != nil {
		for k := range given {
			if _, column := d.f.bound.Facts[k]; column {
				wrong = append(wrong, fsm.FieldError{Pointer: "/facts/" + pointerEscape(k), Message: "is a column of the application's table: change it there"})
			}
		}
	}
	switch s := d.f.m.FactsSchema(); {
	case s != nil:
		if all == nil {
			all = map[string]any{}
		}
		wrong = append(wrong, prefixed("/facts", s.Check(all))...)
	default:
		for k := range given {
			wrong = append(wrong, fsm.FieldError{Pointer: "/facts/" + pointerEscape(k), Message: "the machine declares no facts"})
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return &Refusal{Stage: StageInput, Code: "facts_invalid", Message: "the facts don't fit the machine's schema", Fields: wrong}
}

// mergePatch is RFC 7396 on copies.
func mergePatch(target, patch map[string]any) map[string]any {
	out := maps.Clone(target)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(out, k)
		case map[string]any:
			old, _ := out[k].(map[string]any)
			out[k] = mergePatch(old, v)
		default:
			out[k] = v
		}
	}
	return out
}
