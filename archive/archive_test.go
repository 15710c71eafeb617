package archive_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/store/sqlite"
)

const machine = `
machine: doc
initial: new
create: {requires: [anyone]}
read: {requires: [anyone]}
states: {new: {}}
events:
  tick: {from: new, stay: true, requires: [anyone], note: optional, input: {type: object, properties: {n: {type: number}}}}
`

// world is a store with documents that ticked long ago, and a folder.
type world struct {
	*testing.T
	store  *sqlite.Store
	gate   *interlock.Gate
	folder string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	m, err := fsm.Parse("doc.yaml", []byte(machine))
	require.NoError(t, err)
	w := &world{T: t, folder: filepath.Join(t.TempDir(), "kept", "archive")}
	w.store, err = sqlite.Open(":memory:")
	require.NoError(t, err)
	then := time.Now().Add(-1000 * 24 * time.Hour)
	w.gate, err = interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: w.store, Now: func() time.Time { return then }})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, w.gate.Close(context.Background()))
		require.NoError(t, w.store.Close())
	})
	for _, id := range []string{"a", "b", "c"} {
		_, err := w.gate.Create(t.Context(), ann, interlock.CreateRequest{Machine: "doc", ID: id})
		require.NoError(t, err)
		w.tick(id, 6)
	}
	w.byHand(`UPDATE interlock_history SET stamp_us = time_us`)
	return w
}

var (
	ann  = interlock.Actor{ID: "ann"}
	olga = interlock.SystemActor("", "operator~olga")
)

func (w *world) tick(id string, times int) {
	w.Helper()
	for n := range times {
		_, err := w.gate.Fire(w.Context(), ann, interlock.Request{Machine: "doc", ID: id, Event: "tick",
			Note: "<secret> of " + id, Input: map[string]any{"n": json.Number(fmt.Sprintf("%d.10", n))}})
		require.NoError(w, err)
	}
}

