package compiled_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/policies/compiled"
)

// pair is a query prepared for both evaluators.
type pair struct {
	topdown, compiled rego.PreparedEvalQuery
}

// comparison counts what was compared.
type comparison struct {
	policies, rejected, notPlanned, handedOver int
	compared, values, undefined, failing       int
	broken                                     int // topdown fails by a fault of its own
	passedBy                                   int // with an error in what topdown doesn't come to evaluate
}

func (c *comparison) String() string {
	return fmt.Sprintf("policies %d (no Rego: %d, not planned: %d, handed over: %d), evaluations compared %d: with a value %d, undefined %d, with an error %d, with one that topdown passes by %d, with a fault of topdown %d",
		c.policies, c.rejected, c.notPlanned, c.handedOver, c.compared, c.values, c.undefined, c.failing, c.passedBy, c.broken)
}

// inputsOfEach is how many inputs each policy gets, more in a long run.
var inputsOfEach = 8

// try compares one random policy on random inputs, and gives the first difference.
func (c *comparison) try(ctx context.Context, s *source) error {
	c.policies++
	p := generate(s)
	compiler, err := ast.CompileModulesWithOpt(p.modules, ast.CompileOpts{})
	if err != nil {
		c.rejected++
		return nil //nolint:nilerr // the grammar makes modules that aren't well typed
	}
	if compiled.Planned(compiler) != nil {
		c.handedOver++
		return nil
	}
	base := map[string]any{"base": fields(s)}
	documents, err := compiled.FromGo(base)
	if err != nil {
		return err
	}
	query := p.queries[s.n(len(p.queries))]
	strict := s.chance(3)
	options := func(more ...func(*rego.Rego)) []func(*rego.Rego) {
		return append(more, rego.Compiler(compiler), rego.Query(query), rego.StrictBuiltinErrors(strict),
			rego.Store(inmem.NewFromObject(base)))
	}
	var both pair
	if both.topdown, err = rego.New(options()...).PrepareForEval(ctx); err != nil {
		c.rejected++
		return nil //nolint:nilerr // as above
	}
	if both.compiled, err = rego.New(options(rego.Target(compiled.Target))...).PrepareForEval(ctx); err != nil {
		if errors.Is(err, compiled.ErrNotCompiled) {
			c.handedOver++
		} else {
			c.notPlanned++
		}
		return nil //nolint:nilerr // topdown evaluates it
	}
	ctx = compiled.WithData(ctx, documents)
	for range inputsOfEach {
		input := ast.MustInterfaceToValue(fields(s))
		if err := c.compare(ctx, both, input, strict); err != nil {
			return fmt.Errorf("%w\nquery: %s\nstrict: %v\ninput: %v\ndata: %v\n%s\n%s", err, query, strict, input,
				ast.MustInterfaceToValue(base), p.modules["lib.rego"], p.modules["test.rego"])
		}
	}
	return nil
}

func (c *comparison) compare(ctx context.Context, both pair, input ast.Value, strict bool) error {
	c.compared++
	want, wantErr := both.topdown.Eval(ctx, rego.EvalParsedInput(input))
	got, err := both.compiled.Eval(ctx, rego.EvalParsedInput(input))
	switch {
	case errors.Is(err, compiled.ErrNotCompiled):
		c.handedOver++
	case err != nil && wantErr != nil:
		c.failing++
	case err != nil && passedBy(err, strict):
		c.passedBy++
	case err != nil:
		return fmt.Errorf("topdown has %v, compiled the error %w", show(want), err)
	case broken(wantErr):
		c.broken++
	case wantErr != nil:
		return fmt.Errorf("topdown has the error %w, compiled %v", wantErr, show(got))
	case !reflect.DeepEqual(bound(want), bound(got)):
		return fmt.Errorf("topdown has %s, compiled %s", show(want), show(got))
	case len(got) == 0:
		c.undefined++
	default:
		c.values++
	}
	return nil
}

// passedBy tells whether topdown may have a value where there is this error: it
// leaves out rules that its index or the key that is asked for exclude, and the
// errors of built-in functions and conflicts in them. No other error may differ.
func passedBy(err error, strict bool) bool {
	var e *topdown.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == topdown.ConflictErr || strict && (e.Code == topdown.BuiltinErr || e.Code == topdown.TypeErr)
}

// broken tells whether topdown says that it failed by itself.
func broken(err error) bool {
	var e *topdown.Error
	return errors.As(err, &e) && e.Code == topdown.InternalErr
}

// bound is what a result says: the values of the query's expressions and variables.
func bound(rs rego.ResultSet) []any {
	var all []any
	for _, r := range rs {
		for _, e := range r.Expressions {
			all = append(all, e.Value)
		}
		if len(r.Bindings) > 0 {
			all = append(all, map[string]any(r.Bindings))
		}
	}
	return all
}

func show(rs rego.ResultSet) string { return fmt.Sprintf("%#v", bound(rs)) }

// The number of evaluations that TestDifferential compares and the seed that it
// starts from: COMPILED_COMPARE=1000000 COMPILED_SEED=7 go test -run TestDifferential
const compareEnv, seedEnv = "COMPILED_COMPARE", "COMPILED_SEED"

func TestDifferential(t *testing.T) {
	most, seed := number(t, compareEnv, 1500), number(t, seedEnv, 1)
	if most >= 1e5 {
		inputsOfEach = 100
	}
	var c comparison
	start, told := time.Now(), time.Now()
	for c.compared < most {
		if err := c.try(t.Context(), seeded(uint64(seed))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		seed++
		if time.Since(told) > time.Minute {
			told = time.Now()
			t.Logf("%v: %v", time.Since(start).Round(time.Second), &c)
		}
	}
	t.Log(&c)
	require.Greater(t, c.values, most/4, "too few evaluations have a value to say much")
	require.Positive(t, c.failing)
	require.Less(t, c.passedBy, c.compared/10)
}

func number(t *testing.T, env string, otherwise int) int {
	t.Helper()
	text, ok := os.LookupEnv(env)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, env)
	return n
}

func FuzzPolicies(f *testing.F) {
	for seed := range 8 {
		choices := make([]byte, 400)
		s := seeded(uint64(seed))
		for i := range choices {
			choices[i] = byte(s.n(256))
		}
		f.Add(choices)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		var c comparison
		if err := c.try(t.Context(), &source{bytes: choices}); err != nil {
			t.Fatal(err)
		}
	})
}
