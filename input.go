package interlock

import "time"

// misfit says which stored value doesn't fit its declaration. A policy never
// sees one: values of unlike types compare without an error.
func (d *decider) misfit() *Reason {
	if why := d.factsMisfit(); why != nil {
		return why
	}
	return d.who().misfit
}

// factsMisfit is found once for a row, however often it is decided on.
func (d *decider) factsMisfit() *Reason {
	s := d.f.m.FactsSchema()
	if s == nil {
		return nil
	}
	memo := d.memo()
	if known, ok := memo.Load(s); ok {
		why, _ := known.(*Reason)
		return why
	}
	facts := d.f.inst.Facts
	if facts == nil {
		facts = map[string]any{}
	}
	var why *Reason
	if wrong := s.Check(facts); len(wrong) > 0 {
		why = &Reason{Code: "facts_unfit", Message: "A fact of the instance doesn't fit its declaration", Params: map[string]any{"pointer": wrong[0].Pointer}}
	}
	memo.Store(s, why)
	return why
}

// memo goes with the instance that is decided on: the store's, where it is the
// row as it was read, else one of this decision's own.
func (d *decider) memo() *Memo {
	if d.remembered == nil || d.of != d.f.inst {
		d.remembered, d.of = d.f.memo, d.f.inst
		if d.remembered == nil || d.f.inst != d.f.stored {
			d.remembered = new(Memo)
		}
	}
	return d.remembered
}

// declared are the actor's stored attributes that the machine declares.
func (d *decider) declared() map[string]any {
	s, rec := d.f.m.AttrsSchema(), d.f.row(d.q.actor.ID)
	if s == nil || d.q.actor.Kind == System || rec == nil {
		return noMeta
	}
	declared, properties := 0, s.Properties()
	for _, p := range properties {
		if _, ok := rec.Attrs[p]; ok {
			declared++
		}
	}
	switch declared {
	case 0:
		return noMeta
	case len(rec.Attrs):
		return rec.Attrs
	}
	attrs := make(map[string]any, declared)
	for _, p := range properties {
		if v, ok := rec.Attrs[p]; ok {
			attrs[p] = v
		}
	}
	return attrs
}

func (d *decider) policyInput(c candidate, person string) *Input {
	q, m := d.q, d.f.m
	if d.now.RFC3339 == "" {
		d.now = InputTime{RFC3339: q.now.Format(time.RFC3339Nano), NS: q.now.UnixNano()}
	}
	in := &Input{Machine: m.Name(), Event: c.event, Form: q.form, Note: q.note,
		Transition: InputTransition{From: c.from, To: c.to, Override: c.override, Metadata: c.meta},
		Now:        d.now,
		Request:    InputRequest{ID: q.id},
		Actor: InputActor{ID: q.actor.ID, Person: person, Kind: q.actor.Kind, Roles: d.roles, Attrs: d.who().attrs,
			Claims: q.actor.Claims},
		Instance: d.inputInstance(),
		Memo:     d.who().memo(person),
	}
	if q.behalf != nil {
		in.Actor.OnBehalfOf = q.behalf.ID
	}
	return in
}

// inputInstance is the same for everything that is asked of a row.
func (d *decider) inputInstance() InputInstance {
	inst, memo := d.f.inst, d.memo()
	if d.instance.Memo == memo {
		return d.instance
	}
	if known, ok := memo.Load(inputKey{}); ok {
		d.instance, _ = known.(InputInstance)
		return d.instance
	}
	in := InputInstance{ID: inst.ID, Tenant: inst.Tenant, State: inst.State, Version: inst.Version, Facts: inst.Facts,
		CreatedBy: inst.CreatedBy, CreatedAt: inst.CreatedAt, Since: inst.Since, Actors: inst.Actors,
		Entered: inst.Entered, Did: inst.Did, Last: make(map[string]InputLast, len(inst.Last)), Memo: memo}
	if in.Facts == nil {
		in.Facts = map[string]any{}
	}
	if in.Actors == nil {
		in.Actors = []string{}
	}
	if in.Entered == nil {
		in.Entered = map[string][]string{}
	}
	if in.Did == nil {
		in.Did = map[string][]string{}
	}
	for e, l := range inst.Last {
		in.Last[e] = InputLast{Person: l.Person, At: l.At.UTC().Format(time.RFC3339Nano), Count: l.Count}
	}
	d.instance = in
	memo.Store(inputKey{}, in)
	return in
}

// inputKey owns what a memo keeps of an instance for all rules.
type inputKey struct{}
