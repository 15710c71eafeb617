package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/interlock-go/interlock"
)

const revisionsSQL = `SELECT machine, id, states, CASE WHEN status = 'accepting' AND until_us <= NOW_US THEN 'retired' ELSE status END, since_us
	FROM il.revision WHERE machine = $1 ORDER BY since_us DESC, id DESC`

const revisionLockSQL = `SELECT id, status, states FROM il.revision WHERE machine = $1 ORDER BY id FOR_UPDATE`

const retireOneSQL = `UPDATE il.revision SET status = 'retired' WHERE machine = $1 AND id = $2`

const retireSQL = `UPDATE il.revision SET status = $2, until_us = NOW_US + $3 WHERE machine = $1 AND status = 'active'`

// A clock may stand still between two: the newer one has the later time all the same.
const putRevisionSQL = `INSERT INTO il.revision (machine, id, states, status, since_us, until_us)
	SELECT $1, $2, $3, $4, CASE WHEN last < NOW_US THEN NOW_US ELSE last + 1 END, NOW_US + $5
	FROM (SELECT coalesce(max(since_us), 0) AS last FROM il.revision WHERE machine = $1) newest WHERE true
	ON CONFLICT (machine, id) DO UPDATE SET states = excluded.states, status = excluded.status,
		since_us = excluded.since_us, until_us = excluded.until_us`

const statesInUseSQL = `SELECT state, count(*) FROM il.instance WHERE machine = $1 AND state NOT IN (SELECT value FROM TEXTS($2)) GROUP BY state`

// Activate is interlock.RevisionStore's.
func (s *Store) Activate(ctx context.Context, r interlock.Revision, grace time.Duration) error {
	return s.register(ctx, r, "active", grace)
}

// Accept is interlock.RevisionStore's.
func (s *Store) Accept(ctx context.Context, r interlock.Revision, grace time.Duration) error {
	return s.register(ctx, r, "accepting", grace)
}

func (s *Store) register(ctx context.Context, r interlock.Revision, status string, grace time.Duration) error {
	if !storable(r.Machine, r.ID) || !storable(r.States...) || r.Machine == "" || r.ID == "" {
		return fmt.Errorf("revision %q of machine %q: want both, as text", r.ID, r.Machine)
	}
	states, err := Encode(append([]string{}, r.States...))
	if err != nil {
		return err
	}
	err = s.Retry(ctx, func() error {
		return s.db.InTx(ctx, func(tx Tx) error { return s.registerIn(ctx, tx, r, states, status, max(grace, 0)) })
	})
	if err != nil {
		return fmt.Errorf("revision %s of machine %s: %w", r.ID, r.Machine, err)
	}
	return nil
}

func (s *Store) registerIn(ctx context.Context, tx Conn, r interlock.Revision, states, status string, grace time.Duration) error {
	// The first revision has no row to lock; the others wait for commits under them.
	if err := s.lockText(ctx, tx, s.d.LockTx, "revisions of "+r.Machine); err != nil {
		return err
	}
	now := ""
	var ahead []string // still in force, with states that r lacks
	err := each(ctx, tx, s.q.revisionLock, []any{r.Machine}, func(row Rows) error {
		var id, is, has string
		if err := row.Scan(&id, &is, &has); err != nil {
			return err
		}
		if id == r.ID {
			now = is
		}
		var theirs []string
		err := Decode(has, &theirs)
		lacking := slices.ContainsFunc(theirs, func(state string) bool { return !slices.Contains(r.States, state) })
		if is != "retired" && lacking {
			ahead = append(ahead, id)
		}
		return err
	})
	if err != nil || now == "active" {
		return err
	}
	if err := s.lockText(ctx, tx, s.d.Notify, "revision"); err != nil {
		return err
	}
	if status == "accepting" {
		_, err := tx.Exec(ctx, s.q.putRevision, r.Machine, r.ID, states, status, grace.Microseconds())
		return err
	}
	inUse := &interlock.StatesInUse{Machine: r.Machine, Counts: map[string]int64{}}
	err = each(ctx, tx, s.q.statesInUse, []any{r.Machine, states}, func(row Rows) error {
		var state string
		var n int64
		err := row.Scan(&state, &n)
		inUse.Counts[state] = n
		return err
	})
	if err != nil {
		return err
	}
	if len(inUse.Counts) > 0 {
		return inUse
	}
	// Under their rules an instance could still come where r's can't move it from.
	for _, id := range ahead {
		if _, err := tx.Exec(ctx, s.q.retireOne, r.Machine, id); err != nil {
			return err
		}
	}
	former := "accepting"
	if grace == 0 {
		former = "retired"
	}
	if _, err := tx.Exec(ctx, s.q.retire, r.Machine, former, grace.Microseconds()); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, s.q.putRevision, r.Machine, r.ID, states, status, int64(0))
	return err
}

// Revisions is interlock.RevisionStore's.
func (s *Store) Revisions(ctx context.Context, machine string) ([]interlock.Revision, error) {
	if !storable(machine) {
		return nil, nil
	}
	var out []interlock.Revision
	err := each(ctx, s.db, s.q.revisions, []any{machine}, func(row Rows) error {
		var r interlock.Revision
		var states string
		var since int64
		if err := row.Scan(&r.Machine, &r.ID, &states, &r.Status, &since); err != nil {
			return err
		}
		r.Since = fromMicros(since)
		out = append(out, r)
		return Decode(states, &out[len(out)-1].States)
	})
	return out, err
}
