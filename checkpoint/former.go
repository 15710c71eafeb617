package checkpoint

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/interlock-go/interlock"
)

// stillIn tells that every row that this note of the folder names is still in the
// store, or the row that follows it: whoever signs over another history, or over
// rows that can't be looked at, vouches for what was put in their place. heads are
// the newest; chains at which nothing happened since aren't asked for.
func (c *Checkpoint) stillIn(ctx context.Context, store interlock.Store, folder, heads string) error {
	if c.Number == 0 {
		return nil // there is none
	}
	list := c.headsName()
	next, stop := iter.Pull2(marksOf(heads))
	defer stop()
	now, err, more := next()
	var t tree
	for m, bad := range marksOf(filepath.Join(folder, list)) {
		if bad != nil {
			return fmt.Errorf("the list of heads %s of the newest checkpoint there: %w: put it back, or keep that folder and begin a new folder", list, bad)
		}
		t.add(leaf(encodeHead(m)))
		for err == nil && more && compareMarks(now, m) < 0 {
			now, err, more = next()
		}
		if err != nil {
			return err
		}
		if more && compareMarks(now, m) == 0 && now.Version == m.Version && bytes.Equal(now.Hash, m.Hash) {
			continue
		}
		rows, err := store.History(interlock.Strong(ctx), m.Tenant, interlock.Ref{Machine: m.Machine, ID: m.ID}, m.Version-1, 1)
		if err != nil {
			return err
		}
		if !holds(rows, &m) {
			return fmt.Errorf("the newest checkpoint there, %d, knows row %d of %s/%s/%s, which isn't in the store or is another: look with audit verify --checkpoint, and --archive if rows were archived; keep that folder, and begin a new folder if all is in order",
				c.Number, m.Version, m.Tenant, m.Machine, m.ID)
		}
	}
	if t.size != c.Size || t.root() != c.Root {
		return fmt.Errorf("the list of heads %s of the newest checkpoint there isn't the one that was signed: put it back, or keep that folder and begin a new folder", list)
	}
	return nil
}

// holds tells that the first row from the mark's on is the marked one or, that
// one being archived, follows it.
func holds(rows []interlock.Record, m *interlock.Mark) bool {
	if len(rows) == 0 {
		return false
	}
	r := &rows[0]
	return r.Seq == m.Version && bytes.Equal(r.Hash, m.Hash) || r.Seq == m.Version+1 && bytes.Equal(r.Prev, m.Hash)
}
