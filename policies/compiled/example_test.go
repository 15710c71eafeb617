package compiled_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/interlock-go/interlock/policies/compiled"
)

const loan = `package loan

deny contains {"code": "limit", "message": "above your limit"} if input.amount > input.actor.limit

deny contains {"code": "role", "message": "not a clerk"} if not "clerk" in input.actor.roles
`

// One program serves any number of goroutines, each with a machine of its own.
func Example() {
	ctx := context.Background()
	policy, err := compiled.Plan(ctx, rego.Query("deny = data.loan.deny"), rego.Module("loan.rego", loan))
	if err != nil {
		fmt.Println(err)
		return
	}
	program, err := compiled.Compile(policy, compiled.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}

	m := program.Machine()
	defer m.Release()
	b := m.Builder()
	actor := b.Object(
		compiled.Field{Name: "limit", Value: b.Int(1000)},
		compiled.Field{Name: "roles", Value: b.Strings([]string{"auditor"})},
	)
	for _, amount := range []int64{900, 1100} {
		results, err := m.Eval(ctx, compiled.Query{Input: b.Object(
			compiled.Field{Name: "amount", Value: b.Int(amount)},
			compiled.Field{Name: "actor", Value: actor},
		)})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, reason := range compiled.All(compiled.Get(results[0], "deny")) {
			code, _ := compiled.Text(compiled.Get(reason, "code"))
			message, _ := compiled.Text(compiled.Get(reason, "message"))
			fmt.Println(amount, code, "–", message)
		}
	}
	// Output:
	// 900 role – not a clerk
	// 1100 limit – above your limit
	// 1100 role – not a clerk
}

// Anything that runs on rego runs on this, too; what isn't compiled is for topdown.
func ExampleRegister() {
	compiled.Register()
	ctx := context.Background()
	policy := []func(*rego.Rego){rego.Query("data.loan.deny"), rego.Module("loan.rego", loan)}
	query, err := rego.New(append(policy, rego.Target(compiled.Target))...).PrepareForEval(ctx)
	if errors.Is(err, compiled.ErrNotCompiled) {
		query, err = rego.New(policy...).PrepareForEval(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	input := ast.MustParseTerm(`{"amount": 1, "actor": {"limit": 5, "roles": []}}`)
	results, err := query.Eval(ctx, rego.EvalParsedInput(input.Value))
	fmt.Println(results[0].Expressions[0].Value, err)
	// Output: [map[code:role message:not a clerk]] <nil>
}
