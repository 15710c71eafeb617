package interlock

import (
	"fmt"
	"maps"
	"slices"
)

// texts follows the texts of one chain: those that are gone must be named by a
// later $erase, and those that one names must be gone.
func (v *verifier) texts(r *Record) error {
	if r.Erased {
		if v.erased == nil {
			v.erased = map[int64]bool{}
		}
		v.erased[r.Seq] = true
	}
	if r.Event != "$erase" || r.Erased {
		return nil
	}
	list, ok := r.Input["rows"].(string)
	parts, err := parseRanges(list)
	if !ok || err != nil || len(parts) > 0 && parts[len(parts)-1][1] >= r.Seq {
		v.bad(r, "it doesn't say which rows were erased")
		return nil
	}
	for _, part := range parts {
		for seq := part[0]; seq <= part[1]; seq++ {
			if j := v.jumped(seq); j != nil { // nothing is known of those
				seq = j.row.Seq - 1
				continue
			}
			if v.erased[seq] {
				delete(v.erased, seq)
				continue
			}
			if err := v.unlessErasedNow(r, seq); err != nil {
				return err
			}
		}
	}
	return nil
}

// unlessErasedNow is a fault where texts that were erased are there again; a row
// that was read before it was erased isn't one.
func (v *verifier) unlessErasedNow(r *Record, seq int64) error {
	ref := Ref{r.Machine, r.Instance}
	rows, err := v.store.History(v.ctx, r.Tenant, ref, seq-1, 1)
	if err != nil {
		return fmt.Errorf("read %s/%s/%s, row %d, again: %w", r.Tenant, r.Machine, r.Instance, seq, err)
	}
	stored := len(rows) == 1 && rows[0].Seq == seq
	if stored && !rows[0].Erased || !stored && v.files != nil && v.files.HasTexts(r.Tenant, ref, seq) {
		row := *r
		row.Seq = seq
		v.bad(&row, "row %d says that its texts were erased, and they are there", r.Seq)
	}
	return nil
}

// unnamed ends a chain: what is gone and no $erase names was deleted by hand.
func (v *verifier) unnamed(last *Record) {
	for _, seq := range slices.Sorted(maps.Keys(v.erased)) {
		gone := *last
		gone.Seq = seq
		v.bad(&gone, "its texts are gone, and no erasure in its chain speaks of them")
	}
	v.erased = nil
}
