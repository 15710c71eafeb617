package storetest

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
	"github.com/interlock-go/interlock/fsm"
)

// archiveWorld is a gate with chains that are years old, and a folder.
type archiveWorld struct {
	*fixture
	gate   *interlock.Gate
	folder string
	marks  []interlock.Mark // when each door had been used once
}

func (f *fixture) archiveWorld() *archiveWorld {
	f.Helper()
	w := &archiveWorld{fixture: f, folder: filepath.Join(f.TempDir(), "archive")}
	then := time.Now().Add(-1000 * 24 * time.Hour)
	m, err := fsm.Parse("door.yaml", []byte(drillYAML))
	require.NoError(f, err)
	w.gate, err = interlock.New(interlock.Config{
		Machines: []*fsm.Machine{m}, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return then },
		Store: struct{ interlock.Store }{f.store}, // without its bindings
	})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, w.gate.Close(context.Background())) })
	for _, role := range []string{"keeper", interlock.AuditorRole, interlock.AdminRole} {
		_, err = w.gate.Grant(f.ctx, interlock.SystemActor("", "test"), "kim", role, interlock.Scope{})
		require.NoError(f, err)
	}
	w.create("3")
	for _, id := range []string{"1", "2"} {
		w.create(id)
		w.use(id)
	}
	for m, err := range f.store.Marks(f.ctx) {
		require.NoError(f, err)
		w.marks = append(w.marks, m)
	}
	for _, id := range []string{"1", "2"} {
		w.use(id)
		w.use(id)
	}
	w.age()
	return w
}

func (w *archiveWorld) create(id string) {
	w.Helper()
	_, err := w.gate.Create(w.ctx, interlock.Actor{ID: "kim"}, interlock.CreateRequest{Machine: "door", ID: id})
	require.NoError(w, err)
}

// use opens a door and shuts it: two rows.
func (w *archiveWorld) use(id string) {
	w.Helper()
	for _, event := range []string{"open", "shut"} {
		_, err := w.gate.Fire(w.ctx, interlock.Actor{ID: "kim"}, interlock.Request{Machine: "door", ID: id, Event: event})
		require.NoError(w, err)
	}
}

// age makes the database's clock agree with that of the gate, in rows of the past.
func (w *archiveWorld) age() {
	w.Helper()
	w.unguarded(`UPDATE ` + w.prefix + `history SET stamp_us = time_us`)
}

// unguarded runs SQL as somebody does who may do everything in the database, and
// leaves the guards as they were.
func (f *fixture) unguarded(query string) {
	f.Helper()
	h := f.prefix + "history"
	if f.postgres {
		f.exec(`ALTER TABLE ` + h + ` DISABLE TRIGGER ALL; ` + query + `; ALTER TABLE ` + h + ` ENABLE TRIGGER ALL;
			ALTER TABLE ` + h + ` ENABLE ALWAYS TRIGGER history_no_change; ALTER TABLE ` + h + ` ENABLE ALWAYS TRIGGER history_no_delete;
			ALTER TABLE ` + h + ` ENABLE ALWAYS TRIGGER history_no_truncate`)
		return
	}
	var drop, make []string
	for _, name := range []string{"interlock_history_no_update", "interlock_history_no_delete"} {
		made := f.query(`SELECT sql FROM sqlite_schema WHERE name = '` + name + `'`)
		require.Len(f, made, 1)
		drop, make = append(drop, `DROP TRIGGER `+name), append(make, strings.TrimSuffix(strings.TrimPrefix(made[0], "["), "]"))
	}
	for _, q := range append(append(drop, query), make...) {
		f.exec(q)
	}
}

func (w *archiveWorld) archive(req interlock.ArchiveRequest) (interlock.Archived, error) {
	w.Helper()
	if req.Before.IsZero() {
		req.Before = time.Now().Add(-100 * 24 * time.Hour)
	}
	return interlock.Archive(w.ctx, w.store, interlock.SystemActor("", "operator~olga"), req, w.write)
}

func (w *archiveWorld) write(rows []interlock.Record) (interlock.ArchiveFile, error) {
	return archive.Write(w.folder, rows)
}

// witness knows the marks.
func (w *archiveWorld) witness() interlock.Witness {
	return interlock.Witness{Name: "checkpoint 1", Marks: func(yield func(interlock.Mark, error) bool) {
		for _, m := range w.marks {
			if !yield(m, nil) {
				return
			}
		}
	}}
}

// verify looks at the store alone, and at the whole.
func (w *archiveWorld) verify(witnesses ...interlock.Witness) (alone, whole interlock.VerifyReport) {
	w.Helper()
	alone, err := interlock.Verify(w.ctx, w.store, nil, witnesses...)
	require.NoError(w, err)
	folder, err := archive.Read(w.folder)
	require.NoError(w, err)
	whole, err = interlock.Verify(w.ctx, folder.Over(w.store), nil, witnesses...)
	require.NoError(w, err)
	return alone, whole
}
