package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/interlock-go/interlock"
)

const eraseTextsSQL = `DELETE FROM il.texts WHERE tenant = $1 AND machine = $2 AND instance = $3 AND seq = $4`

const eraseMessageSQL = `UPDATE il.outbox SET message = $2 WHERE id = $1`

// The answers that were given to the rows' requests may say what the texts say.
const eraseAnswersSQL = `UPDATE il.idempotency SET answer = NULL WHERE tenant = $1 AND machine = $2 AND instance = $3 AND answer IS NOT NULL
	AND CAST(seq AS TEXT) IN (SELECT value FROM TEXTS($4))`

const eraseAttemptsSQL = `DELETE FROM il.attempt WHERE tenant = $1 AND machine = $2 AND instance = $3`

// erase removes what the commit's own row says.
func (s *Store) erase(ctx context.Context, tx Conn, c *interlock.Commit) error {
	if c.Erase == nil {
		return nil
	}
	rec := recordOf(c)
	seqs := make([]string, len(c.Erase.Rows))
	for i, r := range c.Erase.Rows {
		seqs[i] = strconv.FormatInt(r.Seq, 10)
		if r.Seq >= rec.Seq {
			return fmt.Errorf("commit: row %d erases row %d of its own chain", rec.Seq, r.Seq)
		}
		if _, err := tx.Exec(ctx, s.q.eraseTexts, rec.Tenant, rec.Machine, rec.Instance, r.Seq); err != nil {
			return fmt.Errorf("erase the texts of %s/%s, row %d: %w", rec.Machine, rec.Instance, r.Seq, err)
		}
		if _, err := tx.Exec(ctx, s.q.eraseMessage, r.ID, bytesOf(r.Message)); err != nil {
			return fmt.Errorf("erase the message of %s/%s, row %d: %w", rec.Machine, rec.Instance, r.Seq, err)
		}
	}
	if _, err := tx.Exec(ctx, s.q.eraseAnswers, rec.Tenant, rec.Machine, rec.Instance, idList(seqs)); err != nil {
		return fmt.Errorf("erase the answers about %s/%s: %w", rec.Machine, rec.Instance, err)
	}
	if c.Erase.Attempts {
		if _, err := tx.Exec(ctx, s.q.eraseAttempts, rec.Tenant, rec.Machine, rec.Instance); err != nil {
			return fmt.Errorf("erase the refused attempts on %s/%s: %w", rec.Machine, rec.Instance, err)
		}
	}
	return nil
}

const searchSQL = `SELECT ` + recordColumns + ` FROM il.history h ` + textsJoin + `
	WHERE h.tenant = $1 AND (h.machine, h.instance, h.seq) > ($2, $3, $4)`

// The conditions of a search, each said only where it selects, so that the
// database sees which index serves.
const (
	byMachineSQL = ` AND h.machine = $%d`
	byIDSQL      = ` AND h.instance = $%d`
	byEventSQL   = ` AND h.event = $%d`
	byActorSQL   = ` AND (h.actor = $%[1]d OR h.on_behalf_of = $%[1]d)`
	fromSQL      = ` AND h.time_us >= $%d`
	untilSQL     = ` AND h.time_us < $%d`
	searchEndSQL = ` ORDER BY h.machine, h.instance, h.seq LIMIT $%d`
)

// Search is interlock.HistoryStore's.
func (s *Store) Search(ctx context.Context, q interlock.AuditQuery, after interlock.Ref, seq int64) ([]interlock.Record, error) {
	if !storable(q.Tenant, q.Machine, q.ID, q.Actor, q.Event, after.Machine, after.ID) {
		return nil, nil
	}
	var query strings.Builder
	query.WriteString(s.d.expand(searchSQL))
	args := []any{q.Tenant, after.Machine, after.ID, seq}
	add := func(selects bool, condition string, arg any) {
		if selects {
			args = append(args, arg)
			fmt.Fprintf(&query, condition, len(args))
		}
	}
	add(q.Machine != "", byMachineSQL, q.Machine)
	add(q.ID != "", byIDSQL, q.ID)
	add(q.Event != "", byEventSQL, q.Event)
	add(q.Actor != "", byActorSQL, q.Actor)
	add(!q.From.IsZero(), fromSQL, q.From.UnixMicro())
	add(!q.Until.IsZero(), untilSQL, q.Until.UnixMicro())
	add(true, searchEndSQL, q.Limit)
	return records(ctx, s.db, query.String(), args...)
}

const searchAttemptsSQL = `SELECT n, body FROM il.attempt WHERE tenant = $1 AND n > $2`

const (
	attemptsByMachineSQL = ` AND machine = $%d`
	attemptsByIDSQL      = ` AND instance = $%d`
	attemptsEndSQL       = ` ORDER BY n LIMIT $%d`
)

// SearchAttempts is interlock.HistoryStore's. What an attempt says besides its
// instance stands in its body, and is looked at here.
func (s *Store) SearchAttempts(ctx context.Context, q interlock.AuditQuery, after int64) ([]interlock.Attempt, int64, error) {
	if !storable(q.Tenant, q.Machine, q.ID) {
		return nil, 0, nil
	}
	var query strings.Builder
	query.WriteString(s.d.expand(searchAttemptsSQL))
	args := []any{q.Tenant, after}
	add := func(selects bool, condition string, arg any) {
		if selects {
			args = append(args, arg)
			fmt.Fprintf(&query, condition, len(args))
		}
	}
	add(q.Machine != "", attemptsByMachineSQL, q.Machine)
	add(q.ID != "", attemptsByIDSQL, q.ID)
	add(true, attemptsEndSQL, page)
	var out []interlock.Attempt
	for {
		args[1] = after
		rows, full := 0, false
		err := each(ctx, s.db, query.String(), args, func(r Rows) error {
			if rows++; full {
				return nil
			}
			var body string
			if err := r.Scan(&after, &body); err != nil {
				return err
			}
			a := interlock.Attempt{}
			if err := Decode(body, &a); err != nil {
				return err
			}
			a.Tenant, a.Time = q.Tenant, a.Time.UTC()
			if selects(&q, &a) {
				out = append(out, a)
				full = len(out) == q.Limit
			}
			return nil
		})
		switch {
		case err != nil:
			return nil, 0, err
		case full:
			return out, after, nil
		case rows < page:
			return out, 0, nil
		}
	}
}

func selects(q *interlock.AuditQuery, a *interlock.Attempt) bool {
	return (q.Actor == "" || a.Actor == q.Actor) && (q.Event == "" || a.Event == q.Event) &&
		(q.From.IsZero() || !a.Time.Before(q.From)) && (q.Until.IsZero() || a.Time.Before(q.Until)) &&
		(q.Check == "" || a.Code == q.Check || slices.Contains(a.Reasons, q.Check))
}