// byHand runs SQL as somebody does who may do everything in the database, and
// leaves the guards as they were.
func (w *world) byHand(query string) {
	w.Helper()
	require.NoError(w, w.store.Write(w.Context(), func(tx *sql.Tx) error {
		var again []string
		for _, name := range []string{"interlock_history_no_update", "interlock_history_no_delete"} {
			var text string
			if err := tx.QueryRow(`SELECT sql FROM sqlite_schema WHERE name = $1`, name).Scan(&text); err != nil {
				return err
			}
			if _, err := tx.Exec(`DROP TRIGGER ` + name); err != nil {
				return err
			}
			again = append(again, text)
		}
		for _, q := range append([]string{query}, again...) {
			if _, err := tx.Exec(q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	}))
}

func (w *world) archive() interlock.Archived {
	w.Helper()
	done, err := interlock.Archive(w.Context(), w.store, olga, interlock.ArchiveRequest{Machine: "doc", Before: time.Now().Add(-100 * 24 * time.Hour)},
		func(rows []interlock.Record) (interlock.ArchiveFile, error) { return archive.Write(w.folder, rows) })
	require.NoError(w, err)
	return done
}

func (w *world) whole() interlock.VerifyReport {
	w.Helper()
	folder, err := archive.Read(w.folder)
	require.NoError(w, err)
	r, err := interlock.Verify(w.Context(), folder.Over(w.store), nil)
	require.NoError(w, err)
	return r
}

// file is the path of the only one.
func (w *world) file() string {
	w.Helper()
	names, err := filepath.Glob(filepath.Join(w.folder, "*"))
	require.NoError(w, err)
	require.Len(w, names, 1)
	return names[0]
}

func TestWriteAndRead(t *testing.T) {
	w := newWorld(t)
	var before []interlock.Record
	for r, err := range w.store.Chain(t.Context()) {
		require.NoError(t, err)
		if r.Machine == "doc" {
			before = append(before, plain(r))
		}
	}
	done := w.archive()
	require.Equal(t, interlock.Archived{Rows: 18, Chains: 3, Files: 1, Bytes: size(t, w.file())}, done)
	info, err := os.Stat(w.file())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "people's texts stand in it")
	text, err := os.ReadFile(w.file())
	require.NoError(t, err)
	require.Equal(t, 18, bytes.Count(text, []byte("\n")))
	require.Contains(t, string(text), `"note":"<secret> of b"`)
	require.Contains(t, string(text), `"n":3.10`, "numbers as they were written")

	folder, err := archive.Read(w.folder)
	require.NoError(t, err)
	require.Equal(t, 1, folder.Files())
	var after []interlock.Record
	for r, err := range folder.Over(w.store).Chain(t.Context()) {
		require.NoError(t, err)
		if r.Machine == "doc" && r.Event != "$archive" {
			after = append(after, plain(r))
		}
	}
	require.Equal(t, before, after, "every row, exactly, in its place")
	for range folder.Over(w.store).Chain(t.Context()) {
		break // its files are closed
	}

	// Rows that are written again get a file of their own: nothing is overwritten.
	_, err = archive.Write(w.folder, before)
	require.NoError(t, err)
	_, err = archive.Write(w.folder, before)
	require.NoError(t, err)
	now, err := os.ReadFile(w.fileNamed("history-00000001-"))
	require.NoError(t, err)
	require.Equal(t, text, now)
	require.Empty(t, w.whole().Bad, "what is in the store and in several files, too")
}

// plain has no empty facts: they are hashed as none.
func plain(r interlock.Record) interlock.Record {
	if len(r.Facts) == 0 {
		r.Facts = nil
	}
	return r
}

func (w *world) fileNamed(prefix string) string {
	w.Helper()
	names, err := filepath.Glob(filepath.Join(w.folder, prefix+"*"))
	require.NoError(w, err)
	require.Len(w, names, 1)
	return names[0]
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func TestReadRefuses(t *testing.T) {
	_, err := archive.Read(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	taken := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(taken, nil, 0o600))
	_, err = archive.Read(filepath.Dir(taken))
	require.ErrorContains(t, err, "holds no files of history", "it is somebody else's")
	_, err = archive.Write(taken, nil)
	require.Error(t, err)
}

// A row that reading would refuse is refused before it leaves the store.
func TestWriteRefusesWhatCannotBeRead(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "archive")
	row := interlock.Record{Transition: interlock.Transition{Tenant: "t", Machine: "doc", Instance: "a", Seq: 1, Note: strings.Repeat("x", 5<<20)}}
	_, err := archive.Write(folder, []interlock.Record{row})
	require.NoError(t, err)
	read, err := archive.Read(folder)
	require.NoError(t, err)
	require.Equal(t, 1, read.Files())
	long := row
	long.Seq, long.Note = 2, strings.Repeat("x", 64<<20)
	for why, rows := range map[string][]interlock.Record{"cut off": {row, long}, "out of order": {row, row}} {
		_, err = archive.Write(folder, rows)
		require.ErrorContains(t, err, "couldn't be read again: ", why)
		require.ErrorContains(t, err, why)
	}
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// Folders that are made have their names on the disk from above, each before
// there is another in it; so has one that a run before left behind.
func TestFoldersAreOnTheDisk(t *testing.T) {
	top := t.TempDir()
	folder := filepath.Join(top, "a", "b", "c")
	var synced []string
	archive.OnSync(t, func(path string) {
		rest, err := filepath.Rel(top, path)
		require.NoError(t, err)
		_, err = os.Stat(filepath.Join(folder, "..", "c"))
		synced = append(synced, fmt.Sprint(rest, " ", err == nil))
	})
	for range 2 {
		_, err := archive.Write(folder, nil)
		require.NoError(t, err)
	}
	require.Equal(t, []string{".. false", ". false", "a false", "a/b true", "a/b/c true", "a/b true", "a/b/c true"}, synced)
}

// A file that names very many others costs no more than its length: by pairs,
// these would take half an hour.
func TestManyNames(t *testing.T) {
	folder := t.TempDir()
	var text bytes.Buffer
	const names = 200_000
	for n := range names {
		fmt.Fprintf(&text, `{"tenant":"t","machine":"m","instance":"i","seq":%d,"event":"$archive","input":{"file":"history-%08d-000000000000.ndjson"}}`+"\n", n+1, n)
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "history-00000001-000000000000.ndjson"), text.Bytes(), 0o600))
	began := time.Now()
	read, err := archive.Read(folder)
	require.NoError(t, err)
	_, err = read.Erasing(nil)
	require.ErrorContains(t, err, "speaks of history-00000000-000000000000.ndjson, which isn't there")
	require.Less(t, time.Since(began), 10*time.Minute)
}

