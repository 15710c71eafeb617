package compiled

import "github.com/open-policy-agent/opa/v1/ir"

// collected remembers what a comprehension in a loop gave for which values from
// outside of it, so that
//
//	team := data.people[_].team
//	members := [p.name | some p in data.people; p.team == team]
//
// is evaluated once for each team.
type collected struct {
	memo
	hits int
}

const triesWithoutHit = 64 // then the values from outside are taken to differ each time

// comprehension compiles the making of a collection and the block that fills
// it, where that block does nothing else. It takes both statements.
func (s *scope) comprehension(stmts []ir.Stmt) (step, int, error) {
	if len(stmts) < 2 || s.loop == 0 && (s.function == nil || len(s.function.Params) <= 2) {
		return nil, 0, nil
	}
	into, ok := collection(stmts[0])
	filling, isBlock := stmts[1].(*ir.BlockStmt)
	if !ok || !isBlock || len(filling.Blocks) != 1 || !s.onlyFills(filling.Blocks[0], into) {
		return nil, 0, nil
	}
	var outside []operand
	for _, l := range readOutside(filling.Blocks[0], into) {
		if o := s.local(l); o.value == nil {
			outside = append(outside, o)
		}
	}
	create, err := s.stmt(stmts[0], nil)
	if err != nil {
		return nil, 0, err
	}
	fill, err := s.stmt(filling, nil)
	if err != nil {
		return nil, 0, err
	}
	index, target := s.program.comprehensions, s.target(into)
	s.program.comprehensions++
	return func(m *Machine, f []Value) signal {
		known := &m.collected[index]
		var fixed [8]Value
		args := fixed[:0]
		for i := range outside {
			args = append(args, outside[i].get(f))
		}
		if e := known.find(args); e != nil {
			known.hits++
			m.spare(e.turns)
			f[target] = e.value
			return next
		}
		before := m.steps + m.spared
		if sig := create(m, f); sig != next {
			return sig
		}
		if sig := fill(m, f); sig != next {
			return sig
		}
		if known.hits > 0 || len(known.entries) < triesWithoutHit {
			known.keep(append(m.arena.list(len(args)), args...), f[target], m.steps+m.spared-before)
		}
		return next
	}, 2, nil
}

// onlyFills tells whether a block has no effect but on the collection in one
// local: what else it assigns is read within it alone, and nothing is printed.
func (s *scope) onlyFills(b *ir.Block, into ir.Local) bool {
	changed, inside := 0, reading{}
	only := true
	assignedInside := map[ir.Local]bool{}
	eachStmt(b, func(stmt ir.Stmt) {
		if l, ok := changes(stmt); ok && l == into {
			changed++
		}
		if call, ok := stmt.(*ir.CallStmt); ok && (call.Func == "internal.print" || call.Func == "trace") {
			only = false
		}
		for _, l := range left(stmt) {
			assignedInside[l] = true
		}
		inside.note(stmt)
	})
	if !only || changed == 0 || changed != s.writes[into] || assignedInside[into] {
		return false
	}
	for l := range assignedInside {
		if inside[l] != s.reads[l] {
			return false
		}
	}
	return true
}

// readOutside are the locals that a block reads and doesn't assign, in order.
func readOutside(b *ir.Block, into ir.Local) []ir.Local {
	reads, writes := reading{}, map[ir.Local]bool{into: true}
	var order []ir.Local
	eachStmt(b, func(stmt ir.Stmt) {
		for _, l := range read(stmt) {
			if reads[l] == 0 {
				order = append(order, l)
			}
			reads[l]++
		}
		for _, l := range left(stmt) {
			writes[l] = true
		}
	})
	var out []ir.Local
	for _, l := range order {
		if !writes[l] {
			out = append(out, l)
		}
	}
	return out
}

// left are the locals that keep what a statement assigns: a "with" puts back
// what was there.
func left(stmt ir.Stmt) []ir.Local {
	if _, ok := stmt.(*ir.WithStmt); ok {
		return nil
	}
	return assigned(stmt)
}

// reading counts how often locals are read.
type reading map[ir.Local]int

func (r reading) note(stmt ir.Stmt) {
	for _, l := range read(stmt) {
		r[l]++
	}
}
