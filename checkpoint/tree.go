package checkpoint

import "crypto/sha256"

// tree is the Merkle tree hash of RFC 9162, section 2.1.1, leaf by leaf: the
// roots of the whole subtrees so far, largest first.
type tree struct {
	size  int64
	roots [][sha256.Size]byte
}

func (t *tree) add(leaf []byte) {
	node := sha256.Sum256(append([]byte{0}, leaf...))
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.roots) - 1
		node = parent(t.roots[last], node)
		t.roots = t.roots[:last]
	}
	t.roots = append(t.roots, node)
	t.size++
}

func (t *tree) root() [sha256.Size]byte {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	node := t.roots[len(t.roots)-1]
	for i := len(t.roots) - 2; i >= 0; i-- {
		node = parent(t.roots[i], node)
	}
	return node
}

func parent(left, right [sha256.Size]byte) [sha256.Size]byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}
