package compiled

import "github.com/open-policy-agent/opa/v1/ir"

// assignment compiles what gives a local a value or changes the collection in it.
func (s *scope) assignment(stmt ir.Stmt) (step, error) {
	switch stmt := stmt.(type) {
	case *ir.AssignVarStmt:
		return s.assign(stmt)
	case *ir.AssignVarOnceStmt:
		return s.assignOnce(stmt)
	case *ir.ResetLocalStmt:
		target := s.target(stmt.Target)
		return func(_ *Machine, f []Value) signal {
			f[target] = nil
			return next
		}, nil
	case *ir.AssignIntStmt, *ir.MakeNullStmt, *ir.MakeNumberIntStmt, *ir.MakeNumberRefStmt:
		v, l := s.literal(stmt)
		return s.store(v, l), nil
	case *ir.MakeArrayStmt:
		target, n := s.target(stmt.Target), int(min(max(stmt.Capacity, 0), longList))
		return func(m *Machine, f []Value) signal {
			f[target] = m.arena.array(m.arena.list(n))
			return next
		}, nil
	case *ir.MakeObjectStmt:
		target := s.target(stmt.Target)
		return func(m *Machine, f []Value) signal {
			f[target] = m.arena.object()
			return next
		}, nil
	case *ir.MakeSetStmt:
		target := s.target(stmt.Target)
		return func(m *Machine, f []Value) signal {
			f[target] = m.arena.set()
			return next
		}, nil
	case *ir.ArrayAppendStmt:
		return s.append(stmt)
	case *ir.SetAddStmt:
		return s.add(stmt)
	case *ir.ObjectInsertStmt:
		return s.insert(stmt, stmt.Object, stmt.Key, stmt.Value, false)
	case *ir.ObjectInsertOnceStmt:
		return s.insert(stmt, stmt.Object, stmt.Key, stmt.Value, true)
	case *ir.ObjectMergeStmt:
		a, b := s.local(stmt.A), s.local(stmt.B)
		target := s.target(stmt.Target)
		return func(m *Machine, f []Value) signal {
			v, w := a.get(f), b.get(f)
			if v == nil || w == nil {
				return leave
			}
			f[target] = merge(&m.arena, v, w)
			return next
		}, nil
	}
	return nil, s.notCompiled(stmt, "a statement %T", stmt)
}

// store assigns a constant.
func (s *scope) store(v Value, l ir.Local) step {
	target := s.target(l)
	s.known[l] = v
	return func(_ *Machine, f []Value) signal {
		f[target] = v
		return next
	}
}

func (s *scope) assign(stmt *ir.AssignVarStmt) (step, error) {
	source, err := s.operand(stmt, stmt.Source)
	if err != nil {
		return nil, err
	}
	target := s.target(stmt.Target)
	if source.value != nil {
		return s.store(source.value, stmt.Target), nil
	}
	from := source.local
	return func(_ *Machine, f []Value) signal {
		f[target] = f[from] // undefined may be saved and restored
		return next
	}, nil
}

func (s *scope) assignOnce(stmt *ir.AssignVarOnceStmt) (step, error) {
	source, err := s.operand(stmt, stmt.Source)
	if err != nil {
		return nil, err
	}
	target := s.target(stmt.Target)
	if s.only != nil && stmt.Target == s.result {
		only := s.only
		return func(_ *Machine, f []Value) signal {
			f[target] = only
			return settled
		}, nil
	}
	loc, name := s.at(stmt), s.ruleName()
	isFunction := s.function != nil && len(s.function.Params) > 2
	return func(m *Machine, f []Value) signal {
		v := source.get(f)
		old := f[target]
		if v != nil && old != nil {
			m.weigh(old, v)
		}
		switch {
		case v == nil:
			return leave
		case old == nil:
			f[target] = v
		case equal(old, v):
			return m.pause()
		case isFunction:
			return m.fail(conflict(loc, "function %s produced conflicting values for the same inputs", name))
		default:
			return m.fail(conflict(loc, "rule %s produced conflicting values", name))
		}
		return next
	}, nil
}

func (s *scope) append(stmt *ir.ArrayAppendStmt) (step, error) {
	value, err := s.operand(stmt, stmt.Value)
	if err != nil {
		return nil, err
	}
	target, loc := s.changed(stmt.Array), s.at(stmt)
	return func(m *Machine, f []Value) signal {
		v := value.get(f)
		if v == nil {
			return leave
		}
		a, ok := f[target].(*array)
		if !ok || a.frozen {
			return m.fail(internal(loc, "append to what isn't an array of this evaluation"))
		}
		if !a.weight.add(v) {
			return m.fail(errHeavy)
		}
		a.items = m.arena.grow(a.items, v)
		return next
	}, nil
}

func (s *scope) add(stmt *ir.SetAddStmt) (step, error) {
	value, err := s.operand(stmt, stmt.Value)
	if err != nil {
		return nil, err
	}
	target, loc := s.changed(stmt.Set), s.at(stmt)
	return func(m *Machine, f []Value) signal {
		v := value.get(f)
		if v == nil {
			return leave
		}
		set, ok := f[target].(*set)
		if !ok || set.frozen {
			return m.fail(internal(loc, "addition to what isn't a set of this evaluation"))
		}
		if !set.weight.addKey(v) {
			return m.fail(errHeavy)
		}
		m.weighKey(v)
		set.put(&m.arena, v)
		return m.pause()
	}, nil
}

func (s *scope) insert(stmt ir.Stmt, into ir.Local, k, v ir.Operand, once bool) (step, error) {
	key, err := s.operand(stmt, k)
	if err != nil {
		return nil, err
	}
	value, err := s.operand(stmt, v)
	if err != nil {
		return nil, err
	}
	target, loc := s.changed(into), s.at(stmt)
	return func(m *Machine, f []Value) signal {
		k, v := key.get(f), value.get(f)
		if k == nil || v == nil {
			return leave
		}
		o, ok := f[target].(*object)
		if !ok || o.frozen {
			return m.fail(internal(loc, "insertion into what isn't an object of this evaluation"))
		}
		if !o.weight.addKey(k) || !o.weight.add(v) {
			return m.fail(errHeavy)
		}
		m.weighKey(k)
		if !once {
			o.put(&m.arena, k, v)
		} else if m.weighKey(v); !o.putOnce(&m.arena, k, v) {
			return m.fail(conflict(loc, "object keys must be unique"))
		}
		return m.pause()
	}, nil
}

// changed is a local whose collection is about to be changed, so that it isn't
// a known constant any more.
func (s *scope) changed(l ir.Local) int { return s.target(l) }
