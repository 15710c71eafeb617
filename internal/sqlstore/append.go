package sqlstore

import (
	"context"
	"fmt"

	"github.com/interlock-go/interlock"
)

const insertHistorySQL = `INSERT INTO il.history (tenant, machine, instance, seq, id, event, from_state, to_state, override,
	actor, person, on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`

const insertTextsSQL = `INSERT INTO il.texts (tenant, machine, instance, seq, note, input, facts, salt) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

const insertOutboxSQL = `INSERT INTO il.outbox (id, tenant, machine, instance, seq, message) VALUES ($1, $2, $3, $4, $5, $6)`

// appendRows writes what is only ever added.
func (s *Store) appendRows(ctx context.Context, tx Conn, e *Encoded) error {
	for i := range e.records {
		if err := s.putRecord(ctx, tx, &e.records[i]); err != nil {
			return err
		}
	}
	if e.Outbox != nil {
		rec := recordOf(e.Commit)
		if _, err := tx.Exec(ctx, s.q.insertOutbox, rec.ID, rec.Tenant, rec.Machine, rec.Instance, rec.Seq, e.Outbox); err != nil {
			return err
		}
	}
	return nil
}

// hasTexts tells whether anything of a record can be erased.
func hasTexts(r *interlock.Record) bool {
	return r.Note != "" || r.Input != nil || r.Facts != nil || len(r.Salt) > 0
}

// RecordArgs are the parameters of insertHistory.
func RecordArgs(r *interlock.Record) []any {
	return []any{r.Tenant, r.Machine, r.Instance, r.Seq, r.ID, r.Event, r.From, r.To, r.Override,
		r.Actor, r.Person, r.OnBehalfOf, r.OnBehalfOfPerson, micros(r.Time), r.Revision, bytesOf(r.Hash), bytesOf(r.Prev), bytesOf(r.Bytes), hasTexts(r)}
}

// TextArgs are the note, the input ("" for none), the facts ("" for none) and the salt.
func TextArgs(r *interlock.Record) (note, input, facts string, salt []byte, err error) {
	if r.Input != nil {
		if input, err = Encode(r.Input); err != nil {
			return "", "", "", nil, fmt.Errorf("input: %w", err)
		}
	}
	if r.Facts != nil {
		if facts, err = Encode(r.Facts); err != nil {
			return "", "", "", nil, fmt.Errorf("facts: %w", err)
		}
	}
	return r.Note, input, facts, bytesOf(r.Salt), nil
}
