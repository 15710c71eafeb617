package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/interlock-go/interlock"
)

// Report is what [Verify] found; faults of checkpoints stand before those of
// history.
type Report struct {
	interlock.VerifyReport
	Checkpoints int  `json:"checkpoints"`          // good ones, which history was held against
	InOrder     bool `json:"checkpoints_in_order"` // there are checkpoints, and nothing is wrong with any of them
}

// Verify is [interlock.Verify] with checkpoints as its witnesses. paths are
// notes, or folders with all of theirs; the list of heads lies beside each note.
// A note whose signature, list or place in the sequence doesn't hold is a fault;
// so is one that is missing between two others. The error says that a file or
// the store could not be read.
func Verify(ctx context.Context, store interlock.Store, key note.Verifier, paths []string, progress func(rows int64)) (Report, error) {
	files, err := expand(paths)
	if err != nil {
		return Report{}, err
	}
	var r Report
	r.Bad = []interlock.Fault{} // never null in JSON
	var good []opened
	for _, path := range files {
		o, fault, err := open(path, key)
		if err != nil {
			return r, err
		}
		if fault != "" {
			r.Bad = append(r.Bad, interlock.Fault{Problem: path + ": " + fault})
			continue
		}
		good = append(good, o)
	}
	slices.SortFunc(good, func(a, b opened) int { return cmp.Compare(a.Number, b.Number) })
	r.Bad = append(r.Bad, gaps(good)...)
	r.Checkpoints, r.InOrder = len(good), len(good) > 0 && len(r.Bad) == 0
	var witnesses []interlock.Witness
	for _, o := range good {
		witnesses = append(witnesses, interlock.Witness{Name: fmt.Sprintf("checkpoint %d", o.Number), Marks: marksOf(o.heads)})
	}
	report, err := interlock.Verify(ctx, store, progress, witnesses...)
	report.Bad = append(r.Bad, report.Bad...)
	r.VerifyReport = report
	return r, err
}

// expand names the notes of folders.
func expand(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		in, err := notesIn(path)
		if err != nil {
			return nil, err
		}
		if len(in) == 0 {
			return nil, fmt.Errorf("%s holds no checkpoints", path)
		}
		files = append(files, in...)
	}
	return files, nil
}

type opened struct {
	Checkpoint
	digest string
	heads  string
}

// open reads a note and holds its list of heads against the signed root.
func open(path string, key note.Verifier) (o opened, fault string, err error) {
	signed, err := os.ReadFile(path)
	if err != nil {
		return o, "", err
	}
	c, err := Open(signed, key)
	if err != nil {
		return o, err.Error(), nil
	}
	o = opened{c, digest(signed), filepath.Join(filepath.Dir(path), c.headsName())}
	var t tree
	var rows int64
	for m, err := range marksOf(o.heads) {
		if errors.Is(err, fs.ErrNotExist) {
			return o, "its list of heads " + c.headsName() + " isn't beside it: what it marks can't be held against history", nil
		}
		if err != nil {
			return o, fmt.Sprintf("its list of heads %s: %v", c.headsName(), err), nil
		}
		t.add(leaf(encodeHead(m)))
		rows += m.Version
	}
	if t.size != c.Size || t.root() != c.Root || rows != c.Rows {
		return o, "its list of heads isn't the one that was signed", nil
	}
	return o, "", nil
}

// gaps looks at the sequence of good checkpoints, sorted by number.
func gaps(list []opened) []interlock.Fault {
	var bad []interlock.Fault
	add := func(format string, args ...any) {
		bad = append(bad, interlock.Fault{Problem: fmt.Sprintf(format, args...)})
	}
	for i := 1; i < len(list); i++ {
		a, b := &list[i-1], &list[i]
		switch {
		case a.Number == b.Number && a.digest == b.digest:
		case a.Number == b.Number:
			add("there are two different checkpoints %d: the key signed two histories", a.Number)
		case a.Number+1 < b.Number:
			add("the checkpoints from %d to %d are missing", a.Number+1, b.Number-1)
		case b.Previous != a.digest:
			add("checkpoint %d doesn't follow checkpoint %d: it names another note as the one before", b.Number, a.Number)
		case b.Epoch == a.Epoch && (b.Rows < a.Rows || b.Size < a.Size):
			add("checkpoint %d has fewer rows or chains than checkpoint %d, in the same store", b.Number, a.Number)
		}
	}
	return bad
}
