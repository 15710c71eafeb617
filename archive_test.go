package interlock_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
	"github.com/interlock-go/interlock/store/sqlite"
)

const day = 24 * time.Hour

// calendar is a gate, a store and an archive on whose clocks years pass; the
// database's stays behind.
type calendar struct {
	*testing.T
	gate   *interlock.Gate
	store  *sqlite.Store
	now    time.Time
	folder string
}

func newCalendar(t *testing.T) *calendar {
	t.Helper()
	c := &calendar{T: t, store: memory(t), now: time.Now(), folder: t.TempDir()}
	c.gate = newGate(t, func(cfg *interlock.Config) {
		cfg.Store, cfg.Now = c.store, func() time.Time { return c.now }
	})
	return c
}

func (c *calendar) comment(id string, times int) {
	c.Helper()
	for range times {
		_, err := c.gate.Fire(c.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: id, Event: "comment", Input: map[string]any{"text": "secret of erin"}})
		require.NoError(c, err)
	}
}

// archive takes at most 10 rows a file.
func (c *calendar) archive(req interlock.ArchiveRequest) (interlock.Archived, error) {
	c.Helper()
	return c.archiveUntil(c.Context(), req, func() {})
}

func (c *calendar) archiveUntil(ctx context.Context, req interlock.ArchiveRequest, writes func()) (interlock.Archived, error) {
	if req.Before.IsZero() {
		req.Before = c.now.Add(-90 * day)
	}
	write := func(rows []interlock.Record) (interlock.ArchiveFile, error) {
		writes()
		return archive.Write(c.folder, rows)
	}
	return interlock.ArchiveAt(ctx, c.store, interlock.SystemActor("", "operator~olga"), req, write, func() time.Time { return c.now }, 10)
}

// seqs are the loan's rows in the store.
func (c *calendar) seqs(id string) (seqs []int64) {
	c.Helper()
	rows, err := c.store.History(c.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: id}, 0, 100)
	require.NoError(c, err)
	for _, r := range rows {
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

func (c *calendar) holds() {
	c.Helper()
	require.Empty(c, verified(c.T, c.store).Bad)
	folder, err := archive.Read(c.folder)
	require.NoError(c, err)
	require.Empty(c, verified(c.T, folder.Over(c.store)).Bad)
}

// knows holds history against a witness of row 4, the last that is archived: its
// hash stands in history still.
func (c *calendar) knows(hash []byte, right int64) {
	c.Helper()
	mark := interlock.Mark{Tenant: interlock.DefaultTenant, Machine: "loan", ID: "17", Version: 4, Hash: hash}
	r, err := interlock.Verify(c.Context(), c.store, nil, interlock.Witness{Name: "checkpoint 1", Marks: func(yield func(interlock.Mark, error) bool) { yield(mark, nil) }})
	require.NoError(c, err)
	require.Equal(c, []int64{right, 0, 1 - right}, []int64{r.Witnessed, r.Unseen, int64(len(r.Bad))}, "%v", r.Bad)
}

// Who may write to the database can say of rows that he rebuilt that they are
// archived. A witness of such a row isn't content with that: the files tell.
func TestWitnessOfArchivedRows(t *testing.T) {
	c := newCalendar(t)
	newLoan(t, c.gate, "17")
	c.comment("17", 3)
	row, err := c.gate.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}, 1, 1)
	require.NoError(t, err)
	c.now = c.now.Add(100 * day)
	c.comment("17", 2)
	_, err = c.archive(interlock.ArchiveRequest{Machine: "loan"})
	require.NoError(t, err)
	folder, err := archive.Read(c.folder)
	require.NoError(t, err)
	for _, w := range []struct {
		hash string
		ok   bool
	}{{string(row[0].Hash), true}, {"of the row before it was rebuilt", false}} {
		mark := interlock.Mark{Tenant: interlock.DefaultTenant, Machine: "loan", ID: "17", Version: 2, Hash: []byte(w.hash)}
		signed := interlock.Witness{Name: "checkpoint 1", Marks: func(yield func(interlock.Mark, error) bool) { yield(mark, nil) }}
		alone, err := interlock.Verify(t.Context(), c.store, nil, signed)
		require.NoError(t, err)
		require.Empty(t, alone.Bad, "nothing tells")
		require.EqualValues(t, 1, alone.Unseen)
		require.False(t, alone.OK(), "and so it isn't proved")
		whole, err := interlock.Verify(t.Context(), folder.Over(c.store), nil, signed)
		require.NoError(t, err)
		require.Equal(t, w.ok, whole.OK(), "%v", whole.Bad)
	}
}

