package compiled

import (
	"cmp"
	"slices"
)

// small is how many keys are looked through one by one; more are hashed.
const small = 16

// keys are the elements of a set or the keys of an object: no two are equal.
// They stand in the order in which they came, and are gone through in Rego's.
type keys struct {
	list      []Value
	ascending bool    // list is in Rego's order already
	frozen    bool    // may be read by several evaluations at once
	sorted    []int32 // positions in Rego's order, once somebody asked and unless ascending
	table     []int32 // open addressing: position+1, 0 is free; nil when small
	hashes    []uint64
	weight    weight // of the keys, and of an object's values
}

// find gives the position of a key, -1 when it isn't there.
func (k *keys) find(key Value) int {
	if len(k.list) <= small {
		return k.scan(key)
	}
	if k.table == nil {
		if k.frozen { // nobody may make a table now; what is frozen without one is in order
			return k.search(key)
		}
		k.rehash()
	}
	return k.probe(key, key.hash())
}

func (k *keys) search(key Value) int {
	if at, found := slices.BinarySearchFunc(k.list, key, compare); found {
		return at
	}
	return -1
}

func (k *keys) scan(key Value) int {
	if want, ok := key.(*text); ok {
		return k.scanText(want)
	}
	for i, have := range k.list {
		if equal(have, key) {
			return i
		}
	}
	return -1
}

func (k *keys) scanText(want *text) int {
	for i, have := range k.list {
		if t, ok := have.(*text); ok && (t == want || t.s == want.s) {
			return i
		}
	}
	return -1
}

func (k *keys) probe(key Value, h uint64) int {
	mask := uint64(len(k.table) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		at := k.table[i]
		if at == 0 {
			return -1
		}
		if k.hashes[at-1] == h && equal(k.list[at-1], key) {
			return int(at - 1)
		}
	}
}

func (k *keys) rehash() {
	size := 64
	for size < 4*len(k.list) {
		size *= 2
	}
	k.table = make([]int32, size)
	if cap(k.hashes) < size/2 {
		k.hashes = make([]uint64, 0, size/2)
	}
	known := len(k.hashes)
	for i, key := range k.list {
		if i >= known {
			k.hashes = append(k.hashes, key.hash())
		}
		k.place(k.hashes[i], int32(i+1))
	}
}

func (k *keys) place(h uint64, at int32) {
	mask := uint64(len(k.table) - 1)
	i := h & mask
	for k.table[i] != 0 {
		i = (i + 1) & mask
	}
	k.table[i] = at
}

// add gives the position of a key, and whether it is new. One that comes in
// order is known to be new without a look at the others.
func (k *keys) add(a *arena, key Value) (int, bool) {
	n := len(k.list)
	if n == 0 {
		k.ascending = true
	} else if k.ascending {
		switch c := compare(k.list[n-1], key); {
		case c == 0:
			return n - 1, false
		case c > 0:
			if at := k.find(key); at >= 0 {
				return at, false
			}
			k.ascending = false
		}
	} else if at := k.find(key); at >= 0 {
		return at, false
	}
	k.sorted = nil
	k.list = a.grow(k.list, key)
	if k.table != nil {
		if 2*len(k.list) > len(k.table) {
			k.rehash()
		} else {
			h := key.hash()
			k.hashes = append(k.hashes, h)
			k.place(h, int32(n+1))
		}
	}
	return n, true
}

// order gives the positions in Rego's order, nil when they are in it already.
func (k *keys) order() []int32 {
	if k.ascending || len(k.list) < 2 || k.sorted != nil {
		return k.sorted
	}
	sorted := make([]int32, len(k.list))
	for i := range sorted {
		sorted[i] = int32(i)
	}
	slices.SortFunc(sorted, func(x, y int32) int { return compare(k.list[x], k.list[y]) })
	if !k.frozen {
		k.sorted = sorted
	}
	return sorted
}

// freeze makes everything that reading might want to make, so that reading
// changes nothing from now on.
func (k *keys) freeze() {
	k.sorted = k.order()
	if len(k.list) > small && k.table == nil {
		k.rehash()
	}
	k.frozen = true
}

// findName is find where the name is a constant of the policy.
func (k *keys) findName(name *text) int {
	if len(k.list) <= small {
		return k.scanText(name)
	}
	return k.find(name)
}

// findString is find for a name that nobody made a value of yet.
func (k *keys) findString(name string) int {
	if len(k.list) > small {
		return k.find(&text{s: name})
	}
	for i, have := range k.list {
		if t, ok := have.(*text); ok && t.s == name {
			return i
		}
	}
	return -1
}

func (k *keys) compareKeys(o *keys) int {
	a, b := k.order(), o.order()
	for i := 0; i < len(k.list) && i < len(o.list); i++ {
		if c := compare(at(k.list, a, i), at(o.list, b, i)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(k.list), len(o.list))
}

// hashKeys doesn't depend on the order.
func (k *keys) hashKeys() uint64 {
	var sum uint64
	for _, key := range k.list {
		h := key.hash()
		sum += mix(h, h>>7)
	}
	return mix(sum, uint64(len(k.list)))
}

func at(list []Value, order []int32, i int) Value {
	if order != nil {
		return list[order[i]]
	}
	return list[i]
}

func sortValues(list []Value) { slices.SortStableFunc(list, compare) }
