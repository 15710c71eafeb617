package prove

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// parsers are what reads hostile bytes, and the fuzz test of each.
var parsers = []struct{ what, file, target string }{
	{"the request's body", "middleware/decode_test.go", "FuzzDecode"},
	{"addresses and the ids in them", "server/fuzz_test.go", "FuzzAddress"},
	{"ids and scopes", "fuzz_test.go", "FuzzID"},
	{"If-Match, If-None-Match and Idempotency-Key", "middleware/conditions_test.go", "FuzzConditions"},
	{"tokens and their headers", "server/fuzz_test.go", "FuzzJWT"},
	{"the form of a token", "server/remembered_test.go", "FuzzTokenForm"},
	{"keys of services", "apikeys_test.go", "FuzzAPIKey"},
	{"cursors", "server/cursor_test.go", "FuzzCursor"},
	{"machine files", "fsm/fuzz_test.go", "FuzzParse"},
	{"policies", "policies/fuzz_test.go", "FuzzPolicySource"},
	{"names of cache entries", "store/rediscache/entry_test.go", "FuzzName"},
	{"cache entries", "store/rediscache/entry_test.go", "FuzzOpen"},
	{"rows of the chain", "chain_test.go", "FuzzChain"},
}

// Every parser has its fuzz test, and a corpus that is committed beside it.
func TestEveryParserIsFuzzed(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, p := range parsers {
		t.Run(p.target, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(root, p.file))
			require.NoError(t, err, p.what)
			require.Contains(t, string(source), "func "+p.target+"(f *testing.F)", p.what)
			corpus, err := filepath.Glob(filepath.Join(root, filepath.Dir(p.file), "testdata", "fuzz", p.target, "*"))
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(corpus), 3, "%s: a corpus of inputs that mean something", p.what)
			for _, path := range corpus {
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				require.True(t, strings.HasPrefix(string(text), "go test fuzz v1\n"), path)
				require.Less(t, len(text), 8<<10, "%s: small, so that people read it", path)
			}
		})
	}
}
