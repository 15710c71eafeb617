package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// Digests and hashes of commits that no gate made: the store only compares them.
var aDigest, aHead = bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)

// recordOf has everything that a record may have.
func recordOf(machine, id, actor string, seq int64) interlock.Record {
	return interlock.Record{Transition: interlock.Transition{ID: fmt.Sprintf("%09d-%s-%s", seq, machine, id), Tenant: interlock.DefaultTenant,
		Machine: machine, Instance: id, Seq: seq, Event: "note", From: "open", To: "open", Actor: actor, Person: actor, Note: "as agreed",
		Input: map[string]any{"text": "some words"}, Time: time.UnixMicro(seq).UTC(), Revision: "r1", Hash: aHead, Prev: aHead},
		Bytes: bytes.Repeat([]byte{4}, 600), Salt: bytes.Repeat([]byte{5}, 16)}
}

// stepOf is the commit of an instance's next version.
func stepOf(epoch, id string, version int64) *interlock.Commit {
	now, actor := time.UnixMicro(version).UTC(), "of-"+id
	ch := &interlock.InstanceChange{PrevVersion: version - 1, NextDigest: aDigest, Record: recordOf("loan", id, actor, version),
		Next: interlock.Instance{Tenant: interlock.DefaultTenant, Machine: "loan", ID: id, State: "open", Version: version,
			Facts:   map[string]any{"amount": json.Number("25000"), "branch": "north"},
			Entered: map[string][]string{"open": {"bob"}}, Did: map[string][]string{"note": {actor}}, Actors: []string{actor, "bob"},
			Last: map[string]interlock.Last{"note": {Person: actor, At: now, Count: version}}, CreatedBy: "bob",
			CreatedAt: now, Since: now, UpdatedAt: now, Head: aHead}}
	if version > 1 {
		ch.PrevState, ch.PrevDigest, ch.PrevHead = "open", aDigest, aHead
	}
	c := &interlock.Commit{Epoch: epoch, Revision: interlock.Revision{Machine: "loan", ID: "r1"},
		Actors: []interlock.ActorCheck{{ID: actor, Version: 1, Digest: aDigest}}, Instance: ch}
	c.Outbox, _ = json.Marshal(ch.Record.Transition)
	return c
}

// joinOf is the commit of an actor's first version.
func joinOf(epoch, id string) *interlock.Commit {
	return &interlock.Commit{Epoch: epoch, Actor: &interlock.ActorChange{NextDigest: aDigest,
		Next:   interlock.ActorRecord{Tenant: interlock.DefaultTenant, ID: id, Person: id, Active: true, Version: 1, Head: aHead},
		Record: recordOf(interlock.ActorMachine, id, id, 1)}}
}

// CommitTogether writes the commits in one transaction.
func (s *Store) CommitTogether(_ context.Context, commits []*interlock.Commit) []error {
	errs := make([]error, len(commits))
	var list []*pending
	at := map[*pending]int{}
	for i, c := range commits {
		e, err := sqlstore.EncodeCommit(c)
		if errs[i] = err; err == nil {
			p := &pending{commit: e}
			list, at[p] = append(list, p), i
		}
	}
	s.writeTogether(list...)
	for p, i := range at {
		errs[i] = p.err
	}
	return errs
}

func (s *Store) writeTogether(list ...*pending) {
	_ = s.writer.wait(context.Background())
	defer s.writer.end()
	s.commits.write(func() []*pending { return list })
}

// world is a store with rules r1 of the machine "loan", and an instance for each
// id, at version 1, with an actor of its own.
type world struct {
	*testing.T
	*Store
	epoch string
}

func newWorld(t *testing.T, ids ...string) *world {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "x.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return fill(t, s, ids...)
}

func fill(t *testing.T, s *Store, ids ...string) *world {
	t.Helper()
	w := &world{T: t, Store: s}
	require.NoError(t, s.Migrate(t.Context()))
	var err error
	w.epoch, err = s.Epoch(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Activate(t.Context(), rules("r1"), 0))
	for _, id := range ids {
		require.NoError(t, s.Commit(t.Context(), joinOf(w.epoch, "of-"+id)))
		require.NoError(t, s.Commit(t.Context(), stepOf(w.epoch, id, 1)))
		_, err := s.Load(t.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: id}, nil) // commits are kept from now on
		require.NoError(t, err)
	}
	return w
}

func rules(id string) interlock.Revision {
	return interlock.Revision{Machine: "loan", ID: id, States: []string{"open"}}
}

// step is the commit of an instance's second version.
func (w *world) step(id string) *interlock.Commit { return stepOf(w.epoch, id, 2) }

func (w *world) encoded(c *interlock.Commit) *pending {
	w.Helper()
	e, err := sqlstore.EncodeCommit(c)
	require.NoError(w, err)
	return &pending{commit: e}
}

// moved: the instances are at version 2, with a row of history, texts and a
// message; of the others there is nothing of it, neither in the file nor in memory.
func (w *world) moved(yes map[string]bool) {
	w.Helper()
	require.Empty(w, w.copies.writing)
	for id, moved := range yes {
		n := 1
		if moved {
			n = 2
		}
		f, err := w.Load(w.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: id}, nil)
		require.NoError(w, err)
		require.EqualValues(w, n, f.Instance.Version, id)
		for _, table := range []string{"history", "texts", "outbox"} {
			var rows int
			require.NoError(w, w.DB().QueryRow("SELECT count(*) FROM interlock_"+table+" WHERE machine = 'loan' AND instance = ?", id).Scan(&rows))
			require.Equal(w, n, rows, "%s of %s", table, id)
		}
		var version int
		require.NoError(w, w.DB().QueryRow("SELECT version FROM interlock_instance WHERE id = ?", id).Scan(&version))
		require.Equal(w, n, version, id)
	}
}
