package main

import (
	"context"
	"fmt"

	"github.com/cedar-policy/cedar-go"
)

// cedarEngines are Cedar's forbid policies, with the entities made before, and each time.
func cedarEngines(context.Context) ([]engine, error) {
	text, err := desk.ReadFile("desk/desk.cedar")
	if err != nil {
		return nil, err
	}
	policies, err := cedar.NewPolicySetFromBytes("desk.cedar", text)
	if err != nil {
		return nil, err
	}
	reasons := map[cedar.PolicyID]reason{}
	for id, p := range policies.All() {
		a := p.Annotations()
		reasons[id] = reason{string(a["id"]), string(a["message"])}
	}
	decide := func(entities cedar.EntityMap, r cedar.Request) (verdict, error) {
		decision, why := cedar.Authorize(policies, entities, r)
		if len(why.Errors) > 0 {
			return verdict{}, fmt.Errorf("cedar: %v", why.Errors)
		}
		v := verdict{allowed: bool(decision)}
		if !v.allowed {
			for _, one := range why.Reasons {
				v.reasons = append(v.reasons, reasons[one.PolicyID])
			}
		}
		return v, nil
	}
	return []engine{
		{name: cedarReady, prepare: func(r request) (func() (verdict, error), error) {
			entities, asked := r.cedar()
			return func() (verdict, error) { return decide(entities, asked) }, nil
		}},
		{name: "cedar-go, input made each time", prepare: func(r request) (func() (verdict, error), error) {
			return func() (verdict, error) { return decide(r.cedar()) }, nil
		}},
	}, nil
}

func (r *request) cedar() (cedar.EntityMap, cedar.Request) {
	who := cedar.NewEntityUID("User", cedar.String(r.actor.person))
	what := cedar.NewEntityUID(cedar.EntityType(r.machine), "case-1")
	entities := cedar.EntityMap{
		who: {UID: who, Attributes: cedar.NewRecord(cedar.RecordMap{
			"person": cedar.String(r.actor.person), "region": cedar.String(r.actor.region), "limit": cedar.Long(r.actor.limit),
			"trained": cedar.Boolean(r.actor.trained), "roles": cedarSet(r.actor.roles)})},
		what: {UID: what, Attributes: cedar.NewRecord(cedar.RecordMap{
			"amount": cedar.Long(r.amount), "risk": cedar.Long(r.risk), "days": cedar.Long(r.days), "region": cedar.String(r.region),
			"supplier": cedar.String(r.supplier), "frozen": cedar.Boolean(r.frozen), "tags": cedarSet(r.tags),
			"submitted": cedarSet(r.submitted), "approved": cedarSet(r.approved)})},
	}
	return entities, cedar.Request{Principal: who, Action: cedar.NewEntityUID("Action", cedar.String(r.event)), Resource: what,
		Context: cedar.NewRecord(cedar.RecordMap{"note": cedar.String(r.note)})}
}

func cedarSet(list []string) cedar.Set {
	values := make([]cedar.Value, len(list))
	for i, s := range list {
		values[i] = cedar.String(s)
	}
	return cedar.NewSet(values...)
}
