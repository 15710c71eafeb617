package archive

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/interlock-go/interlock"
)

// Over is the store with the folder's rows before its own: what interlock.Verify
// and checkpoint.Verify take to look at whole chains. Rows that are in both, since
// a run ended in between, are the store's.
func (f *Folder) Over(store interlock.Store) interlock.Store {
	return &whole{Store: store, folder: f}
}

type whole struct {
	interlock.Store
	folder *Folder

	mu    sync.Mutex
	chain interlock.Record // of which rows come by
	texts []int64          // those of its rows in files that have texts, ascending
}

// Chain yields every row of every chain, archived ones too.
func (w *whole) Chain(ctx context.Context) iter.Seq2[interlock.Record, error] {
	return func(yield func(interlock.Record, error) bool) {
		m := w.folder.merge()
		defer m.close()
		for r, err := range w.Store.Chain(ctx) {
			if err != nil {
				yield(r, err)
				return
			}
			if !w.before(m, &r, yield) || !yield(r, nil) {
				return
			}
		}
		w.before(m, nil, yield)
	}
}

// before yields the rows of files that stand before r, all that are left where it
// is nil, and passes over r itself. false: no more is wanted.
func (w *whole) before(m *merge, r *interlock.Record, yield func(interlock.Record, error) bool) bool {
	for {
		next, err := m.peek()
		if err != nil {
			yield(interlock.Record{}, err)
			return false
		}
		if next == nil || r != nil && compareRows(next, r) > 0 {
			return true
		}
		if r == nil || compareRows(next, r) < 0 {
			w.remember(next)
			if !yield(*next, nil) {
				return false
			}
		}
		if err := m.drop(next); err != nil {
			yield(interlock.Record{}, err)
			return false
		}
	}
}

func (w *whole) remember(r *interlock.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if compareChains(&w.chain, r) != 0 {
		w.chain = interlock.Record{Transition: interlock.Transition{Tenant: r.Tenant, Machine: r.Machine, Instance: r.Instance}}
		w.texts = w.texts[:0]
	}
	if !r.Erased {
		w.texts = append(w.texts, r.Seq)
	}
}

// HasTexts tells interlock.Verify whether a file has the texts of a row of the
// chain that is being read.
func (w *whole) HasTexts(tenant string, ref interlock.Ref, seq int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chain.Tenant != tenant || w.chain.Machine != ref.Machine || w.chain.Instance != ref.ID {
		return false
	}
	_, found := slices.BinarySearch(w.texts, seq)
	return found
}

// ArchiveFile tells interlock.Verify what became of a file.
func (w *whole) ArchiveFile(name string) (interlock.ArchiveFile, bool) {
	return w.folder.archiveFile(name)
}

// Unguarded are what the store lacks of its guards, and what is wrong with files.
func (w *whole) Unguarded(ctx context.Context) ([]string, error) {
	var missing []string
	if s, ok := w.Store.(interface {
		Unguarded(ctx context.Context) ([]string, error)
	}); ok {
		var err error
		if missing, err = s.Unguarded(ctx); err != nil {
			return nil, err
		}
	}
	for _, one := range w.folder.files {
		if one.problem != "" {
			missing = append(missing, one.problem)
		}
	}
	return missing, nil
}

// Epochs are the store's.
func (w *whole) Epochs(ctx context.Context) ([]interlock.Epoch, error) {
	if s, ok := w.Store.(interface {
		Epochs(ctx context.Context) ([]interlock.Epoch, error)
	}); ok {
		return s.Epochs(ctx)
	}
	epoch, err := w.Store.Epoch(ctx)
	return []interlock.Epoch{{ID: epoch}}, err
}
