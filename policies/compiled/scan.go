package compiled

import "github.com/open-policy-agent/opa/v1/ir"

// scan compiles a loop over a collection, in Rego's order.
func (s *scope) scan(stmt *ir.ScanStmt, after []ir.Stmt) (step, error) {
	source := s.local(stmt.Source)
	base := s.base[stmt.Source]
	key, value := s.target(stmt.Key), s.target(stmt.Value)
	if base {
		s.base[stmt.Value] = true
	}
	outer := s.loop
	s.loop = s.depth + 1
	body, err := s.inner(stmt.Block, true)
	s.loop = outer
	if err != nil {
		return nil, err
	}
	if isEvery(stmt, after) {
		body = append(body, func(*Machine, []Value) signal { return stopScan })
	}
	return func(m *Machine, f []Value) signal {
		switch from := source.get(f).(type) {
		case *array:
			for i, v := range from.items {
				f[key], f[value] = m.arena.integer(int64(i)), v
				if sig := m.turn(body, f); sig != next {
					return ended(sig)
				}
			}
		case *object:
			order := from.order()
			for i := range from.list {
				f[key], f[value] = at(from.list, order, i), at(from.values, order, i)
				if sig := m.turn(body, f); sig != next {
					return ended(sig)
				}
			}
		case *set:
			order := from.order()
			for i := range from.list {
				v := at(from.list, order, i)
				f[key], f[value] = v, v
				if sig := m.turn(body, f); sig != next {
					return ended(sig)
				}
			}
		}
		return next
	}, nil
}

// turn is one turn of a loop: next if there may be another.
func (m *Machine) turn(body block, f []Value) signal {
	if sig := m.tick(); sig != next {
		return sig
	}
	if sig := body.run(m, f); sig != leave {
		return sig
	}
	return next
}

func ended(sig signal) signal {
	if sig == stopScan {
		return next
	}
	return sig
}

// isEvery tells whether a loop ends, as that of "every" does, in noting that
// one element failed, where all that follows asks is whether any did: nothing
// after the first can change that.
func isEvery(scan *ir.ScanStmt, after []ir.Stmt) bool {
	if len(after) == 0 || len(scan.Block.Stmts) == 0 {
		return false
	}
	note, ok := scan.Block.Stmts[len(scan.Block.Stmts)-1].(*ir.AssignVarStmt)
	if !ok {
		return false
	}
	asked, ok := after[0].(*ir.IsUndefinedStmt)
	return ok && asked.Source == note.Target && plain(note.Source) == ir.Bool(true)
}
