package interlock_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A listener without limits is everybody's to hold open: each http.Server of the
// module sets all of them, and none is made behind a function that sets none.
func TestEveryListenerHasLimits(t *testing.T) {
	want := []string{"ReadHeaderTimeout", "ReadTimeout", "WriteTimeout", "IdleTimeout", "MaxHeaderBytes"}
	found := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || path == filepath.Join("internal", "prove") || path == "bench" || d.Name() == "testdata") {
			if d != nil && d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if named(n.Type) != "http.Server" {
					return true
				}
				found++
				var set []string
				for _, e := range n.Elts {
					set = append(set, e.(*ast.KeyValueExpr).Key.(*ast.Ident).Name)
				}
				for _, limit := range want {
					require.True(t, slices.Contains(set, limit), "%s: an http.Server without %s", path, limit)
				}
			case *ast.CallExpr:
				require.NotContains(t, []string{"http.ListenAndServe", "http.ListenAndServeTLS", "http.Serve", "http.ServeTLS"}, named(n.Fun), path)
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, found, 5, "the server, its metrics and three examples")
}

func named(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}
