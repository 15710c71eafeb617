package compiled

import "github.com/open-policy-agent/opa/v1/ast"

// Planned tells whether OPA's planner plans everything that topdown evaluates
// in the compiler's rules; a *NotCompiledError says what it doesn't. It passes
// over an expression that is nothing but a comprehension, or a collection with
// one inside: nobody asks for its value, but an error in it is an error to topdown.
//
// A plan alone doesn't show that, so that neither Compile nor rego.Target knows.
// Ask where such errors matter.
func Planned(c *ast.Compiler) error {
	var found error
	look := func(x any) bool {
		e, ok := x.(*ast.Expr)
		if !ok {
			return found != nil
		}
		t, ok := e.Terms.(*ast.Term)
		if ok && found == nil && passedOver(t) {
			not := &NotCompiledError{Construct: "a comprehension whose value nobody asks for"}
			if e.Location != nil {
				not.Location = place(e.Location)
			}
			found = not
		}
		return found != nil
	}
	for _, m := range c.Modules {
		ast.NewGenericVisitor(look).Walk(m)
	}
	return found
}

func passedOver(t *ast.Term) bool {
	switch t.Value.(type) {
	case ast.Var, ast.Ref, ast.Boolean:
		return false
	}
	has := false
	ast.NewGenericVisitor(func(x any) bool {
		switch x.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			has = true
		}
		return has
	}).Walk(t)
	return has
}
