package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/interlock-go/interlock/fsm"
)

// ErrNoTests is what [Test] returns when there is none: a suite that was lost must not pass.
var ErrNoTests = errors.New("no tests found: want rules test_… in files *_test.rego")

// TestOptions is what [Test] can do beside running the tests. Its zero value runs all.
type TestOptions struct {
	Run      string        // a regular expression over package and name, as in data.interlock.machine.loan_test.test_x; "" is all
	Timeout  time.Duration // of one test; 0 is 5 s
	Coverage bool          // measure it
}

// TestReport is what became of the Rego tests, sorted by file and line.
type TestReport struct {
	Results  []TestResult       `json:"results"`
	Coverage map[string]float64 `json:"coverage,omitempty"` // percent of lines, by file of rules
}

// TestResult is one test, run with the rule index and without it.
type TestResult struct {
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Package  string        `json:"package"`
	Name     string        `json:"name"`
	Pass     bool          `json:"pass"`
	Output   string        `json:"output,omitempty"` // what it printed, and why it failed
	Duration time.Duration `json:"duration_ns"`
}

// Failed are the tests that didn't pass.
func (r TestReport) Failed() []TestResult {
	return slices.DeleteFunc(slices.Clone(r.Results), func(t TestResult) bool { return t.Pass })
}

// Test runs the tests of *_test.rego as `opa test` does, and each once more with
// the rule index off: an answer that changes with it is a failure. The error is
// a *[LoadError], [ErrNoTests], one of its own where opts.Run matches none of the
// tests that there are, or the context's; tests that fail are in the report.
func Test(ctx context.Context, source *Source, opts TestOptions) (TestReport, error) {
	ds := &diagnostics{texts: map[string]string{}}
	in := source.read(ctx, ds)
	if err := cmp.Or(ctx.Err(), ds.err()); err != nil {
		return TestReport{}, err
	}
	s := &suite{opts: opts, data: in.data, tests: map[string]bool{}}
	ms := parse(in.rules, capabilities(), ds)
	s.rules = slices.Concat(slices.Concat(slices.Collect(maps.Values(ms.machines))...), slices.Concat(slices.Collect(maps.Values(ms.libs))...))
	s.add(in.tests, ds)
	if err := ds.err(); err != nil {
		return TestReport{}, err
	}
	return s.run(ctx, ds)
}

// RunTests runs the Rego tests of a directory as subtests, by file and name.
// With machines, the rules must compile against them, too.
func RunTests(t *testing.T, dir string, machines ...*fsm.Machine) {
	t.Helper()
	source := Dir(dir)
	if len(machines) > 0 {
		if _, err := source.Compile(t.Context(), machines); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Test(t.Context(), source, TestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		t.Run(r.File+"/"+r.Name, func(t *testing.T) {
			if !r.Pass {
				t.Errorf("%s:%d: %s.%s failed\n%s", r.File, r.Line, r.Package, r.Name, r.Output)
			}
		})
	}
}

// suite is rules with their tests.
type suite struct {
	opts  TestOptions
	rules []*module
	tests map[string]bool // files of tests
	extra []*module
	data  map[string]any
}

func (s *suite) add(texts map[string]string, ds *diagnostics) {
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		m := parseOne(file, texts[file], capabilities(), ds)
		if m == nil {
			continue
		}
		if _, _, ok := place(m.parsed.Package.Path); !ok {
			ds.at(m.parsed.Package.Location, "package_not_allowed", "package %s is refused: tests live in interlock.machine.<machine>_test or interlock.lib.<name>_test", pkgName(m.parsed.Package.Path))
		}
		s.tests[file] = true
		s.extra = append(s.extra, m)
	}
}

func (s *suite) run(ctx context.Context, ds *diagnostics) (TestReport, error) {
	var report TestReport
	results, compiler, coverage, err := s.pass(ctx, false)
	if err != nil {
		ds.opa("", err)
		return report, cmp.Or(ctx.Err(), ds.err())
	}
	if len(results) == 0 {
		if n := s.count(); n > 0 {
			return report, fmt.Errorf("none of %d tests matches %q: want a regular expression over names like data.interlock.machine.loan_test.test_x", n, s.opts.Run)
		}
		return report, ErrNoTests
	}
	report.Coverage = coverage
	reasons := map[string]string{}
	if slices.ContainsFunc(results, func(r *tester.Result) bool { return !r.Pass() }) {
		traced, _, _, err := s.pass(ctx, true)
		if err != nil {
			return report, err
		}
		for _, r := range traced {
			reasons[r.Package+"."+r.Name] = s.lastFailure(r.Trace)
		}
	}
	for _, r := range results {
		out := TestResult{File: r.Location.File, Line: r.Location.Row, Package: strings.TrimPrefix(r.Package, "data."), Name: r.Name, Pass: r.Pass(), Output: string(r.Output), Duration: r.Duration}
		switch {
		case r.Skip:
			out.Output += "marked as yet to do (todo_test_): finish or remove it\n"
		case r.Error != nil:
			out.Output += r.Error.Error() + "\n"
		case r.Fail:
			out.Output += r.SubResults.String() + reasons[r.Package+"."+r.Name]
		default:
			if err := s.sameWithoutIndex(ctx, compiler, r); err != nil {
				out.Pass = false
				out.Output += err.Error() + "\n"
			}
		}
		report.Results = append(report.Results, out)
	}
	slices.SortFunc(report.Results, func(a, b TestResult) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Name, b.Name))
	})
	return report, ctx.Err()
}

