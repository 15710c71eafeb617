package interlock_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/middleware"
)

// Codes are what programs compare with, so there is one list of them: what the
// package makes, what the comment of Refusal promises, and what HTTP knows are
// the same, stage by stage.
func TestCodesAreThoseOfTheTable(t *testing.T) {
	made, told := madeCodes(t), toldCodes(t)
	require.Greater(t, len(made), 20)
	require.Equal(t, told, made, "the comment of Refusal, and what the package makes")
	var known []string
	for _, p := range middleware.Problems() {
		if p.Stage != "" && p.Code != "timeout" { // HTTP's own: the request ended before its answer
			known = append(known, string(p.Stage)+" "+p.Code)
		}
	}
	slices.Sort(known)
	require.Equal(t, told, known, "the comment of Refusal, and middleware.Problems")
}

// toldCodes reads the list in the comment of Refusal: "stage code" each, sorted.
func toldCodes(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("refusal.go")
	require.NoError(t, err)
	_, list, ok := strings.Cut(string(source), "// Codes by stage")
	require.True(t, ok)
	list, _, ok = strings.Cut(list, "type Refusal struct")
	require.True(t, ok)
	var told []string
	for line := range strings.Lines(list) {
		rest, isList := strings.CutPrefix(line, "//\t")
		if !isList {
			continue
		}
		words := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' })
		for _, code := range words[1:] {
			told = append(told, words[0]+" "+code)
		}
	}
	slices.Sort(told)
	return told
}

// madeCodes finds every Refusal literal, and every call of the two functions
// that make one; a code that isn't a literal fails the test.
func madeCodes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var made []string
	add := func(stage string, code ast.Expr) {
		if _, handedOn := code.(*ast.Ident); handedOn {
			return // the two functions themselves
		}
		lit, ok := code.(*ast.BasicLit)
		require.True(t, ok, "a code at stage %s is not a literal", stage)
		text, err := strconv.Unquote(lit.Value)
		require.NoError(t, err)
		made = append(made, strings.ToLower(strings.TrimPrefix(stage, "Stage"))+" "+text)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				stages := map[string]string{"identity": "StageIdentity", "unavailable": "StageUnavailable"}
				if f, ok := n.Fun.(*ast.Ident); ok && stages[f.Name] != "" {
					add(stages[f.Name], n.Args[0])
				}
			case *ast.CompositeLit:
				if typ, ok := n.Type.(*ast.Ident); ok && typ.Name == "Refusal" {
					stage, code := members(n)
					require.NotNil(t, stage, "%s: a Refusal without a Stage", file)
					add(stage.(*ast.Ident).Name, code)
				}
			}
			return true
		})
	}
	slices.Sort(made)
	return slices.Compact(made)
}

func members(lit *ast.CompositeLit) (stage, code ast.Expr) {
	for _, e := range lit.Elts {
		kv := e.(*ast.KeyValueExpr)
		switch kv.Key.(*ast.Ident).Name {
		case "Stage":
			stage = kv.Value
		case "Code":
			code = kv.Value
		}
	}
	return stage, code
}
