package checkpoint_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/checkpoint"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/store/sqlite"
)

const machine = `
machine: doc
initial: new
create: {requires: [anyone]}
read: {requires: [anyone]}
states: {new: {}}
events: {tick: {from: new, stay: true, requires: [anyone]}}
`

// world is a store with documents that tick, and a folder of checkpoints.
type world struct {
	*testing.T
	store  *sqlite.Store
	gate   *interlock.Gate
	key    note.Signer
	public note.Verifier
	folder string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, time.Now)
}

func newWorldAt(t *testing.T, now func() time.Time) *world {
	t.Helper()
	m, err := fsm.Parse("doc.yaml", []byte(machine))
	require.NoError(t, err)
	w := &world{T: t, folder: filepath.Join(t.TempDir(), "checkpoints")}
	w.store, err = sqlite.Open(":memory:", sqlite.Memory(0)) // it is changed by hand
	require.NoError(t, err)
	w.gate, err = interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: w.store, Now: now})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, w.gate.Close(context.Background()))
		require.NoError(t, w.store.Close())
	})
	path := filepath.Join(t.TempDir(), "key")
	public, err := checkpoint.GenerateKey("example.org/docs", path)
	require.NoError(t, err)
	w.key, err = checkpoint.ReadSigner(path)
	require.NoError(t, err)
	w.public, err = checkpoint.ReadVerifier(public)
	require.NoError(t, err)
	for _, id := range []string{"a", "b", "c"} {
		w.create(id)
		w.tick(id, 4)
	}
	return w
}

var ann = interlock.Actor{ID: "ann"}

func (w *world) create(id string) {
	w.Helper()
	_, err := w.gate.Create(w.Context(), ann, interlock.CreateRequest{Machine: "doc", ID: id})
	require.NoError(w, err)
}

func (w *world) tick(id string, times int) {
	w.Helper()
	for range times {
		_, err := w.gate.Fire(w.Context(), ann, interlock.Request{Machine: "doc", ID: id, Event: "tick"})
		require.NoError(w, err)
	}
}

func (w *world) take() checkpoint.Taken {
	w.Helper()
	taken, err := checkpoint.Take(w.Context(), w.store, w.key, w.folder)
	require.NoError(w, err)
	return taken
}

// faults are what verifying with all checkpoints finds.
func (w *world) faults() []string {
	w.Helper()
	r, err := checkpoint.Verify(w.Context(), w.store, w.public, []string{w.folder}, nil)
	require.NoError(w, err)
	var all []string
	for _, f := range r.Bad {
		all = append(all, f.String())
	}
	return all
}

