package compiled

import (
	"errors"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// native is a built-in function on our own values. Its operands are defined.
// Where it says false OPA's own function is called instead: for operands of
// unlike types, for errors, for anything that isn't plain.
type native func(m *Machine, args []Value) (Value, bool)

// bridge calls one of OPA's built-in functions.
type bridge struct {
	name             string
	fn               topdown.BuiltinFunc
	relation, void   bool
	nondeterministic bool
}

func (c *compiler) bridge(stmt *ir.CallStmt) (*bridge, error) {
	name := stmt.Func
	if b, ok := c.bridges[name]; ok {
		return b, nil
	}
	b := &bridge{name: name}
	if custom, ok := c.options.Builtins[name]; ok {
		b.fn = custom.Func
		b.relation, b.nondeterministic = custom.Decl.Relation, custom.Decl.Nondeterministic
		b.void = custom.Decl.Decl.Result() == nil
	} else if decl, ok := ast.BuiltinMap[name]; ok {
		b.fn = topdown.GetBuiltin(name)
		b.relation, b.nondeterministic = decl.Relation, decl.Nondeterministic
		b.void = decl.Decl.Result() == nil
	}
	if b.fn == nil {
		return nil, c.notCompiled(stmt, "a built-in function %s that isn't known", name)
	}
	c.bridges[name] = b
	return b, nil
}

// prompt are the functions of [Program.Prompt].
var prompt = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range []string{
		"equal", "neq", "lt", "lte", "gt", "gte",
		"is_null", "is_boolean", "is_number", "is_string", "is_array", "is_object", "is_set", "type_name",
		"internal.member_2", "internal.member_3", "count", "object.get", "and", "minus", "plus", "abs", "sum", "max", "min",
		"startswith", "endswith", "contains", "lower", "upper", "trim_space", "trim_prefix", "trim_suffix",
	} {
		all[name] = true
	}
	return all
}()

// most is how many operands a native function has.
const most = 4

func (s *scope) callBuiltin(stmt *ir.CallStmt, args []operand, target int) (step, error) {
	b, err := s.bridge(stmt)
	if err != nil {
		return nil, err
	}
	loc := s.at(stmt)
	_, custom := s.options.Builtins[stmt.Func]
	s.program.slow = s.program.slow || custom || !prompt[stmt.Func]
	var fast native
	if !custom && len(args) <= most {
		fast = natives[stmt.Func]
	}
	if fast == nil {
		fast = func(*Machine, []Value) (Value, bool) { return nil, false }
	}
	return func(m *Machine, f []Value) signal {
		if sig := m.tick(); sig != next {
			return sig
		}
		values := m.args[:0]
		for i := range args {
			v := args[i].get(f)
			if v == nil {
				return leave
			}
			values = append(values, v)
		}
		v, ok := fast(m, values)
		if !ok {
			if !writable(values) {
				return m.fail(errHeavy)
			}
			var sig signal
			if v, sig = b.call(m, values, loc); sig != next {
				return sig
			}
		}
		f[target] = v
		if v == nil && !b.void {
			return leave
		}
		return next
	}, nil
}

// call gives what OPA's function does, all of a relation's outcomes as an array.
func (b *bridge) call(m *Machine, args []Value, loc *ast.Location) (Value, signal) {
	bctx := m.builtinContext(loc)
	operands := terms(args)
	cached := b.nondeterministic && bctx.NDBuiltinCache != nil
	if cached {
		if v, ok := bctx.NDBuiltinCache.Get(b.name, ast.NewArray(operands...)); ok {
			return fromAST(&m.arena, v), next
		}
	}
	var outcomes []*ast.Term
	defined := false
	err := b.fn(bctx, operands, func(t *ast.Term) error {
		if sig := m.tick(); sig != next {
			return topdown.Halt{Err: m.err}
		}
		defined = true
		if t != nil {
			outcomes = append(outcomes, t)
			if cached {
				bctx.NDBuiltinCache.Put(b.name, ast.NewArray(operands...), t.Value)
			}
		}
		return nil
	})
	if err != nil {
		return nil, b.fail(m, err)
	}
	switch {
	case b.relation:
		return fromAST(&m.arena, ast.NewArray(outcomes...)), next
	case !defined:
		return nil, leave
	case len(outcomes) == 0:
		return nil, next // nothing to return, as print
	case len(outcomes) > 1:
		return nil, m.fail(internal(loc, "%s: several values of a function", b.name))
	}
	return fromAST(&m.arena, outcomes[0].Value), next
}

func (b *bridge) fail(m *Machine, err error) signal {
	var halt topdown.Halt
	switch {
	case errors.As(err, &halt):
		return m.fail(halt.Err)
	case m.strict:
		return m.fail(err)
	}
	return leave
}

// condition compiles a call whose value is only asked for being other than
// false, as the comparisons of a rule's body are. It takes both statements.
func (s *scope) condition(stmts []ir.Stmt) (step, int, error) {
	if len(stmts) < 2 {
		return nil, 0, nil
	}
	stmt, ok := stmts[0].(*ir.CallStmt)
	if !ok || len(stmt.Args) != 2 || s.functions[stmt.Func] != nil {
		return nil, 0, nil
	}
	asked, ok := stmts[1].(*ir.NotEqualStmt)
	if !ok || plain(asked.A) != stmt.Result || plain(asked.B) != ir.Bool(false) {
		return nil, 0, nil
	}
	holds, ok := conditions[stmt.Func]
	if _, custom := s.options.Builtins[stmt.Func]; custom || !ok {
		return nil, 0, nil
	}
	args, err := s.operands(stmt, stmt.Args)
	if err != nil {
		return nil, 0, err
	}
	target, a, b := s.target(stmt.Result), args[0], args[1]
	return func(m *Machine, f []Value) signal {
		if sig := m.tick(); sig != next {
			return sig
		}
		v, w := a.get(f), b.get(f)
		if v == nil || w == nil || !holds(m, v, w) {
			return leave
		}
		f[target] = theTrue
		return next
	}, 2, nil
}
