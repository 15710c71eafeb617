package policies

import (
	"context"
	"io/fs"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/stretchr/testify/require"
)

const loanTests = `package interlock.machine.loan_test

import data.interlock.machine.loan

test_the_verifier_does_not_approve if {
	not loan.four_eyes with input as {"instance": {"entered": {"verified": ["a"]}}, "actor": {"person": "a"}}
}

test_wrong if {
	print("who:", "b")
	loan.four_eyes with input as {"instance": {"entered": {"verified": ["b"]}}, "actor": {"person": "b"}}
}

test_cases[name] if {
	some name, limit in {"enough": 5, "not enough": 1}
	loan.within_limit with input as {"instance": {"facts": {"amount": 3}}, "actor": {"attrs": {"limit": limit}}}
}
`

func TestRegoTests(t *testing.T) {
	report, err := Test(context.Background(), Sources(map[string]string{"loan.rego": loanRules, "loan_test.rego": loanTests}), TestOptions{Coverage: true})
	require.NoError(t, err)
	require.Len(t, report.Results, 3)
	require.Equal(t, "test_the_verifier_does_not_approve", report.Results[0].Name)
	require.True(t, report.Results[0].Pass)
	require.Equal(t, "loan_test.rego", report.Results[1].File)
	require.False(t, report.Results[1].Pass)
	require.Contains(t, report.Results[1].Output, "who: b")
	require.Contains(t, report.Results[1].Output, "failed at loan_test.rego:11")
	require.False(t, report.Results[2].Pass, "one of the cases fails")
	require.Contains(t, report.Results[2].Output, "not enough")
	require.InDelta(t, 50.0, report.Coverage["loan.rego"], 0.1)
	require.Len(t, report.Coverage, 1)
	require.Len(t, report.Failed(), 2)

	report, err = Test(context.Background(), Sources(map[string]string{"loan.rego": loanRules, "loan_test.rego": loanTests}), TestOptions{Run: "verifier"})
	require.NoError(t, err)
	require.Len(t, report.Results, 1)
}

func TestAgree(t *testing.T) {
	require.NoError(t, agree(ast.Boolean(true), ast.Boolean(true)))
	require.ErrorContains(t, agree(ast.Boolean(true), ast.Boolean(false)), "true with it, false without")
	require.Error(t, agree(ast.Boolean(true), nil))
	require.Error(t, agree(nil, nil))
}

func TestRegoTestsRefuse(t *testing.T) {
	_, err := Test(context.Background(), Sources(map[string]string{"loan.rego": loanRules}), TestOptions{})
	require.ErrorIs(t, err, ErrNoTests)
	_, err = Test(context.Background(), Sources(map[string]string{"loan.rego": loanRules, "x_test.rego": "package loan_test\n\ntest_x := true\n"}), TestOptions{})
	require.ErrorContains(t, err, "x_test.rego:1:1: package loan_test is refused")
	_, err = Test(context.Background(), Sources(map[string]string{"loan.rego": loanRules, "x_test.rego": "package interlock.machine.loan_test\n\ntest_x if http.send({})\n"}), TestOptions{})
	require.ErrorContains(t, err, "http.send is not available")
	_, err = Test(context.Background(), Sources(map[string]string{"loan.rego": loanRules, "x_test.rego": "package interlock.machine.loan_test\n\ntest_x if true\n"}), TestOptions{Run: "xyz"})
	require.ErrorContains(t, err, `none of 1 tests matches "xyz"`)
	require.NotErrorIs(t, err, ErrNoTests)
	report, err := Test(context.Background(), Sources(map[string]string{"loan.rego": loanRules, "x_test.rego": "package interlock.machine.loan_test\n\ntodo_test_x if true\n"}), TestOptions{})
	require.NoError(t, err)
	require.Len(t, report.Failed(), 1)
}

// The library that comes with the gate, and its tests.
func TestLibrary(t *testing.T) {
	ds := &diagnostics{texts: map[string]string{}}
	ms := parse(nil, capabilities(), ds)
	s := &suite{tests: map[string]bool{}, opts: TestOptions{Coverage: true}}
	for _, list := range ms.libs {
		s.rules = append(s.rules, list...)
	}
	tests := library(true)
	for file := range tests {
		if !strings.HasSuffix(file, "_test.rego") {
			require.Contains(t, tests, strings.TrimSuffix(file, ".rego")+"_test.rego", "a test beside every file")
			delete(tests, file)
		}
	}
	s.add(tests, ds)
	require.NoError(t, ds.err())
	report, err := s.run(context.Background(), ds)
	require.NoError(t, err)
	for _, r := range report.Results {
		t.Run(strings.TrimPrefix(r.File, libraryPrefix)+"/"+r.Name, func(t *testing.T) { require.True(t, r.Pass, r.Output) })
	}
}

// Each library compiles strictly, is formatted, and says what it is.
func TestLibraryStyle(t *testing.T) {
	files, err := fs.Glob(libraryFiles, "lib/*.rego")
	require.NoError(t, err)
	for _, file := range files {
		text, err := libraryFiles.ReadFile(file)
		require.NoError(t, err)
		formatted, err := format.SourceWithOpts(file, text, format.Opts{RegoVersion: ast.RegoV1})
		require.NoError(t, err, file)
		require.Equal(t, string(formatted), string(text), "%s: opa fmt", file)
	}
	ds := &diagnostics{texts: map[string]string{}}
	ms := parse(nil, capabilities(), ds)
	for name, list := range ms.libs {
		m := list[0].parsed
		require.True(t, hasTitle(m.Annotations), "%s: the package has a title", name)
		for _, r := range m.Rules {
			if !strings.HasPrefix(string(r.Head.Name), "_") && !r.Default {
				require.True(t, len(r.Annotations) > 0 && r.Annotations[0].Title != "" || sameName(m.Rules, r), "%s: %s has a title", name, r.Head.Name)
			}
		}
		compileModules(ms.libsOf(name), nil, capabilities(), ds)
	}
	require.NoError(t, ds.err())
}

func hasTitle(list []*ast.Annotations) bool {
	for _, a := range list {
		if a.Scope == "package" && a.Title != "" {
			return true
		}
	}
	return false
}

func sameName(rules []*ast.Rule, r *ast.Rule) bool {
	for _, o := range rules {
		if o.Head.Name == r.Head.Name && len(o.Annotations) > 0 && o.Annotations[0].Title != "" {
			return true
		}
	}
	return false
}
