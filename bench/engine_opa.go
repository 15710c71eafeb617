package main

import (
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// opaEngines are the ways in which programs use OPA as a library.
func opaEngines(ctx context.Context) ([]engine, error) {
	compiler, err := deskCompiler()
	if err != nil {
		return nil, err
	}
	prepared := map[string]rego.PreparedEvalQuery{}
	for _, m := range deskMachines {
		if prepared[m], err = rego.New(rego.Query(denyOf(m)), rego.Compiler(compiler)).PrepareForEval(ctx); err != nil {
			return nil, err
		}
	}
	by := func(name string, input func(doc map[string]any) ([]rego.EvalOption, error)) engine {
		return engine{name: name, prepare: func(r request) (func() (verdict, error), error) {
			doc, err := document(r.input())
			if err != nil {
				return nil, err
			}
			opts, err := input(doc)
			if err != nil {
				return nil, err
			}
			query := prepared[r.machine]
			return func() (verdict, error) { return denials(query.Eval(ctx, opts...)) }, nil
		}}
	}
	return []engine{
		by(opaParsed, func(doc map[string]any) ([]rego.EvalOption, error) {
			v, err := ast.InterfaceToValue(doc)
			return []rego.EvalOption{rego.EvalParsedInput(v)}, err
		}),
		by("OPA, prepared, Go input", func(doc map[string]any) ([]rego.EvalOption, error) {
			return []rego.EvalOption{rego.EvalInput(doc)}, nil
		}),
		{name: "OPA, rego.New each time", prepare: func(r request) (func() (verdict, error), error) {
			doc, err := document(r.input())
			return func() (verdict, error) {
				return denials(rego.New(rego.Query(denyOf(r.machine)), rego.Compiler(compiler), rego.Input(doc)).Eval(ctx))
			}, err
		}},
	}, nil
}

func denyOf(machine string) string { return "data.interlock.machine." + machine + ".deny" }

// deskCompiler compiles the denials of all machines by OPA's own means.
func deskCompiler() (*ast.Compiler, error) {
	modules := map[string]*ast.Module{}
	for _, m := range deskMachines {
		text, err := deskFile("deny.rego", m)
		if err != nil {
			return nil, err
		}
		if modules[m+".rego"], err = ast.ParseModule(m+".rego", text); err != nil {
			return nil, err
		}
	}
	c := ast.NewCompiler()
	if c.Compile(modules); c.Failed() {
		return nil, c.Errors
	}
	return c, nil
}

// denials reads the set that OPA answers with.
func denials(rs rego.ResultSet, err error) (verdict, error) {
	if err != nil {
		return verdict{}, err
	}
	if len(rs) != 1 || len(rs[0].Expressions) != 1 {
		return verdict{}, fmt.Errorf("OPA gave %d results", len(rs))
	}
	set, ok := rs[0].Expressions[0].Value.([]any)
	if !ok {
		return verdict{}, fmt.Errorf("OPA gave a %T", rs[0].Expressions[0].Value)
	}
	v := verdict{allowed: len(set) == 0}
	for _, one := range set {
		o, ok := one.(map[string]any)
		if !ok {
			return verdict{}, fmt.Errorf("OPA gave a reason that is a %T", one)
		}
		code, _ := o["code"].(string)
		message, _ := o["message"].(string)
		v.reasons = append(v.reasons, reason{code, message})
	}
	return v, nil
}
