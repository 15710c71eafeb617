package examples_test

import (
	"io/fs"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/examples"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
)

// machines loads the machines of an example.
func machines(t *testing.T, example string) (list []*fsm.Machine) {
	t.Helper()
	for _, pattern := range []string{example + "/*.yaml", example + "/machines/*.yaml"} {
		names, err := fs.Glob(examples.Files(), pattern)
		require.NoError(t, err)
		for _, name := range names {
			source, err := fs.ReadFile(examples.Files(), name)
			require.NoError(t, err)
			m, err := fsm.Parse(name, source)
			require.NoError(t, err)
			list = append(list, m)
		}
	}
	require.NotEmpty(t, list)
	return list
}

// Each example's machines load without a finding, and so do its policies against them.
func TestDefinitionsAreClean(t *testing.T) {
	for example, want := range map[string]int{"account": 1, "loan": 1, "moderation": 5, "permit": 1} {
		t.Run(example, func(t *testing.T) {
			list := machines(t, example)
			require.Len(t, list, want)
			for _, m := range list {
				require.Empty(t, m.Findings(), m.Name())
			}
			report, err := policies.Check(t.Context(), policies.FS(examples.Files(), path.Join(example, "policies")), list)
			require.NoError(t, err)
			require.Empty(t, report.Errors)
			require.Empty(t, report.Findings)
		})
	}
}

// The Rego tests of each example pass and reach every line.
func TestPolicies(t *testing.T) {
	for _, example := range []string{"account", "loan", "moderation", "permit"} {
		t.Run(example, func(t *testing.T) {
			policies.RunTests(t, path.Join(example, "policies"), machines(t, example)...)
			report, err := policies.Test(t.Context(), policies.Dir(path.Join(example, "policies")), policies.TestOptions{Coverage: true})
			require.NoError(t, err)
			require.NotEmpty(t, report.Coverage)
			for file, percent := range report.Coverage {
				require.InDelta(t, 100, percent, 0.01, file)
			}
		})
	}
}
