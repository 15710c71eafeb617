package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var archiveTests = []namedTest{
	{"archived by a commit", archiveByCommit},
	{"rows that nobody archived don't go", archiveOnlyThose},
	{"archived history verifies", archivedVerifies},
	{"archived after a run that ended in between", archivedAfterCrash},
	{"rows that are missing without an archive are found", missingRows},
	{"archived under writers", archivedUnderWriters},
}

func archiveByCommit(f *fixture) {
	f.exec(`INSERT INTO bares (id, status) VALUES ('d', 'new'), ('other', 'new')`)
	for _, machine := range []string{"doc", "bare"} {
		bound := func(c *interlock.Commit) *interlock.Commit {
			if f.bound(machine) {
				c.Bound = &interlock.BoundChange{From: "new", To: "new"}
			}
			return c
		}
		f.have(tenant, machine, "other")
		i := f.have(tenant, machine, "d")
		for range 5 {
			f.must(bound(f.step(i, "new")))
			i = f.get(tenant, machine, "d")
		}
		if f.bound(machine) {
			f.exec(`DELETE FROM bares WHERE id = 'd'`)
		}
		attempt := func(after, through int64) *interlock.Commit {
			c := f.step(i, "new")
			c.Instance.Record.Event, c.Instance.Record.Input = "$archive", map[string]any{"through": through}
			c.Revision = interlock.Revision{} // whatever rules there are now
			c.Archive = &interlock.Archival{After: after, Through: through}
			return c
		}
		before := f.dump()
		for _, c := range []struct {
			after, through int64
			want           error
		}{{1, 3, interlock.ErrStale}, {0, 0, nil}, {3, 2, nil}, {-1, 3, nil}, {0, 6, nil}, {0, 7, nil}} {
			err := f.store.Commit(f.ctx, attempt(c.after, c.through))
			require.Error(f, err, "%+v", c)
			if c.want != nil {
				require.ErrorIs(f, err, c.want, "%+v", c)
			}
			require.Equal(f, before, f.dump(), "%+v", c)
		}
		stale := attempt(0, 3)
		stale.Instance.PrevHead = []byte("another")
		require.ErrorIs(f, f.store.Commit(f.ctx, stale), interlock.ErrStale)
		unsaid := attempt(0, 3)
		unsaid.Instance.Record.Input = map[string]any{"through": 2}
		require.Error(f, f.store.Commit(f.ctx, unsaid), "the row says less than goes")
		unsaid.Instance.Record.Event, unsaid.Instance.Record.Input = "$erase", map[string]any{"through": 3}
		require.Error(f, f.store.Commit(f.ctx, unsaid), "and that it is another's")
		require.Equal(f, before, f.dump())
		f.must(attempt(0, 3))
		assert.Equal(f, []int64{4, 5, 6, 7}, f.seqs(machine, "d"))
		assert.Equal(f, []int64{1}, f.seqs(machine, "other"))
		assert.Len(f, f.query(`SELECT 1 FROM `+f.prefix+`texts WHERE machine = '`+machine+`' AND instance = 'd'`), 4)
		i = f.get(tenant, machine, "d")
		require.ErrorIs(f, f.store.Commit(f.ctx, attempt(0, 5)), interlock.ErrStale, "those before aren't there any more")
		f.must(attempt(3, 5))
		assert.Equal(f, []int64{6, 7, 8}, f.seqs(machine, "d"))
	}
	a := f.haveActor(f.actor(tenant, "ann"))
	for n := range int64(4) {
		ch := f.actorChange(&a, a)
		c := f.commitActor(ch)
		if n == 3 {
			ch.Record.Event, ch.Record.Input = "$archive", map[string]any{"through": 2}
			c.Archive = &interlock.Archival{Through: 2}
		}
		f.must(c)
		a = f.getActor(tenant, "ann")
	}
	assert.Equal(f, []int64{3, 4, 5}, f.seqs(interlock.ActorMachine, "ann"))
}

