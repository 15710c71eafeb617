package policies

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// formatVersion changes when the same files come to mean something else.
const formatVersion = "interlock-policy-1"

// revision is the hex SHA-256 of everything that a machine's decisions depend
// on: format version, each module's text, the data. Lengths stand
// before the parts, so that no two sources run together.
func revision(list []*module, data []byte) string {
	h := sha256.New()
	part := func(s []byte) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part([]byte(formatVersion))
	// Neither a file's name nor its place changes what it says.
	texts := make([]string, len(list))
	for i, m := range list {
		texts[i] = m.text
	}
	slices.Sort(texts)
	for _, t := range texts {
		part([]byte(t))
	}
	part(data)
	return hex.EncodeToString(h.Sum(nil))
}
