package fsm_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares with a file, or writes it under -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "golden file %s (go test -update writes it anew)", path)
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	return paths
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	source, err := os.ReadFile(path)
	require.NoError(t, err)
	return source
}

// load is a good fixture.
func load(t testing.TB, name string) *fsm.Machine {
	t.Helper()
	m, err := fsm.Load(filepath.Join("testdata", "good", name+".yaml"))
	require.NoError(t, err)
	return m
}

// parse compiles lines that must be right.
func parse(t testing.TB, lines ...string) *fsm.Machine {
	t.Helper()
	m, err := fsm.Parse("test.yaml", []byte(strings.Join(lines, "\n")))
	require.NoError(t, err)
	return m
}

// refusal is the error of lines that must be wrong.
func refusal(t testing.TB, lines ...string) *fsm.LoadError {
	t.Helper()
	m, err := fsm.Parse("test.yaml", []byte(strings.Join(lines, "\n")))
	require.Error(t, err)
	require.Nil(t, m)
	var refused *fsm.LoadError
	require.ErrorAs(t, err, &refused)
	return refused
}

// Every malformed file has its sentence, with line, column, line and caret.
func TestBadFiles(t *testing.T) {
	for _, path := range files(t, "testdata/bad/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			m, err := fsm.Parse(filepath.Base(path), read(t, path))
			require.Error(t, err)
			require.Nil(t, m)
			var refused *fsm.LoadError
			require.ErrorAs(t, err, &refused)
			checkFindings(t, refused.Findings, fsm.Error)
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", []byte(err.Error()+"\n"))
		})
	}
}

// checkFindings holds for whatever is said about a definition.
func checkFindings(t *testing.T, findings []fsm.Finding, severity fsm.Severity) {
	t.Helper()
	require.NotEmpty(t, findings)
	last := fsm.Position{}
	for _, f := range findings {
		require.Equal(t, severity, f.Severity)
		require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, f.Code)
		require.NotEmpty(t, f.Message)
		require.NotContains(t, f.Message, "\n")
		require.False(t, strings.HasSuffix(f.Message, "."), "a sentence here ends without a full stop: %s", f.Message)
		if f.Code == "more_errors" {
			continue
		}
		require.Positive(t, f.Line)
		require.Positive(t, f.Column)
		require.False(t, f.Line < last.Line || f.Line == last.Line && f.Column < last.Column, "sorted by position")
		require.Contains(t, f.Excerpt, "^")
		last = f.Position
	}
}

// What good files warn of is kept beside them.
func TestFindings(t *testing.T) {
	for _, path := range files(t, "testdata/findings/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			m, err := fsm.Parse(filepath.Base(path), read(t, path))
			require.NoError(t, err)
			checkFindings(t, m.Findings(), fsm.Warning)
			var text bytes.Buffer
			for _, f := range m.Findings() {
				text.WriteString(f.Code + " " + f.String() + "\n")
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", text.Bytes())
		})
	}
}

func TestGoodFilesHaveNoFindings(t *testing.T) {
	for _, path := range files(t, "testdata/good/*.yaml") {
		m, err := fsm.Load(path)
		require.NoError(t, err)
		require.Empty(t, m.Findings(), path)
	}
}
