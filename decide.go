package interlock

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/interlock-go/interlock/fsm"
)

// ruling is what the gate says to a question. It is a yes only when refusal is nil.
type ruling struct {
	refusal  *Refusal
	event    string
	from, to string
	stay     bool
	override bool
	menu     *Menu // opMenu only
	steps    []Step
	trace    []string
}

// decide is the one function that decides: Fire, Do, Available, Explain,
// Create, facts edits and reads all ask it, so that the menu and the gate can't
// drift apart. It rests on f and q alone; what it keeps of them there changes no answer.
func (g *Gate) decide(ctx context.Context, f *facts, q *question) ruling {
	d := decider{g: g, f: f, q: q}
	r := d.decide(ctx)
	if r.refusal != nil {
		r.refusal.Revision, r.refusal.Instance = f.m.revision, r.refusal.Instance.own()
	}
	r.steps, r.trace = d.steps, d.trace
	return r
}

type decider struct {
	g     *Gate
	f     *facts
	q     *question
	roles []string // of the actor, here, with what they include
	steps []Step
	trace []string
	clock time.Time

	// What is the same for all that is asked of the policy.
	instance   InputInstance
	asker      *asker
	now        InputTime
	remembered *Memo
	of         *Instance // that remembered goes with
}

func (d *decider) decide(ctx context.Context) ruling {
	d.clock = time.Now()
	if no := d.identity(); no != nil {
		return d.no(no)
	}
	if d.q.op == opExplain {
		d.step(StageIdentity, true, fmt.Sprintf("%s (%s) with roles %s", d.q.actor.ID, d.q.actor.Kind, listOr(d.roles, "none")), nil)
	}
	if d.q.op == opCreate {
		return d.create(ctx)
	}
	if no := d.readable(ctx); no != nil {
		return d.no(no)
	}
	if d.q.op == opRead && d.f.adopted() {
		return d.no(nil)
	}
	if no := d.precondition(); no != nil {
		return d.no(no)
	}
	if no := d.standing(); no != nil {
		return d.no(no)
	}
	switch d.q.op {
	case opRead:
		return d.no(nil) // of a row that history doesn't know: only in the initial state
	case opMenu:
		return d.menu(ctx)
	case opFacts:
		return d.factsEdit(ctx)
	}
	return d.fire(ctx)
}

func (d *decider) no(r *Refusal) ruling {
	if r != nil {
		d.step(r.Stage, false, r.Message, nil)
	}
	return ruling{refusal: r}
}

func (d *decider) step(stage Stage, ok bool, message string, detail map[string]any) {
	if d.q.op != opExplain {
		return
	}
	now := time.Now()
	d.steps = append(d.steps, Step{Stage: stage, OK: ok, Message: message, Detail: detail, Duration: now.Sub(d.clock)})
	d.clock = now
}

// identity refuses actors that may not act at all, and fixes the persons that
// the decision speaks of to the stored ones.
func (d *decider) identity() *Refusal {
	q := d.q
	for _, a := range []*Actor{&q.actor, q.behalf} {
		if a == nil || a.Kind == System {
			continue
		}
		rec := d.f.actor(q.actor.Tenant, a.ID)
		if !rec.Active {
			return identity("inactive", "this account is switched off")
		}
		if rec.Person != "" && rec.Person != a.Person {
			return identity("person_mismatch", "this account belongs to another person than the identity says")
		}
	}
	d.roles = d.rolesOf(q.actor)
	return nil
}

func (d *decider) rolesOf(a Actor) []string {
	var roles []string
	for _, r := range a.Roles {
		if !strings.HasPrefix(r, "interlock:") && r != fsm.Anyone && r != fsm.System && !strings.HasPrefix(r, "$") {
			roles = append(roles, r)
		}
	}
	if a.Kind != System {
		rec := d.f.actor(a.Tenant, a.ID)
		for _, gr := range rec.Grants {
			if gr.Scope.covers(d.f.m.Name(), d.q.ref.ID) {
				roles = append(roles, gr.Role)
			}
		}
	}
	return d.f.m.Expand(roles)
}

