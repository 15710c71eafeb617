package archive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
)

func (w *world) erasing(store interlock.Store) *archive.Eraser {
	w.Helper()
	folder, err := archive.Read(w.folder)
	require.NoError(w, err)
	both, err := folder.Erasing(store)
	require.NoError(w, err)
	return both
}

// erase erases in the store and in the folder, and tells of how many rows there.
func (w *world) erase(req interlock.EraseRequest) (interlock.Erased, int64) {
	w.Helper()
	both := w.erasing(w.store)
	req.Reason = "asked for"
	done, err := interlock.Erase(w.Context(), both, olga, req)
	require.NoError(w, err)
	rows, err := both.Finish(w.Context())
	require.NoError(w, err)
	return done, rows
}

// everything is all that the folder holds, and what waits for delivery.
func (w *world) everything() string {
	w.Helper()
	var all strings.Builder
	names, err := filepath.Glob(filepath.Join(w.folder, "*"))
	require.NoError(w, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(w, err)
		all.Write(text)
	}
	rows, err := w.store.DB().QueryContext(w.Context(), `SELECT message FROM interlock_outbox UNION ALL SELECT note FROM interlock_texts`)
	require.NoError(w, err)
	defer rows.Close()
	for rows.Next() {
		var text []byte
		require.NoError(w, rows.Scan(&text))
		all.Write(text)
	}
	require.NoError(w, rows.Err())
	return strings.ReplaceAll(all.String(), `\u003c`, "<")
}

func (w *world) holds() {
	w.Helper()
	alone, err := interlock.Verify(w.Context(), w.store, nil)
	require.NoError(w, err)
	require.Empty(w, append(alone.Bad, w.whole().Bad...))
}

func TestErasing(t *testing.T) {
	w := newWorld(t)
	w.archive()
	w.tick("b", 1)
	require.Contains(t, w.everything(), "secret> of b")
	path := w.file()
	done, rows := w.erase(interlock.EraseRequest{Machine: "doc", ID: "b"})
	require.Equal(t, interlock.Erased{Rows: 8, Chains: 1}, done, "six of them archived, and nothing out of reach")
	require.EqualValues(t, 6, rows)
	require.NotContains(t, w.everything(), "secret> of b", "not in files, nor in messages that wait")
	require.Contains(t, w.everything(), "secret> of a")
	require.Equal(t, path, w.file(), "its name stays")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	w.holds()
	require.EqualValues(t, 8, w.whole().Erased)

	done, rows = w.erase(interlock.EraseRequest{Machine: "doc", ID: "b", Seqs: []int64{2, 3}})
	require.Zero(t, done)
	require.Zero(t, rows)
	done, rows = w.erase(interlock.EraseRequest{Machine: "doc", ID: "a", Seqs: []int64{2, 3}})
	require.Equal(t, []int64{2, 2}, []int64{done.Rows, rows})
	w.holds()
}

// An actor's texts go everywhere, whether his rows are in the store or have left.
func TestErasingEverywhere(t *testing.T) {
	w := newWorld(t)
	w.archive()
	done, rows := w.erase(interlock.EraseRequest{Actor: "ann"})
	require.EqualValues(t, []int64{18, 0}, []int64{rows, done.Archived})
	require.EqualValues(t, 4, done.Chains, "three documents and her own")
	require.NotContains(t, w.everything(), "secret> of")
	w.holds()

	// One who stands in archived rows alone.
	w = newWorld(t)
	_, err := w.gate.Fire(t.Context(), interlock.Actor{ID: "bob"}, interlock.Request{Machine: "doc", ID: "c", Event: "tick", Note: "of bob"})
	require.NoError(t, err)
	w.tick("c", 1)
	w.byHand(`UPDATE interlock_history SET stamp_us = time_us`)
	w.archive()
	_, err = interlock.Erase(t.Context(), w.store, olga, interlock.EraseRequest{Actor: "carl", Reason: "asked for"})
	require.ErrorContains(t, err, "no row names this actor, of those that weren't archived")
	_, err = interlock.Erase(t.Context(), w.erasing(w.store), olga, interlock.EraseRequest{Actor: "carl", Reason: "asked for"})
	require.ErrorContains(t, err, "no row names this actor")
	require.NotContains(t, err.Error(), "archived", "those were looked at, too")
	done, rows = w.erase(interlock.EraseRequest{Actor: "bob"})
	require.EqualValues(t, []int64{2, 1, 0}, []int64{done.Rows, rows, done.Archived}, "his note, and his own history")
	require.NotContains(t, w.everything(), "of bob")
	require.Contains(t, w.everything(), "secret> of c")
	w.holds()
}

// An erasure that ended before the files were written is found, and mended by the next.
func TestErasingThatEndedInBetween(t *testing.T) {
	w := newWorld(t)
	w.archive()
	req := interlock.EraseRequest{Machine: "doc", ID: "b", Reason: "asked for"}
	_, err := interlock.Erase(t.Context(), w.erasing(w.store), olga, req)
	require.NoError(t, err)
	require.Contains(t, w.everything(), "secret> of b")
	require.Contains(t, fmt.Sprint(w.whole().Bad), "says that its texts were erased, and they are there")
	_, rows := w.erase(req)
	require.EqualValues(t, 6, rows)
	w.holds()
}

// stuck commits nothing.
type stuck struct{ interlock.Store }

var errStuck = errors.New("stuck")

func (stuck) Commit(context.Context, *interlock.Commit) error { return errStuck }

func TestErasingThatIsNotCommitted(t *testing.T) {
	w := newWorld(t)
	w.archive()
	before := w.everything()
	both := w.erasing(stuck{w.store})
	_, err := interlock.Erase(t.Context(), both, olga, interlock.EraseRequest{Machine: "doc", ID: "b", Reason: "asked for"})
	require.ErrorIs(t, err, errStuck)
	rows, err := both.Finish(t.Context())
	require.NoError(t, err)
	require.Zero(t, rows)
	require.Equal(t, before, w.everything(), "nobody says that they are erased")
}

func TestErasingRefuses(t *testing.T) {
	w := newWorld(t)
	w.archive()
	path := w.file()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text[:len(text)-2], 0o600))
	folder, err := archive.Read(w.folder)
	require.NoError(t, err)
	_, err = folder.Erasing(w.store)
	require.ErrorContains(t, err, "line 18: it is no row, or out of order")

	// A file whose rows speak of one that isn't there.
	said := strings.Replace(string(text), `"input":{"n":`, `"input":{"file":"history-00000009-000000000000.ndjson","n":`, 1)
	said = strings.Replace(said, `"event":"tick"`, `"event":"$archive"`, 1)
	require.NoError(t, os.WriteFile(path, []byte(said), 0o600))
	folder, err = archive.Read(w.folder)
	require.NoError(t, err)
	_, err = folder.Erasing(w.store)
	require.ErrorContains(t, err, "speaks of history-00000009-000000000000.ndjson, which isn't there")
}
