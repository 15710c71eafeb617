package compiled_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

// written are policies that people wrote, with their tests: folders of this repository.
var written = []string{
	"../lib", "../testdata/loan",
	"../../examples/account/policies", "../../examples/loan/policies", "../../examples/moderation/policies", "../../examples/permit/policies",
}

// modulesOf are the modules of a folder, and those of the library that they may need.
func modulesOf(t *testing.T, folder string) map[string]*ast.Module {
	t.Helper()
	out := map[string]*ast.Module{}
	for _, dir := range slices.Compact([]string{"../lib", folder}) {
		files, err := filepath.Glob(filepath.Join(dir, "*.rego"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			out[file], err = ast.ParseModuleWithOpts(file, string(text), ast.ParserOptions{ProcessAnnotation: true})
			require.NoError(t, err)
		}
	}
	return out
}

// Both evaluators answer alike: every test of the policies, and every rule for
// random input that is made of the words in the policy.
func TestWrittenPolicies(t *testing.T) {
	tests, asked := 0, 0
	for _, folder := range written {
		modules := modulesOf(t, folder)
		compiler := ast.NewCompiler()
		compiler.Compile(modules)
		require.False(t, compiler.Failed(), "%v", compiler.Errors)
		for file, m := range modules {
			if filepath.Dir(file) != filepath.Clean(folder) && !strings.HasPrefix(file, folder) {
				continue
			}
			for _, name := range rulesOf(m) {
				query := m.Package.Path.String() + "." + name
				options := []func(*rego.Rego){rego.Compiler(compiler), rego.Query("x = " + query), rego.StrictBuiltinErrors(true)}
				both := pair{topdown: prepared(t, options), compiled: prepared(t, append(options, rego.Target(compiled.Target)))}
				var c comparison
				inputs := 40
				if strings.HasPrefix(name, "test_") {
					inputs = 1
					tests++
				}
				s := seeded(uint64(len(query)))
				words := vocabulary(m)
				for range inputs {
					input := ast.MustInterfaceToValue(gateInput(s, words))
					require.NoError(t, c.compare(t.Context(), both, input, true), "%s: %s with %v", file, query, input)
				}
				asked += c.compared
			}
		}
	}
	t.Logf("tests of policies: %d, evaluations compared: %d", tests, asked)
	require.Greater(t, tests, 50)
}

// rulesOf are the names that may be asked for: no functions.
func rulesOf(m *ast.Module) []string {
	var names []string
	for _, r := range m.Rules {
		name := r.Head.Ref()[0].String()
		if len(r.Head.Args) == 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// vocabulary are the strings and names that a policy speaks of.
func vocabulary(m *ast.Module) []string {
	words := []string{"", "erin", "evan"}
	ast.WalkTerms(m, func(t *ast.Term) bool {
		if s, ok := t.Value.(ast.String); ok {
			words = append(words, string(s))
		}
		return false
	})
	return words
}

// gateInput is input of the shape that the gate gives, with fields missing or
// of another type now and then.
func gateInput(s *source, words []string) map[string]any {
	scalar := func() any {
		if s.chance(7) {
			return s.one(words...)
		}
		return document(s, 1)
	}
	list := func() any {
		all := []any{}
		for range s.n(4) {
			all = append(all, scalar())
		}
		return all
	}
	object := func(of func() any) any {
		all := map[string]any{}
		for range 2 + s.n(8) {
			all[s.one(words...)] = of()
		}
		return all
	}
	in := map[string]any{}
	set := func(o map[string]any, name string, v any) {
		if s.chance(9) {
			o[name] = v
		}
	}
	instance, actor := map[string]any{}, map[string]any{}
	set(instance, "facts", object(scalar))
	set(instance, "entered", object(list))
	set(instance, "did", object(list))
	set(instance, "created_by", scalar())
	set(actor, "person", scalar())
	set(actor, "roles", list())
	set(actor, "attrs", object(scalar))
	set(in, "event", scalar())
	set(in, "transition", map[string]any{"from": scalar(), "to": scalar(), "override": s.chance(2)})
	set(in, "instance", instance)
	set(in, "actor", actor)
	set(in, "input", object(scalar))
	set(in, "note", scalar())
	set(in, "now", map[string]any{"ns": 1780000000000000000 + s.n(1<<30)})
	return in
}
