package replayer

import (
	"bytes"
	"maps"
	"slices"
	"time"
)

// instanceChain goes through an instance's history: each row against the state
// that the rows before have made.
func (r *replay) instanceChain(c *chain) {
	now := Instance{Tenant: c.tenant, Machine: c.machine, ID: c.instance}
	prev := genesis(c.rows[0].epoch, c.tenant, c.machine, c.instance)
	for n, w := range c.rows {
		for _, wrong := range w.sealed(prev) {
			r.find(c, w.seq, "%s", wrong)
		}
		r.inEpoch(c, n)
		prev = w.hash
		if w.seq != int64(n+1) {
			r.find(c, w.seq, "stands after row %d", n)
		}
		r.commit(w, r.judge(c, w, &now))
		now = r.after(w, now)
		if !bytes.Equal(w.after, now.sum()) {
			r.find(c, w.seq, "%s leads to %+v, which isn't what its digest is of", w.event, now)
		}
	}
	stored := r.t.instances[[3]string{c.tenant, c.machine, c.instance}]
	switch {
	case stored == nil:
		r.find(c, 0, "there is a history, and no instance")
	case !bytes.Equal(stored.sum(), now.sum()) || !bytes.Equal(stored.digest, now.sum()) || !bytes.Equal(stored.head, prev):
		r.find(c, 0, "the instance isn't what its history says")
	}
	if r.src.Bound != nil {
		if state, ok := r.t.bound[c.instance]; !ok || state != now.State {
			r.find(c, 0, "the application's column says %q, history says %q", state, now.State)
		}
	}
}

// after is the instance after a row; whether the row was legal is judge's matter.
func (r *replay) after(w *row, i Instance) Instance {
	i.Version++
	i.UpdatedAt = w.micros
	i.Entered, i.Did, i.Last, i.Actors = copied(i.Entered), copied(i.Did), maps.Clone(i.Last), slices.Clone(i.Actors)
	stay := false
	switch w.event {
	case "$create":
		i.Facts, i.CreatedBy, i.CreatedAt, i.Since = w.inputs, w.person, w.micros, w.micros
	case "$adopt":
		i.Facts, i.CreatedAt, i.Since = nil, w.micros, w.micros
		i.State = w.to
		return i // nobody did anything to it
	case "$facts":
		i.Facts, stay = merged(i.Facts, w.inputs), true
	default:
		if e := r.edge(w); e != nil {
			stay = e.Stay
		}
	}
	for _, person := range w.persons() {
		i.Actors = with(i.Actors, person)
		if w.event[0] != '$' {
			i.Did[w.event] = with(i.Did[w.event], person)
		}
		if !stay {
			i.Entered[w.to] = with(i.Entered[w.to], person)
		}
	}
	if !stay {
		i.Since = w.micros
	}
	if w.event[0] != '$' {
		if i.Last == nil {
			i.Last = map[string]Last{}
		}
		i.Last[w.event] = Last{w.person, time.UnixMicro(w.micros).UTC(), i.Last[w.event].Count + 1}
	}
	i.State = w.to
	return i
}

// persons are those to whom a row is ascribed.
func (w *row) persons() []string {
	if w.behalf != "" && w.behalfPerson != w.person {
		return []string{w.person, w.behalfPerson}
	}
	return []string{w.person}
}

func copied(m map[string][]string) map[string][]string {
	out := make(map[string][]string, len(m))
	for k, v := range m {
		out[k] = slices.Clone(v)
	}
	return out
}

func with(set []string, person string) []string {
	if slices.Contains(set, person) {
		return set
	}
	set = append(set, person)
	slices.Sort(set)
	return set
}

// edge is the one that a row took; nil: there is none.
func (r *replay) edge(w *row) *Edge {
	rules := r.src.Rules[w.revision]
	if rules == nil {
		return nil
	}
	for i := range rules.Edges {
		e := &rules.Edges[i]
		if e.Event == w.event && slices.Contains(e.From, w.from) && (e.Stay && w.to == w.from || slices.Contains(e.To, w.to)) {
			return e
		}
	}
	return nil
}
