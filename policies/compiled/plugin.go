package compiled

import (
	"context"
	"fmt"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
)

// Target is the name for rego.Target, once Register has been called.
const Target = "compiled"

// Register makes rego.Target(Target) evaluate by this package. A query with a
// policy that isn't compiled fails to prepare with a NotCompiledError: prepare
// it without the target then.
//
// A target knows nothing of the store: unless data is empty give it by WithData.
func Register() { registerOnce() }

var registerOnce = sync.OnceFunc(func() { rego.RegisterPlugin(Target, target{}) })

type target struct{}

func (target) IsTarget(name string) bool { return name == Target }

func (target) PrepareForEval(ctx context.Context, policy *ir.Policy, options ...rego.PrepareOption) (rego.TargetPluginEval, error) {
	if keep, ok := ctx.Value(keepPlan{}).(*ir.Policy); ok {
		*keep = *policy
		return &prepared{}, nil
	}
	var config rego.PrepareConfig
	for _, o := range options {
		o(&config)
	}
	program, err := Compile(policy, Options{Builtins: config.BuiltinFuncs()})
	if err != nil {
		return nil, err
	}
	return &prepared{program}, nil
}

type prepared struct{ program *Program }

// Eval implements rego.TargetPluginEval.
func (p *prepared) Eval(ctx context.Context, e *rego.EvalContext, runtime ast.Value) (ast.Value, error) {
	m := p.program.Machine()
	defer m.Release()
	in, err := ownInput(m.Builder(), e)
	if err != nil {
		return nil, err
	}
	q := Query{
		Input: in, Runtime: runtime,
		StrictBuiltinErrors: e.StrictBuiltinErrors(), Cancel: e.ExternalCancel(),
		Time: e.Time(), Seed: e.Seed(), Metrics: e.Metrics(), PrintHook: e.PrintHook(),
		Capabilities: e.Capabilities(), NDBuiltinCache: e.NDBCache(),
		InterQueryBuiltinCache: e.InterQueryBuiltinCache(), InterQueryBuiltinValueCache: e.InterQueryBuiltinValueCache(),
	}
	if d, ok := ctx.Value(dataKey{}).(Value); ok {
		q.Data = d
	}
	results, err := m.Eval(ctx, q)
	if err != nil {
		return nil, err
	}
	return ast.NewSet(terms(results)...), nil
}

func ownInput(b *Builder, e *rego.EvalContext) (Value, error) {
	if parsed := e.ParsedInput(); parsed != nil {
		return b.AST(parsed), nil
	}
	if raw := e.RawInput(); raw != nil {
		return b.Go(*raw)
	}
	return nil, nil
}

type (
	dataKey  struct{}
	keepPlan struct{}
)

// WithData gives the base documents to evaluations with the context by rego.Target(Target).
func WithData(ctx context.Context, data Value) context.Context {
	return context.WithValue(ctx, dataKey{}, data)
}

// ReadData reads all of a store's documents.
func ReadData(ctx context.Context, store storage.Store, txn storage.Transaction) (Value, error) {
	root, err := store.Read(ctx, txn, storage.RootPath)
	if err != nil {
		return nil, fmt.Errorf("compiled: %w", err)
	}
	if v, ok := root.(ast.Value); ok {
		return FromAST(v), nil
	}
	return FromGo(root)
}

// Plan is what OPA's planner makes of a query: what Compile takes. The options
// are those of rego.New, without a target. A compiler among them (rego.Compiler) has
// its mode set: give a copy where others read it.
func Plan(ctx context.Context, options ...func(*rego.Rego)) (*ir.Policy, error) {
	Register()
	var policy ir.Policy
	ctx = context.WithValue(ctx, keepPlan{}, &policy)
	if _, err := rego.New(append(options[:len(options):len(options)], rego.Target(Target))...).PrepareForEval(ctx); err != nil {
		return nil, fmt.Errorf("compiled: %w", err)
	}
	return &policy, nil
}
