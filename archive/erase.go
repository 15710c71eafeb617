package archive

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/interlock-go/interlock"
)

// Erasing is the store with the folder's rows before its own, for
// interlock.Erase: texts that were archived are found too, and named in their
// chains. They leave the files by [Eraser.Finish]. A file that others speak of and
// that isn't there is an error: its rows could not be looked at.
func (f *Folder) Erasing(store interlock.Store) (*Eraser, error) {
	for _, one := range f.files {
		if one.problem != "" {
			return nil, fmt.Errorf("archive: %s", one.problem)
		}
		for _, name := range slices.Sorted(maps.Keys(one.names)) {
			if f.named[name] == nil {
				return nil, fmt.Errorf("archive: %s speaks of %s, which isn't there", one.Name, name)
			}
		}
	}
	return &Eraser{Store: store, folder: f}, nil
}

// Eraser is made by [Folder.Erasing].
type Eraser struct {
	interlock.Store
	folder *Folder

	mu    sync.Mutex
	of    interlock.Record   // the chain that was read last
	kept  []interlock.Record // its rows in files, by seq
	query interlock.AuditQuery
	found []interlock.Record // rows in files that the query selects, without texts, in their order
	named []erasure
}

// erasure is a $erase that was to be committed.
type erasure struct {
	row  *interlock.Record
	rows []interlock.ErasedRow
}

// ArchiveFile tells interlock.Erase which files are looked at.
func (e *Eraser) ArchiveFile(name string) (interlock.ArchiveFile, bool) {
	return e.folder.archiveFile(name)
}

// History returns the rows of files first, then those of the store.
func (e *Eraser) History(ctx context.Context, tenant string, ref interlock.Ref, after int64, limit int) ([]interlock.Record, error) {
	kept, err := e.rowsOf(tenant, ref)
	if err != nil {
		return nil, err
	}
	first, err := e.Store.History(ctx, tenant, ref, 0, 1)
	if err != nil {
		return nil, err
	}
	oldest := int64(math.MaxInt64)
	if len(first) == 1 {
		oldest = first[0].Seq
	}
	var rows []interlock.Record
	for _, r := range kept {
		if after < r.Seq && r.Seq < oldest && len(rows) < limit {
			rows = append(rows, r)
		}
	}
	if len(rows) < limit {
		own, err := e.Store.History(ctx, tenant, ref, after, limit-len(rows))
		if err != nil {
			return nil, err
		}
		rows = append(rows, own...)
	}
	return rows, nil
}

