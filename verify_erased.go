package interlock

import (
	"fmt"
	"maps"
	"slices"
)

// erasures follows the texts of one chain: those that are gone must be named by
// a later $erase, and those that one names must be gone.
type erasures struct {
	rows int64          // so far
	gone map[int64]bool // those without their texts, and no $erase yet
}

// texts looks at a row's own.
func (v *verifier) texts(r *Record) error {
	v.erased.rows++
	if r.Erased {
		if v.erased.gone == nil {
			v.erased.gone = map[int64]bool{}
		}
		v.erased.gone[r.Seq] = true
	}
	if r.Event != "$erase" || r.Erased {
		return nil
	}
	list, ok := r.Input["rows"].(string)
	parts, err := parseRanges(list)
	if !ok || err != nil || len(parts) > 0 && parts[len(parts)-1][1] >= v.erased.rows {
		v.bad(r, "it doesn't say which rows were erased")
		return nil
	}
	for _, part := range parts {
		for seq := part[0]; seq <= part[1]; seq++ {
			if v.erased.gone[seq] {
				delete(v.erased.gone, seq)
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
	rows, err := v.store.History(v.ctx, r.Tenant, Ref{r.Machine, r.Instance}, seq-1, 1)
	if err != nil {
		return fmt.Errorf("read %s/%s/%s, row %d, again: %w", r.Tenant, r.Machine, r.Instance, seq, err)
	}
	if len(rows) == 1 && rows[0].Seq == seq && !rows[0].Erased {
		v.bad(&rows[0], "row %d says that its texts were erased, and they are there", r.Seq)
	}
	return nil
}

// unnamed ends a chain: what is gone and no $erase names was deleted by hand.
func (v *verifier) unnamed(last *Record) {
	for _, seq := range slices.Sorted(maps.Keys(v.erased.gone)) {
		gone := *last
		gone.Seq = seq
		v.bad(&gone, "its texts are gone, and no erasure in its chain speaks of them")
	}
	v.erased = erasures{}
}
