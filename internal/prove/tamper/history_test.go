package tamper_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

const machine = `
machine: doc
initial: open
create: {requires: [anyone]}
read: {requires: [anyone]}
facts: {schema: {type: object, properties: {n: {type: integer}}}, edit: {states: [open, shut], requires: [anyone]}}
states: {open: {}, shut: {}}
events:
  tick: {from: open, stay: true, requires: [anyone], note: optional, input: {type: object, properties: {why: {type: string}}}}
  shut: {from: open, to: shut, requires: [anyone]}
  open: {from: shut, to: open, requires: [anyone], note: required}
`

// victim is the instance whose chain is tampered with; others stand around it.
var victim = interlock.Ref{Machine: "doc", ID: "d"}

// history is a real store with the victim's chain of n rows, and what the
// instance was after each of them.
type history struct {
	store     interlock.Store
	instances []interlock.Instance // after row i+1
	rows      []interlock.Record   // of all chains, as the store gives them
	heads     []interlock.Head
	first     int // of the victim's rows
	n         int
}

func build(t *testing.T, store interlock.Store, n int) *history {
	t.Helper()
	m, err := fsm.Parse("doc.yaml", []byte(machine))
	require.NoError(t, err)
	now := time.Now().Add(-1000 * 24 * time.Hour) // old enough for an archive
	gate, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: store, Now: func() time.Time { return now },
		After: []func(context.Context, interlock.Transition){versions(t, store)}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gate.Close(context.Background())) })
	h := &history{store: store, n: n}
	for _, id := range []string{"c", "e"} {
		grow(t, gate, interlock.Ref{Machine: "doc", ID: id}, 3)
	}
	h.instances = grow(t, gate, victim, n)
	for r, err := range store.Chain(t.Context()) {
		require.NoError(t, err)
		if r.Machine == victim.Machine && r.Instance == victim.ID && r.Seq == 1 {
			h.first = len(h.rows)
		}
		h.rows = append(h.rows, r)
	}
	for head, err := range store.Heads(t.Context()) {
		require.NoError(t, err)
		h.heads = append(h.heads, head)
	}
	report, err := interlock.Verify(t.Context(), h.untouched(), nil, h.witness())
	require.NoError(t, err)
	require.Empty(t, report.Bad, "history as it was made")
	require.EqualValues(t, len(h.heads), report.Witnessed)
	return h
}

// grow makes an instance with a history of n rows, of every kind.
func grow(t *testing.T, gate *interlock.Gate, ref interlock.Ref, n int) (after []interlock.Instance) {
	t.Helper()
	actors := []interlock.Actor{{ID: "ann", Person: "Ann"}, {ID: "bob", Person: "Bob"}, {ID: "svc", Kind: interlock.Service, OnBehalfOf: &interlock.Actor{ID: "ann", Person: "Ann"}}}
	for i := range n {
		actor := actors[i%len(actors)]
		var r interlock.Result
		var err error
		switch {
		case i == 0:
			r, err = gate.Create(t.Context(), actors[0], interlock.CreateRequest{Machine: ref.Machine, ID: ref.ID, Facts: map[string]any{"n": 0}})
		case i%7 == 3:
			r, err = gate.EditFacts(t.Context(), actor, interlock.FactsRequest{Machine: ref.Machine, ID: ref.ID, Patch: map[string]any{"n": i}})
		case i%7 == 5:
			r, err = gate.Fire(t.Context(), actor, interlock.Request{Machine: ref.Machine, ID: ref.ID, Event: "shut"})
		case i%7 == 6:
			r, err = gate.Fire(t.Context(), actor, interlock.Request{Machine: ref.Machine, ID: ref.ID, Event: "open", Note: "again"})
		default:
			r, err = gate.Fire(t.Context(), actor, interlock.Request{Machine: ref.Machine, ID: ref.ID, Event: "tick", Note: fmt.Sprint("note ", i), Input: map[string]any{"why": "because"}})
		}
		require.NoError(t, err)
		after = append(after, r.Instance)
	}
	return after
}

