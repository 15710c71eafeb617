package checkpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/interlock-go/interlock"
)

// Taken is a checkpoint that was written.
type Taken struct {
	Checkpoint
	Note  []byte // signed
	Path  string // of the note; the heads lie beside it
	Heads string
}

// Take signs where every chain stands and adds the checkpoint to the folder,
// which is made if need be: the list of heads first, then the note, each on the
// disk before it has its name, none ever overwritten. Others may write to the
// store meanwhile: all heads are of one moment. Nothing is signed over a history in
// which a row that the folder's newest note names can't be found. Two who take at the same time in
// one folder can't both succeed.
func Take(ctx context.Context, store interlock.Store, key note.Signer, folder string) (Taken, error) {
	t, err := take(ctx, store, key, folder)
	if err != nil {
		return t, fmt.Errorf("checkpoint: %w", err)
	}
	return t, nil
}

func take(ctx context.Context, store interlock.Store, key note.Signer, folder string) (Taken, error) {
	t := Taken{Checkpoint: Checkpoint{Origin: key.Name(), Number: 1, Time: time.Now().UTC().Truncate(time.Microsecond)}}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return t, err
	}
	former, err := t.follow(folder)
	if err != nil {
		return t, err
	}
	if t.Epoch, err = store.Epoch(ctx); err != nil {
		return t, err
	}
	heads, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return t, err
	}
	defer os.Remove(heads.Name())
	err = t.writeHeads(ctx, store, heads)
	if err = errors.Join(err, heads.Chmod(0o644), heads.Sync(), heads.Close()); err != nil {
		return t, fmt.Errorf("the heads: %w", err)
	}
	// After a backup was put back. A note that follows would bury which rows are lost.
	if former.Epoch != t.Epoch && former.Rows > t.Rows {
		return t, fmt.Errorf("the newest checkpoint in %s names %d rows in another epoch, the store has %d: keep that folder, it says which rows are lost, and begin a new folder", folder, former.Rows, t.Rows)
	}
	if err := former.stillIn(ctx, store, folder, heads.Name()); err != nil {
		return t, err
	}
	if t.Note, err = note.Sign(&note.Note{Text: t.text()}, key); err != nil {
		return t, err
	}
	t.Path, t.Heads = filepath.Join(folder, t.noteName()), filepath.Join(folder, t.headsName())
	// Heads of a note that was never written, because we ended in between, are these.
	if err := publish(heads.Name(), t.Heads); err != nil && !errors.Is(err, fs.ErrExist) {
		return t, err
	}
	return t, writeNew(t.Path, t.Note, 0o644)
}

// follow takes the next number and the newest note's hash, and returns what that
// note says; the zero value is that of none.
func (t *Taken) follow(folder string) (former Checkpoint, err error) {
	names, err := notesIn(folder)
	if err != nil || len(names) == 0 {
		return former, err
	}
	newest := names[len(names)-1]
	signed, err := os.ReadFile(newest)
	if err != nil {
		return former, err
	}
	text, _, _ := strings.Cut(string(signed), "\n\n")
	if former, err = parse(text + "\n"); err != nil {
		return former, fmt.Errorf("the newest checkpoint there, %s: %w", newest, err)
	}
	if former.Origin != t.Origin {
		return former, fmt.Errorf("the checkpoints in %s are of %s, the key is of %s: take another folder", folder, former.Origin, t.Origin)
	}
	t.Number, t.Previous = former.Number+1, digest(signed)
	return former, nil
}

// notesIn are the notes of a folder, oldest first.
func notesIn(folder string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(escape(folder), "*.checkpoint"))
	slices.Sort(names)
	return names, err
}

// Notes are the signed notes of a folder, oldest first, unverified.
func Notes(folder string) ([]string, error) {
	names, err := notesIn(folder)
	if err != nil {
		return nil, err
	}
	notes := make([]string, len(names))
	for i, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
		notes[i] = string(text)
	}
	return notes, nil
}

// escape keeps a folder's own characters from being a pattern.
func escape(path string) string {
	if os.PathSeparator == '\\' {
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (t *Taken) writeHeads(ctx context.Context, store interlock.Store, f *os.File) error {
	var tree tree
	var last *interlock.Mark
	out := bufio.NewWriter(f)
	for m, err := range store.Marks(ctx) {
		if err != nil {
			return err
		}
		if last != nil && compareMarks(*last, m) >= 0 {
			return fmt.Errorf("the store gives %s/%s/%s out of order", m.Tenant, m.Machine, m.ID)
		}
		encoded := encodeHead(m)
		tree.add(leaf(encoded))
		if _, err := out.Write(encoded); err != nil {
			return err
		}
		t.Rows += m.Version
		last = &m
	}
	t.Size, t.Root = tree.size, tree.root()
	return out.Flush()
}
