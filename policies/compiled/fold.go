package compiled

import "github.com/open-policy-agent/opa/v1/ir"

// literal is the value of a statement that makes a constant, nil if it doesn't.
func (s *scope) literal(stmt ir.Stmt) (Value, ir.Local) {
	switch stmt := stmt.(type) {
	case *ir.AssignIntStmt:
		var a *arena
		return a.integer(stmt.Value), stmt.Target
	case *ir.MakeNumberIntStmt:
		var a *arena
		return a.integer(stmt.Value), stmt.Target
	case *ir.MakeNumberRefStmt:
		return numberOf(nil, s.texts[stmt.Index].s), stmt.Target
	case *ir.MakeNullStmt:
		return theNull, stmt.Target
	}
	return nil, 0
}

// fold makes a collection of constants, like {"submitted", "verified"}, when
// the policy is compiled rather than each time it is evaluated. It takes the
// statements that fill the collection and nothing else, and gives their number.
func (s *scope) fold(stmts []ir.Stmt) ([]step, int) {
	for len(stmts) > 0 {
		if _, ok := collection(stmts[0]); !ok {
			return nil, 0
		}
		f := s.foldable(stmts)
		if f.changing < 0 {
			var steps []step
			for _, l := range f.order {
				freeze(f.made[l])
				steps = append(steps, s.store(f.made[l], l))
			}
			return steps, f.taken
		}
		stmts = stmts[:f.changing]
	}
	return nil, 0
}

// folded is what some statements make of constants.
type folded struct {
	made     constants
	order    []ir.Local
	taken    int // statements
	changing int // the first that makes a collection which is changed elsewhere too; -1: none
}

func (s *scope) foldable(stmts []ir.Stmt) folded {
	f := folded{made: constants{}, changing: -1}
	filled, from := map[ir.Local]int{}, map[ir.Local]int{}
	for ; f.taken < len(stmts); f.taken++ {
		stmt := stmts[f.taken]
		if v, l := s.literal(stmt); v != nil {
			f.made[l] = v
			f.order = append(f.order, l)
		} else if l, ok := collection(stmt); ok {
			f.made[l], from[l] = empty(stmt), f.taken
			f.order = append(f.order, l)
		} else if l, ok := s.fill(stmt, f.made); ok {
			filled[l]++
		} else {
			break
		}
	}
	for _, l := range f.order {
		// The function's own result is filled by its other blocks.
		own := s.function != nil && l == s.function.Return
		if isCollection(f.made[l]) && (own || filled[l] != s.writes[l]) {
			f.changing = from[l]
			break
		}
	}
	return f
}

func collection(stmt ir.Stmt) (ir.Local, bool) {
	switch stmt := stmt.(type) {
	case *ir.MakeArrayStmt:
		return stmt.Target, true
	case *ir.MakeObjectStmt:
		return stmt.Target, true
	case *ir.MakeSetStmt:
		return stmt.Target, true
	}
	return 0, false
}

func isCollection(v Value) bool { return v.Kind() >= Array }

func empty(stmt ir.Stmt) Value {
	switch stmt.(type) {
	case *ir.MakeArrayStmt:
		return &array{}
	case *ir.MakeObjectStmt:
		return &object{}
	}
	return &set{}
}

// fill does what a statement would do to a collection that is being made, if
// all that it takes is constant.
func (s *scope) fill(stmt ir.Stmt, made constants) (ir.Local, bool) {
	constant := func(o ir.Operand) Value {
		switch v := plain(o).(type) {
		case ir.Local:
			return made[v]
		case ir.StringIndex:
			return s.texts[v]
		case ir.Bool:
			return boolOf(bool(v))
		}
		return nil
	}
	switch stmt := stmt.(type) {
	case *ir.ArrayAppendStmt:
		a, ok := made[stmt.Array].(*array)
		v := constant(stmt.Value)
		if !ok || v == nil || !a.weight.add(v) {
			return 0, false
		}
		a.items = append(a.items, v)
		return stmt.Array, true
	case *ir.SetAddStmt:
		set, ok := made[stmt.Set].(*set)
		v := constant(stmt.Value)
		if !ok || v == nil || !set.weight.addKey(v) {
			return 0, false
		}
		set.put(nil, v)
		return stmt.Set, true
	case *ir.ObjectInsertStmt:
		o, ok := made[stmt.Object].(*object)
		k, v := constant(stmt.Key), constant(stmt.Value)
		if !ok || k == nil || v == nil || !o.weight.addKey(k) || !o.weight.add(v) {
			return 0, false
		}
		o.put(nil, k, v)
		return stmt.Object, true
	}
	return 0, false
}
