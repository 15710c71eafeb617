package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/jsonvalue"
)

const instanceColumns = `i.tenant, i.machine, i.id, i.state, i.version, i.facts, i.entered, i.did, i.actors, i.last,
	i.created_by, i.created_at, i.since, i.updated_at, i.head`

const actorColumns = `a.tenant, a.id, a.person, a.active, a.attrs, a.grants, a.version, a.head`

// loadSQL: $1 tenant, $2 machine, $3 id, $4 the id for the application's table
// or NULL, $5 actors as a JSON array. One row for each actor that there is, or
// one without.
const loadSQL = `SELECT s.epoch, r.id, ` + instanceColumns + `, BOUND_COLUMNS, ` + actorColumns + `
FROM il.store s
CROSS JOIN (SELECT CAST($3 AS TEXT) AS id, CAST($4 AS TEXT) AS bid, CAST($1 AS TEXT) AS btenant) r
LEFT JOIN il.instance i ON i.tenant = $1 AND i.machine = $2 AND i.id = r.id
BOUND_JOIN
LEFT JOIN il.actor a ON a.tenant = $1 AND a.id IN (SELECT value FROM TEXTS($5))
ORDER BY a.id`

// loadManySQL: $1 tenant, $2 machine, $3 pairs of id and id for the
// application's table, $4 actors.
const loadManySQL = `SELECT s.epoch, r.id, ` + instanceColumns + `, BOUND_COLUMNS, ` + actorColumns + `
FROM il.store s
CROSS JOIN (SELECT value->>0 AS id, value->>1 AS bid, CAST($1 AS TEXT) AS btenant FROM ARRAYS($3)) r
LEFT JOIN il.instance i ON i.tenant = $1 AND i.machine = $2 AND i.id = r.id
BOUND_JOIN
LEFT JOIN il.actor a ON a.tenant = $1 AND a.id IN (SELECT value FROM TEXTS($4))
ORDER BY r.id, a.id`

// Load is interlock.Store's.
func (s *Store) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	return s.load(ctx, s.db, tenant, ref, actors)
}

func (s *Store) load(ctx context.Context, c Conn, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	b, err := s.binding(ctx, c, ref.Machine)
	if err != nil {
		return interlock.Facts{}, err
	}
	if !storable(tenant, ref.Machine, ref.ID) {
		// No such thing can be stored; the actors may be.
		ref, b = interlock.Ref{}, nil
		if !storable(tenant) {
			tenant = ""
		}
	}
	query := s.q.loadUnbound
	if b != nil {
		query = b.load
	}
	list := idList(actors)
	var f interlock.Facts
	row := s.rows.Get().(*factsRow)
	defer s.rows.Put(row)
	err = each(ctx, c, query, []any{tenant, ref.Machine, ref.ID, b.rowID(tenant, ref.ID), list}, func(r Rows) error {
		return row.scan(r, &f)
	})
	if err != nil {
		return interlock.Facts{}, fmt.Errorf("load %s/%s: %w", ref.Machine, ref.ID, err)
	}
	if f.Epoch == "" {
		return interlock.Facts{}, errNoEpoch
	}
	_, f.IsBound = s.bindings.known[ref.Machine]
	return f, nil
}

// LoadMany is interlock.Store's.
func (s *Store) LoadMany(ctx context.Context, tenant string, refs []interlock.Ref, actors []string) ([]interlock.Facts, error) {
	byMachine := map[string][]string{}
	for _, ref := range refs {
		byMachine[ref.Machine] = append(byMachine[ref.Machine], ref.ID)
	}
	found := map[interlock.Ref]*interlock.Facts{}
	for machine, ids := range byMachine {
		if err := s.loadMachine(ctx, tenant, machine, ids, actors, found); err != nil {
			return nil, fmt.Errorf("load %d instances of %s: %w", len(ids), machine, err)
		}
	}
	out := make([]interlock.Facts, len(refs))
	for i, ref := range refs {
		if f := found[ref]; f != nil {
			out[i] = *f
			continue
		}
		f, err := s.Load(ctx, tenant, ref, actors) // an id that can't be stored
		if err != nil {
			return nil, err
		}
		out[i] = f
	}
	return out, nil
}

