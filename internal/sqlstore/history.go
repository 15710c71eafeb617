package sqlstore

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/interlock-go/interlock"
)

const recordColumns = `h.tenant, h.machine, h.instance, h.seq, h.id, h.event, h.from_state, h.to_state, h.override,
	h.actor, h.person, h.on_behalf_of, h.on_behalf_of_person, h.time_us, h.revision, h.hash, h.prev, h.bytes, h.has_texts, h.stamp_us,
	t.note, t.input, t.facts, t.salt`

const textsJoin = `LEFT JOIN il.texts t ON t.tenant = h.tenant AND t.machine = h.machine AND t.instance = h.instance AND t.seq = h.seq`

const historySQL = `SELECT ` + recordColumns + ` FROM il.history h ` + textsJoin + `
	WHERE h.tenant = $1 AND h.machine = $2 AND h.instance = $3 AND h.seq > $4 ORDER BY h.seq LIMIT $5`

const chainSQL = `SELECT ` + recordColumns + ` FROM il.history h ` + textsJoin + `
	WHERE (h.tenant, h.machine, h.instance, h.seq) > ($1, $2, $3, $4)
	ORDER BY h.tenant, h.machine, h.instance, h.seq LIMIT $5`

func scanRecord(r Rows) (interlock.Record, error) {
	var (
		rec          interlock.Record
		us, stamp    int64
		texts        bool
		note, input  *string
		facts        *string
		salt         []byte
		hash, prev   []byte
		bytesOfChain []byte
	)
	err := r.Scan(&rec.Tenant, &rec.Machine, &rec.Instance, &rec.Seq, &rec.ID, &rec.Event, &rec.From, &rec.To, &rec.Override,
		&rec.Actor, &rec.Person, &rec.OnBehalfOf, &rec.OnBehalfOfPerson, &us, &rec.Revision, &hash, &prev, &bytesOfChain, &texts, &stamp,
		&note, &input, &facts, &salt)
	if err != nil {
		return rec, err
	}
	rec.Time, rec.Stamp = fromMicros(us), fromMicros(stamp)
	rec.Hash, rec.Prev, rec.Bytes = slices.Clone(hash), slices.Clone(prev), slices.Clone(bytesOfChain)
	rec.Erased = texts && note == nil
	if note == nil {
		return rec, nil
	}
	rec.Note, rec.Salt = *note, slices.Clone(salt)
	if *input != "" {
		if err := Decode(*input, &rec.Input); err != nil {
			return rec, fmt.Errorf("history of %s/%s/%s, row %d, input: %w", rec.Tenant, rec.Machine, rec.Instance, rec.Seq, err)
		}
	}
	if facts != nil && *facts != "" {
		if err := Decode(*facts, &rec.Facts); err != nil {
			return rec, fmt.Errorf("history of %s/%s/%s, row %d, facts: %w", rec.Tenant, rec.Machine, rec.Instance, rec.Seq, err)
		}
	}
	return rec, nil
}

func records(ctx context.Context, c Conn, query string, args ...any) ([]interlock.Record, error) {
	var out []interlock.Record
	err := each(ctx, c, query, args, func(r Rows) error {
		rec, err := scanRecord(r)
		out = append(out, rec)
		return err
	})
	return out, err
}

// History is interlock.HistoryStore's.
func (s *Store) History(ctx context.Context, tenant string, ref interlock.Ref, after int64, limit int) ([]interlock.Record, error) {
	if !storable(tenant, ref.Machine, ref.ID) {
		return nil, nil
	}
	return records(ctx, s.db, s.q.history, tenant, ref.Machine, ref.ID, after, limit)
}

// page is how many rows of a stream are read at once: no connection and no
// snapshot is held while the caller works on them.
const page = 256

