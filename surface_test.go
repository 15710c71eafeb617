package interlock_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// A face that grows unnoticed is soon read by nobody: who needs one more name
// raises the ceiling in the same change, and says why. The root's count holds
// the caller's face and the contract with stores, caches and policies.
func TestExportedNamesStayUnderTheirCeiling(t *testing.T) {
	for dir, ceiling := range map[string]int{".": 115, "middleware": 16} {
		t.Run(dir, func(t *testing.T) {
			names := exportedNames(t, os.DirFS(dir))
			t.Logf("%d exported names, ceiling %d: %s", len(names), ceiling, strings.Join(names, " "))
			require.NotEmpty(t, names)
			require.LessOrEqual(t, len(names), ceiling)
		})
	}
}

// exportedNames lists the exported names at a package's top level, without
// methods. The constants of one type are one name, "T constants".
func exportedNames(t *testing.T, dir fs.FS) []string {
	t.Helper()
	files, err := fs.Glob(dir, "*.go")
	require.NoError(t, err)
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(dir, file)
		require.NoError(t, err)
		tree, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range tree.Decls {
			for _, name := range declared(decl) {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func declared(decl ast.Decl) []string {
	var names []string
	if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.IsExported() {
		return []string{f.Name.Name}
	}
	group, ok := decl.(*ast.GenDecl)
	if !ok {
		return nil
	}
	var typed string // a constant without type and value repeats those before it
	for _, spec := range group.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() {
				names = append(names, s.Name.Name)
			}
		case *ast.ValueSpec:
			if group.Tok == token.CONST && (s.Type != nil || len(s.Values) > 0) {
				typed = constantType(s)
			}
			for _, n := range s.Names {
				switch {
				case !n.IsExported():
				case typed != "":
					names = append(names, typed+" constants")
				default:
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// constantType reads T of `X T = …` and of `X = T(…)`.
func constantType(s *ast.ValueSpec) string {
	expr := s.Type
	if expr == nil {
		if call, ok := s.Values[0].(*ast.CallExpr); ok {
			expr = call.Fun
		}
	}
	if ident, ok := expr.(*ast.Ident); ok {
		return ident.Name
	}
	return ""
}

func TestExportedNamesAreCounted(t *testing.T) {
	source := `package p
type Kind string
type hidden int
const (
	A Kind = "a"
	B Kind = "b"
)
const C = Kind("c")
const (
	One hidden = iota
	Two
	_
)
const Untyped = 1
const small = 2
var ErrX, errY = 1, 2
func F() {}
func g() {}
func (Kind) Method() {}
`
	names := exportedNames(t, fstest.MapFS{
		"p.go":      {Data: []byte(source)},
		"p_test.go": {Data: []byte("package p\nfunc Extra() {}\n")},
	})
	require.Equal(t, []string{"ErrX", "F", "Kind", "Kind constants", "Untyped", "hidden constants"}, names)
}
