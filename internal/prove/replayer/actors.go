package replayer

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

const adminRole = "interlock:admin"

// actorChain is an actor in each of his versions; the first is of whom nothing
// is stored yet.
type actorChain struct {
	chain    *chain
	versions []Actor
	digests  [][]byte
}

func nobody(tenant, id string) *actorChain {
	a := Actor{Tenant: tenant, ID: id, Active: true}
	return &actorChain{versions: []Actor{a}, digests: [][]byte{a.sum()}}
}

// saw finds the version with the digest; -1: there never was one.
func (a *actorChain) saw(digest []byte) int {
	return slices.IndexFunc(a.digests, func(d []byte) bool { return bytes.Equal(d, digest) })
}

// between tells whether a row stands, in the database's order, between the
// version that it saw and the next. Rows hold their locks before they are
// stamped, so that of two that exclude each other the later has the later stamp.
// A row that is of one transaction with the next version made it itself.
func (a *actorChain) between(version int, w *row) bool {
	if version > 0 && a.chain.rows[version-1].stamp > w.stamp {
		return false
	}
	for n := version; a.chain != nil && n < len(a.chain.rows); n++ {
		next := a.chain.rows[n]
		if next.request() == w.request() {
			continue
		}
		return next.stamp >= w.stamp
	}
	return true
}

// actorChain goes through an actor's own history.
func (r *replay) actorChain(c *chain) {
	a := nobody(c.tenant, c.instance)
	a.chain = c
	r.actors[key{c.tenant, c.instance}] = a
	prev := genesis(c.rows[0].epoch, c.tenant, c.machine, c.instance)
	for n, w := range c.rows {
		now := a.versions[n]
		r.commit(w, int64(n))
		for _, wrong := range w.sealed(prev) {
			r.find(c, w.seq, "%s", wrong)
		}
		r.inEpoch(c, n)
		prev = w.hash
		next := r.changed(c, w, now)
		switch {
		case w.seq != int64(n+1):
			r.find(c, w.seq, "stands after row %d", n)
		case w.from != activity(now) || w.to != activity(next):
			r.find(c, w.seq, "from %s to %s, where it was %s and became %s", w.from, w.to, activity(now), activity(next))
		case !bytes.Equal(w.sawActor, a.digests[n]):
			r.find(c, w.seq, "changes an actor that was never so")
		case !bytes.Equal(w.after, next.sum()):
			r.find(c, w.seq, "%s leads to %+v, which isn't what its digest is of", w.event, next)
		}
		a.versions, a.digests = append(a.versions, next), append(a.digests, next.sum())
	}
	last := a.versions[len(a.versions)-1]
	stored := r.t.actors[key{c.tenant, c.instance}]
	switch {
	case stored == nil:
		r.find(c, 0, "there is a history, and no actor")
	case !bytes.Equal(stored.sum(), last.sum()) || !bytes.Equal(stored.digest, last.sum()) || !bytes.Equal(stored.head, prev):
		r.find(c, 0, "the actor isn't what its history says")
	case stored.admin != holds(last.Grants, adminRole):
		r.find(c, 0, "the mark of an administrator isn't what the grants say")
	}
}

func activity(a Actor) string {
	if a.Active {
		return "active"
	}
	return "inactive"
}

func holds(grants []Grant, role string) bool {
	return slices.ContainsFunc(grants, func(g Grant) bool { return g.Role == role && g.Scope == "tenant" })
}

// changed is the actor after a row.
func (r *replay) changed(c *chain, w *row, a Actor) Actor {
	a.Version++
	a.Grants, a.Attrs = slices.Clone(a.Grants), maps.Clone(a.Attrs)
	role, _ := w.inputs["role"].(string)
	scope, _ := w.inputs["scope"].(string)
	at := slices.IndexFunc(a.Grants, func(g Grant) bool { return g.Role == role && g.Scope == scope })
	switch w.event {
	case "$join":
		a.Person = r.personOf(w)
	case "$grant":
		if at >= 0 || role == "" {
			r.find(c, w.seq, "grants %q, which is held already or no role", role)
			break
		}
		a.Grants = append(a.Grants, Grant{role, scope, time.UnixMicro(w.micros).UTC(), w.actor})
		slices.SortFunc(a.Grants, func(x, y Grant) int {
			if n := strings.Compare(x.Role, y.Role); n != 0 {
				return n
			}
			return strings.Compare(x.Scope, y.Scope)
		})
	case "$revoke":
		if at < 0 {
			r.find(c, w.seq, "takes away %q, which isn't held", role)
			break
		}
		a.Grants = slices.Delete(a.Grants, at, at+1)
	case "$actor":
		if patch, ok := w.inputs["attrs"].(map[string]any); ok {
			a.Attrs = merged(a.Attrs, patch)
		}
		if active, ok := w.inputs["active"].(bool); ok {
			a.Active = active
		}
	default:
		r.find(c, w.seq, "%q is nothing that happens to an actor", w.event)
	}
	return a
}

// personOf is who an account turned out to be with the event of the same request.
func (r *replay) personOf(w *row) string {
	event := r.requests[w.request()]
	switch {
	case event == nil:
		return "" // told by administrators
	case w.instance == event.behalf && w.instance != event.actor:
		return event.behalfPerson
	}
	return event.person
}