// Chain is interlock.HistoryStore's.
func (s *Store) Chain(ctx context.Context) iter.Seq2[interlock.Record, error] {
	return func(yield func(interlock.Record, error) bool) {
		var last interlock.Record
		for {
			rows, err := records(ctx, s.db, s.q.chain, last.Tenant, last.Machine, last.Instance, last.Seq, page)
			if err != nil {
				yield(interlock.Record{}, fmt.Errorf("history after %s/%s/%s, row %d: %w", last.Tenant, last.Machine, last.Instance, last.Seq, err))
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if len(rows) < page {
				return
			}
			last = rows[page-1]
		}
	}
}

const instanceHeadsSQL = `SELECT ` + instanceColumns + `, i.content_digest FROM il.instance i
	WHERE (i.tenant, i.machine, i.id) > ($1, $2, $3) ORDER BY i.tenant, i.machine, i.id LIMIT $4`

const actorHeadsSQL = `SELECT ` + actorColumns + `, a.content_digest FROM il.actor a
	WHERE (a.tenant, a.id) > ($1, $2) ORDER BY a.tenant, a.id LIMIT $3`

// Heads is interlock.HistoryStore's: instances and actors merged in their order.
func (s *Store) Heads(ctx context.Context) iter.Seq2[interlock.Head, error] {
	return func(yield func(interlock.Head, error) bool) {
		nextInstance, stopInstances := iter.Pull2(heads(func(after interlock.Head) ([]interlock.Head, error) {
			return s.instanceHeads(ctx, after)
		}))
		defer stopInstances()
		nextActor, stopActors := iter.Pull2(heads(func(after interlock.Head) ([]interlock.Head, error) {
			return s.actorHeads(ctx, after)
		}))
		defer stopActors()
		i, ierr, iok := nextInstance()
		a, aerr, aok := nextActor()
		for iok || aok {
			if iok && (!aok || compareHeads(i, a) < 0) || ierr != nil {
				if !yield(i, ierr) || ierr != nil {
					return
				}
				i, ierr, iok = nextInstance()
				continue
			}
			if !yield(a, aerr) || aerr != nil {
				return
			}
			a, aerr, aok = nextActor()
		}
	}
}

func compareHeads(a, b interlock.Head) int {
	if c := strings.Compare(a.Tenant, b.Tenant); c != 0 {
		return c
	}
	if c := strings.Compare(a.Machine, b.Machine); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// heads walks pages; an error is the last thing that it yields.
func heads(next func(after interlock.Head) ([]interlock.Head, error)) iter.Seq2[interlock.Head, error] {
	return func(yield func(interlock.Head, error) bool) {
		var last interlock.Head
		for {
			rows, err := next(last)
			if err != nil {
				yield(interlock.Head{}, fmt.Errorf("heads after %s/%s/%s: %w", last.Tenant, last.Machine, last.ID, err))
				return
			}
			for _, h := range rows {
				if !yield(h, nil) {
					return
				}
			}
			if len(rows) < page {
				return
			}
			last = rows[page-1]
		}
	}
}

func (s *Store) instanceHeads(ctx context.Context, after interlock.Head) ([]interlock.Head, error) {
	var out []interlock.Head
	err := each(ctx, s.db, s.q.instanceHeads, []any{after.Tenant, after.Machine, after.ID, page}, func(r Rows) error {
		var n nullInstance
		var digest []byte
		if err := r.Scan(append(n.dest(), &digest)...); err != nil {
			return err
		}
		i, err := n.instance()
		if err != nil {
			return err
		}
		out = append(out, interlock.Head{Tenant: i.Tenant, Machine: i.Machine, ID: i.ID, Version: i.Version, Hash: i.Head, Digest: slices.Clone(digest), Instance: i})
		return nil
	})
	return out, err
}

func (s *Store) actorHeads(ctx context.Context, after interlock.Head) ([]interlock.Head, error) {
	var out []interlock.Head
	err := each(ctx, s.db, s.q.actorHeads, []any{after.Tenant, after.ID, page}, func(r Rows) error {
		var n nullActor
		var digest []byte
		if err := r.Scan(append(n.dest(), &digest)...); err != nil {
			return err
		}
		a, err := n.actor()
		if err != nil {
			return err
		}
		out = append(out, interlock.Head{Tenant: a.Tenant, Machine: interlock.ActorMachine, ID: a.ID, Version: a.Version, Hash: a.Head, Digest: slices.Clone(digest), Actor: a})
		return nil
	})
	return out, err
}
