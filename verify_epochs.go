package interlock

import (
	"context"
	"fmt"
)

// readEpochs knows which epochs rows may be of. A store that doesn't keep the
// former ones has one.
func (v *verifier) readEpochs() (err error) {
	if v.epoch, err = v.store.Epoch(v.ctx); err != nil {
		return err
	}
	v.epochs = map[string]int{v.epoch: 0}
	if keeps, ok := v.store.(interface {
		Epochs(ctx context.Context) ([]Epoch, error)
	}); ok {
		all, err := keeps.Epochs(v.ctx)
		if err == nil && (len(all) == 0 || all[len(all)-1].ID != v.epoch) { // perhaps one has just begun
			if v.epoch, err = v.store.Epoch(v.ctx); err == nil {
				all, err = keeps.Epochs(v.ctx)
			}
		}
		if err != nil {
			return err
		}
		for i, e := range all {
			v.epochs[e.ID] = i
		}
		switch n := len(all); {
		case n == 0:
			v.report.Bad = append(v.report.Bad, Fault{Problem: "the store's epochs are gone"})
		case all[n-1].ID != v.epoch:
			v.report.Bad = append(v.report.Bad, Fault{Problem: fmt.Sprintf("the store says that its epoch is %s, and the newest that it tells of is %s", v.epoch, all[n-1].ID)})
		}
	}
	return nil
}

// checkEpoch: a row is of an epoch that the store has had, and never of an
// earlier one than the row before it.
func (v *verifier) checkEpoch(r *Record, p *parsed, first bool) {
	at, known := v.epochs[p.epoch]
	switch {
	case !known:
		v.bad(r, "it is of epoch %s, which this store never had", p.epoch)
		return
	case !first && at < v.since:
		v.bad(r, "it is of an earlier epoch than the row before")
	}
	v.since = at
}