// administrators asks of each change of an actor whether who made it might.
func (r *replay) administrators() {
	for _, c := range r.t.chains {
		if c.machine != actorMachine || c.archived {
			continue
		}
		for n, w := range c.rows {
			if w.event == "$join" {
				if event := r.requests[w.request()]; event == nil || event.tenant != w.tenant {
					r.find(c, w.seq, "a first commit without its event")
				}
				continue
			}
			r.administered(c, w, n)
		}
	}
}

func (r *replay) administered(c *chain, w *row, n int) {
	if r.system(w.actor) {
		return
	}
	by := r.actors[key{c.tenant, w.actor}]
	if by == nil {
		r.find(c, w.seq, "was done by %s, who never held a role", w.actor)
		return
	}
	if w.actor == c.instance || w.person == c.instance || w.person == r.actors[key{c.tenant, c.instance}].versions[n].Person {
		r.find(c, w.seq, "%s changed his own roles", w.actor)
	}
	// The row doesn't say what it saw of the administrator: one of the versions
	// between which it stands has to have been one.
	for v, a := range by.versions {
		if a.Active && holds(a.Grants, adminRole) && by.between(v, w) {
			return
		}
	}
	r.find(c, w.seq, "%s was no administrator then", w.actor)
}

// merged is RFC 7396 for objects.
func merged(old, patch map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, old)
	for k, v := range patch {
		inner, isObject := v.(map[string]any)
		switch {
		case v == nil:
			delete(out, k)
		case isObject:
			before, _ := out[k].(map[string]any)
			out[k] = merged(before, inner)
		default:
			out[k] = v
		}
	}
	return out
}

// leftOver finds rows of actors and instances without a history, and bound rows
// of the application that moved without one.
func (r *replay) leftOver() {
	chains := map[[3]string]bool{}
	for _, c := range r.t.chains {
		chains[[3]string{c.tenant, c.machine, c.instance}] = true
	}
	for k := range r.t.instances {
		if !chains[k] {
			r.rule(k[1]+"/"+k[2], "there is an instance, and no history")
		}
	}
	for k := range r.t.actors {
		if !chains[[3]string{k.tenant, actorMachine, k.id}] {
			r.rule(actorMachine+"/"+k.id, "there is an actor, and no history")
		}
	}
}

// companions are what is committed with a row, and must be there with it: the
// message for delivery, the idempotency key, the application's own row.
func (r *replay) companions() {
	events, byID, byPlace := 0, map[string]*row{}, map[[3]string]*chain{}
	for _, c := range r.t.chains {
		byPlace[[3]string{c.tenant, c.machine, c.instance}] = c
		for _, w := range c.rows {
			byID[w.id] = w
			if c.machine != actorMachine {
				events++
			}
		}
	}
	for _, o := range r.t.outbox {
		w := byID[o.id]
		var m struct {
			ID, Instance, Event, From, To, Actor string
			Seq                                  int64
			Hash                                 []byte
		}
		switch {
		case w == nil:
			r.rule("outbox", "message %s is of no row of history", o.id)
		case json.Unmarshal(o.message, &m) != nil, m.ID != w.id, m.Instance != w.instance, m.Seq != w.seq, m.Event != w.event,
			m.From != w.from, m.To != w.to, m.Actor != w.actor, !bytes.Equal(m.Hash, w.hash), o.instance != w.instance, o.seq != w.seq:
			r.rule("outbox", "message %s says something else than its row", o.id)
		}
		if w != nil && w.machine == actorMachine {
			events++
		}
	}
	if len(r.t.outbox) != events {
		r.rule("outbox", "%d messages for %d rows", len(r.t.outbox), events)
	}
	r.keyed(byPlace)
	r.applied(byID)
}

func (r *replay) keyed(byPlace map[[3]string]*chain) {
	used := map[*row]string{}
	for _, k := range r.t.keys {
		c := byPlace[[3]string{k.tenant, k.machine, k.instance}]
		if c != nil && c.archived {
			continue
		}
		if c == nil || k.seq < 1 || k.seq > int64(len(c.rows)) {
			r.rule("idempotency", "key %s is of a row that isn't there", k.key)
			continue
		}
		w := c.rows[k.seq-1]
		switch {
		case w.actor != k.actor || !bytes.Equal(w.fingerprint, k.fingerprint):
			r.rule("idempotency", "key %s is of another request than its row", k.key)
		case used[w] != "":
			r.rule("idempotency", "keys %s and %s are of one row", k.key, used[w])
		}
		used[w] = k.key
	}
}

func (r *replay) applied(byID map[string]*row) {
	if r.src.App == nil {
		return
	}
	seen := map[string]bool{}
	for _, a := range r.t.app {
		w := byID[a.id]
		switch {
		case w == nil:
			r.rule("the application", "row %s is of no transition", a.id)
		case w.instance != a.instance || w.seq != a.seq || w.event != a.event || seen[a.id]:
			r.rule("the application", "row %s says something else than its transition, or stands twice", a.id)
		}
		seen[a.id] = true
	}
	for id, w := range byID {
		if w.event[0] != '$' && !seen[id] {
			r.rule("the application", "%s row %d has no row of the application's", w.instance, w.seq)
		}
	}
}
