package compiled

import "hash/maphash"

// memo remembers what a function gave for which arguments, as long as one
// evaluation lasts. Input and data are arguments like any others, so that a
// "with" never sees what was true without it.
type memo struct {
	entries []remembered
	table   map[uint64][]int32 // once there are many
}

type remembered struct {
	args  []Value
	value Value // nil: undefined
	turns int64 // that it took
}

const (
	fewMemories = 8
	maxMemories = 1 << 16 // of a function; more aren't kept
)

// find looks for arguments that are the same, nil where there are none.
func (r *memo) find(args []Value) *remembered {
	if r.table == nil {
		for i := range r.entries {
			if e := &r.entries[i]; sameAll(e.args, args) {
				return e
			}
		}
		return nil
	}
	for _, i := range r.table[hashArgs(args)] {
		if e := &r.entries[i]; sameAll(e.args, args) {
			return e
		}
	}
	return nil
}

// keep holds on to args.
func (r *memo) keep(args []Value, v Value, turns int64) {
	if len(r.entries) >= maxMemories {
		return
	}
	r.entries = append(r.entries, remembered{args, v, turns})
	switch {
	case r.table != nil:
		r.note(len(r.entries) - 1)
	case len(r.entries) > fewMemories:
		r.table = make(map[uint64][]int32, 4*fewMemories)
		for i := range r.entries {
			r.note(i)
		}
	}
}

func (r *memo) note(i int) {
	h := hashArgs(r.entries[i].args)
	r.table[h] = append(r.table[h], int32(i))
}

func (r *memo) clear() {
	if len(r.entries) == 0 {
		return
	}
	if cap(r.entries) > 1024 {
		r.entries = nil // an unusual evaluation; don't hold on to its memory
	}
	clear(r.entries)
	r.entries, r.table = r.entries[:0], nil
}

func sameAll(a, b []Value) bool {
	for i := range a {
		if !same(a[i], b[i]) {
			return false
		}
	}
	return true
}

// hashArgs goes with same: scalars by value, composites by identity.
func hashArgs(args []Value) uint64 {
	var h uint64
	for _, v := range args {
		switch v.(type) {
		case *text, *integer, *decimal:
			h = mix(h, v.hash())
		default:
			h = mix(h, maphash.Comparable(seed, v))
		}
	}
	return h
}
