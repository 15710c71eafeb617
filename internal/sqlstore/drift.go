package sqlstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/interlock-go/interlock"
)

// driftSQL: $1 tenant, $2 machine, $3 the id before; BOUND_* come from the
// binding. Both sides are read by one statement, so that a commit in between,
// which changes both at once, is no drift.
const driftSQL = `SELECT id, has_row, found, version, state FROM (
	SELECT coalesce(i.id, w.id) AS id, CASE WHEN w.id IS NULL THEN 0 ELSE 1 END AS has_row, coalesce(w.state, '') AS found,
		coalesce(i.version, 0) AS version, coalesce(i.state, '') AS state
	FROM (SELECT id, state, version FROM il.instance WHERE tenant = $1 AND machine = $2) i
	FULL JOIN (SELECT BOUND_ID AS id, BOUND_STATE AS state FROM BOUND_TABLE b WHERE BOUND_TENANT) w ON i.id = w.id
	WHERE i.id IS NULL OR w.id IS NULL OR w.state IS NULL OR i.state <> w.state) d
WHERE id > $3 ORDER BY id LIMIT $4`

// driftPage is large: each page looks at the whole table.
const driftPage = 4096

// Drift yields each id at which the application's table and the instances of the
// bound machine differ, in byte order; rows without an instance, too.
func (s *Store) Drift(ctx context.Context, tenant, machine string) iter.Seq2[interlock.Drift, error] {
	return func(yield func(interlock.Drift, error) bool) {
		fail := func(err error) { yield(interlock.Drift{}, fmt.Errorf("drift of machine %s: %w", machine, err)) }
		b, err := s.binding(ctx, s.db, machine)
		switch {
		case err != nil:
			fail(err)
			return
		case b == nil:
			fail(fmt.Errorf("it isn't bound to a table"))
			return
		case !storable(tenant) || b.Tenant != "" && !b.cols.ValidTenant(tenant):
			return
		}
		after := ""
		for {
			rows, err := s.driftAfter(ctx, b, tenant, after)
			if err != nil {
				fail(err)
				return
			}
			for _, d := range rows {
				if !yield(d, nil) {
					return
				}
			}
			if len(rows) < driftPage {
				return
			}
			after = rows[driftPage-1].ID
		}
	}
}

func (s *Store) driftAfter(ctx context.Context, b *bound, tenant, after string) ([]interlock.Drift, error) {
	var out []interlock.Drift
	err := each(ctx, s.db, b.drift, []any{tenant, b.Machine, after, driftPage}, func(r Rows) error {
		d := interlock.Drift{Ref: interlock.Ref{Machine: b.Machine}}
		var row int64
		err := r.Scan(&d.ID, &row, &d.Found, &d.Version, &d.State)
		d.Row = row == 1
		out = append(out, d)
		return err
	})
	return out, err
}
