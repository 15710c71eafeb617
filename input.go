package interlock

import "time"

// misfit says which stored value doesn't fit its declaration. A policy never
// sees one: values of unlike types compare without an error.
func (d *decider) misfit() *Reason {
	if s := d.f.m.FactsSchema(); s != nil {
		facts := d.f.inst.Facts
		if facts == nil {
			facts = map[string]any{}
		}
		if wrong := s.Check(facts); len(wrong) > 0 {
			return &Reason{Code: "facts_unfit", Message: "A fact of the instance doesn't fit its declaration", Params: map[string]any{"pointer": wrong[0].Pointer}}
		}
	}
	if s := d.f.m.AttrsSchema(); s != nil {
		if wrong := s.Check(d.attrs()); len(wrong) > 0 {
			return &Reason{Code: "attrs_unfit", Message: "An attribute of the actor doesn't fit its declaration", Params: map[string]any{"pointer": wrong[0].Pointer}}
		}
	}
	return nil
}

// attrs are the actor's stored attributes that the machine declares.
func (d *decider) attrs() map[string]any {
	out := map[string]any{}
	s := d.f.m.AttrsSchema()
	if s == nil || d.q.actor.Kind == System {
		return out
	}
	rec := d.f.actor(d.q.actor.Tenant, d.q.actor.ID)
	for _, p := range s.Properties() {
		if v, ok := rec.Attrs[p]; ok {
			out[p] = v
		}
	}
	return out
}

// policyInput is complete: every declared state and event is a key.
func (d *decider) policyInput(c candidate, person string) *Input {
	q, m, inst := d.q, d.f.m, d.f.inst
	in := &Input{Machine: m.Name(), Event: c.event, Form: q.form, Note: q.note,
		Transition: InputTransition{From: c.from, To: c.to, Override: c.override, Metadata: c.meta},
		Now:        InputTime{RFC3339: q.now.Format(time.RFC3339Nano), NS: q.now.UnixNano()},
		Request:    InputRequest{ID: q.id},
		Actor: InputActor{ID: q.actor.ID, Person: person, Kind: q.actor.Kind, Roles: d.roles, Attrs: d.attrs(),
			Claims: q.actor.Claims},
		Instance: InputInstance{ID: inst.ID, Tenant: inst.Tenant, State: inst.State, Version: inst.Version, Facts: inst.Facts,
			CreatedBy: inst.CreatedBy, CreatedAt: inst.CreatedAt, Since: inst.Since, Actors: orEmpty(inst.Actors),
			Entered: map[string][]string{}, Did: map[string][]string{}, Last: map[string]InputLast{}},
	}
	if q.behalf != nil {
		in.Actor.OnBehalfOf = q.behalf.ID
	}
	if in.Instance.Facts == nil {
		in.Instance.Facts = map[string]any{}
	}
	for _, s := range m.States() {
		in.Instance.Entered[s.Name] = orEmpty(inst.Entered[s.Name])
	}
	for _, e := range m.Events() {
		in.Instance.Did[e.Name] = orEmpty(inst.Did[e.Name])
		last := InputLast{}
		if l, ok := inst.Last[e.Name]; ok {
			last = InputLast{Person: l.Person, At: l.At.UTC().Format(time.RFC3339Nano), Count: l.Count}
		}
		in.Instance.Last[e.Name] = last
	}
	return in
}

func orEmpty(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