// The years of one loan: rows leave when they are old, the newest stay, and a
// loan at which nothing happens isn't written again.
func TestArchive(t *testing.T) {
	c := newCalendar(t)
	newLoan(t, c.gate, "17")
	c.comment("17", 3)
	done, err := c.archive(interlock.ArchiveRequest{})
	require.NoError(t, err)
	require.Zero(t, done, "nothing is old")
	before, err := c.gate.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}, 3, 1)
	require.NoError(t, err)
	through := before[0].Hash
	c.now = c.now.Add(100 * day)
	c.comment("17", 2)
	done, err = c.archive(interlock.ArchiveRequest{Machine: "loan"})
	require.NoError(t, err)
	require.EqualValues(t, []int64{4, 1, 1}, []int64{done.Rows, done.Chains, done.Files})
	require.Equal(t, []int64{5, 6, 7}, c.seqs("17"))
	c.holds()
	c.knows(through, 1)
	c.knows([]byte("of another row"), 0)

	rows, err := c.gate.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}, 0, 0)
	require.NoError(t, err)
	last := rows[len(rows)-1]
	require.Equal(t, []any{"$archive", "operator~olga", "created", "created"}, []any{last.Event, last.Actor, last.From, last.To})
	require.EqualValues(t, "4", fmt.Sprint(last.Input["through"]))
	require.Regexp(t, `^history-00000001-[0-9a-f]{12}\.ndjson$`, last.Input["file"])

	c.now = c.now.Add(100 * day)
	for _, keep := range []int{5, 3, 2} {
		done, err = c.archive(interlock.ArchiveRequest{Machine: "loan", Keep: keep})
		require.NoError(t, err)
		require.Zero(t, done, "5 and 6 stay, and 7 speaks of them that have gone")
	}
	c.comment("17", 1)
	c.now = c.now.Add(100 * day)
	done, err = c.archive(interlock.ArchiveRequest{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.EqualValues(t, 3, done.Rows, "5, 6 and the $archive")
	require.Equal(t, []int64{8, 9}, c.seqs("17"))
	c.holds()
	for range 3 {
		c.now = c.now.Add(100 * day)
		done, err = c.archive(interlock.ArchiveRequest{Machine: "loan"})
		require.NoError(t, err)
		require.Zero(t, done, "nothing happens to it any more")
	}
	_, err = c.gate.Fire(t.Context(), employee("erin"), loan("submit"))
	require.NoError(t, err, "it goes on from there")
	c.holds()
}

// More rows than one file holds leave in several.
func TestArchiveInParts(t *testing.T) {
	c := newCalendar(t)
	for n := range 8 {
		newLoan(t, c.gate, fmt.Sprint(n))
		c.comment(fmt.Sprint(n), 3)
	}
	newLoan(t, c.gate, "long")
	c.comment("long", 34)
	c.now = c.now.Add(100 * day)
	done, err := c.archive(interlock.ArchiveRequest{Machine: "loan"})
	require.NoError(t, err)
	require.EqualValues(t, []int64{8*3 + 34, 9, 3 + 4}, []int64{done.Rows, done.Chains, done.Files}, "three loans a file; the long one in four, the last of 4 rows")
	require.Equal(t, []int64{35, 36, 37, 38, 39}, c.seqs("long"), "its newest, and what each file left")
	c.holds()
	c.now = c.now.Add(100 * day)
	done, err = c.archive(interlock.ArchiveRequest{Machine: "loan"})
	require.NoError(t, err)
	require.Zero(t, done)
}

// A run that is ended has moved whole files, and the next goes on.
func TestArchiveIsInterrupted(t *testing.T) {
	c := newCalendar(t)
	for n := range 9 {
		newLoan(t, c.gate, fmt.Sprint(n))
		c.comment(fmt.Sprint(n), 3)
	}
	c.now = c.now.Add(100 * day)
	ctx, cancel := context.WithCancel(t.Context())
	req := interlock.ArchiveRequest{Machine: "loan"}
	done, err := c.archiveUntil(ctx, req, cancel)
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, []int64{9, 3, 1}, []int64{done.Rows, done.Chains, done.Files})
	c.holds()
	done, err = c.archive(req)
	require.NoError(t, err)
	require.EqualValues(t, 6, done.Chains)
	c.holds()
}

func TestArchiveRefuses(t *testing.T) {
	c := newCalendar(t)
	for name, bad := range map[string]interlock.ArchiveRequest{
		"young rows":   {Before: c.now.Add(-47 * time.Hour)},
		"keep":         {Keep: -1},
		"keep all":     {Keep: 1001},
		"no machine":   {ID: "17"},
		"a long story": {Reason: strings.Repeat("x", 4097)},
	} {
		_, err := c.archive(bad)
		require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageInput, Code: "input_invalid"}, name)
	}
	_, err := interlock.Archive(t.Context(), c.store, interlock.Actor{ID: "adam"}, interlock.ArchiveRequest{Before: c.now}, nil)
	refusal(t, err, interlock.StagePolicy, "denied")
}

