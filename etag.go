package interlock

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// ETag is the strong entity tag of an instance (RFC 9110, 8.8.3) that the gate
// has answered with: "epoch-version-head", head being the first four bytes of
// the newest row's hash. Facts that stand in columns of a bound table change
// without a row of history; the tag of such an instance has four bytes of their
// digest, too. "" for a bound row that no commit has touched yet.
func (g *Gate) ETag(i Instance) string {
	if i.Version == 0 || len(i.Head) < 4 {
		return ""
	}
	bound, _ := g.bound.Load(i.Machine)
	return etag(*g.epoch.Load(), i, bound == true)
}

func etag(epoch string, i Instance, bound bool) string {
	tag := fmt.Sprintf("%s-%d-%s", epoch, i.Version, hex.EncodeToString(i.Head[:4]))
	if bound {
		sum := sha256.Sum256(canonicalJSON(i.Facts))
		tag += "-" + hex.EncodeToString(sum[:4])
	}
	return `"` + tag + `"`
}
