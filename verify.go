package interlock

import "context"

// VerifyReport is what [Verify] found.
type VerifyReport struct {
	Chains int64   `json:"chains"`
	Rows   int64   `json:"rows"`
	Erased int64   `json:"erased"`      // rows whose texts were erased; the chain holds all the same
	Bad    []Fault `json:"bad"`         // in order; at most 100
	SkewMS int64   `json:"max_skew_ms"` // between the gate's clock and the database's
}

// Fault is one place where history doesn't hold.
type Fault struct {
	Tenant   string `json:"tenant"`
	Machine  string `json:"machine"`
	Instance string `json:"instance"`
	Seq      int64  `json:"seq"`
	Problem  string `json:"problem"`
}

// Verify walks every chain of the store and compares bytes, hashes, heads and
// digests. It finds an edit, a deletion in the middle, an insertion, a reorder.
// progress, if not nil, is called with the rows done.
func Verify(ctx context.Context, store Store, progress func(rows int64)) (VerifyReport, error) {
	panic("unbuilt")
}