func (f *fixture) seqs(machine, id string) (seqs []int64) {
	f.Helper()
	rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: machine, ID: id}, 0, 100)
	require.NoError(f, err)
	for _, r := range rows {
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

// archiveOnlyThose: what may be deleted is what the chain's newest row says.
func archiveOnlyThose(f *fixture) {
	h, t := f.prefix+"history", f.prefix+"texts"
	for _, id := range []string{"d", "e"} {
		i := f.have(tenant, "doc", id)
		for range 5 {
			f.must(f.step(i, "new"))
			i = f.get(tenant, "doc", id)
		}
		is := ` WHERE instance = '` + id + `' AND seq `
		f.refused(`DELETE FROM `+h+is+`= 1`, "nothing is archived")
		f.exec(`CREATE TABLE kept_` + id + ` AS SELECT * FROM ` + h + is + `<= 3`)
		c := f.step(i, "new")
		c.Instance.Record.Event, c.Instance.Record.Input = "$archive", map[string]any{"through": 3}
		c.Archive = &interlock.Archival{Through: 3}
		f.must(c)
		for _, seq := range []string{"= 4", "= 7", "> 0", "BETWEEN 4 AND 6"} {
			f.refused(`DELETE FROM `+h+is+seq, "it isn't archived")
		}
		f.exec(`INSERT INTO ` + h + ` SELECT * FROM kept_` + id)
		f.exec(`DELETE FROM ` + h + is + `= 2`) // put back by hand, it may go again
	}
	f.must(f.step(f.get(tenant, "doc", "d"), "new"))
	f.refused(`DELETE FROM `+h+` WHERE instance = 'd' AND seq = 3`, "the chain went on")
	f.exec(`DELETE FROM ` + t + ` WHERE instance = 'e' AND seq = 7`)
	f.refused(`DELETE FROM `+h+` WHERE instance = 'e' AND seq = 3`, "nothing says any more that it is archived")
}

func (f *fixture) refused(query, why string) {
	f.Helper()
	before := f.dump()
	require.Error(f, f.tryExec(query), "%s: %s", query, why)
	require.Equal(f, before, f.dump(), query)
}

func archivedVerifies(f *fixture) {
	w := f.archiveWorld()
	before := f.get(tenant, "door", "1")
	kim := f.getActor(tenant, "kim")
	done, err := w.archive(interlock.ArchiveRequest{Reason: "they are old"})
	require.NoError(f, err)
	require.EqualValues(f, 3, done.Chains, "two doors and kim; the third door has one row")
	require.EqualValues(f, 6+6+kim.Version-1, done.Rows)
	require.EqualValues(f, 2, done.Files, "actors stand in one of their own")
	after := f.get(tenant, "door", "1")
	assert.Equal(f, []int64{7, 8}, f.seqs("door", "1"))
	assert.Equal(f, before.Version+1, after.Version)
	after.Version, after.Head = before.Version, before.Head
	assert.Equal(f, before, after, "nothing happened to it")
	assert.Equal(f, kim.Grants, f.getActor(tenant, "kim").Grants)
	w.use("1")

	alone, whole := w.verify()
	require.Empty(f, alone.Bad)
	require.Empty(f, whole.Bad)
	assert.Equal(f, []int64{done.Rows, 0}, []int64{alone.Archived, whole.Archived})
	assert.Len(f, alone.ArchiveFiles, 2)
	assert.Equal(f, alone.Rows+done.Rows, whole.Rows)

	// A witness of before holds; of rows that nobody looked at that is said.
	alone, whole = w.verify(w.witness())
	require.Empty(f, append(alone.Bad, whole.Bad...))
	assert.Equal(f, []int64{2, 2}, []int64{alone.Witnessed, alone.Unseen}, "it knows row 3 of either door, which are archived")
	assert.Equal(f, []int64{4, 0}, []int64{whole.Witnessed, whole.Unseen})
	assert.Equal(f, []bool{false, true}, []bool{alone.OK(), whole.OK()}, "nothing was found, and not all was looked at")
	for i := range w.marks {
		w.marks[i].Hash = []byte("of another history")
	}
	alone, whole = w.verify(w.witness())
	require.Len(f, alone.Bad, 2, "%v", alone.Bad)
	require.Len(f, whole.Bad, 4, "%v", whole.Bad)

	again, err := w.archive(interlock.ArchiveRequest{})
	require.NoError(f, err)
	require.Zero(f, again, "what stays stays: no chain grows by being archived")
}

// failing rolls back what it ran, as though the process had ended before COMMIT.
type failing struct{ interlock.Store }

var errEnded = errors.New("the process ended")

func (s failing) Within(ctx context.Context, fn func(interlock.Tx) error) error {
	return s.Store.Within(ctx, func(tx interlock.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errEnded
	})
}

func archivedAfterCrash(f *fixture) {
	w := f.archiveWorld()
	before := f.dump()
	req := interlock.ArchiveRequest{Before: time.Now().Add(-100 * 24 * time.Hour)}
	done, err := interlock.Archive(f.ctx, failing{f.store}, interlock.SystemActor("", "operator~olga"), req, w.write)
	require.ErrorIs(f, err, errEnded)
	require.Zero(f, done)
	require.Equal(f, before, f.dump())
	alone, whole := w.verify()
	require.Empty(f, append(alone.Bad, whole.Bad...), "the rows are in both")
	require.Equal(f, alone, whole)
	// Texts are erased before the next run: the file that stayed behind has them still.
	_, err = interlock.Erase(f.ctx, f.store, interlock.SystemActor("", "operator~olga"), interlock.EraseRequest{Machine: "door", ID: "1", Reason: "asked for"})
	require.NoError(f, err)
	w.age()
	_, err = w.archive(req)
	require.NoError(f, err)
	alone, whole = w.verify()
	require.Empty(f, append(alone.Bad, whole.Bad...))
	require.EqualValues(f, 7, whole.Erased, "the newer file is the one that counts")
	entries, err := os.ReadDir(w.folder)
	require.NoError(f, err)
	for _, e := range entries {
		require.True(f, strings.HasPrefix(e.Name(), "history-"), e.Name())
	}

	// What can't be written goes nowhere.
	w.create("4")
	w.use("4")
	w.age()
	before = f.dump()
	_, err = interlock.Archive(f.ctx, f.store, interlock.SystemActor("", "operator~olga"), req, func([]interlock.Record) (interlock.ArchiveFile, error) {
		return interlock.ArchiveFile{}, errEnded
	})
	require.ErrorIs(f, err, errEnded)
	require.Equal(f, before, f.dump())
}

func missingRows(f *fixture) {
	w := f.archiveWorld()
	_, err := w.archive(interlock.ArchiveRequest{Machine: "door", ID: "1"})
	require.NoError(f, err)
	for n, c := range []struct{ query, found string }{
		{`DELETE FROM HISTORY WHERE machine = 'door' AND instance = '2' AND seq <= 3`, "door/2 row 4: row 1 is missing"},
		{`DELETE FROM HISTORY WHERE machine = 'door' AND instance = '2' AND seq = 5`, "door/2 row 6: row 5 is missing"},
		{`DELETE FROM HISTORY WHERE machine = 'door' AND instance = '1' AND seq = 7`, "door/1 row 8: row 1 is missing"},
	} {
		f.unguarded(strings.ReplaceAll(c.query, "HISTORY", f.prefix+"history"))
		alone, whole := w.verify()
		for _, r := range []interlock.VerifyReport{alone, whole} {
			require.Contains(f, fmt.Sprint(r.Bad), c.found[:len("door/2 row 4")], "%d", n)
		}
		require.Contains(f, fmt.Sprint(alone.Bad), c.found)
	}
}

// archivedUnderWriters: while instances go on, texts are erased and history is
// verified, nothing is lost and nobody is told a falsehood.
func archivedUnderWriters(f *fixture) {
	w := f.archiveWorld()
	var ids []string
	for n := range 12 {
		ids = append(ids, fmt.Sprint("w", n))
		w.create(ids[n])
		w.use(ids[n])
		w.use(ids[n])
	}
	w.age()
	done := make(chan error, 2)
	go func() { done <- w.disturb(ids) }()
	go func() {
		for _, id := range ids {
			if _, err := w.archive(interlock.ArchiveRequest{Machine: "door", ID: id}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for ended := 0; ended < 2; {
		report, err := interlock.Verify(f.ctx, f.store, nil)
		require.NoError(f, err)
		require.Empty(f, report.Bad)
		select {
		case err := <-done:
			require.NoError(f, err)
			ended++
		default:
		}
	}
	alone, whole := w.verify()
	require.Empty(f, append(alone.Bad, whole.Bad...))
	rows := int64(0)
	for h, err := range f.store.Heads(f.ctx) {
		require.NoError(f, err)
		rows += h.Version
	}
	require.Equal(f, rows, whole.Rows)
	require.Positive(f, alone.Archived)
}

// disturb uses doors and erases texts of theirs.
func (w *archiveWorld) disturb(ids []string) error {
	for n, id := range ids {
		for _, event := range []string{"open", "shut"} {
			if _, err := w.gate.Fire(w.ctx, interlock.Actor{ID: "kim"}, interlock.Request{Machine: "door", ID: id, Event: event}); err != nil {
				return err
			}
		}
		if n%3 == 0 {
			if _, err := w.gate.Erase(w.ctx, interlock.SystemActor("", "test"), interlock.EraseRequest{Machine: "door", ID: id, Reason: "asked for"}); err != nil {
				return err
			}
		}
	}
	return nil
}