// readable asks the machine's `read`. What may not be read isn't there.
func (d *decider) readable(ctx context.Context) *Refusal {
	if d.f.inst == nil {
		return notFound()
	}
	if d.q.actor.Kind == System {
		return nil // the host's own code
	}
	state := d.f.inst.State
	j := d.judge(ctx, d.access("$read", d.f.m.Read(), state))
	switch {
	case j.refusal != nil:
		return j.refusal
	case !j.allowed:
		return notFound()
	}
	return nil
}

// standing refuses an instance that the machine can't speak of: in a state that
// the definition lacks, or with an application's row that was changed by hand.
func (d *decider) standing() *Refusal {
	f := d.f
	if _, ok := f.m.StateByName(f.inst.State); !ok {
		return unavailable("state_unknown", fmt.Sprintf("the instance is in state %q, which the active definition doesn't have", f.inst.State), nil)
	}
	if !f.isBound {
		return nil
	}
	if f.bound == nil {
		return &Refusal{Stage: StageConflict, Code: "drift", Instance: f.inst,
			Message: "the application's row of this instance is gone, or was never there"}
	}
	if f.bound.State != f.inst.State && !f.adopted() {
		return &Refusal{Stage: StageConflict, Code: "drift", Instance: f.inst,
			Message: fmt.Sprintf("the application's row says %q, and the gate has never seen it: only a row in %q is taken in by its first event, others by Gate.Backfill", f.bound.State, f.inst.State)}
	}
	if f.bound.State != f.inst.State {
		return &Refusal{Stage: StageConflict, Code: "drift", Instance: f.inst,
			Message: fmt.Sprintf("the application's row says %q, history says %q: somebody changed it by hand", f.bound.State, f.inst.State)}
	}
	return nil
}

// edges are the edges by which the event leaves the state, or the refusal.
func (d *decider) edges() (*fsm.Event, []fsm.Edge, *Refusal) {
	m, inst := d.f.m, d.f.inst
	state, _ := m.StateByName(inst.State)
	id, ok := m.EventByName(d.q.event)
	if !ok {
		legal := eventNames(m, m.Legal(state))
		return nil, nil, &Refusal{Stage: StageGraph, Code: "unknown_event", Instance: inst, LegalEvents: legal,
			Message: fmt.Sprintf("machine %s has no event %q%s", m.Name(), clip(d.q.event), legalText(legal, inst.State))}
	}
	edges := m.Step(state, id)
	if len(edges) == 0 {
		legal := eventNames(m, m.Legal(state))
		return nil, nil, &Refusal{Stage: StageGraph, Code: "illegal_event", Instance: inst, LegalEvents: legal,
			Message: fmt.Sprintf("%q is not legal in state %q%s", d.q.event, inst.State, legalText(legal, inst.State))}
	}
	if d.q.to == "" {
		return m.Event(id), edges, nil
	}
	for i := range edges {
		if m.State(edges[i].To).Name == d.q.to {
			return m.Event(id), edges[i : i+1], nil
		}
	}
	var targets []string
	for _, e := range edges {
		targets = append(targets, m.State(e.To).Name)
	}
	return nil, nil, &Refusal{Stage: StageGraph, Code: "undeclared_target", Instance: inst, LegalEvents: eventNames(m, m.Legal(state)),
		Message: fmt.Sprintf("%q leads from %q to %s, not to %q", d.q.event, inst.State, strings.Join(targets, ", "), clip(d.q.to))}
}

func (d *decider) fire(ctx context.Context) ruling {
	event, edges, no := d.edges()
	if no != nil {
		return d.no(no)
	}
	d.step(StageGraph, true, event.Name+" leaves "+d.f.inst.State, nil)
	all := d.allTargets(event)
	if no := d.input(event, all > 1 && d.q.to == "" && !d.f.snap.defines(d.f.m.Name(), "target")); no != nil {
		return d.no(no)
	}
	d.step(StageInput, true, "the form and the note fit", nil)
	return d.choose(ctx, event, edges, all > 1)
}

// allTargets counts the event's targets from here, whatever the caller named.
func (d *decider) allTargets(event *fsm.Event) int {
	state, _ := d.f.m.StateByName(d.f.inst.State)
	return len(d.f.m.Step(state, event.ID))
}

