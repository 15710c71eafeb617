package policies

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// formatVersion changes when the same files come to mean something else.
const formatVersion = "interlock-policy-1"

// revision is the hex SHA-256 of everything that a machine's decisions depend
// on: format version, each module's name and text, the data. Lengths stand
// before the parts, so that no two sources run together.
func revision(list []*module, data []byte) string {
	h := sha256.New()
	part := func(s []byte) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part([]byte(formatVersion))
	for _, m := range list {
		part([]byte(m.parsed.Package.Path.String()))
		part([]byte(m.text))
	}
	part(data)
	return hex.EncodeToString(h.Sum(nil))
}