// byHand runs SQL as somebody does who may do everything in the database, and
// leaves the triggers as they were.
func (w *world) byHand(statements ...string) {
	w.Helper()
	require.NoError(w, w.store.Write(w.Context(), func(tx *sql.Tx) error {
		rows, err := tx.Query(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
		if err != nil {
			return err
		}
		defer rows.Close()
		var triggers []string
		for rows.Next() {
			var name, text string
			if err := rows.Scan(&name, &text); err != nil {
				return err
			}
			statements = append([]string{"DROP TRIGGER " + name}, statements...)
			triggers = append(triggers, text)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, s := range append(statements, triggers...) {
			if _, err := tx.Exec(s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	}))
	r, err := interlock.Verify(w.Context(), w.store, nil)
	require.NoError(w, err)
	require.Empty(w, r.Bad, "the chains alone must not tell: else the checkpoint isn't what finds it")
}

func TestHistoryThatMovedOnHolds(t *testing.T) {
	w := newWorld(t)
	first := w.take()
	require.Equal(t, int64(4), first.Size, "three documents and an actor")
	require.Equal(t, int64(16), first.Rows)
	w.tick("b", 3)
	w.create("aa")
	second := w.take()
	require.Equal(t, int64(2), second.Number)
	require.NotEqual(t, first.Root, second.Root)
	w.tick("aa", 1)
	require.Empty(t, w.faults())
	r, err := checkpoint.Verify(t.Context(), w.store, w.public, []string{first.Path}, nil)
	require.NoError(t, err)
	require.Equal(t, []any{1, int64(4)}, []any{r.Checkpoints, r.Witnessed})
	lines := strings.Split(string(first.Note), "\n")
	require.Equal(t, []string{"example.org/docs", "4"}, lines[:2])
	require.Equal(t, "previous none", lines[7])
	require.True(t, strings.HasPrefix(lines[9], "— example.org/docs "), lines[9])
}

func TestCheckpointsFindWhatChainsCannot(t *testing.T) {
	keep := func(w *world) {
		require.NoError(w, w.store.Write(w.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`CREATE TABLE kept AS SELECT * FROM interlock_instance WHERE id = 'b'`)
			return err
		}))
	}
	back := []string{`DELETE FROM interlock_instance WHERE id = 'b'`, `INSERT INTO interlock_instance SELECT * FROM kept`}
	cut := append([]string{`DELETE FROM interlock_history WHERE instance = 'b' AND seq > 5`, `DELETE FROM interlock_texts WHERE instance = 'b' AND seq > 5`}, back...)
	remove := []string{`DELETE FROM interlock_history WHERE instance = 'b'`, `DELETE FROM interlock_texts WHERE instance = 'b'`, `DELETE FROM interlock_instance WHERE id = 'b'`}
	for name, test := range map[string]struct {
		do   []string
		then func(*world)
		want string
	}{
		"a chain that was cut off":           {cut, nil, "default/doc/b row 7: checkpoint 1 knows this row, and history has it no longer: rows or the whole chain were removed"},
		"an instance that was removed":       {remove, nil, "default/doc/b row 7: checkpoint 1 knows this row, and history has it no longer: rows or the whole chain were removed"},
		"the last chain, removed":            {[]string{`DELETE FROM interlock_history WHERE instance = 'c'`, `DELETE FROM interlock_texts WHERE instance = 'c'`, `DELETE FROM interlock_instance WHERE id = 'c'`}, nil, "default/doc/c row 5: checkpoint 1"},
		"a chain that was cut off and rerun": {cut, func(w *world) { w.tick("b", 3) }, "default/doc/b row 7: checkpoint 1 knows another row in this place: the chain was rebuilt"},
		"an instance that was made anew":     {remove, func(w *world) { w.create("b"); w.tick("b", 9) }, "default/doc/b row 7: checkpoint 1 knows another row in this place: the chain was rebuilt"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			keep(w)
			w.tick("b", 2)
			w.take()
			require.Empty(t, w.faults())
			w.byHand(test.do...)
			if test.then != nil {
				test.then(w)
			}
			bad := w.faults()
			require.Len(t, bad, 1)
			require.Contains(t, bad[0], test.want)
		})
	}
}

// What never was in a checkpoint can be made to look old: that is what the
// interval between checkpoints bounds.
func TestAnInstanceMadeLaterLooksLikeAnyOther(t *testing.T) {
	w := newWorld(t)
	w.take()
	w.create("backdated")
	require.Empty(t, w.faults())
}

func TestNotesThatDoNotHold(t *testing.T) {
	replace := func(path, old, new string) func(*world) {
		return func(w *world) {
			path := filepath.Join(w.folder, path)
			b, err := os.ReadFile(path)
			require.NoError(w, err)
			require.Contains(w, string(b), old)
			require.NoError(w, os.WriteFile(path, []byte(strings.Replace(string(b), old, new, 1)), 0o600))
		}
	}
	heads := func(w *world, number string) string {
		names, err := filepath.Glob(filepath.Join(w.folder, number+"-*.heads"))
		require.NoError(w, err)
		require.Len(w, names, 1)
		return names[0]
	}
	for name, test := range map[string]struct {
		do   func(*world)
		want string
	}{
		"an edited note":      {replace("00000002.checkpoint", "\nrows 17\n", "\nrows 16\n"), "invalid signature"},
		"another key":         {func(w *world) { w.public = newWorld(w.T).public }, "isn't signed with the key"},
		"a note that is gone": {func(w *world) { require.NoError(w, os.Remove(filepath.Join(w.folder, "00000002.checkpoint"))) }, "the checkpoints from 2 to 2 are missing"},
		"heads that are gone": {func(w *world) { require.NoError(w, os.Remove(heads(w, "00000002"))) }, "isn't beside it"},
		"heads of another": {func(w *world) {
			b, err := os.ReadFile(heads(w, "00000001"))
			require.NoError(w, err)
			require.NoError(w, os.WriteFile(heads(w, "00000002"), b, 0o600))
		}, "isn't the one that was signed"},
		"heads cut off": {func(w *world) { require.NoError(w, os.Truncate(heads(w, "00000002"), 100)) }, "cut off"},
		"a second line of notes": {func(w *world) { // by who has the key and hides what he signed before
			for _, n := range []string{"00000002", "00000003"} {
				require.NoError(w, os.Rename(filepath.Join(w.folder, n+".checkpoint"), filepath.Join(w.folder, n+".hidden")))
			}
			w.tick("c", 1)
			w.take()
			require.NoError(w, os.Rename(filepath.Join(w.folder, "00000003.hidden"), filepath.Join(w.folder, "00000003.checkpoint")))
		}, "checkpoint 3 doesn't follow checkpoint 2"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.take()
			for range 2 {
				w.tick("b", 1)
				w.take()
			}
			require.Empty(t, w.faults())
			test.do(w)
			require.Contains(t, strings.Join(w.faults(), "\n"), test.want)
		})
	}
}

