package interlock_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// threatCases are how many cases each part of docs/threats.md has.
var threatCases = []struct {
	part  string
	cases int
}{{"A", 20}, {"B", 25}, {"C", 20}, {"D", 17}, {"E", 17}, {"F", 28}}

// Every case stands there once, and is held by tests that exist, or is a limit
// that is accepted with its reason.
func TestThreatsAreHeld(t *testing.T) {
	rows := tableRows(t, "docs/threats.md", regexp.MustCompile(`^[A-F]\d+$`))
	var want []string
	for _, p := range threatCases {
		for n := range p.cases {
			want = append(want, p.part+strconv.Itoa(n+1))
		}
	}
	require.Equal(t, want, firsts(rows), "each case once, in order")
	held(t, rows)
}

// Each requirement of the verification standard that applies is answered likewise.
func TestRequirementsAreHeld(t *testing.T) {
	rows := tableRows(t, "docs/threats.md", regexp.MustCompile(`^\d+\.\d+\.\d+$`))
	require.Greater(t, len(rows), 50)
	held(t, rows)
}

func TestThreatsTableIsRead(t *testing.T) {
	known := testNames(t)
	for cell, want := range map[string]string{
		"`interlock.TestThreatsAreHeld`":                             "",
		"`interlock.TestThreatsAreHeld`, `fsm.FuzzParse`":            "",
		"`store/sqlite.TestConformance/last administrator`":          "",
		"accepted limit: the reason":                                 "",
		"accepted limit:":                                            "no reason",
		"by review":                                                  "neither",
		"`interlock.TestNobodyWrote`":                                "there is no interlock.TestNobodyWrote",
		"`fsm.TestThreatsAreHeld`":                                   "there is no fsm.TestThreatsAreHeld",
		"`store/sqlite.TestConformance/a subtest that nobody wrote`": "no subtest",
	} {
		got := ""
		if err := answered(cell, known); err != nil {
			got = err.Error()
		}
		if want == "" {
			require.Empty(t, got, cell)
		} else {
			require.Contains(t, got, want, cell)
		}
	}
}

// tableRows are the rows of all tables of a document whose first cell fits.
func tableRows(t *testing.T, file string, first *regexp.Regexp) [][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if first.MatchString(cells[0]) {
			require.Len(t, cells, 3, line)
			rows = append(rows, cells)
		}
	}
	return rows
}

func firsts(rows [][]string) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r[0])
	}
	return out
}

func held(t *testing.T, rows [][]string) {
	t.Helper()
	known := testNames(t)
	for _, r := range rows {
		require.NotEmpty(t, r[1], r[0])
		if err := answered(r[2], known); err != nil {
			t.Errorf("%s: %v", r[0], err)
		}
	}
}

var testReference = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz|Example)\\w*)(?:/([^`]+))?`")

// answered tells what is wrong with a row's last cell: it must name tests that
// are there, or say why nothing holds the case.
func answered(cell string, known map[string][]string) error {
	if reason, limit := strings.CutPrefix(cell, "accepted limit:"); limit {
		if strings.TrimSpace(reason) == "" {
			return fmt.Errorf("an accepted limit with no reason")
		}
		return nil
	}
	found := testReference.FindAllStringSubmatch(cell, -1)
	if len(found) == 0 {
		return fmt.Errorf("neither a test nor an accepted limit: %q", cell)
	}
	for _, f := range found {
		folder, name, sub := f[1], f[2], f[3]
		texts, ok := known[folder+"."+name]
		if !ok {
			return fmt.Errorf("there is no %s.%s", folder, name)
		}
		if sub != "" && !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, strconv.Quote(sub)) }) {
			return fmt.Errorf("%s.%s has no subtest %q", folder, name, sub)
		}
	}
	return nil
}

// testNames are the tests of the module, as "folder.Test"; the root is
// "interlock". The values are the sources in which subtests are named.
func testNames(t *testing.T) map[string][]string {
	t.Helper()
	sources := map[string][]string{} // by folder
	names := map[string][]string{}
	require.NoError(t, filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "testdata" || d.Name() == "bench" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		folder := path.Dir(filepath.ToSlash(file))
		if folder == "." {
			folder = "interlock"
		}
		sources[folder] = append(sources[folder], string(text))
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range tree.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				names[folder+"."+f.Name.Name] = nil
			}
		}
		return nil
	}))
	for name := range names {
		folder, _, _ := strings.Cut(name, ".")
		names[name] = slices.Concat(sources[folder], sources["store/storetest"])
	}
	return names
}
