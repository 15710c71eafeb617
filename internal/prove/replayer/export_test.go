package replayer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Forgery is a row that a gate without some of its rules might have committed:
// everything of it is consistent, but it must not be.
type Forgery struct {
	Machine  string // "" : loan
	Instance string
	Event    string
	To       string
	Actor    string
	Note     string
	Input    map[string]any
	Saw      int // how many versions ago the decision saw the actor
	Override bool
}

// Forge appends the row to its chain, with digests, bytes and hash as they have to be.
func Forge(ctx context.Context, src Source, exec func(query string, args ...any) error, f Forgery) error {
	if f.Machine == "" {
		f.Machine = "loan"
	}
	t, err := read(ctx, src)
	if err != nil {
		return err
	}
	r := &replay{src: src, t: t, actors: map[key]*actorChain{}, joins: map[string]*row{}, requests: map[string]*row{}}
	r.report.byID = map[string]int{}
	r.index()
	var c *chain
	for _, at := range t.chains {
		if at.machine == actorMachine {
			r.actorChain(at)
		}
		if at.machine == f.Machine && at.instance == f.Instance {
			c = at
		}
	}
	last := c.rows[len(c.rows)-1]
	w := &row{tenant: c.tenant, machine: c.machine, instance: c.instance, seq: last.seq + 1, id: fmt.Sprintf("forged-%d", last.seq),
		event: f.Event, from: last.to, to: f.To, override: f.Override, actor: f.Actor, person: f.Actor, micros: time.Now().UnixMicro(),
		note: f.Note, inputs: f.Input, salt: []byte("0123456789abcdef"), texts: true, prev: last.hash, fingerprint: make([]byte, 32)}
	if f.Machine == actorMachine {
		a := r.actors[key{c.tenant, c.instance}]
		next := r.changed(c, w, a.versions[len(a.versions)-1])
		w.sawActor, w.after, w.factsAfter = a.digests[len(a.digests)-1], next.sum(), next.Attrs
		w.seal(t.epochs[len(t.epochs)-1])
		grants, err := json.Marshal(next.Grants)
		if err != nil {
			return err
		}
		return w.insert(src, exec, `UPDATE IL.actor SET version = $1, grants = $2, head = $3, content_digest = $4, admin = $5 WHERE id = $6`,
			next.Version, string(grants), w.hash, w.after, holds(next.Grants, adminRole), next.ID)
	}
	w.revision = last.revision
	a := r.actors[key{c.tenant, f.Actor}]
	if a == nil {
		a = nobody(c.tenant, f.Actor)
	}
	w.sawActor = a.digests[len(a.digests)-1-f.Saw]
	now := Instance{Tenant: c.tenant, Machine: c.machine, ID: c.instance}
	for _, before := range c.rows {
		now = r.after(before, now)
	}
	next := r.after(w, now)
	w.after, w.factsAfter = next.sum(), next.Facts
	w.seal(t.epochs[len(t.epochs)-1])
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	if err := w.insert(src, exec, `INSERT INTO IL.outbox (id, tenant, machine, instance, seq, message) VALUES ($1, $2, $3, $4, $5, $6)`,
		w.id, w.tenant, w.machine, w.instance, w.seq, []byte(text(map[string]any{"id": w.id, "instance": w.instance, "seq": w.seq,
			"event": w.event, "from": w.from, "to": w.to, "actor": w.actor, "hash": w.hash}))); err != nil {
		return err
	}
	return exec(strings.ReplaceAll(`UPDATE IL.instance SET state = $1, version = $2, facts = $3, entered = $4, did = $5, actors = $6, last = $7,
		since = $8, updated_at = $9, head = $10, content_digest = $11 WHERE id = $12`, "IL.", src.Prefix),
		next.State, next.Version, text(next.Facts), text(next.Entered), text(next.Did), text(next.Actors), text(next.Last),
		next.Since, next.UpdatedAt, w.hash, w.after, next.ID)
}

func (w *row) seal(epoch string) {
	var texts, s, own sheet
	texts.text("interlock/text/v1").raw(w.salt).text(w.note).object(w.inputs).object(w.factsAfter)
	s.text("interlock/log/v1", epoch, w.tenant, w.machine, w.revision, w.instance).number(w.seq).text(w.from, w.to, w.event).yes(w.override)
	s.text(w.actor, w.person, "", "", w.id).number(w.micros)
	w.bytes = s.raw(w.sawActor).raw(w.fingerprint).raw(w.after).raw(texts.hash()).raw(w.prev).b
	own.b = w.bytes
	w.hash = own.hash()
}

func (w *row) insert(src Source, exec func(query string, args ...any) error, more string, args ...any) error {
	input, facts := "", ""
	if w.inputs != nil {
		input = plain(w.inputs)
	}
	if w.factsAfter != nil {
		facts = plain(w.factsAfter)
	}
	il := func(query string) string { return strings.ReplaceAll(query, "IL.", src.Prefix) }
	if err := exec(il(`INSERT INTO IL.history (tenant, machine, instance, seq, id, event, from_state, to_state, override, actor, person,
		on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', '', $12, $13, $14, $15, $16, $17)`),
		w.tenant, w.machine, w.instance, w.seq, w.id, w.event, w.from, w.to, w.override, w.actor, w.person, w.micros, w.revision,
		w.hash, w.prev, bytes.Clone(w.bytes), true); err != nil {
		return err
	}
	if err := exec(il(`INSERT INTO IL.texts (tenant, machine, instance, seq, note, input, facts, salt) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`),
		w.tenant, w.machine, w.instance, w.seq, w.note, input, facts, w.salt); err != nil {
		return err
	}
	return exec(il(more), args...)
}
