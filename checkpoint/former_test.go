package checkpoint_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
	"github.com/interlock-go/interlock/checkpoint"
)

// refused is why no checkpoint was signed; none was.
func (w *world) refused(why string) {
	w.Helper()
	before, err := checkpoint.Notes(w.folder)
	require.NoError(w, err)
	_, err = checkpoint.Take(w.Context(), w.store, w.key, w.folder)
	require.ErrorContains(w, err, why)
	require.ErrorContains(w, err, "begin a new folder")
	after, err := checkpoint.Notes(w.folder)
	require.NoError(w, err)
	require.Equal(w, before, after)
}

// What the newest note knows has gone into files: the database could say anything
// of it. Of the last archived row, the row after it has the hash.
func TestNoCheckpointOverWhatIsArchived(t *testing.T) {
	then := time.Now().Add(-1000 * 24 * time.Hour)
	w := newWorldAt(t, func() time.Time { return then })
	files := filepath.Join(t.TempDir(), "archive")
	archived := func(id string) {
		w.byHand(`UPDATE interlock_history SET stamp_us = time_us`)
		_, err := interlock.Archive(t.Context(), w.store, interlock.SystemActor("", "operator~olga"),
			interlock.ArchiveRequest{Machine: "doc", ID: id, Before: time.Now().Add(-100 * 24 * time.Hour)},
			func(rows []interlock.Record) (interlock.ArchiveFile, error) { return archive.Write(files, rows) })
		require.NoError(t, err)
	}
	w.take() // knows row 5 of each
	w.tick("b", 1)
	archived("b") // up to row 5
	require.Equal(t, int64(2), w.take().Number)
	w.tick("c", 3)
	archived("c") // up to row 7
	w.refused("knows row 5 of default/doc/c")

	folder, err := archive.Read(files)
	require.NoError(t, err)
	verify := func(store interlock.Store) checkpoint.Report {
		r, err := checkpoint.Verify(t.Context(), store, w.public, []string{w.folder}, nil)
		require.NoError(t, err)
		require.Empty(t, r.Bad)
		return r
	}
	alone, whole := verify(w.store), verify(folder.Over(w.store))
	require.False(t, alone.OK())
	require.True(t, whole.OK())
	w.folder = filepath.Join(t.TempDir(), "new")
	w.take()
}

func TestNoCheckpointOverAnotherHistory(t *testing.T) {
	rebuilt := []string{`DELETE FROM interlock_history WHERE instance = 'b'`, `DELETE FROM interlock_texts WHERE instance = 'b'`, `DELETE FROM interlock_instance WHERE id = 'b'`}
	for name, then := range map[string]func(*world){
		"removed": func(*world) {},
		"rebuilt": func(w *world) { w.create("b"); w.tick("b", 9) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.take()
			w.byHand(rebuilt...)
			then(w)
			w.refused("knows row 5 of default/doc/b")
		})
	}
	w := newWorld(t)
	heads := w.take().Heads
	text, err := os.ReadFile(heads)
	require.NoError(t, err)
	require.NoError(t, os.Remove(heads))
	w.refused("put it back")
	require.NoError(t, os.WriteFile(heads, nil, 0o600))
	w.refused("isn't the one that was signed")
	require.NoError(t, os.WriteFile(heads, text, 0o600))
	w.take()
}
