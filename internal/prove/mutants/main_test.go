package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever changes what a mutant changes sees it here, not at the next whole run.
func TestEveryMutantApplies(t *testing.T) {
	root, err := moduleRoot(t.Context())
	require.NoError(t, err)
	names := map[string]bool{}
	for _, m := range all() {
		assert.False(t, names[m.name], "%s: twice", m.name)
		names[m.name] = true
		assert.NotEmpty(t, m.takes, m.name)
		assert.NotEmpty(t, m.run, m.name)
		assert.NotEmpty(t, m.packages, m.name)
		texts, err := m.apply(root)
		if !assert.NoError(t, err, m.name) {
			continue
		}
		for name, text := range texts {
			if filepath.Ext(name) != ".go" {
				continue
			}
			_, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
			assert.NoError(t, err, m.name)
		}
	}
	assert.GreaterOrEqual(t, len(names), 24)
}

// A module of its own, whose suite notices one thing and not another.
func TestRunAll(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module example.org/sum\n\ngo 1.26\n",
		"sum.go":    "package sum\n\nfunc Sum(a, b int) int {\n\tif a > 1000 {\n\t\treturn 0\n\t}\n\treturn a + b\n}\n",
		"a_test.go": "package sum\n\nimport \"testing\"\n\nfunc TestSum(t *testing.T) {\n\tt.Run(\"small\", func(t *testing.T) {\n\t\tif Sum(1, 2) != 3 {\n\t\t\tt.Error(\"wrong\")\n\t\t}\n\t})\n}\n\nfunc TestBad(t *testing.T) { t.Error(\"always\") }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
	}
	mutants := func(run string, edits ...edit) []mutant {
		return []mutant{{name: "m", takes: "t", edits: edits, packages: []string{"."}, run: run}}
	}
	for _, tc := range []struct {
		name    string
		mutants []mutant
		err     string // "": caught
		says    string
	}{
		{"caught", mutants("TestSum", edit{"sum.go", "a + b", "a - b"}), "", "TestSum/small"},
		{"survives", mutants("TestSum", edit{"sum.go", "a > 1000", "a > 2000"}), "m: every test passes", "0 of 1 caught"},
		{"broken", mutants("TestSum", edit{"sum.go", "a + b", "a + c"}), "m: it doesn't compile", "undefined: c"},
		{"text twice", mutants("TestSum", edit{"sum.go", "return", "panic"}), "holds the text 2 times", "FAILS"},
		{"text gone", mutants("TestSum", edit{"sum.go", "a * b", "a"}), "holds the text 0 times", "FAILS"},
		{"no such test", mutants("TestNone", edit{"sum.go", "a + b", "a - b"}), "no test of . is called TestNone", "FAILS"},
		{"suite fails anyway", mutants("TestBad", edit{"sum.go", "a + b", "a - b"}), "without a mutant: TestBad fails", "FAILS"},
		{"panics", mutants("TestSum", edit{"sum.go", "return a + b", "panic(a)"}), "", "TestSum"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			err := runAll(t.Context(), &out, suite{root: root}, tc.mutants)
			if tc.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.err)
			}
			assert.Contains(t, out.String(), tc.says)
		})
	}
}

func TestStart(t *testing.T) {
	var out strings.Builder
	require.NoError(t, start(t.Context(), &out, "audience", true, nil))
	assert.Contains(t, out.String(), "a token meant for somebody else is refused")
	require.ErrorContains(t, start(t.Context(), &out, "nothing is called so", true, nil), "no mutant's name matches")
	require.ErrorContains(t, start(t.Context(), &out, "(", true, nil), "-run")
	require.ErrorContains(t, start(t.Context(), &out, "", true, []string{"audience"}), "unexpected argument")
}
