package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stream turns "action test [store]" lines into the events of one package.
func stream(name string, lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		f := strings.Fields(line)
		switch {
		case f[0] == "attr":
			fmt.Fprintf(&b, `{"Action":"attr","Package":%q,"Test":%q,"Key":"store","Value":%q}`+"\n", name, f[1], f[2])
		case f[0] == "output":
			fmt.Fprintf(&b, `{"Action":"output","Package":%q,"Test":%q,"Output":%q}`+"\n", name, f[1], strings.Join(f[2:], " ")+"\n")
		case len(f) == 1:
			fmt.Fprintf(&b, `{"Action":%q,"Package":%q}`+"\n", f[0], name)
		default:
			fmt.Fprintf(&b, `{"Action":%q,"Package":%q,"Test":%q}`+"\n", f[0], name, f[1])
		}
	}
	return b.String()
}

func TestTally(t *testing.T) {
	for _, c := range []struct {
		name   string
		stream string
		stores []string
		says   []string
		err    string
	}{
		{
			"a test with subtests is not counted beside them",
			stream("x/a", "run T", "run T/one", "run T/two", "pass T/one", "pass T/two", "pass T", "pass"),
			nil, []string{"ok    x/a  2 tests", "2 passed, 0 failed, 0 skipped"}, "",
		},
		{
			"a slash in a subtest's own name",
			stream("x/a", "run T", "attr T postgres", "run T/GET_/loans/7", "pass T/GET_/loans/7", "pass T", "pass"),
			[]string{"postgres"}, []string{"postgres: 1 tests", "1 passed, 0 failed, 0 skipped"}, "",
		},
		{
			"what a test was given counts for the tests inside it",
			stream("x/a", "run T", "attr T postgres", "run T/one", "run T/two", "attr T/two redis", "pass T/one", "pass T/two", "pass T", "pass"),
			[]string{"postgres", "redis"}, []string{"postgres: 2 tests, redis: 1 tests"}, "",
		},
		{
			"a subtest named for a store counts for that store only",
			stream("x/a", "run T", "attr T postgres", "attr T redis", "run T/sqlite", "run T/sqlite/x", "run T/postgres", "pass T/sqlite/x", "pass T/sqlite", "pass T/postgres", "pass T", "pass"),
			[]string{"sqlite", "postgres"}, []string{"sqlite: 1 tests, postgres: 1 tests"}, "",
		},
		{
			"the claim of a name is no PostgreSQL",
			stream("x/a", "run TestPostgres", "run TestPostgres/postgres", "pass TestPostgres/postgres", "pass TestPostgres", "pass"),
			[]string{"postgres"}, []string{"postgres: 0 tests"}, "no test ran against postgres",
		},
		{
			"SQLite by package, by name and by part of a name",
			stream("x/store/sqlite", "run TestX", "pass TestX", "pass") + stream("x/y", "run TestSQLiteFile", "pass TestSQLiteFile", "run TestReplay", "run TestReplay/on_sqlite", "pass TestReplay/on_sqlite", "pass TestReplay", "run TestOther", "pass TestOther", "pass"),
			[]string{"sqlite"}, []string{"sqlite: 3 tests", "4 passed"}, "",
		},
		{
			"a failure shows its output once, and its parent isn't a second one",
			stream("x/a", "run T", "run T/one", "output T/one want 1", "fail T/one", "output T --- FAIL", "fail T", "fail"),
			nil, []string{"want 1", "FAIL  x/a T/one\n", "FAIL  x/a  1 of 1 tests", "0 passed, 1 failed, 0 skipped"}, "1 failed",
		},
		{
			"a test that fails after its subtests passed",
			stream("x/a", "run T", "run T/one", "pass T/one", "output T leak", "fail T", "fail"),
			nil, []string{"leak", "1 passed, 1 failed, 0 skipped"}, "1 failed",
		},
		{
			"a skipped test fails the run",
			stream("x/a", "run T", "output T no server here", "skip T", "run U", "pass U", "pass"),
			nil, []string{"SKIP  x/a T", "no server here", "1 passed, 0 failed, 1 skipped"}, "1 skipped",
		},
		{
			"a package that does not build",
			`{"ImportPath":"x/a [x/a.test]","Action":"build-output","Output":"a.go:1: oops\n"}` + "\n" +
				`{"Action":"fail","Package":"x/a","FailedBuild":"x/a [x/a.test]"}` + "\n",
			nil, []string{"a.go:1: oops", "FAIL  x/a", "0 passed, 1 failed"}, "1 failed",
		},
		{
			"a process that ends under a test",
			stream("x/a", "run T", "output T panic: boom", "fail"),
			nil, []string{"panic: boom", "0 passed, 1 failed"}, "1 failed",
		},
		{
			"a command that ends under a package",
			stream("x/a", "run T"),
			nil, []string{"0 passed, 1 failed"}, "1 failed",
		},
		{"no test at all", stream("x/a", "skip"), nil, []string{"0 passed, 0 failed, 0 skipped"}, "no test ran"},
		{"words that are no events", "go: cannot find main module\n", nil, []string{"go: cannot find main module"}, "no test ran"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			tally := newTally(&out)
			for line := range strings.Lines(c.stream) {
				tally.line([]byte(line))
			}
			err := tally.report(c.stores)
			for _, say := range c.says {
				require.Equal(t, 1, strings.Count(out.String(), say), "%q in\n%s", say, out.String())
			}
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
		})
	}
}

func TestRunFailsWithItsCommand(t *testing.T) {
	var out, errs bytes.Buffer
	good := stream("x/a", "run T", "pass T", "pass")
	require.NoError(t, run([]string{"printf", "%s", good}, nil, &out, &errs))
	require.True(t, strings.HasSuffix(out.String(), "\n1 passed, 0 failed, 0 skipped\n"), out.String())
	err := run([]string{"sh", "-c", `printf '%s' "$0"; echo oops >&2; exit 1`, good}, nil, &out, &errs)
	require.ErrorContains(t, err, "exit status 1")
	require.Contains(t, errs.String(), "oops")
	require.ErrorContains(t, run(nil, nil, &out, &errs), "give the command")
}

func TestWords(t *testing.T) {
	require.Equal(t, []string{"test", "sqlite", "file"}, words("TestSQLiteFile"))
	require.Contains(t, words("on_sqlite#01"), "sqlite")
	require.NotContains(t, words("TestSqlitelike"), "sqlite")
}
