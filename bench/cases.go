package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/interlock-go/interlock"
)

// migrating is a store with its own schema.
type migrating interface {
	interlock.Store
	Migrate(context.Context) error
}

const caseRevision = "r1"

// Digests and hashes of commits that no gate made: the store only compares them.
var (
	caseActor  = filled(32, 1)
	caseDigest = filled(32, 2)
	caseHead   = filled(32, 3)
)

func filled(n int, b byte) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}

// caseWriter makes the commits of one client: an actor of its own, and a case
// that takes note after note.
type caseWriter struct {
	epoch, actor, id string
	version          int64
}

// openCases makes the schema, and an actor and a case for each client.
func openCases(ctx context.Context, s migrating, clients int) ([]*caseWriter, error) {
	if err := s.Migrate(ctx); err != nil {
		return nil, err
	}
	epoch, err := s.Epoch(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Activate(ctx, interlock.Revision{Machine: "loan", ID: caseRevision, States: deskStates}, 0); err != nil {
		return nil, err
	}
	writers := make([]*caseWriter, clients)
	for i := range writers {
		w := &caseWriter{epoch: epoch, actor: "ann-" + strconv.Itoa(i), id: "case-" + strconv.Itoa(i)}
		if err := s.Commit(ctx, w.join()); err != nil {
			return nil, fmt.Errorf("actor: %w", err)
		}
		if err := s.Commit(ctx, w.next()); err != nil {
			return nil, fmt.Errorf("case: %w", err)
		}
		writers[i] = w
	}
	return writers, nil
}

// join makes the actor.
func (w *caseWriter) join() *interlock.Commit {
	return &interlock.Commit{Epoch: w.epoch, Actor: &interlock.ActorChange{NextDigest: caseActor,
		Next: interlock.ActorRecord{Tenant: interlock.DefaultTenant, ID: w.actor, Person: w.actor, Active: true, Version: 1, Head: caseHead,
			Attrs: map[string]any{"limit": json.Number("50000")}},
		Record: w.record(interlock.ActorMachine, w.actor, 1, "$join", "active", moment())}}
}

func moment() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// next is the commit of the next version.
func (w *caseWriter) next() *interlock.Commit {
	now := moment()
	w.version++
	sample := samples()[0]
	ch := &interlock.InstanceChange{PrevVersion: w.version - 1, NextDigest: caseDigest,
		Next: interlock.Instance{Tenant: interlock.DefaultTenant, Machine: "loan", ID: w.id, State: "submitted", Version: w.version, Facts: sample.facts(),
			Entered: map[string][]string{"submitted": {"bob"}}, Did: map[string][]string{"submit": {"bob"}, "escalate": {w.actor}}, Actors: []string{w.actor, "bob"},
			Last:      map[string]interlock.Last{"escalate": {Person: w.actor, At: now, Count: w.version}},
			CreatedBy: "bob", CreatedAt: now, Since: now, UpdatedAt: now, Head: caseHead},
		Record: w.record("loan", w.id, w.version, "escalate", "submitted", now)}
	ch.Record.Facts = ch.Next.Facts
	if w.version > 1 {
		ch.PrevState, ch.PrevDigest, ch.PrevHead = "submitted", caseDigest, caseHead
	}
	c := &interlock.Commit{Epoch: w.epoch, Revision: interlock.Revision{Machine: "loan", ID: caseRevision}, Actors: []interlock.ActorCheck{{ID: w.actor, Version: 1, Digest: caseActor}}, Instance: ch}
	c.Outbox, _ = json.Marshal(ch.Record.Transition) // of strings and numbers: it always goes
	return c
}

func (w *caseWriter) record(machine, id string, seq int64, event, state string, now time.Time) interlock.Record {
	return interlock.Record{Transition: interlock.Transition{ID: fmt.Sprintf("%x-%s-%d", now.UnixMilli(), id, seq), Tenant: interlock.DefaultTenant,
		Machine: machine, Instance: id, Seq: seq, Event: event, From: state, To: state, Actor: w.actor, Person: w.actor, Note: "as agreed",
		Input: map[string]any{"text": "some words"}, Time: now, Revision: caseRevision, Hash: caseHead, Prev: caseHead},
		Bytes: filled(600, 4), Salt: filled(16, 5)}
}