// Whatever is done to a file is found.
func TestTamperedFiles(t *testing.T) {
	w := newWorld(t)
	w.archive()
	require.Empty(t, w.whole().Bad)
	path := w.file()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	lines = lines[:len(lines)-1]
	with := func(n int, old, changed string) string {
		require.Contains(t, lines[n], old)
		copied := append([]string{}, lines...)
		copied[n] = strings.Replace(copied[n], old, changed, 1)
		return strings.Join(copied, "")
	}
	for name, c := range map[string]struct{ text, found string }{
		"a note":        {with(3, "<secret>", "<public>"), "doc/a row 4: its texts aren't those that were committed"},
		"an actor":      {with(3, `"actor":"ann"`, `"actor":"bob"`), "doc/a row 4: column actor isn't what the chain says"},
		"a stamp":       {with(3, `"stamp":"2`, `"stamp":"3`), "isn't the file that was written"},
		"texts taken":   {with(3, `"salt":`, `"erased":true,"salt":`), "doc/a row 4: its texts are gone, and no erasure in its chain speaks of them"},
		"a row":         {strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), ""), "doc/a row 5: row 4 is missing"},
		"rows swapped":  {strings.Join(append(append([]string{}, lines[:3]...), append([]string{lines[4], lines[3]}, lines[5:]...)...), ""), "line 5: it is no row, or out of order"},
		"a chain":       {strings.Join(lines[6:], ""), "isn't the file that was written"},
		"the end":       {string(text[:len(text)-1]), "line 18: it is no row, or out of order"},
		"more":          {string(text) + "{}\n", "line 19: it is no row, or out of order"},
		"another value": {with(3, "}\n", "} 1\n"), "line 4: it is no row, or out of order"},
		"a member":      {with(3, `{"id"`, `{"x":1,"id"`), "line 4: it is no row, or out of order"},
		"a long line":   {with(3, `"note":"`, `"note":"`+strings.Repeat("x", 64<<20)), "line 4: it is no row, or out of order"},
		"nothing":       {"", "isn't the file that was written"},
	} {
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
		require.Contains(t, fmt.Sprint(w.whole().Bad), c.found, name)
	}
	require.NoError(t, os.WriteFile(path, text, 0o600))
	require.Empty(t, w.whole().Bad)

	// The last of a chain's rows that were archived, from a file that an erasure has
	// written anew: what comes after it is in the database and follows.
	_, rows := w.erase(interlock.EraseRequest{Machine: "doc", ID: "b"})
	require.EqualValues(t, 6, rows)
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	lines = strings.SplitAfter(string(text), "\n")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(append(append([]string{}, lines[:5]...), lines[6:]...), "")), 0o600))
	require.Contains(t, fmt.Sprint(w.whole().Bad), "doc/a row 7: row 6 is archived, as history says, and no file has it")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	require.Empty(t, w.whole().Bad)

	// A file that isn't there, and one of somebody else's.
	elsewhere := filepath.Join(filepath.Dir(path), "history-00000001-000000000000.ndjson")
	require.NoError(t, os.Rename(path, elsewhere))
	require.Contains(t, fmt.Sprint(w.whole().Bad), "isn't there")
	require.NoError(t, os.Rename(elsewhere, path))
}

// A chain that was removed from the database with its instance, and one that was
// cut off below what was archived, are found: the files know them.
func TestFilesKnowRemovedChains(t *testing.T) {
	w := newWorld(t)
	w.archive()
	w.byHand(`DELETE FROM interlock_history WHERE instance = 'b'`)
	w.byHand(`DELETE FROM interlock_instance WHERE id = 'b'`)
	alone, err := interlock.Verify(t.Context(), w.store, nil)
	require.NoError(t, err)
	require.Empty(t, alone.Bad)
	require.Contains(t, fmt.Sprint(w.whole().Bad), "doc/b row 6: there is history, but nothing that it is the history of")
}

// A folder in which nothing is yet is no archive that was lost: the chains know
// what has left them.
func TestEmptyFolder(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, archive.Make(w.folder))
	require.Empty(t, w.whole().Bad, "nothing was archived")
	w.archive()
	require.Empty(t, w.whole().Bad)
	require.NoError(t, os.Remove(w.file()))
	require.NoError(t, archive.Make(w.folder), "it is there")
	require.Contains(t, fmt.Sprint(w.whole().Bad), "isn't there", "emptied")
	require.NoError(t, os.Remove(w.folder))
	require.NoError(t, archive.Make(w.folder))
	require.Contains(t, fmt.Sprint(w.whole().Bad), "isn't there", "made anew")
}
