//go:build data

package data

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the folder of the data: INTERLOCK_DATA, else shared/data beside the
// module. A missing folder is a failure, never a skip.
func root(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("INTERLOCK_DATA")
	if dir == "" {
		dir = filepath.Join(moduleRoot(t), "..", "shared", "data")
	}
	_, err := os.Stat(filepath.Join(dir, "machines"))
	require.NoError(t, err, "set INTERLOCK_DATA to the folder with machines/, workflows/, logs/ and behaviours.json")
	return dir
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		require.NotEqual(t, dir, up, "no go.mod above the package")
		dir = up
	}
}

// files are the paths that match a pattern in the data, sorted; none is a failure.
func files(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root(t), pattern))
	require.NoError(t, err)
	require.NotEmpty(t, paths, pattern)
	return paths
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}