func (s *Store) loadMachine(ctx context.Context, tenant, machine string, ids, actors []string, found map[interlock.Ref]*interlock.Facts) error {
	b, err := s.binding(ctx, s.db, machine)
	if err != nil || !storable(tenant, machine) {
		return err
	}
	query := s.q.manyUnbound
	if b != nil {
		query = b.many
	}
	pairs := make([][2]*string, 0, len(ids))
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if storable(id) {
			pairs = append(pairs, [2]*string{&id, b.rowID(tenant, id)})
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	refs, err := Encode(pairs)
	if err != nil {
		return err
	}
	list := idList(actors)
	row := s.rows.Get().(*factsRow)
	defer s.rows.Put(row)
	return each(ctx, s.db, query, []any{tenant, machine, refs, list}, func(r Rows) error {
		var read interlock.Facts
		if err := row.scan(r, &read); err != nil {
			return err
		}
		ref := interlock.Ref{Machine: machine, ID: row.id}
		if f := found[ref]; f != nil {
			f.Actors = append(f.Actors, read.Actors...)
			return nil
		}
		read.IsBound = b != nil
		found[ref] = &read
		return nil
	})
}

// idList drops ids that can't be stored: there is no such actor.
func idList(ids []string) string {
	keep := make([]string, 0, len(ids))
	for _, id := range ids {
		if storable(id) {
			keep = append(keep, id)
		}
	}
	return string(jsonvalue.AppendStrings(nil, keep, jsonvalue.Plain))
}

// One row of each instance's history is looked for: of an EXISTS, PostgreSQL makes
// a pass over all of history.
const listSQL = `SELECT i.id FROM il.instance i WHERE i.tenant = $1 AND i.machine = $2 AND i.id > $3
	AND (CAST($4 AS TEXT) = '' OR i.state = $4)
	AND i.updated_at >= $5
	AND (CAST($6 AS TEXT) = '' OR 1 = coalesce((SELECT 1 FROM il.history h
		WHERE h.tenant = i.tenant AND h.machine = i.machine AND h.instance = i.id AND (h.actor = $6 OR h.on_behalf_of = $6) LIMIT 1), 0))
ORDER BY i.id LIMIT $7`

// List is interlock.InstanceStore's. The ids are selected first and read
// together: between the two an instance may leave the state; it is left out then.
func (s *Store) List(ctx context.Context, q interlock.ListQuery) ([]interlock.Facts, error) {
	if q.Limit <= 0 {
		return nil, fmt.Errorf("list: limit %d: want more than 0", q.Limit)
	}
	if !storable(q.Tenant, q.Machine, q.State, q.Actor, q.After) {
		return nil, nil
	}
	since := int64(-1 << 62)
	if !q.UpdatedSince.IsZero() {
		// What is stored is cut to µs: a bound within one selects from the next.
		since = micros(q.UpdatedSince.Add(time.Microsecond - 1))
	}
	var out []interlock.Facts
	for after := q.After; len(out) < q.Limit; {
		want := q.Limit - len(out)
		var refs []interlock.Ref
		err := each(ctx, s.db, s.q.list, []any{q.Tenant, q.Machine, after, q.State, since, q.Actor, want}, func(r Rows) error {
			ref := interlock.Ref{Machine: q.Machine}
			err := r.Scan(&ref.ID)
			refs = append(refs, ref)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", q.Machine, err)
		}
		if len(refs) == 0 {
			break
		}
		facts, err := s.LoadMany(ctx, q.Tenant, refs, nil)
		if err != nil {
			return nil, err
		}
		for _, f := range facts {
			if f.Instance != nil && (q.State == "" || f.Instance.State == q.State) {
				out = append(out, f)
			}
		}
		if len(refs) < want {
			break
		}
		after = refs[len(refs)-1].ID
	}
	return out, nil
}

const countsSQL = `SELECT state, count(*) FROM il.instance WHERE tenant = $1 AND machine = $2 GROUP BY state`

// Counts is interlock.InstanceStore's.
func (s *Store) Counts(ctx context.Context, tenant, machine string) (map[string]int64, error) {
	counts := map[string]int64{}
	if !storable(tenant, machine) {
		return counts, nil
	}
	err := each(ctx, s.db, s.q.counts, []any{tenant, machine}, func(r Rows) error {
		var state string
		var n int64
		err := r.Scan(&state, &n)
		counts[state] = n
		return err
	})
	return counts, err
}

const actorSQL = `SELECT ` + actorColumns + ` FROM il.actor a WHERE a.tenant = $1 AND a.id = $2`

// Actor is interlock.ActorStore's.
func (s *Store) Actor(ctx context.Context, tenant, id string) (*interlock.ActorRecord, error) {
	if !storable(tenant, id) {
		return nil, nil
	}
	var n nullActor
	if _, err := one(ctx, s.db, s.q.actor, []any{tenant, id}, n.dest()...); err != nil {
		return nil, fmt.Errorf("actor %s: %w", id, err)
	}
	return n.actor()
}

const actorsSQL = `SELECT ` + actorColumns + ` FROM il.actor a WHERE a.tenant = $1 AND a.id > $2 ORDER BY a.id LIMIT $3`

// Actors is interlock.ActorStore's.
func (s *Store) Actors(ctx context.Context, tenant, after string, limit int) ([]interlock.ActorRecord, error) {
	if !storable(tenant, after) {
		return nil, nil
	}
	var out []interlock.ActorRecord
	err := each(ctx, s.db, s.q.actors, []any{tenant, after, limit}, func(r Rows) error {
		var n nullActor
		if err := r.Scan(n.dest()...); err != nil {
			return err
		}
		a, err := n.actor()
		if err == nil {
			out = append(out, *a)
		}
		return err
	})
	return out, err
}
