package compiled

import "github.com/open-policy-agent/opa/v1/ir"

// nested are the blocks within a statement.
func nested(stmt ir.Stmt) []*ir.Block {
	switch stmt := stmt.(type) {
	case *ir.BlockStmt:
		return stmt.Blocks
	case *ir.ScanStmt:
		return []*ir.Block{stmt.Block}
	case *ir.NotStmt:
		return []*ir.Block{stmt.Block}
	case *ir.WithStmt:
		return []*ir.Block{stmt.Block}
	}
	return nil
}

// eachStmt visits the statements of a block and of those within it, in order.
func eachStmt(b *ir.Block, visit func(ir.Stmt)) {
	if b == nil {
		return
	}
	for _, stmt := range b.Stmts {
		visit(stmt)
		for _, inner := range nested(stmt) {
			eachStmt(inner, visit)
		}
	}
}

// changes gives the local whose collection a statement changes in place.
func changes(stmt ir.Stmt) (ir.Local, bool) {
	switch stmt := stmt.(type) {
	case *ir.ArrayAppendStmt:
		return stmt.Array, true
	case *ir.ObjectInsertStmt:
		return stmt.Object, true
	case *ir.ObjectInsertOnceStmt:
		return stmt.Object, true
	case *ir.SetAddStmt:
		return stmt.Set, true
	}
	return 0, false
}

// assigned are the locals that a statement by itself gives a value to.
func assigned(stmt ir.Stmt) []ir.Local {
	switch stmt := stmt.(type) {
	case *ir.CallStmt:
		return []ir.Local{stmt.Result}
	case *ir.CallDynamicStmt:
		return []ir.Local{stmt.Result}
	case *ir.DotStmt:
		return []ir.Local{stmt.Target}
	case *ir.LenStmt:
		return []ir.Local{stmt.Target}
	case *ir.ScanStmt:
		return []ir.Local{stmt.Key, stmt.Value}
	case *ir.AssignIntStmt:
		return []ir.Local{stmt.Target}
	case *ir.AssignVarStmt:
		return []ir.Local{stmt.Target}
	case *ir.AssignVarOnceStmt:
		return []ir.Local{stmt.Target}
	case *ir.ResetLocalStmt:
		return []ir.Local{stmt.Target}
	case *ir.MakeNullStmt:
		return []ir.Local{stmt.Target}
	case *ir.MakeNumberIntStmt:
		return []ir.Local{stmt.Target}
	case *ir.MakeNumberRefStmt:
		return []ir.Local{stmt.Target}
	case *ir.MakeArrayStmt:
		return []ir.Local{stmt.Target}
	case *ir.MakeObjectStmt:
		return []ir.Local{stmt.Target}
	case *ir.MakeSetStmt:
		return []ir.Local{stmt.Target}
	case *ir.ObjectMergeStmt:
		return []ir.Local{stmt.Target}
	case *ir.WithStmt:
		return []ir.Local{stmt.Local}
	}
	return nil
}

// read are the locals whose values a statement by itself asks for.
func read(stmt ir.Stmt) []ir.Local {
	var out []ir.Local
	operands := func(all ...ir.Operand) {
		for _, o := range all {
			if l, ok := plain(o).(ir.Local); ok {
				out = append(out, l)
			}
		}
	}
	switch stmt := stmt.(type) {
	case *ir.ReturnLocalStmt:
		out = append(out, stmt.Source)
	case *ir.CallStmt:
		operands(stmt.Args...)
	case *ir.CallDynamicStmt:
		out = append(out, stmt.Args...)
		operands(stmt.Path...)
	case *ir.DotStmt:
		operands(stmt.Source, stmt.Key)
	case *ir.LenStmt:
		operands(stmt.Source)
	case *ir.ScanStmt:
		out = append(out, stmt.Source)
	case *ir.AssignVarStmt:
		operands(stmt.Source)
	case *ir.AssignVarOnceStmt:
		operands(stmt.Source)
		out = append(out, stmt.Target)
	case *ir.EqualStmt:
		operands(stmt.A, stmt.B)
	case *ir.NotEqualStmt:
		operands(stmt.A, stmt.B)
	case *ir.IsArrayStmt:
		operands(stmt.Source)
	case *ir.IsObjectStmt:
		operands(stmt.Source)
	case *ir.IsSetStmt:
		operands(stmt.Source)
	case *ir.IsDefinedStmt:
		out = append(out, stmt.Source)
	case *ir.IsUndefinedStmt:
		out = append(out, stmt.Source)
	case *ir.ArrayAppendStmt:
		operands(stmt.Value)
		out = append(out, stmt.Array)
	case *ir.ObjectInsertStmt:
		operands(stmt.Key, stmt.Value)
		out = append(out, stmt.Object)
	case *ir.ObjectInsertOnceStmt:
		operands(stmt.Key, stmt.Value)
		out = append(out, stmt.Object)
	case *ir.ObjectMergeStmt:
		out = append(out, stmt.A, stmt.B)
	case *ir.SetAddStmt:
		operands(stmt.Value)
		out = append(out, stmt.Set)
	case *ir.WithStmt:
		operands(stmt.Value)
		out = append(out, stmt.Local)
	case *ir.ResultSetAddStmt:
		out = append(out, stmt.Value)
	}
	return out
}
