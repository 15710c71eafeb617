package main

import (
	"context"
	"slices"

	"github.com/casbin/casbin/v3"
	"github.com/casbin/casbin/v3/model"
)

// casbinModel refuses where any of the rules, which are its policy, is true.
const casbinModel = `
[request_definition]
r = case
[policy_definition]
p = rule, eft
[policy_effect]
e = !some(where (p.eft == deny))
[matchers]
m = eval(p.rule)
`

// casbinRules are in the order of the other files.
var casbinRules = []string{
	`r.case.Frozen`,
	`r.case.Region != r.case.ActorRegion && !has(r.case.Roles, 'director')`,
	`(r.case.Event == 'approve' || r.case.Event == 'pay') && r.case.Amount > r.case.Limit`,
	`!r.case.Trained`,
	`r.case.Event == 'approve' && has(r.case.Submitted, r.case.Person)`,
	`r.case.Event == 'pay' && has(r.case.Approved, r.case.Person)`,
	`r.case.Risk > 80 && !has(r.case.Roles, 'manager')`,
	`r.case.Machine == 'loan' && r.case.Event == 'approve' && r.case.Amount > 100000 && !has(r.case.Roles, 'director')`,
	`r.case.Machine == 'expense' && r.case.Event == 'submit' && r.case.Days > 90`,
	`r.case.Machine == 'purchase' && (r.case.Supplier == 'acme' || r.case.Supplier == 'globex' || r.case.Supplier == 'initech')`,
	`r.case.Machine == 'contract' && r.case.Event == 'approve' && !has(r.case.Tags, 'legal')`,
	`r.case.Machine == 'refund' && r.case.Event == 'approve' && r.case.Note == ''`,
}

// casbinCase is a request as Casbin's expressions read it.
type casbinCase struct {
	Machine, Event, Note, Region, Supplier, Person, ActorRegion string
	Amount, Risk, Days, Limit                                   float64
	Frozen, Trained                                             bool
	Tags, Submitted, Approved, Roles                            []string
}

// casbinEngines say yes or no; Casbin explains a refusal by one rule, never by all.
func casbinEngines(context.Context) ([]engine, error) {
	m, err := model.NewModelFromString(casbinModel)
	if err != nil {
		return nil, err
	}
	e, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, err
	}
	e.AddFunction("has", func(args ...any) (any, error) {
		list, _ := args[0].([]string)
		one, _ := args[1].(string)
		return slices.Contains(list, one), nil
	})
	for _, rule := range casbinRules {
		if _, err := e.AddPolicy(rule, "deny"); err != nil {
			return nil, err
		}
	}
	return []engine{{name: "casbin, yes or no only", yesOnly: true, prepare: func(r request) (func() (verdict, error), error) {
		asked := casbinCase{r.machine, r.event, r.note, r.region, r.supplier, r.actor.person, r.actor.region,
			float64(r.amount), float64(r.risk), float64(r.days), float64(r.actor.limit), r.frozen, r.actor.trained,
			r.tags, r.submitted, r.approved, r.actor.roles}
		return func() (verdict, error) {
			yes, err := e.Enforce(asked)
			return verdict{allowed: yes}, err
		}, nil
	}}}, nil
}
