package replayer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

const actorMachine = "interlock:actor"

type key struct{ tenant, id string }

// tables are all that is read, in memory.
type tables struct {
	epochs    []string // oldest first
	revisions map[string]bool
	chains    []*chain
	instances map[[3]string]*instanceRow
	actors    map[key]*actorRow
	keys      []keyRow
	outbox    []outboxRow
	bound     map[string]string // id → state
	app       []appRow
}

type chain struct {
	tenant, machine, instance string
	rows                      []*row
	archived                  bool // some of it
}

type row struct {
	tenant, machine, instance    string
	seq                          int64
	id, event, from, to          string
	override                     bool
	actor, person                string
	behalf, behalfPerson         string
	micros                       int64
	revision                     string
	hash, prev, bytes            []byte
	stamp                        int64
	note, input, facts           string
	salt                         []byte
	texts                        bool
	fields                       [][]byte // of bytes; nil where they can't be read
	inputs, factsAfter           map[string]any
	sawActor, fingerprint, after []byte
	epoch                        string // as its bytes say
}

// request is the same for the rows of one transaction: an actor's first commit
// stands beside the event that it was.
func (w *row) request() string { return fmt.Sprintf("%d/%s/%x", w.micros, w.actor, w.fingerprint) }

type instanceRow struct {
	Instance
	head, digest []byte
}

type actorRow struct {
	Actor
	head, digest []byte
	admin        bool
}

type keyRow struct {
	tenant, actor, key, machine, instance string
	fingerprint                           []byte
	seq                                   int64
}

type outboxRow struct {
	id, tenant, machine, instance string
	seq                           int64
	message                       []byte
}

type appRow struct {
	id, instance, event string
	seq                 int64
}

type reader struct {
	ctx context.Context
	src Source
	err error
}

// each scans every row of a query; IL. stands for the tables' prefix.
func (r *reader) each(query string, scan func(func(...any) error) error) {
	if r.err != nil {
		return
	}
	rows, err := r.src.DB.QueryContext(r.ctx, strings.ReplaceAll(query, "IL.", r.src.Prefix))
	if err != nil {
		r.err = fmt.Errorf("replayer: %w", err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			r.err = fmt.Errorf("replayer: %w", err)
			return
		}
	}
	if err := rows.Err(); err != nil {
		r.err = fmt.Errorf("replayer: %w", err)
	}
}

func read(ctx context.Context, src Source) (*tables, error) {
	r := &reader{ctx: ctx, src: src}
	t := &tables{revisions: map[string]bool{}, instances: map[[3]string]*instanceRow{}, actors: map[key]*actorRow{}, bound: map[string]string{}}
	r.each(`SELECT epoch FROM IL.epoch ORDER BY n`, func(scan func(...any) error) error {
		var epoch string
		err := scan(&epoch)
		t.epochs = append(t.epochs, epoch)
		return err
	})
	r.each(`SELECT machine, id FROM IL.revision`, func(scan func(...any) error) error {
		var machine, id string
		err := scan(&machine, &id)
		t.revisions[machine+"/"+id] = true
		return err
	})
	r.history(t)
	r.instances(t)
	r.actors(t)
	r.each(`SELECT tenant, actor, key, machine, instance, fingerprint, seq FROM IL.idempotency WHERE seq > 0`, func(scan func(...any) error) error {
		var k keyRow
		err := scan(&k.tenant, &k.actor, &k.key, &k.machine, &k.instance, &k.fingerprint, &k.seq)
		t.keys = append(t.keys, k)
		return err
	})
	r.each(`SELECT id, tenant, machine, instance, seq, message FROM IL.outbox`, func(scan func(...any) error) error {
		var o outboxRow
		err := scan(&o.id, &o.tenant, &o.machine, &o.instance, &o.seq, &o.message)
		t.outbox = append(t.outbox, o)
		return err
	})
	if b := src.Bound; b != nil {
		r.each(`SELECT `+b.ID+`, `+b.State+` FROM `+b.Table, func(scan func(...any) error) error {
			var id, state string
			err := scan(&id, &state)
			t.bound[id] = state
			return err
		})
	}
	if src.App != nil {
		r.each(src.App.Query, func(scan func(...any) error) error {
			var a appRow
			err := scan(&a.id, &a.instance, &a.seq, &a.event)
			t.app = append(t.app, a)
			return err
		})
	}
	return t, r.err
}