func TestNothingIsEverOverwritten(t *testing.T) {
	w := newWorld(t)
	first := w.take()
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) { // all want number 2
		wg.Go(func() {
			_, err := checkpoint.Take(t.Context(), w.store, w.key, w.folder)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	won := 0
	for err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, os.ErrExist)
	}
	names, err := filepath.Glob(filepath.Join(w.folder, "*.checkpoint"))
	require.NoError(t, err)
	require.Len(t, names, 1+won)
	require.Positive(t, won)
	again, err := os.ReadFile(first.Path)
	require.NoError(t, err)
	require.Equal(t, first.Note, again)
	require.Empty(t, w.faults())
	left, err := filepath.Glob(filepath.Join(w.folder, ".new-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// After a backup was put back, the folder says which rows are lost; a note that
// follows would say that all is in order again.
func TestAnOlderStoreWantsANewFolder(t *testing.T) {
	w := newWorld(t)
	w.take()
	w.byHand(`DELETE FROM interlock_history WHERE instance = 'c'`, `DELETE FROM interlock_texts WHERE instance = 'c'`, `DELETE FROM interlock_instance WHERE id = 'c'`)
	_, err := w.store.BumpEpoch(t.Context(), "a backup was put back")
	require.NoError(t, err)
	_, err = checkpoint.Take(t.Context(), w.store, w.key, w.folder)
	require.ErrorContains(t, err, "begin a new folder")
	notes, err := checkpoint.Notes(w.folder)
	require.NoError(t, err)
	require.Len(t, notes, 1)
	w.folder = filepath.Join(t.TempDir(), "new")
	require.Equal(t, int64(1), w.take().Number)
	_, err = w.store.BumpEpoch(t.Context(), "a standby was promoted that lacks nothing")
	require.NoError(t, err)
	require.Equal(t, int64(2), w.take().Number)
}

// All heads are of one moment, whatever is written meanwhile.
func TestTakenWhileOthersWrite(t *testing.T) {
	w := newWorld(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = w.gate.Fire(context.Background(), ann, interlock.Request{Machine: "doc", ID: "b", Event: "tick"})
			}
		}
	})
	for range 20 {
		w.take()
	}
	close(stop)
	wg.Wait()
	require.Empty(t, w.faults())
}

func TestKeysThatOthersMayReadAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	public, err := checkpoint.GenerateKey("example.org/docs", path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644} {
		require.NoError(t, os.Chmod(path, mode))
		_, err := checkpoint.ReadSigner(path)
		require.ErrorContains(t, err, "others may read it")
	}
	_, err = checkpoint.GenerateKey("example.org/docs", path)
	require.ErrorIs(t, err, os.ErrExist, "a key is never overwritten")
	_, err = checkpoint.GenerateKey("two words", filepath.Join(t.TempDir(), "key"))
	require.Error(t, err)
	private, err := os.ReadFile(path)
	require.NoError(t, err)
	broken := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(broken, private[:len(private)-9], 0o600))
	_, err = checkpoint.ReadSigner(broken)
	require.Error(t, err)
	require.NotContains(t, err.Error(), string(private[20:40]), "the error shows nothing of the key")
	_, err = checkpoint.ReadVerifier(path + ".pub")
	require.NoError(t, err)
	_, err = checkpoint.ReadVerifier(path)
	require.Error(t, err)
	_, err = checkpoint.ReadVerifier(public[:10])
	require.Error(t, err)
}

func TestPost(t *testing.T) {
	var got []string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ok", func(_ http.ResponseWriter, r *http.Request) {
		b := make([]byte, 100)
		n, _ := r.Body.Read(b)
		got = append(got, string(b[:n]))
	})
	mux.Handle("POST /moved", http.RedirectHandler("/ok", http.StatusTemporaryRedirect))
	mux.HandleFunc("POST /full", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInsufficientStorage) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	require.NoError(t, checkpoint.Post(t.Context(), srv.URL+"/ok", []byte("note")))
	require.ErrorContains(t, checkpoint.Post(t.Context(), srv.URL+"/moved", []byte("note")), "307")
	require.ErrorContains(t, checkpoint.Post(t.Context(), srv.URL+"/full", []byte("note")), "507")
	require.Equal(t, []string{"note"}, got)
	for _, bad := range []string{"http://example.org/x", "ftp://example.org", "https://user:pass@example.org/x", "example.org", "https://", "http://10.0.0.1/"} {
		require.Error(t, checkpoint.CheckURL(bad), bad)
	}
	require.NoError(t, checkpoint.CheckURL("https://example.org/checkpoints"))
}
