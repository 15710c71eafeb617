package compiled_test

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/test/cases"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
	"github.com/open-policy-agent/opa/v1/util"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

// Of OPA's own conformance cases, how many are handed over to topdown at most.
// It may only shrink.
const mostHandedOver = 34

// One case sleeps, to see that time doesn't go on within an evaluation.
func init() {
	compiled.Register() // rego evaluates by topdown for a target that it doesn't know
	rego.RegisterBuiltin1(&rego.Function{
		Name: "test.sleep", Decl: types.NewFunction(types.Args(types.S), types.NewNull()),
	}, func(_ rego.BuiltinContext, op *ast.Term) (*ast.Term, error) {
		d, err := time.ParseDuration(string(op.Value.(ast.String)))
		time.Sleep(d)
		return ast.NullTerm(), err
	})
}

// tally is what became of the cases.
type tally struct {
	run, compiled int
	handedOver    map[string][]string // construct → cases
	failed        []string
}

func TestConformance(t *testing.T) {
	root := conformanceCases(t)
	total := tally{handedOver: map[string][]string{}}
	for _, version := range []string{"v0", "v1"} {
		set, err := cases.Load(filepath.Join(root, version))
		require.NoError(t, err)
		for _, c := range set.Sorted().Cases {
			total.run++
			name := version + " " + c.Note
			t.Run(name, func(t *testing.T) { total.try(t, name, version, c) })
		}
	}
	over := 0
	for _, construct := range slices.Sorted(maps.Keys(total.handedOver)) {
		over += len(total.handedOver[construct])
		t.Logf("handed over: %d × %s", len(total.handedOver[construct]), construct)
		for _, name := range total.handedOver[construct] {
			t.Logf("    %s", name)
		}
	}
	t.Logf("cases run: %d, compiled: %d, handed over: %d, failed: %d", total.run, total.compiled, over, len(total.failed))
	require.Greater(t, total.run, 2000, "OPA's cases weren't found")
	require.Equal(t, total.run, total.compiled+over)
	require.LessOrEqual(t, over, mostHandedOver)
	require.Empty(t, strings.Join(total.failed, "\n"))
}

// conformanceCases is where the module cache has OPA's cases.
func conformanceCases(t *testing.T) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/open-policy-agent/opa").Output()
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(string(dir)), "v1", "test", "cases", "testdata")
}

func (all *tally) try(t *testing.T, name, version string, c cases.TestCase) {
	t.Helper()
	for k, v := range c.Env {
		t.Setenv(k, v)
	}
	q, err := prepare(t, version, c, rego.Target(compiled.Target))
	if construct := handedOver(err); construct != "" {
		all.handedOver[construct] = append(all.handedOver[construct], name)
		return
	}
	require.NoError(t, err)
	all.compiled++
	if problem := judge(c, evaluate(t, q, c)); problem != "" {
		all.failed = append(all.failed, name+": "+problem)
	}
}

// handedOver names what isn't compiled, or that the planner doesn't plan.
func handedOver(err error) string {
	var not *compiled.NotCompiledError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &not):
		return not.Construct
	default:
		return "not planned: " + err.Error()
	}
}

func prepare(t *testing.T, version string, c cases.TestCase, options ...func(*rego.Rego)) (*rego.PreparedEvalQuery, error) {
	t.Helper()
	parsing := ast.ParserOptions{RegoVersion: ast.RegoV1}
	if version == "v0" {
		parsing.RegoVersion = ast.RegoV0
	}
	if c.ExperimentalKeywords {
		parsing.Capabilities = ast.CapabilitiesForThisVersion(ast.CapabilitiesExperimentalKeywords(true))
	}
	modules := map[string]string{}
	for i, module := range c.Modules {
		modules[fmt.Sprintf("test-%d.rego", i)] = module
	}
	compiler := ast.MustCompileModulesWithOpts(modules, ast.CompileOpts{ParserOptions: parsing})
	q, err := rego.New(append(options,
		rego.Compiler(compiler), rego.ParsedQuery(ast.MustParseBody(c.Query)),
		rego.StrictBuiltinErrors(c.StrictError), rego.SetRegoVersion(parsing.RegoVersion),
	)...).PrepareForEval(t.Context())
	return &q, err
}

type outcome struct {
	results rego.ResultSet
	err     error
}

func evaluate(t *testing.T, q *rego.PreparedEvalQuery, c cases.TestCase) outcome {
	t.Helper()
	ctx := t.Context()
	if c.Data != nil {
		documents, err := compiled.FromGo(*c.Data)
		require.NoError(t, err)
		ctx = compiled.WithData(ctx, documents)
	}
	var options []rego.EvalOption
	switch {
	case c.InputTerm != nil:
		options = append(options, rego.EvalParsedInput(ast.MustParseTerm(*c.InputTerm).Value))
	case c.Input != nil:
		options = append(options, rego.EvalParsedInput(ast.MustInterfaceToValue(*c.Input)))
	}
	results, err := q.Eval(ctx, options...)
	return outcome{results, err}
}

// judge says what is wrong with an outcome, as topdown's own test does.
func judge(c cases.TestCase, got outcome) string {
	switch {
	case c.WantError != nil && (got.err == nil || !strings.Contains(got.err.Error(), *c.WantError)):
		return fmt.Sprintf("want error %q, got %v and %v", *c.WantError, got.err, got.results)
	case c.WantErrorCode != nil:
		var e *topdown.Error
		if !errors.As(got.err, &e) || e.Code != *c.WantErrorCode {
			return fmt.Sprintf("want error code %q, got %v and %v", *c.WantErrorCode, got.err, got.results)
		}
	case c.WantError == nil && got.err != nil:
		return fmt.Sprintf("unexpected error: %v", got.err)
	}
	if c.WantResult == nil || got.err != nil { // rego gives no results besides an error
		return ""
	}
	want, have := ast.NewSet(), ast.NewSet()
	for _, b := range *c.WantResult {
		want.Add(bindings(b))
	}
	for _, r := range got.results {
		for name, v := range r.Bindings {
			if c.IgnoreGeneratedVars && strings.HasPrefix(name, "__localq") {
				delete(r.Bindings, name)
			} else if items, ok := v.([]any); ok && c.SortBindings {
				slices.SortFunc(items, util.Compare)
			}
		}
		have.Add(bindings(r.Bindings))
	}
	if want.Compare(have) != 0 {
		return fmt.Sprintf("want %v, got %v", want, have)
	}
	return ""
}

func bindings(all map[string]any) *ast.Term {
	o := ast.NewObject()
	for name, v := range all {
		o.Insert(ast.StringTerm(name), ast.NewTerm(ast.MustInterfaceToValue(v)))
	}
	return ast.NewTerm(o)
}
