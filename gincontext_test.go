package interlock_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A *gin.Context is a context.Context to the compiler, and goes back into a pool
// when its request ends: a driver or a goroutine that still holds it then reads
// another request's (gin issues 3929 and 4117). What takes a context gets the
// request's own.
func TestNoGinContextAsContext(t *testing.T) {
	exports := exportData(t)
	checked := 0
	for _, p := range goList(t, "-json=ImportPath,Dir,GoFiles", "./middleware/...", "./server/...", "./examples/...", "./cmd/...") {
		var files []string
		for _, f := range p.GoFiles {
			files = append(files, filepath.Join(p.Dir, f))
		}
		checked += len(files)
		require.Empty(t, ginAsContext(t, exports, p.ImportPath, files...))
	}
	require.Greater(t, checked, 20)
}

func TestGinContextAsContextIsFound(t *testing.T) {
	exports := exportData(t)
	file := filepath.Join(t.TempDir(), "p.go")
	require.NoError(t, os.WriteFile(file, []byte(`package p

import (
	"context"

	"github.com/gin-gonic/gin"
)

func use(context.Context, ...any)        {}
func more(_ int, _ ...context.Context)   {}

func handle(c *gin.Context) context.Context {
	use(c)
	more(1, c.Request.Context(), c)
	use(c.Request.Context(), c)
	var ctx context.Context = c
	ctx = c
	use(context.WithoutCancel(ctx))
	use(context.Context(c))
	return c
}
`), 0o600))
	found := ginAsContext(t, exports, "p", file)
	var lines []string
	for _, f := range found {
		lines = append(lines, strings.Split(f, ":")[1])
	}
	require.Equal(t, []string{"13", "14", "16", "17", "19", "20"}, lines)
}

type goPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var list []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// exportData finds the compiled types of all that we and our dependencies import.
func exportData(t *testing.T) map[string]string {
	t.Helper()
	exports := map[string]string{}
	for _, p := range goList(t, "-export", "-deps", "-json=ImportPath,Export", "./...") {
		exports[p.ImportPath] = p.Export
	}
	return exports
}

// ginAsContext lists where the package takes a *gin.Context for a context.Context.
func ginAsContext(t *testing.T, exports map[string]string, pkg string, files ...string) []string {
	t.Helper()
	fset := token.NewFileSet()
	var trees []*ast.File
	for _, f := range files {
		tree, err := parser.ParseFile(fset, f, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		trees = append(trees, tree)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		file, ok := exports[path]
		if !ok {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(file)
	})}
	_, err := conf.Check(pkg, fset, trees, info)
	require.NoError(t, err)
	s := ginSearch{info: info, fset: fset}
	for _, tree := range trees {
		for _, decl := range tree.Decls {
			s.within(decl, nil)
		}
	}
	return s.found
}

type ginSearch struct {
	info  *types.Info
	fset  *token.FileSet
	found []string
}

// taken notes an expression of the wrong type where a context is wanted.
func (s *ginSearch) taken(e ast.Expr, want types.Type) {
	if want == nil || want.String() != "context.Context" {
		return
	}
	if got := s.info.TypeOf(e); got != nil && got.String() == "*github.com/gin-gonic/gin.Context" {
		at := s.fset.Position(e.Pos())
		s.found = append(s.found, fmt.Sprintf("%s:%d: a *gin.Context for a context.Context", filepath.Base(at.Filename), at.Line))
	}
}

// within walks a node; results are those of the function around it.
func (s *ginSearch) within(root ast.Node, results *types.Tuple) {
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body != nil {
				s.within(n.Body, s.info.Defs[n.Name].Type().(*types.Signature).Results())
			}
			return false
		case *ast.FuncLit:
			s.within(n.Body, s.info.TypeOf(n).(*types.Signature).Results())
			return false
		case *ast.CallExpr:
			s.call(n)
		case *ast.AssignStmt:
			for i := range n.Lhs {
				if len(n.Lhs) == len(n.Rhs) {
					s.taken(n.Rhs[i], s.info.TypeOf(n.Lhs[i]))
				}
			}
		case *ast.ValueSpec:
			for _, v := range n.Values {
				if n.Type != nil {
					s.taken(v, s.info.TypeOf(n.Type))
				}
			}
		case *ast.ReturnStmt:
			for i := range n.Results {
				if results != nil && len(n.Results) == results.Len() {
					s.taken(n.Results[i], results.At(i).Type())
				}
			}
		}
		return true
	})
}

func (s *ginSearch) call(n *ast.CallExpr) {
	if tv := s.info.Types[n.Fun]; tv.IsType() {
		s.taken(n.Args[0], tv.Type)
		return
	}
	sig, ok := s.info.TypeOf(n.Fun).(*types.Signature)
	if !ok || s.readsOnly(n.Fun) {
		return
	}
	for i, arg := range n.Args {
		last := sig.Params().Len() - 1
		switch {
		case sig.Variadic() && i >= last:
			// append([]byte, string...) is variadic without a slice.
			if list, ok := sig.Params().At(last).Type().(*types.Slice); ok && !n.Ellipsis.IsValid() {
				s.taken(arg, list.Elem())
			}
		case i <= last:
			s.taken(arg, sig.Params().At(i).Type())
		}
	}
}

// readsOnly: ActorFrom asks a *gin.Context for a value, and keeps nothing of it.
func (s *ginSearch) readsOnly(fun ast.Expr) bool {
	if sel, ok := fun.(*ast.SelectorExpr); ok {
		fun = sel.Sel
	}
	id, ok := fun.(*ast.Ident)
	if !ok {
		return false
	}
	f, ok := s.info.Uses[id].(*types.Func)
	return ok && f.FullName() == module+"/middleware.ActorFrom"
}
