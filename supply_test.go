package interlock_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What we build on is pinned and looked at: no module is replaced, OPA is the
// version whose decisions were tested, and the public workflow asks for known
// vulnerabilities.
func TestSupplyChain(t *testing.T) {
	mod := read(t, "go.mod")
	require.NotContains(t, mod, "\nreplace ")
	require.Contains(t, mod, "\tgithub.com/open-policy-agent/opa v1.22.2\n")
	require.Regexp(t, `jackc/pgx/v5 v5\.(9\.[2-9]|[1-9]\d+\.)`, mod) // older ones have known injections

	workflows, err := filepath.Glob(".github/workflows/*.yml")
	require.NoError(t, err)
	var all strings.Builder
	for _, w := range workflows {
		all.WriteString(read(t, w))
	}
	require.Regexp(t, regexp.MustCompile(`go run golang\.org/x/vuln/cmd/govulncheck@v[\d.]+ \./\.\.\.`), all.String())
	for _, use := range regexp.MustCompile(`uses: (\S+)`).FindAllStringSubmatch(all.String(), -1) {
		require.Regexp(t, `^[\w./-]+@v?\w+$`, use[1], "an action without a version")
	}

	services := read(t, "docker-compose.yml")
	for _, image := range regexp.MustCompile(`image: (\S+)`).FindAllStringSubmatch(services, -1) {
		require.Regexp(t, `^(\S+:[\w.-]+|\$\{.*\})$`, image[1], "an image without a version")
		require.NotContains(t, image[1], ":latest")
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}
