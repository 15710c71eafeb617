package interlock

import (
	"slices"
)

// frame is what the decisions of one request for menus have in common, which are
// made one after the other.
type frame struct {
	held Memo // by the rules, from one question to the next
	last *asker
}

// end lets go of what rules hold.
func (f *frame) end() {
	for _, one := range f.held.all() {
		if held, ok := one.value.(interface{ Release() }); ok {
			held.Release()
		}
	}
}

// asker is who asks, as a machine sees him by his rows and roles. It is the same for
// all instances that these are the same for.
type asker struct {
	machine *machine
	actors  []ActorRecord
	roles   []string

	attrs   map[string]any
	misfit  *Reason          // of the attributes
	persons map[string]*Memo // of what is said of each; menus alone ask more than once or twice
}

// who is the asker, once the roles are known.
func (d *decider) who() *asker {
	if d.asker != nil {
		return d.asker
	}
	frame := d.q.frame
	if frame != nil && frame.last != nil && frame.last.is(d) {
		d.asker = frame.last
		return d.asker
	}
	a := &asker{machine: d.f.m, actors: d.f.actors, roles: d.roles, attrs: d.declared()}
	if s := d.f.m.AttrsSchema(); s != nil {
		if wrong := s.Check(a.attrs); len(wrong) > 0 {
			a.misfit = &Reason{Code: "attrs_unfit", Message: "An attribute of the actor doesn't fit its declaration", Params: map[string]any{"pointer": wrong[0].Pointer}}
		}
	}
	if d.asker = a; frame != nil {
		a.persons = map[string]*Memo{}
		frame.last = a
	}
	return a
}

// is tells whether it is the decision's asker: by the very rows, which nobody changes.
func (a *asker) is(d *decider) bool {
	return a.machine == d.f.m && slices.Equal(a.roles, d.roles) && len(a.actors) == len(d.f.actors) &&
		(len(a.actors) == 0 || &a.actors[0] == &d.f.actors[0])
}

// memo is what rules keep of all that is asked of the person; nil where nothing is.
func (a *asker) memo(person string) *Memo {
	if a.persons == nil {
		return nil
	}
	m := a.persons[person]
	if m == nil {
		m = new(Memo)
		a.persons[person] = m
	}
	return m
}

// parts is what split made of an edge's conditions.
type parts struct{ final, open batch }

// parts is split, which is the same for all menus with the edge, but for whether a role
// suffices.
func (d *decider) parts(c candidate, grants []string, deny bool) (final, open batch) {
	if d.q.op != opMenu || c.edge == nil {
		return d.split(c, grants, deny)
	}
	known := &d.f.m.splits[min(len(grants), 1)]
	if p, ok := known.Load(c.edge); ok {
		if p, ok := p.(*parts); ok {
			return p.final, p.open
		}
	}
	final, open = d.split(c, grants, deny)
	known.Store(c.edge, &parts{final, open})
	return final, open
}
