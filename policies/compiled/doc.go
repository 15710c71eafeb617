// Package compiled evaluates Rego as Go closures. It takes the plan that OPA's
// own planner makes of a query and compiles each statement once, so that an
// evaluation walks no tree, unifies nothing and, its machine being pooled,
// allocates next to nothing.
//
//	policy, err := compiled.Plan(ctx, rego.Query("x = data.loan.deny"), rego.Module("loan.rego", module))
//	program, err := compiled.Compile(policy, compiled.Options{})
//	…
//	m := program.Machine() // for each goroutine; from a pool
//	defer m.Release()
//	b := m.Builder()
//	results, err := m.Eval(ctx, compiled.Query{Input: b.Object(compiled.Field{"role", b.String("clerk")})})
//
// It knows OPA and nothing else. The promise is that of topdown, OPA's usual
// evaluator: the same value, or an error where topdown has one. Compile refuses
// what it doesn't keep that promise for with a NotCompiledError, the whole
// policy at once; an evaluation that ends in an error, too, is better asked of
// topdown again, which may know a way past it (its rule index leaves out rules
// that can't hold before their errors come up). OPA's conformance cases and
// random policies are compared in this package's tests.
//
// Values that come from OPA's or JSON are converted, which costs more than most
// evaluations: a Builder makes input, and functions like Get, Text and All read
// results, without a conversion. rego.Target(Target) is the convenient face.
package compiled