// count is how many tests there are, whichever of them are to run.
func (s *suite) count() int {
	n := 0
	for _, m := range s.extra {
		for _, r := range m.parsed.Rules {
			if name := ruleName(r); strings.HasPrefix(name, tester.TestPrefix) || strings.HasPrefix(name, tester.SkipTestPrefix) {
				n++
			}
		}
	}
	return n
}

// lastFailure says which expression of the test failed last, and before it which
// of the rules.
func (s *suite) lastFailure(trace []*topdown.Event) string {
	var inTest, inRule *topdown.Event
	for _, e := range trace {
		switch {
		case e.Op != topdown.FailOp || e.Location == nil || e.Location.File == "":
		case s.tests[e.Location.File]:
			inTest = e
		default:
			inRule = e
		}
	}
	var b strings.Builder
	for _, e := range []*topdown.Event{inTest, inRule} {
		if e != nil {
			fmt.Fprintf(&b, "failed at %s:%d: %s\n", e.Location.File, e.Location.Row, e.Location.Text)
			for _, value := range locals(e) {
				b.WriteString("\t" + value + "\n")
			}
		}
	}
	return b.String()
}

// locals are the variables of the event's rule as they were written.
func locals(e *topdown.Event) []string {
	var out []string
	if e.Locals == nil {
		return nil
	}
	e.Locals.Iter(func(k, v ast.Value) bool {
		if name, ok := k.(ast.Var); ok {
			if meta, ok := e.LocalMetadata[name]; ok && !meta.Name.IsWildcard() && !meta.Name.IsGenerated() {
				out = append(out, fmt.Sprintf("%s = %v", meta.Name, v))
			}
		}
		return false
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// pass compiles and runs all tests once.
func (s *suite) pass(ctx context.Context, trace bool) ([]*tester.Result, *ast.Compiler, map[string]float64, error) {
	modules := map[string]*ast.Module{}
	for _, m := range slices.Concat(s.rules, s.extra) {
		modules[m.file] = m.parsed
	}
	compiler := ast.NewCompiler().WithCapabilities(capabilities()).WithEnablePrintStatements(true).SetErrorLimit(0)
	store, txn, err := s.store(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	defer store.Abort(ctx, txn)
	runner := tester.NewRunner().SetCompiler(compiler).SetStore(store).SetModules(modules).
		CapturePrintOutput(true).EnableTracing(trace).Filter(s.opts.Run).SetTimeout(s.timeout()).SetParallel(1)
	coverage := cover.New()
	if s.opts.Coverage && !trace {
		runner = runner.SetCoverageQueryTracer(coverage)
	}
	ch, err := runner.RunTests(ctx, txn)
	if err != nil {
		return nil, nil, nil, err
	}
	var results []*tester.Result
	for r := range ch {
		results = append(results, r)
	}
	if !s.opts.Coverage {
		return results, compiler, nil, nil
	}
	percent := map[string]float64{}
	for file, f := range coverage.Report(modules).Files {
		if !s.tests[file] && !strings.HasPrefix(file, libraryPrefix) {
			percent[file] = f.Coverage
		}
	}
	return results, compiler, percent, nil
}

func (s *suite) timeout() time.Duration { return cmp.Or(s.opts.Timeout, 5*time.Second) }

func (s *suite) store(ctx context.Context) (storage.Store, storage.Transaction, error) {
	store := inmem.NewFromObjectWithOpts(s.data, inmem.OptReturnASTValuesOnRead(true))
	txn, err := store.NewTransaction(ctx)
	return store, txn, err
}

// sameWithoutIndex evaluates a test that passed with the rule index and without it.
func (s *suite) sameWithoutIndex(ctx context.Context, compiler *ast.Compiler, r *tester.Result) error {
	body, err := ast.ParseBodyWithOpts("answer = "+r.Package+"."+r.Name, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return err
	}
	qc := compiler.QueryCompiler()
	if body, err = qc.Compile(body); err != nil {
		return err
	}
	store, txn, err := s.store(ctx)
	if err != nil {
		return err
	}
	defer store.Abort(ctx, txn)
	value := func(indexing bool) (ast.Value, error) {
		cancel := topdown.NewCancel()
		timer := time.AfterFunc(s.timeout(), cancel.Cancel)
		defer timer.Stop()
		var got ast.Value
		err := topdown.NewQuery(body).WithQueryCompiler(qc).WithCompiler(compiler).WithStore(store).WithTransaction(txn).
			WithCancel(cancel).WithIndexing(indexing).Iter(ctx, func(q topdown.QueryResult) error {
			got = q[answer].Value
			return nil
		})
		return got, err
	}
	with, err := value(true)
	if err != nil {
		return err
	}
	without, err := value(false)
	if err != nil {
		return fmt.Errorf("without the rule index: %w", err)
	}
	return agree(with, without)
}

func agree(with, without ast.Value) error {
	if with == nil || without == nil || ast.Compare(with, without) != 0 {
		return fmt.Errorf("the answer depends on the rule index: %v with it, %v without", with, without)
	}
	return nil
}
