package sqlstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/interlock-go/interlock"
)

// Encoded is a commit with its rows as the parameters of their statements, so
// that the transaction, which others wait for, needn't make them.
type Encoded struct {
	*interlock.Commit
	instance    []any // of updateInstance, or of insertInstance
	instanceErr error
	records     []encodedRecord // in the order in which they are written
}

type encodedRecord struct {
	record   *interlock.Record
	history  []any
	texts    []any // nil: there are none
	textsErr error
}

// EncodeCommit refuses a commit that can't be meant. What can't be encoded is
// told where it would be written, after whatever else is wrong.
func EncodeCommit(c *interlock.Commit) (*Encoded, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	e := &Encoded{Commit: c}
	if ch := c.Instance; ch != nil {
		e.instance, e.instanceErr = InstanceArgs(ch)
		if ch.PrevVersion > 0 {
			e.instance = append(e.instance, ch.PrevVersion, ch.PrevState, bytesOf(ch.PrevDigest), bytesOf(ch.PrevHead))
		}
	}
	for _, k := range c.Actors {
		if k.Change != nil {
			e.records = append(e.records, encodeRecord(&k.Change.Record))
		}
	}
	e.records = append(e.records, encodeRecord(recordOf(c)))
	return e, nil
}

// MayFailLate tells whether the commit has a predicate that is asked after rows
// were written. What any other refuses has written nothing.
func (e *Encoded) MayFailLate() bool {
	return e.Idempotency != nil || e.Bound != nil || e.KeepAdmin || e.APIKey != nil || ofHistory(e.Commit) || e.writesActors() ||
		slices.ContainsFunc(e.records, func(r encodedRecord) bool { return r.textsErr != nil })
}

func (e *Encoded) writesActors() bool { return len(actorChanges(e.Commit)) > 0 }

func encodeRecord(r *interlock.Record) encodedRecord {
	e := encodedRecord{record: r, history: RecordArgs(r)}
	if hasTexts(r) {
		note, input, facts, salt, err := TextArgs(r)
		e.texts, e.textsErr = []any{r.Tenant, r.Machine, r.Instance, r.Seq, note, input, facts, salt}, err
	}
	return e
}

func (s *Store) putRecord(ctx context.Context, tx Conn, e *encodedRecord) error {
	if _, err := tx.Exec(ctx, s.q.insertHistory, e.history...); err != nil {
		return fmt.Errorf("history of %s/%s, row %d: %w", e.record.Machine, e.record.Instance, e.record.Seq, err)
	}
	if e.textsErr != nil || e.texts == nil {
		return e.textsErr
	}
	_, err := tx.Exec(ctx, s.q.insertTexts, e.texts...)
	return err
}