// Rows are as old as the younger of their two clocks says: after a replay of an
// old log, and where a clock stood in the past.
func TestArchiveGoesByBothClocks(t *testing.T) {
	st := memory(t)
	then := time.Now().Add(-1000 * day)
	g := newGate(t, func(cfg *interlock.Config) { cfg.Store, cfg.Now = st, func() time.Time { return then } })
	newLoan(t, g, "17")
	for range 3 {
		_, err := g.Fire(t.Context(), employee("erin"), comment("again"))
		require.NoError(t, err)
	}
	done, err := interlock.Archive(t.Context(), st, interlock.SystemActor("", "operator~olga"), interlock.ArchiveRequest{Before: time.Now().Add(-49 * time.Hour)}, nil)
	require.NoError(t, err)
	require.Zero(t, done)
}

// What was archived is out of an erasure's reach, and it says so.
func TestEraseTellsOfArchivedRows(t *testing.T) {
	c := newCalendar(t)
	for _, id := range []string{"17", "18"} {
		newLoan(t, c.gate, id)
		c.comment(id, 3)
	}
	c.now = c.now.Add(100 * day)
	_, err := c.archive(interlock.ArchiveRequest{Machine: "loan"})
	require.NoError(t, err)
	erase := func(req interlock.EraseRequest) interlock.Erased {
		t.Helper()
		req.Reason = "asked for"
		done, err := interlock.Erase(t.Context(), c.store, root, req)
		require.NoError(t, err)
		return done
	}
	require.Equal(t, interlock.Erased{Rows: 1, Chains: 1, Archived: 3}, erase(interlock.EraseRequest{Machine: "loan", ID: "17"}))
	require.Equal(t, interlock.Erased{Archived: 2}, erase(interlock.EraseRequest{Machine: "loan", ID: "17", Seqs: []int64{2, 3, 4}}))
	done := erase(interlock.EraseRequest{Actor: "erin"})
	require.EqualValues(t, 6, done.Archived, "what she may have written in either loan")
	c.holds()
	rows, err := c.gate.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "18"}, 0, 0)
	require.NoError(t, err)
	require.Equal(t, []any{"comment", "$archive", "$erase"}, []any{rows[0].Event, rows[1].Event, rows[2].Event})
	require.Nil(t, rows[0].Input)
	require.NotNil(t, rows[1].Input, "it keeps what proves the others")
	_, err = interlock.Erase(t.Context(), c.store, root, interlock.EraseRequest{Actor: "nobody", Reason: "asked for"})
	require.ErrorContains(t, err, "no row names this actor, of those that weren't archived")
}

// interposed does something before the next transaction.
type interposed struct {
	interlock.Store
	do func()
}

func (s *interposed) Within(ctx context.Context, fn func(interlock.Tx) error) error {
	if do := s.do; do != nil {
		s.do = nil
		do()
	}
	return s.Store.Within(ctx, fn)
}

// Texts that are erased after their rows were read, and before they left, don't
// come back in a file.
func TestArchiveKeepsNoErasedTexts(t *testing.T) {
	c := newCalendar(t)
	newLoan(t, c.gate, "17")
	c.comment("17", 3)
	c.now = c.now.Add(100 * day)
	st := &interposed{Store: c.store, do: func() {
		done, err := interlock.Erase(t.Context(), c.store, root, interlock.EraseRequest{Machine: "loan", ID: "17", Reason: "asked for"})
		require.NoError(t, err)
		require.EqualValues(t, 4, done.Rows)
	}}
	kept := 0
	_, err := interlock.ArchiveAt(t.Context(), st, root, interlock.ArchiveRequest{Machine: "loan", Before: c.now.Add(-90 * day)}, func(rows []interlock.Record) (interlock.ArchiveFile, error) {
		for _, r := range rows {
			require.True(t, r.Erased)
			require.Empty(t, r.Salt)
			kept++
		}
		return archive.Write(c.folder, rows)
	}, func() time.Time { return c.now }, 10)
	require.NoError(t, err)
	require.Equal(t, 3, kept)
	c.holds()
}

// A key whose row was archived, by a clock that was set back since, is answered by
// no other row.
func TestKeyOfAnArchivedRow(t *testing.T) {
	c := newCalendar(t)
	then := c.now
	newLoan(t, c.gate, "17")
	req := comment("once")
	req.IdempotencyKey = "k"
	_, err := c.gate.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	c.comment("17", 2)
	c.now = then.Add(100 * day)
	_, err = c.archive(interlock.ArchiveRequest{Machine: "loan"})
	require.NoError(t, err)
	require.Equal(t, []int64{4, 5}, c.seqs("17"))
	c.now = then.Add(time.Hour)
	_, err = c.gate.Fire(t.Context(), employee("erin"), req)
	refusal(t, err, interlock.StageUnavailable, "store_failed")
}