// choose judges each candidate target and takes the one that is meant: the
// caller's, or the one that the policy's `target` names. None or two is a
// refusal, never a guess.
func (d *decider) choose(ctx context.Context, event *fsm.Event, edges []fsm.Edge, several bool) ruling {
	byPolicy := several && d.f.snap.defines(d.f.m.Name(), "target")
	var chosen *judgement
	named := 0
	for i := range edges {
		c := d.edge(event, &edges[i], byPolicy)
		j := d.judge(ctx, c)
		if j.refusal != nil {
			return d.no(j.refusal)
		}
		if byPolicy {
			if d.q.to == "" && j.target != c.to {
				continue // the policy doesn't mean this one
			}
			if j.elsewhere() {
				j.deny(Reason{Code: "target_mismatch", Message: "The policy chooses another target", Params: map[string]any{"to": c.to}})
			}
		}
		named++
		chosen = &j
	}
	if named != 1 {
		return d.no(targetRequired(d.f.m, event, edges, named))
	}
	if !chosen.allowed {
		return d.no(&Refusal{Stage: StagePolicy, Code: "denied", Message: fmt.Sprintf("you may not %s", event.Name), Reasons: chosen.reasons})
	}
	d.step(StagePolicy, true, "every condition holds", nil)
	if no := d.demanded(); no != nil {
		return d.no(no)
	}
	c := chosen.c
	return ruling{event: event.Name, from: c.from, to: c.to, stay: c.stay, override: c.override}
}

func targetRequired(m *machine, event *fsm.Event, edges []fsm.Edge, named int) *Refusal {
	var names []string
	for _, e := range edges {
		names = append(names, m.State(e.To).Name)
	}
	msg := fmt.Sprintf("%s leads to several states: name one of %s", event.Name, strings.Join(names, ", "))
	if named > 1 {
		msg = fmt.Sprintf("the policy names more than one target of %s: name one of %s", event.Name, strings.Join(names, ", "))
	}
	return &Refusal{Stage: StageInput, Code: "target_required", Message: msg,
		Fields: []fsm.FieldError{{Pointer: "/to", Message: "one of " + strings.Join(names, ", ")}}}
}

// input checks note, form and target of an event.
func (d *decider) input(event *fsm.Event, needTarget bool) *Refusal {
	q := d.q
	switch {
	case event.Note == fsm.NoteRequired && strings.TrimSpace(q.note) == "":
		return &Refusal{Stage: StageInput, Code: "note_required", Message: event.Name + " needs a note",
			Fields: []fsm.FieldError{{Pointer: "/note", Message: "required: say why"}}}
	case event.Note == fsm.NoteForbidden && q.note != "":
		return &Refusal{Stage: StageInput, Code: "note_forbidden", Message: event.Name + " takes no note",
			Fields: []fsm.FieldError{{Pointer: "/note", Message: "not taken by this event"}}}
	}
	if wrong := formErrors(event, q.form); len(wrong) > 0 {
		return &Refusal{Stage: StageInput, Code: "input_invalid", Message: "the form doesn't fit", Fields: wrong}
	}
	if needTarget {
		state, _ := d.f.m.StateByName(d.f.inst.State)
		return targetRequired(d.f.m, event, d.f.m.Step(state, event.ID), 0)
	}
	return nil
}

func formErrors(event *fsm.Event, form map[string]any) []fsm.FieldError {
	if event.Input == nil {
		var wrong []fsm.FieldError
		for _, k := range slices.Sorted(maps.Keys(form)) {
			wrong = append(wrong, fsm.FieldError{Pointer: "/input/" + pointerEscape(k), Message: "this event takes no form fields"})
		}
		return wrong
	}
	return prefixed("/input", event.Input.Check(form))
}

func prefixed(prefix string, errs []fsm.FieldError) []fsm.FieldError {
	for i := range errs {
		errs[i].Pointer = prefix + errs[i].Pointer
	}
	return errs
}

func pointerEscape(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

func eventNames(m *machine, ids []fsm.EventID) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = m.Event(id).Name
	}
	return names
}

func legalText(legal []string, state string) string {
	if len(legal) == 0 {
		return fmt.Sprintf("; nothing leaves %q", state)
	}
	return "; legal here: " + strings.Join(legal, ", ")
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

func listOr(l []string, none string) string {
	if len(l) == 0 {
		return none
	}
	return strings.Join(l, ", ")
}