// rowsOf are the rows of one chain in files; the newest file's count.
func (e *Eraser) rowsOf(tenant string, ref interlock.Ref) ([]interlock.Record, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	of := interlock.Record{Transition: interlock.Transition{Tenant: tenant, Machine: ref.Machine, Instance: ref.ID}}
	if e.kept != nil && compareChains(&e.of, &of) == 0 {
		return e.kept, nil
	}
	bySeq := map[int64]interlock.Record{}
	for _, one := range e.folder.files {
		if one.rows == 0 || compareChains(one.first, &of) > 0 || compareChains(one.last, &of) < 0 {
			continue
		}
		if err := e.folder.each(one, func(r *interlock.Record) {
			if compareChains(r, &of) == 0 {
				bySeq[r.Seq] = *r
			}
		}); err != nil {
			return nil, err
		}
	}
	e.of, e.kept = of, []interlock.Record{}
	for _, r := range bySeq {
		e.kept = append(e.kept, r)
	}
	slices.SortFunc(e.kept, func(a, b interlock.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	return e.kept, nil
}

// each goes through a file's rows.
func (f *Folder) each(one *file, do func(*interlock.Record)) error {
	in, err := os.Open(filepath.Join(f.path, one.Name))
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	defer in.Close()
	rows := reader{in: bufio.NewReaderSize(in, 1<<16)}
	for {
		r, err := rows.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("archive: %s: %w", one.Name, err)
		}
		do(r)
	}
}

// Search finds rows of the store, and those in files.
func (e *Eraser) Search(ctx context.Context, q interlock.AuditQuery, after interlock.Ref, seq int64) ([]interlock.Record, error) {
	rows, err := e.Store.Search(ctx, q, after, seq)
	if err != nil {
		return nil, err
	}
	found, err := e.search(q)
	if err != nil {
		return nil, err
	}
	at := interlock.Record{Transition: interlock.Transition{Tenant: q.Tenant, Machine: after.Machine, Instance: after.ID, Seq: seq}}
	for i := range found {
		if compareRows(&found[i], &at) > 0 {
			rows = append(rows, found[i:min(len(found), i+q.Limit)]...)
			break
		}
	}
	order := func(a, b interlock.Record) int { return compareRows(&a, &b) }
	slices.SortStableFunc(rows, order) // the store's own first
	rows = slices.CompactFunc(rows, func(a, b interlock.Record) bool { return order(a, b) == 0 })
	return rows[:min(len(rows), q.Limit)], nil
}

func (e *Eraser) search(q interlock.AuditQuery) ([]interlock.Record, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q.After, q.Limit = "", 0
	if e.found != nil && e.query == q {
		return e.found, nil
	}
	found := []interlock.Record{}
	for _, one := range e.folder.files {
		if err := e.folder.each(one, func(r *interlock.Record) {
			if r.Tenant == q.Tenant && (q.Machine == "" || r.Machine == q.Machine) && (q.ID == "" || r.Instance == q.ID) && (q.Event == "" || r.Event == q.Event) &&
				(q.Actor == "" || r.Actor == q.Actor || r.OnBehalfOf == q.Actor) && (q.From.IsZero() || !r.Time.Before(q.From)) && (q.Until.IsZero() || r.Time.Before(q.Until)) {
				found = append(found, interlock.Record{Transition: interlock.Transition{Tenant: r.Tenant, Machine: r.Machine, Instance: r.Instance, Seq: r.Seq, Event: r.Event}})
			}
		}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b interlock.Record) int { return compareRows(&a, &b) })
	e.query, e.found = q, slices.CompactFunc(found, func(a, b interlock.Record) bool { return compareRows(&a, &b) == 0 })
	return e.found, nil
}

// Commit is the store's.
func (e *Eraser) Commit(ctx context.Context, c *interlock.Commit) error {
	if c.Erase != nil && len(c.Erase.Rows) > 0 {
		var row *interlock.Record
		if c.Instance != nil {
			row = &c.Instance.Record
		} else {
			row = &c.Actor.Record
		}
		e.mu.Lock()
		e.named = append(e.named, erasure{row, c.Erase.Rows})
		e.mu.Unlock()
	}
	return e.Store.Commit(ctx, c)
}

// place is that of a row.
type place struct {
	tenant, machine, instance string
	seq                       int64
}

// Finish takes the texts of rows that history now names as erased out of the
// files, each of which is written anew under its name, and tells of how many rows.
// It is to be called after interlock.Erase, whatever that said: where it isn't,
// interlock.Verify finds the texts, and erasing again takes them away.
func (e *Eraser) Finish(ctx context.Context) (rows int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	gone := map[place]bool{}
	at := func(r *interlock.Record, seq int64) place { return place{r.Tenant, r.Machine, r.Instance, seq} }
	for _, n := range e.named {
		committed, err := e.Store.History(ctx, n.row.Tenant, interlock.Ref{Machine: n.row.Machine, ID: n.row.Instance}, n.row.Seq-1, 1)
		if err != nil {
			return 0, err
		}
		if len(committed) != 1 || committed[0].ID != n.row.ID {
			continue
		}
		for _, r := range n.rows {
			gone[at(n.row, r.Seq)] = true
		}
	}
	for _, one := range e.folder.files {
		var all []interlock.Record
		lost := int64(0)
		if err := e.folder.each(one, func(r *interlock.Record) {
			if gone[at(r, r.Seq)] && !r.Erased {
				r.Note, r.Input, r.Facts, r.Salt, r.Erased = "", nil, nil, nil, true
				lost++
			}
			all = append(all, *r)
		}); err != nil {
			return rows, err
		}
		if lost == 0 {
			continue
		}
		content, err := encode(all)
		if err == nil {
			err = publish(filepath.Join(e.folder.path, one.Name), content, os.Rename)
		}
		if err != nil {
			return rows, fmt.Errorf("archive: %w", err)
		}
		rows += lost
	}
	return rows, nil
}
