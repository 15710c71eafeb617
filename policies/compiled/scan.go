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
	on := s.join(stmt)
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
		from := source.get(f)
		loop := loop{m: m, f: f, body: body, key: key, value: value}
		switch v := from.(type) {
		case *array:
			loop.values = v.items
		case *object:
			m.weighOrder(&v.keys)
			loop.keys, loop.values, loop.order = v.list, v.values, v.order()
		case *set:
			m.weighOrder(&v.keys)
			loop.keys, loop.values, loop.order = v.list, v.list, v.order()
		default:
			return next
		}
		if hits, ok := on.matches(m, f, from, len(loop.values)); ok {
			if sig := m.pause(); sig != next {
				return sig
			}
			return loop.only(hits)
		}
		return loop.all()
	}, nil
}

// loop is one execution of a scan.
type loop struct {
	m            *Machine
	f            []Value
	body         block
	key, value   int // locals
	keys, values []Value
	order        []int32 // nil: as they stand
}

func (l *loop) all() signal {
	for i := range l.values {
		if sig := l.turn(i); sig != next {
			return ended(sig)
		}
	}
	return next
}

func (l *loop) only(turns []int32) signal {
	for _, i := range turns {
		if sig := l.turn(int(i)); sig != next {
			return ended(sig)
		}
	}
	return next
}

// turn is one turn of a loop: next if there may be another.
func (l *loop) turn(i int) signal {
	if sig := l.m.tick(); sig != next {
		return sig
	}
	l.f[l.value] = at(l.values, l.order, i)
	if l.keys != nil {
		l.f[l.key] = at(l.keys, l.order, i)
	} else {
		l.f[l.key] = l.m.arena.integer(int64(i))
	}
	if sig := l.body.run(l.m, l.f); sig != leave {
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
