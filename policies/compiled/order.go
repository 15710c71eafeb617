package compiled

import "github.com/open-policy-agent/opa/v1/ir"

// Sets and objects are gone through in the order of their elements and keys,
// except that topdown goes through one that is written with variables, like
// {input.a, input.b}, in the order of those. Only an array can show the
// difference: what might make one of such a set is handed over.

// ordered refuses a function's or plan's block in which that may happen.
func (s *scope) ordered(b *ir.Block) error {
	unordered := map[ir.Local]ir.Stmt{}
	s.literals(b, unordered)
	if len(unordered) == 0 {
		return nil
	}
	arrays := false
	var refused error
	eachStmt(b, func(stmt ir.Stmt) {
		switch stmt := stmt.(type) {
		case *ir.AssignVarStmt:
			spread(unordered, plain(stmt.Source), stmt.Target)
		case *ir.ArrayAppendStmt:
			spread(unordered, plain(stmt.Value), stmt.Array)
		case *ir.SetAddStmt:
			spread(unordered, plain(stmt.Value), stmt.Set)
		case *ir.ObjectInsertStmt:
			spread(unordered, plain(stmt.Value), stmt.Object)
		case *ir.DotStmt:
			spread(unordered, plain(stmt.Source), stmt.Target)
		case *ir.ScanStmt:
			spread(unordered, stmt.Source, stmt.Value)
			if unordered[stmt.Source] != nil && appends(stmt.Block) {
				arrays = true
			}
		case *ir.CallStmt:
			for _, arg := range stmt.Args {
				if l, ok := plain(arg).(ir.Local); ok && unordered[l] != nil && s.functions[stmt.Func] != nil {
					arrays = true // the function may go through it
				}
			}
		}
		if arrays && refused == nil {
			refused = s.notCompiled(stmt, "an array that may be made of a set or object with variables in it")
		}
	})
	return refused
}

// literals finds sets with several elements and objects with several keys of
// which one is a variable, written as such.
func (s *scope) literals(b *ir.Block, found map[ir.Local]ir.Stmt) {
	if b == nil {
		return
	}
	filled, made := map[ir.Local]int{}, map[ir.Local]bool{}
	constants := map[ir.Local]bool{}
	for _, stmt := range b.Stmts {
		if v, l := s.literal(stmt); v != nil {
			constants[l] = true
			continue
		}
		var into ir.Local
		var element ir.Operand
		switch stmt := stmt.(type) {
		case *ir.MakeSetStmt:
			filled[stmt.Target], made[stmt.Target] = 0, false
			continue
		case *ir.MakeObjectStmt:
			filled[stmt.Target], made[stmt.Target] = 0, false
			continue
		case *ir.SetAddStmt:
			into, element = stmt.Set, stmt.Value
		case *ir.ObjectInsertStmt:
			into, element = stmt.Object, stmt.Key
		default:
			for _, inner := range nested(stmt) {
				s.literals(inner, found)
			}
			continue
		}
		filled[into]++
		if l, ok := plain(element).(ir.Local); ok && !constants[l] {
			made[into] = true
		}
		if filled[into] > 1 && made[into] {
			found[into] = stmt
		}
	}
}

// spread notes that what is in from comes to be in to, or may be taken out of it.
func spread(unordered map[ir.Local]ir.Stmt, from ir.Val, to ir.Local) {
	if l, ok := from.(ir.Local); ok && unordered[l] != nil {
		unordered[to] = unordered[l]
	}
}

func appends(b *ir.Block) bool {
	found := false
	eachStmt(b, func(stmt ir.Stmt) {
		_, ok := stmt.(*ir.ArrayAppendStmt)
		found = found || ok
	})
	return found
}
