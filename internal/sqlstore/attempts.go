package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/interlock-go/interlock"
)

const addAttemptSQL = `INSERT INTO il.attempt (tenant, machine, instance, body) VALUES ($1, $2, $3, $4)`

const trimAttemptsSQL = `DELETE FROM il.attempt WHERE tenant = $1 AND machine = $2 AND instance = $3 AND n <= (
	SELECT n FROM il.attempt WHERE tenant = $1 AND machine = $2 AND instance = $3 ORDER BY n DESC LIMIT 1 OFFSET $4)`

const addCountSQL = `INSERT INTO il.attempt_count AS c (tenant, machine, event, stage, code, count) VALUES ($1, $2, $3, $4, $5, $6)
	ON CONFLICT (tenant, machine, event, stage, code) DO UPDATE SET count = c.count + excluded.count`

const attemptsSQL = `SELECT body FROM il.attempt WHERE tenant = $1 AND machine = $2 AND instance = $3 ORDER BY n DESC LIMIT $4`

const countersSQL = `SELECT tenant, machine, event, stage, code, count FROM il.attempt_count WHERE tenant = $1
	ORDER BY machine, event, stage, code`

// AddAttempts is interlock.HistoryStore's. What callers asked for may be
// anything: what a database can't hold is replaced by U+FFFD.
func (s *Store) AddAttempts(ctx context.Context, attempts []interlock.Attempt, counts []interlock.AttemptCount, keep int) error {
	if keep <= 0 {
		attempts = nil
	}
	// One order for all writers: two that add to the same counters wait, they don't deadlock.
	counts = slices.Clone(counts)
	for i := range counts {
		c := &counts[i]
		c.Tenant, c.Machine, c.Event, c.Stage, c.Code = clean(c.Tenant), clean(c.Machine), clean(c.Event), interlock.Stage(clean(string(c.Stage))), clean(c.Code)
	}
	slices.SortFunc(counts, func(a, b interlock.AttemptCount) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Machine, b.Machine), cmp.Compare(a.Event, b.Event), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Code, b.Code))
	})
	return s.Retry(ctx, func() error {
		return s.db.InTx(ctx, func(tx Tx) error { return s.addAttempts(ctx, tx, attempts, counts, keep) })
	})
}

func (s *Store) addAttempts(ctx context.Context, tx Conn, attempts []interlock.Attempt, counts []interlock.AttemptCount, keep int) error {
	touched := map[[3]string]bool{}
	for _, a := range attempts {
		for _, text := range []*string{&a.Machine, &a.Instance, &a.Event, &a.To, &a.State, &a.Actor, &a.Person, &a.Code, &a.Revision} {
			*text = clean(*text)
		}
		body, err := Encode(a)
		if err != nil {
			return fmt.Errorf("attempt: %w", err)
		}
		key := [3]string{clean(a.Tenant), a.Machine, a.Instance}
		touched[key] = true
		if _, err := tx.Exec(ctx, s.q.addAttempt, key[0], key[1], key[2], body); err != nil {
			return fmt.Errorf("attempt: %w", err)
		}
	}
	for key := range touched {
		if _, err := tx.Exec(ctx, s.q.trimAttempts, key[0], key[1], key[2], keep); err != nil {
			return fmt.Errorf("trim attempts: %w", err)
		}
	}
	for _, c := range counts {
		if _, err := tx.Exec(ctx, s.q.addCount, c.Tenant, c.Machine, c.Event, string(c.Stage), c.Code, c.Count); err != nil {
			return fmt.Errorf("count attempts: %w", err)
		}
	}
	return nil
}

// Attempts is interlock.HistoryStore's.
func (s *Store) Attempts(ctx context.Context, tenant string, ref interlock.Ref, limit int) ([]interlock.Attempt, error) {
	var out []interlock.Attempt
	err := each(ctx, s.db, s.q.attempts, []any{clean(tenant), clean(ref.Machine), clean(ref.ID), limit}, func(r Rows) error {
		var body string
		if err := r.Scan(&body); err != nil {
			return err
		}
		a := interlock.Attempt{}
		err := Decode(body, &a)
		a.Tenant, a.Time = tenant, a.Time.UTC()
		out = append(out, a)
		return err
	})
	return out, err
}

// AttemptCounts is interlock.HistoryStore's.
func (s *Store) AttemptCounts(ctx context.Context, tenant string) ([]interlock.AttemptCount, error) {
	var out []interlock.AttemptCount
	err := each(ctx, s.db, s.q.counters, []any{clean(tenant)}, func(r Rows) error {
		var c interlock.AttemptCount
		var stage string
		err := r.Scan(&c.Tenant, &c.Machine, &c.Event, &stage, &c.Code, &c.Count)
		c.Stage = interlock.Stage(stage)
		out = append(out, c)
		return err
	})
	return out, err
}
