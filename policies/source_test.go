package policies

import (
	"context"
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"loan/rules.rego":      loanRules,
		"loan/more.rego":       "package interlock.machine.loan\n\nmore if {\n\tdata.limits.total == 4\n\tdata.limits.deep.n == 9007199254740993\n\tnot data.limits.deep.n == 9007199254740992\n}\n",
		"loan/rules_test.rego": "package interlock.machine.loan\n\ndefault four_eyes := true\n", // never compiled with the rules
		"lib/mine.rego":        "package interlock.lib.mine\n\nx if data.limits.deep.n == 9007199254740993\n",
		"limits/data.json":     `{"total": 4}`,
		"limits/deep/data.yml": "n: 9007199254740993\n",
		".git/bad.rego":        "package bad",
		".hidden.rego":         "package bad",
		"README.md":            "no Rego",
		"other.json":           "no data",
	})
	machines := []*fsm.Machine{machine(t, loanMachine)}
	rules, err := Dir(dir, Timeout(patience)).Compile(context.Background(), machines)
	require.NoError(t, err)
	v, err := rules.Decide(context.Background(), &interlock.Query{Input: loanInput(), Checks: []string{"four_eyes"}, Grants: []string{"more"}})
	require.NoError(t, err)
	require.Equal(t, []string{"four_eyes"}, v.Passed)
	require.Equal(t, []string{"more"}, v.Granted)

	report, err := Test(context.Background(), Dir(dir), TestOptions{})
	require.ErrorIs(t, err, ErrNoTests)
	require.Empty(t, report.Results)
}

func TestDirRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string
	}{
		"no directory": {func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir)) }, "can't read the policies"},
		"a link to a file": {func(t *testing.T, dir string) {
			t.Helper()
			put(t, t.TempDir(), map[string]string{"x.rego": loanRules})
			require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(dir, "x.rego")))
		}, "x.rego: symbolic links are refused"},
		"a link to a directory": {func(t *testing.T, dir string) {
			t.Helper()
			require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(dir, "sub")))
		}, "sub: symbolic links are refused"},
		"a directory as rules": {func(t *testing.T, dir string) {
			t.Helper()
			put(t, dir, map[string]string{"x.rego/y.rego": "package bad\n"})
		}, "x.rego/y.rego:1:1: package bad is refused"},
		"a large file": {func(t *testing.T, dir string) {
			t.Helper()
			put(t, dir, map[string]string{"x.rego": strings.Repeat("# a comment\n", 1<<17)})
		}, "x.rego: a file has at most 1 MiB"},
		"a large source": {func(t *testing.T, dir string) {
			t.Helper()
			for i := range 9 {
				put(t, dir, map[string]string{string(rune('a'+i)) + "/data.json": `{"x": "` + strings.Repeat("y", 1<<20-20) + `"}`})
			}
		}, "a source has at most 8 MiB"},
		"too many files": {func(t *testing.T, dir string) {
			t.Helper()
			for i := range maxFiles + 1 {
				put(t, dir, map[string]string{"x" + strings.Repeat("i", i%100) + strings.Repeat("j", i/100) + ".rego": "package interlock.lib.x\n"})
			}
		}, "at most 1000 files"},
		"a deep directory": {func(t *testing.T, dir string) {
			t.Helper()
			put(t, dir, map[string]string{strings.Repeat("d/", maxDepth+1) + "x.rego": loanRules})
		}, "at most 16 deep"},
		"no UTF-8": {func(t *testing.T, dir string) {
			t.Helper()
			put(t, dir, map[string]string{"x.rego": "package interlock.lib.x\n# \xff\n"})
		}, "isn't valid UTF-8"},
		"no list as data": {func(t *testing.T, dir string) { put(t, dir, map[string]string{"data.json": "[1]"}) }, "one object"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "policies")
			require.NoError(t, os.Mkdir(dir, 0o755))
			tt.prepare(t, dir)
			_, err := Dir(dir).Compile(context.Background(), nil)
			var load *LoadError
			require.ErrorAs(t, err, &load)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

//go:embed testdata/loan
var embedded embed.FS

func TestFS(t *testing.T) {
	_, err := FS(embedded, "testdata/loan").Compile(context.Background(), []*fsm.Machine{machine(t, loanMachine)})
	require.NoError(t, err)
	_, err = FS(embedded, "testdata/nothing").Compile(context.Background(), nil)
	require.Error(t, err)
}

// RunTests makes subtests of the Rego tests of a directory.
func TestRunTests(t *testing.T) {
	RunTests(t, "testdata/loan", machine(t, loanMachine))
}

func TestLibraryFiles(t *testing.T) {
	files, err := fs.Glob(Library(), "*.rego")
	require.NoError(t, err)
	require.Contains(t, files, "four_eyes.rego")
}

func TestCompileEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Sources(map[string]string{"loan.rego": loanRules}).Compile(ctx, []*fsm.Machine{machine(t, loanMachine)})
	require.ErrorIs(t, err, context.Canceled)
}

// slow is a file system that keeps whoever opens a file until it is released.
type slow struct {
	fs.FS
	opened, release chan struct{}
}

func (s slow) Open(name string) (fs.File, error) {
	select {
	case s.opened <- struct{}{}:
	case <-s.release:
	}
	<-s.release
	return s.FS.Open(name)
}

// A compilation that was given up isn't joined by another.
func TestOneCompilationIsGivenUpAtMost(t *testing.T) {
	files := slow{fstest.MapFS{"loan.rego": {Data: []byte(loanRules)}}, make(chan struct{}), make(chan struct{})}
	source := FS(files, ".")
	compile := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := source.Compile(ctx, []*fsm.Machine{machine(t, loanMachine)})
		return err
	}
	ctx, giveUp := context.WithCancel(context.Background())
	go func() {
		<-files.opened
		giveUp()
	}()
	require.ErrorIs(t, compile(ctx), context.Canceled)
	require.ErrorContains(t, compile(context.Background()), "still runs")
	close(files.release)
	require.Eventually(t, func() bool { return compile(context.Background()) == nil }, patience, time.Millisecond)
}
