package fsm_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

const tiny = "machine: m\ninitial: a\nstates: {a: {final: true}}\nevents: {}\n"

func TestLoadSaysWhichFileIsMissing(t *testing.T) {
	_, err := fsm.Load("testdata/nowhere.yaml")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "nowhere.yaml")
	_, err = fsm.Load("testdata")
	require.ErrorContains(t, err, "not a regular file")
	_, err = fsm.LoadDir("testdata/nowhere")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// What an editor adds on some systems changes nothing.
func TestByteOrderMarkAndLineEndings(t *testing.T) {
	plain := parse(t, tiny)
	for _, source := range []string{"\ufeff" + tiny, strings.ReplaceAll(tiny, "\n", "\r\n"), "---\n" + tiny, tiny + "# end"} {
		m, err := fsm.Parse("test.yaml", []byte(source))
		require.NoError(t, err, "%q", source)
		require.Equal(t, plain.Revision(), m.Revision())
	}
}

func TestSizeLimit(t *testing.T) {
	fill := func(size int) []byte {
		return []byte(tiny + "#" + strings.Repeat("x", size-len(tiny)-1))
	}
	_, err := fsm.Parse("test.yaml", fill(fsm.MaxSize))
	require.NoError(t, err)
	_, err = fsm.Parse("test.yaml", fill(fsm.MaxSize+1))
	require.ErrorContains(t, err, "larger than 1 MiB")

	path := filepath.Join(t.TempDir(), "large.yaml")
	require.NoError(t, os.WriteFile(path, fill(3*fsm.MaxSize), 0o600))
	_, err = fsm.Load(path)
	require.ErrorContains(t, err, "larger than 1 MiB")
}

// A definition that aliases and long forms blow up beyond the limit could not
// be read back from what is stored of it.
func TestSizeLimitOfTheWrittenOutDefinition(t *testing.T) {
	var b strings.Builder
	b.WriteString("machine: m\ninitial: a\nx-long: &long " + strings.Repeat("x", 1000) + "\nstates: {a: {final: true}}\nx-list: [")
	b.WriteString(strings.Repeat("*long, ", 2000) + "]\nevents: {}\n")
	require.ErrorContains(t, refusal(t, b.String()), "written out is larger than 1 MiB")
}

func TestLoadDir(t *testing.T) {
	dir := t.TempDir()
	write := func(name, source string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(source), 0o600))
	}
	_, err := fsm.LoadDir(dir)
	require.ErrorContains(t, err, "no machine is here")

	write("b.yaml", strings.Replace(tiny, "machine: m", "machine: b", 1))
	write("a.yml", strings.Replace(tiny, "machine: m", "machine: a", 1))
	write(".hidden.yaml", "nonsense")
	write("notes.txt", "nonsense")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o700))
	machines, err := fsm.LoadDir(dir)
	require.NoError(t, err)
	require.Len(t, machines, 2)
	require.Equal(t, "a", machines[0].Name())
	require.Equal(t, "b", machines[1].Name())

	write("c.yaml", strings.Replace(tiny, "machine: m", "machine: B", 1))
	write("d.yaml", strings.Replace(tiny, "initial: a", "initial: b", 1))
	write("e.yaml", strings.Replace(tiny, "machine: m", "machina: m", 1))
	_, err = fsm.LoadDir(dir)
	var refused *fsm.LoadError
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, `c.yaml:1:10: the machine "B" has the identifier "b", as has the one in `)
	require.ErrorContains(t, err, filepath.Join(dir, "d.yaml")+":2:10: ", "the path as people know it")
	require.ErrorContains(t, err, "e.yaml:1:1: ")
	require.Equal(t, "same_slug", refused.Findings[0].Code)
}

func TestLoadFS(t *testing.T) {
	file := func(source string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(source)} }
	all := fstest.MapFS{
		"machines/b.yaml":        file(strings.Replace(tiny, "machine: m", "machine: b", 1)),
		"machines/a.yml":         file(strings.Replace(tiny, "machine: m", "machine: a", 1)),
		"machines/.hidden.yaml":  file("nonsense"),
		"machines/deeper/c.yaml": file("nonsense"),
		"broken/c.yaml":          file("machine: m\ninitial: b\nstates: {a: }\nevents: {}\n"),
		"broken/d.yaml":          {Mode: fs.ModeNamedPipe},
		"empty/notes.txt":        file("nonsense"),
	}
	machines, err := fsm.LoadFS(all, "machines")
	require.NoError(t, err)
	require.Len(t, machines, 2)
	require.Equal(t, "a", machines[0].Name())
	require.Equal(t, "b", machines[1].Name())

	_, err = fsm.LoadFS(all, "broken")
	require.ErrorContains(t, err, "broken/c.yaml:2:10: ")
	require.ErrorContains(t, err, "broken/d.yaml is not a regular file")
	_, err = fsm.LoadFS(all, "empty")
	require.ErrorContains(t, err, "no machine is here")
	_, err = fsm.LoadFS(all, "nowhere")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "nowhere")
	_, err = fsm.LoadFS(all, ".")
	require.ErrorContains(t, err, "no machine is here")
}

// The text of an error is enough to find and mend it.
func TestErrorTextHasLineAndCaret(t *testing.T) {
	err := refusal(t, "machine: m", "initial: a", "states: {a: , b: }", "events:", "  go: {from: a, to: c}")
	require.Equal(t, strings.Join([]string{
		`test.yaml:5:21: the state "c" is not declared; the machine has a and b`,
		`   5 |   go: {from: a, to: c}`,
		`     |                     ^`,
	}, "\n"), err.Error())
	require.Equal(t, fsm.Position{File: "test.yaml", Line: 5, Column: 21}, err.Findings[0].Position)
}

// Hostile files end in an error, in bounded time and depth.
func TestHostileYAML(t *testing.T) {
	const size = fsm.MaxSize / 4 // enough to show quadratic time
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	inside := func(open, s, end string) string { return open + strings.Repeat(s, size/len(s)-8) + end }
	for name, source := range map[string]string{
		"brackets": fill("["), "braces": fill("{a: "), "dashes": fill("- "), "question marks": fill("? "), "anchors": fill("&a "),
		"long map": fill("a: b\n"), "empty values": fill("a:\n"), "empty entries": fill("-\n"), "list": fill("- a\n"),
		"tabs before comments": fill("\t\t\t#\n"), "tabs and a word": inside("", "\t", "a"),
		"keys without values": inside("{", "a,", "}"), "values without keys": inside("a: {", "[b:c],", "}"), "nothing in brackets": inside("[", "a: ,", "]"),
		"aliases": fill("*a\n"), "documents": fill("---\n"), "tabs": fill("\t"), "comments": fill("#\n"), "lines in quotes": inside(`a: "`, "x\n ", `"`),
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEmpty(t, refusal(t, source).Findings)
		})
	}
}

func TestTooLargeMachines(t *testing.T) {
	var states, events strings.Builder
	names := make([]string, 2500)
	for i := range names {
		names[i] = "s" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		states.WriteString("  " + names[i] + ": {}\n")
		events.WriteString("  " + names[i] + ": {from: " + names[i] + ", to: saaa, requires: [r]}\n")
	}
	source := "machine: m\ninitial: saaa\nstates:\n" + states.String() + "events:\n"
	require.ErrorContains(t, refusal(t, source+events.String()), "more than a machine may have")
	many := "  go: {from: {any: true}, to: [" + strings.Join(names[:100], ", ") + "], requires: [r]}\n"
	require.ErrorContains(t, refusal(t, source+many), "more than 200000 transitions")
}
