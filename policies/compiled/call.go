package compiled

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
)

// call compiles a call of a rule, a function or a built-in function.
func (s *scope) call(stmt *ir.CallStmt) (step, error) {
	args, err := s.operands(stmt, stmt.Args)
	if err != nil {
		return nil, err
	}
	target := s.target(stmt.Result)
	fn, ok := s.functions[stmt.Func]
	if !ok {
		return s.callBuiltin(stmt, args, target)
	}
	if len(args) != len(fn.params) {
		return nil, s.notCompiled(stmt, "a call of %s with %d arguments", stmt.Func, len(args))
	}
	loc := s.at(stmt)
	return func(m *Machine, f []Value) signal {
		v, sig := m.call(fn, args, f, loc)
		f[target] = v
		if v == nil && sig == next {
			return leave
		}
		return sig
	}, nil
}

// call gives the value of a function, nil when it is undefined.
func (m *Machine) call(fn *function, args []operand, f []Value, loc *ast.Location) (Value, signal) {
	if sig := m.tick(); sig != next {
		return nil, sig
	}
	if m.depth >= maxDepth {
		return nil, m.fail(internal(loc, "more than %d calls within each other", maxDepth))
	}
	m.depth++
	g := m.frame(fn.frame)
	for i := range args {
		g[fn.params[i]] = args[i].get(f)
	}
	v, sig := m.remember(fn, g)
	m.depth--
	return v, sig
}

// remember evaluates a function unless it did so with the same arguments.
func (m *Machine) remember(fn *function, f []Value) (Value, signal) {
	memo := &m.memos[fn.index]
	var fixed [8]Value
	args := fixed[:0]
	for _, p := range fn.params {
		args = append(args, f[p])
	}
	if known := memo.find(args); known != nil {
		return known.value, next // topdown remembers it as well
	}
	v, sig := fn.run(m, f)
	if sig == next {
		memo.keep(append(m.arena.list(len(args)), args...), v, 0)
	}
	return v, sig
}

func (fn *function) run(m *Machine, f []Value) (Value, signal) {
	for _, b := range fn.blocks {
		switch sig := b.run(m, f); sig {
		case next, leave:
		case settled:
			return fn.only, next
		case returned:
			return f[fn.ret], next
		default:
			return nil, sig
		}
	}
	return nil, next
}

// callDynamic compiles a reference to a rule whose name is only known when it
// is evaluated: data.roles[input.role].
func (s *scope) callDynamic(stmt *ir.CallDynamicStmt) (step, error) {
	path, err := s.operands(stmt, stmt.Path)
	if err != nil {
		return nil, err
	}
	args := make([]operand, len(stmt.Args))
	for i, l := range stmt.Args {
		args[i] = s.local(l)
	}
	root, err := s.rulesBelow(stmt, path, len(args))
	if err != nil {
		return nil, err
	}
	// An undefined rule leaves the blocks in which base documents would be
	// looked at instead.
	const undefined = leave + 3
	if int(undefined)-1 > s.depth-s.loop {
		return nil, s.notCompiled(stmt, "a call by a computed name that isn't within its blocks")
	}
	target, loc := s.target(stmt.Result), s.at(stmt)
	return func(m *Machine, f []Value) signal {
		node := root
		for i := range path {
			name, ok := path[i].get(f).(*text)
			if !ok {
				return leave
			}
			if node = node.children[name.s]; node == nil {
				return leave
			}
		}
		if node.fn == nil {
			return leave
		}
		v, sig := m.call(node.fn, args, f, loc)
		f[target] = v
		if v == nil && sig == next {
			return undefined
		}
		return sig
	}, nil
}

// ruleTree finds functions by their paths.
type ruleTree struct {
	children map[string]*ruleTree
	fn       *function
}

// rulesBelow gathers the rules that a path may mean.
func (s *scope) rulesBelow(stmt ir.Stmt, path []operand, args int) (*ruleTree, error) {
	root := &ruleTree{children: map[string]*ruleTree{}}
	for i, fn := range s.policy.Funcs.Funcs {
		if len(fn.Path) != len(path) || !mayBe(fn.Path, path) {
			continue
		}
		if len(fn.Params) != args {
			return nil, s.notCompiled(stmt, "a call by a computed name that may mean %s, a function", strings.Join(fn.Path, "."))
		}
		node := root
		for _, name := range fn.Path {
			child := node.children[name]
			if child == nil {
				child = &ruleTree{children: map[string]*ruleTree{}}
				node.children[name] = child
			}
			node = child
		}
		node.fn = s.program.functions[i]
	}
	return root, nil
}

func mayBe(names []string, path []operand) bool {
	for i, name := range names {
		if known := path[i].value; known != nil {
			if t, ok := known.(*text); !ok || t.s != name {
				return false
			}
		}
	}
	return true
}
