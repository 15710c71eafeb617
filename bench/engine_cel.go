package main

import (
	"context"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// celRules refuse where the expression is true, in the order of the other files.
var celRules = []struct{ code, message, refuses string }{
	{"open_case", "The case is frozen", `frozen`},
	{"own_region", "The case belongs to another region", `region != actor_region && !("director" in roles)`},
	{"within_limit", "The amount is above your limit", `event in ["approve", "pay"] && amount > limit`},
	{"trained", "You have not been trained for this", `!trained`},
	{"four_eyes", "Somebody else must approve what you submitted", `event == "approve" && person in submitted`},
	{"payer_is_another", "Somebody else must pay what you approved", `event == "pay" && person in approved`},
	{"risk_cleared", "A manager must handle cases of high risk", `risk > 80 && !("manager" in roles)`},
	{"director_signs", "A director must approve large loans",
		`machine == "loan" && event == "approve" && amount > 100000 && !("director" in roles)`},
	{"recent_expense", "The expense is older than 90 days", `machine == "expense" && event == "submit" && days > 90`},
	{"supplier_allowed", "The supplier is barred", `machine == "purchase" && supplier in ["acme", "globex", "initech"]`},
	{"legal_signed", "The legal department has not signed", `machine == "contract" && event == "approve" && !("legal" in tags)`},
	{"refund_explained", "A refund needs a note", `machine == "refund" && event == "approve" && note == ""`},
}

// celEngines evaluate one compiled program a rule, since CEL answers with one
// value: with the activation made before, and each time.
func celEngines(context.Context) ([]engine, error) {
	var opts []cel.EnvOption
	for typ, names := range map[*cel.Type][]string{
		cel.StringType:               {"machine", "event", "note", "region", "supplier", "person", "actor_region"},
		cel.IntType:                  {"amount", "risk", "days", "limit"},
		cel.BoolType:                 {"frozen", "trained"},
		cel.ListType(cel.StringType): {"tags", "submitted", "approved", "roles"},
	} {
		for _, name := range names {
			opts = append(opts, cel.Variable(name, typ))
		}
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, err
	}
	programs := make([]cel.Program, len(celRules))
	for i, rule := range celRules {
		ast, issues := env.Compile(rule.refuses)
		if issues.Err() != nil {
			return nil, fmt.Errorf("cel, %s: %w", rule.code, issues.Err())
		}
		if programs[i], err = env.Program(ast, cel.EvalOptions(cel.OptOptimize)); err != nil {
			return nil, fmt.Errorf("cel, %s: %w", rule.code, err)
		}
	}
	decide := func(vars cel.Activation) (verdict, error) {
		v := verdict{allowed: true}
		for i, p := range programs {
			out, _, err := p.Eval(vars)
			if err != nil {
				return verdict{}, fmt.Errorf("cel, %s: %w", celRules[i].code, err)
			}
			if out == types.True {
				v.allowed = false
				v.reasons = append(v.reasons, reason{celRules[i].code, celRules[i].message})
			}
		}
		return v, nil
	}
	return []engine{
		{name: celReady, prepare: func(r request) (func() (verdict, error), error) {
			vars, err := cel.NewActivation(r.vars())
			return func() (verdict, error) { return decide(vars) }, err
		}},
		{name: "cel-go, input made each time", prepare: func(r request) (func() (verdict, error), error) {
			return func() (verdict, error) {
				vars, err := cel.NewActivation(r.vars())
				if err != nil {
					return verdict{}, err
				}
				return decide(vars)
			}, nil
		}},
	}, nil
}

func (r *request) vars() map[string]any {
	return map[string]any{"machine": r.machine, "event": r.event, "note": r.note, "region": r.region, "supplier": r.supplier,
		"person": r.actor.person, "actor_region": r.actor.region, "amount": r.amount, "risk": r.risk, "days": r.days, "limit": r.actor.limit,
		"frozen": r.frozen, "trained": r.actor.trained, "tags": r.tags, "submitted": r.submitted, "approved": r.approved, "roles": r.actor.roles}
}