const historyQuery = `SELECT h.tenant, h.machine, h.instance, h.seq, h.id, h.event, h.from_state, h.to_state, h.override,
	h.actor, h.person, h.on_behalf_of, h.on_behalf_of_person, h.time_us, h.revision, h.hash, h.prev, h.bytes, h.stamp_us,
	COALESCE(t.note, ''), COALESCE(t.input, ''), COALESCE(t.facts, ''), t.salt, t.seq IS NOT NULL
	FROM IL.history h LEFT JOIN IL.texts t ON t.tenant = h.tenant AND t.machine = h.machine AND t.instance = h.instance AND t.seq = h.seq
	ORDER BY h.tenant, h.machine, h.instance, h.seq`

func (r *reader) history(t *tables) {
	var last *chain
	r.each(historyQuery, func(scan func(...any) error) error {
		w := &row{}
		err := scan(&w.tenant, &w.machine, &w.instance, &w.seq, &w.id, &w.event, &w.from, &w.to, &w.override,
			&w.actor, &w.person, &w.behalf, &w.behalfPerson, &w.micros, &w.revision, &w.hash, &w.prev, &w.bytes, &w.stamp,
			&w.note, &w.input, &w.facts, &w.salt, &w.texts)
		if err != nil {
			return err
		}
		if w.fields = split(w.bytes); len(w.fields) == logFields {
			w.epoch, w.sawActor, w.fingerprint, w.after = string(w.fields[1]), w.fields[17], w.fields[18], w.fields[19]
		}
		w.inputs, w.factsAfter = object(w.input), object(w.facts)
		if last == nil || last.tenant != w.tenant || last.machine != w.machine || last.instance != w.instance {
			last = &chain{tenant: w.tenant, machine: w.machine, instance: w.instance}
			t.chains = append(t.chains, last)
		}
		last.rows = append(last.rows, w)
		return nil
	})
}

func (r *reader) instances(t *tables) {
	r.each(`SELECT tenant, machine, id, state, version, facts, entered, did, actors, last, created_by, created_at, since, updated_at, head, content_digest FROM IL.instance`,
		func(scan func(...any) error) error {
			var i instanceRow
			var facts, entered, did, actors, last string
			if err := scan(&i.Tenant, &i.Machine, &i.ID, &i.State, &i.Version, &facts, &entered, &did, &actors, &last,
				&i.CreatedBy, &i.CreatedAt, &i.Since, &i.UpdatedAt, &i.head, &i.digest); err != nil {
				return err
			}
			i.Facts = object(facts)
			for text, into := range map[*string]any{&entered: &i.Entered, &did: &i.Did, &actors: &i.Actors, &last: &i.Last} {
				if err := json.Unmarshal([]byte(*text), into); err != nil {
					return fmt.Errorf("instance %s: %w", i.ID, err)
				}
			}
			t.instances[[3]string{i.Tenant, i.Machine, i.ID}] = &i
			return nil
		})
}

func (r *reader) actors(t *tables) {
	r.each(`SELECT tenant, id, person, active, attrs, grants, version, head, content_digest, admin FROM IL.actor`, func(scan func(...any) error) error {
		var a actorRow
		var attrs, grants string
		if err := scan(&a.Tenant, &a.ID, &a.Person, &a.Active, &attrs, &grants, &a.Version, &a.head, &a.digest, &a.admin); err != nil {
			return err
		}
		a.Attrs = object(attrs)
		if err := json.Unmarshal([]byte(grants), &a.Grants); err != nil {
			return fmt.Errorf("actor %s: %w", a.ID, err)
		}
		t.actors[key{a.Tenant, a.ID}] = &a
		return nil
	})
}

// object reads a JSON object with its numbers as they are written; nil for none.
func object(text string) map[string]any {
	if text == "" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if d.Decode(&m) != nil {
		return nil
	}
	return m
}