// witness is what somebody kept of the heads.
func (h *history) witness() interlock.Witness {
	return interlock.Witness{Name: "checkpoint 1", Marks: func(yield func(interlock.Mark, error) bool) {
		for _, head := range h.heads {
			if !yield(interlock.Mark{Tenant: head.Tenant, Machine: head.Machine, ID: head.ID, Version: head.Version, Hash: head.Hash}, nil) {
				return
			}
		}
	}}
}

// memory answers Verify from rows in memory, which came from the real store.
type memory struct {
	interlock.Store
	rows  []interlock.Record
	heads []interlock.Head
}

func (h *history) untouched() *memory {
	return &memory{Store: h.store, rows: slices.Clone(h.rows), heads: slices.Clone(h.heads)}
}

// chain are the victim's rows within m, to be changed in place.
func (h *history) chain(m *memory) []interlock.Record { return m.rows[h.first : h.first+h.n] }

func (m *memory) Chain(context.Context) iter.Seq2[interlock.Record, error] { return each(m.rows) }
func (m *memory) Heads(context.Context) iter.Seq2[interlock.Head, error]   { return each(m.heads) }

func each[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range list {
			if !yield(one, nil) {
				return
			}
		}
	}
}

func (m *memory) Load(_ context.Context, tenant string, ref interlock.Ref, _ []string) (interlock.Facts, error) {
	for _, h := range m.heads {
		if h.Tenant == tenant && h.Machine == ref.Machine && h.ID == ref.ID {
			return interlock.Facts{Instance: h.Instance}, nil
		}
	}
	return interlock.Facts{}, nil
}

func (m *memory) Actor(_ context.Context, tenant, id string) (*interlock.ActorRecord, error) {
	for _, h := range m.heads {
		if h.Tenant == tenant && h.Machine == interlock.ActorMachine && h.ID == id {
			return h.Actor, nil
		}
	}
	return nil, nil
}

func (m *memory) History(_ context.Context, tenant string, ref interlock.Ref, after int64, limit int) (out []interlock.Record, _ error) {
	for _, r := range m.rows {
		if r.Tenant == tenant && r.Machine == ref.Machine && r.Instance == ref.ID && r.Seq > after && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

// sorted puts rows whose keys were changed where a database would give them.
func (m *memory) sorted() {
	slices.SortStableFunc(m.rows, func(a, b interlock.Record) int {
		return slices.Compare([]string{a.Tenant, a.Machine, a.Instance, fmt.Sprintf("%09d", a.Seq)}, []string{b.Tenant, b.Machine, b.Instance, fmt.Sprintf("%09d", b.Seq)})
	})
}

// head replaces the victim's head.
func (m *memory) head(change func(*interlock.Head)) {
	for i := range m.heads {
		if m.heads[i].Machine == victim.Machine && m.heads[i].ID == victim.ID {
			change(&m.heads[i])
		}
	}
}

// The fields of a row's chain bytes that a forger changes.
const (
	fieldSeq   = 6
	fieldActor = 11
	fieldID    = 15
	fieldNext  = 19
	fieldPrev  = 21
)

// split and join are the chain's encoding as its description says: a forger
// knows it, for nothing in it is secret.
func split(b []byte) (fields [][]byte) {
	for len(b) > 0 {
		n := binary.BigEndian.Uint32(b)
		fields, b = append(fields, b[4:4+n]), b[4+n:]
	}
	return fields
}

func join(fields [][]byte) (b []byte) {
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

// forge gives a row bytes and hash that fit each other.
func forge(r *interlock.Record, change func(fields [][]byte)) {
	fields := split(r.Bytes)
	change(fields)
	r.Bytes = join(fields)
	sum := sha256.Sum256(r.Bytes)
	r.Hash = sum[:]
}

// follow makes a forged row one after prev.
func follow(r *interlock.Record, prev []byte) {
	r.Prev = prev
	forge(r, func(fields [][]byte) { fields[fieldPrev] = prev })
}
