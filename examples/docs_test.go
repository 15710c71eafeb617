package examples_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
)

// blocks are the files of a page: code whose first line is a comment with the file's name.
func blocks(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	files := map[string]string{}
	for _, found := range regexp.MustCompile("(?s)```(?:yaml|rego)\n(# (\\S+)\n.*?)```").FindAllStringSubmatch(string(text), -1) {
		files[found[2]] = found[1]
	}
	return files
}

// What the page for authors shows is one machine with its policy and tests, and clean.
func TestTheAuthorsPageIsRight(t *testing.T) {
	rego := blocks(t, "../docs/writing.md")
	require.Len(t, rego, 3)
	vacation, err := fsm.Parse("vacation.yaml", []byte(rego["vacation.yaml"]))
	require.NoError(t, err)
	require.Empty(t, vacation.Findings())
	delete(rego, "vacation.yaml")
	report, err := policies.Check(t.Context(), policies.Sources(rego), []*fsm.Machine{vacation})
	require.NoError(t, err)
	require.Empty(t, report.Errors)
	require.Empty(t, report.Findings)
	tests, err := policies.Test(t.Context(), policies.Sources(rego), policies.TestOptions{})
	require.NoError(t, err)
	require.Len(t, tests.Results, 2)
	for _, result := range tests.Results {
		require.True(t, result.Pass, result.Name)
	}
}
