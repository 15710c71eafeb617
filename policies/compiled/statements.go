package compiled

import (
	"maps"

	"github.com/open-policy-agent/opa/v1/ir"
)

// block compiles the statements of a block, its constants folded.
func (s *scope) block(b *ir.Block) (block, error) {
	var out block
	for i := 0; i < len(b.Stmts); {
		if folded, n := s.fold(b.Stmts[i:]); n > 0 {
			out = append(out, folded...)
			i += n
			continue
		}
		if path, n := s.path(b.Stmts[i:]); n > 0 {
			out = append(out, path)
			i += n
			continue
		}
		if cond, n, err := s.condition(b.Stmts[i:]); err != nil {
			return nil, err
		} else if n > 0 {
			out = append(out, cond)
			i += n
			continue
		}
		if comp, n, err := s.comprehension(b.Stmts[i:]); err != nil {
			return nil, err
		} else if n > 0 {
			out = append(out, comp)
			i += n
			continue
		}
		compiled, err := s.stmt(b.Stmts[i], b.Stmts[i+1:])
		if err != nil {
			return nil, err
		}
		if compiled != nil {
			out = append(out, compiled)
		}
		i++
	}
	return out, nil
}

// inner compiles a block within a statement. What it learns of constants holds
// in there alone; in a loop, nothing is known that a later turn may change.
func (s *scope) inner(b *ir.Block, loop bool) (block, error) {
	if b == nil {
		b = &ir.Block{}
	}
	before := maps.Clone(s.known)
	forget := func(from constants) {
		eachStmt(b, func(stmt ir.Stmt) {
			for _, l := range assigned(stmt) {
				delete(from, l)
			}
		})
	}
	forget(before)
	if loop {
		s.known = maps.Clone(before)
	}
	s.depth++
	out, err := s.block(b)
	s.depth--
	s.known = before
	return out, err
}

// stmt compiles one statement; after are those that follow it in its block. A
// nil step does nothing.
func (s *scope) stmt(stmt ir.Stmt, after []ir.Stmt) (step, error) {
	switch stmt := stmt.(type) {
	case *ir.NopStmt:
		return nil, nil
	case *ir.BlockStmt:
		return s.blocks(stmt)
	case *ir.BreakStmt:
		return s.leave(stmt)
	case *ir.ScanStmt:
		return s.scan(stmt, after)
	case *ir.NotStmt:
		return s.not(stmt)
	case *ir.WithStmt:
		return s.with(stmt)
	case *ir.CallStmt:
		return s.call(stmt)
	case *ir.CallDynamicStmt:
		return s.callDynamic(stmt)
	case *ir.ReturnLocalStmt:
		return s.returnLocal(stmt)
	case *ir.ResultSetAddStmt:
		return s.answer(stmt)
	case *ir.DotStmt:
		return s.dot(stmt)
	case *ir.LenStmt:
		return s.length(stmt)
	case *ir.EqualStmt:
		return s.equality(stmt, stmt.A, stmt.B, true)
	case *ir.NotEqualStmt:
		return s.equality(stmt, stmt.A, stmt.B, false)
	case *ir.IsArrayStmt:
		return s.is(stmt, stmt.Source, Array)
	case *ir.IsObjectStmt:
		return s.is(stmt, stmt.Source, Object)
	case *ir.IsSetStmt:
		return s.is(stmt, stmt.Source, Set)
	case *ir.IsDefinedStmt:
		return s.defined(stmt.Source, true), nil
	case *ir.IsUndefinedStmt:
		return s.defined(stmt.Source, false), nil
	}
	return s.assignment(stmt)
}

func (s *scope) blocks(stmt *ir.BlockStmt) (step, error) {
	if dot := dotOrMake(stmt); dot != nil {
		key, err := s.operand(stmt, dot.Key)
		if err != nil {
			return nil, err
		}
		if key.value != nil {
			// topdown has the empty document when no rule fills it, the plan none.
			return nil, s.notCompiled(dot, "a rule whose name goes on with a constant where another's has a variable")
		}
	}
	all := make([]block, len(stmt.Blocks))
	for i, b := range stmt.Blocks {
		var err error
		if all[i], err = s.inner(b, false); err != nil {
			return nil, err
		}
	}
	if len(all) == 1 {
		only := all[0]
		return func(m *Machine, f []Value) signal {
			if sig := only.run(m, f); sig > leave {
				return sig - 1
			} else if sig < next {
				return sig
			}
			return next
		}, nil
	}
	return func(m *Machine, f []Value) signal {
		for _, b := range all {
			if sig := b.run(m, f); sig > leave {
				return sig - 1
			} else if sig < next {
				return sig
			}
		}
		return next
	}, nil
}

// dotOrMake finds what the planner makes of a rule's head like p[x][y]: a
// look-up of the document within the document, or else a new one.
func dotOrMake(stmt *ir.BlockStmt) *ir.DotStmt {
	if len(stmt.Blocks) != 1 || len(stmt.Blocks[0].Stmts) != 2 {
		return nil
	}
	look, ok := stmt.Blocks[0].Stmts[0].(*ir.BlockStmt)
	target, isMake := collection(stmt.Blocks[0].Stmts[1])
	if !ok || !isMake || len(look.Blocks) != 1 || len(look.Blocks[0].Stmts) != 2 {
		return nil
	}
	dot, ok := look.Blocks[0].Stmts[0].(*ir.DotStmt)
	if !ok || dot.Target != target {
		return nil
	}
	return dot
}

func (s *scope) leave(stmt *ir.BreakStmt) (step, error) {
	if int64(stmt.Index) > int64(s.depth-s.loop) {
		return nil, s.notCompiled(stmt, "a break out of a loop")
	}
	sig := leave + signal(stmt.Index)
	return func(*Machine, []Value) signal { return sig }, nil
}

func (s *scope) not(stmt *ir.NotStmt) (step, error) {
	if n := len(stmt.Block.Stmts); n > 0 {
		switch stmt.Block.Stmts[n-1].(type) {
		case *ir.BlockStmt, *ir.ScanStmt:
			// Such a block comes to its end whether what is negated holds or not.
			return nil, s.notCompiled(stmt, "the negation of a reference to documents whose names are only known when evaluated")
		}
	}
	body, err := s.inner(stmt.Block, false)
	if err != nil {
		return nil, err
	}
	return func(m *Machine, f []Value) signal {
		switch sig := body.run(m, f); {
		case sig == next:
			return leave
		case sig == leave:
			return next
		case sig > leave:
			return sig - 1
		default:
			return sig
		}
	}, nil
}

func (s *scope) with(stmt *ir.WithStmt) (step, error) {
	value, err := s.operand(stmt, stmt.Value)
	if err != nil {
		return nil, err
	}
	path := make([]*text, len(stmt.Path))
	for i, at := range stmt.Path {
		path[i] = s.texts[at]
	}
	local := s.target(stmt.Local)
	body, err := s.inner(stmt.Block, false)
	if err != nil {
		return nil, err
	}
	return func(m *Machine, f []Value) signal {
		saved, v := f[local], value.get(f)
		f[local] = upsert(&m.arena, saved, path, v)
		if kindOf(v) >= Array && weightOf(f[local]) > heaviest {
			return m.fail(errHeavy)
		}
		sig := body.run(m, f)
		f[local] = saved
		if sig > leave {
			return sig - 1
		}
		return sig
	}, nil
}

func (s *scope) returnLocal(stmt *ir.ReturnLocalStmt) (step, error) {
	if s.function == nil || stmt.Source != s.function.Return {
		return nil, s.notCompiled(stmt, "the return of something other than a function's result")
	}
	return func(*Machine, []Value) signal { return returned }, nil
}

// answer adds to what the query gives.
func (s *scope) answer(stmt *ir.ResultSetAddStmt) (step, error) {
	source := s.local(stmt.Value)
	return func(m *Machine, f []Value) signal {
		v := source.get(f)
		if v == nil {
			return leave
		}
		m.results.put(&m.arena, v)
		return next
	}, nil
}

func (s *scope) length(stmt *ir.LenStmt) (step, error) {
	source, err := s.operand(stmt, stmt.Source)
	if err != nil {
		return nil, err
	}
	target := s.target(stmt.Target)
	return func(m *Machine, f []Value) signal {
		n, ok := sizeOf(source.get(f))
		if !ok {
			f[target] = nil
			return leave
		}
		f[target] = m.arena.integer(int64(n))
		return next
	}, nil
}

func (s *scope) equality(stmt ir.Stmt, x, y ir.Operand, want bool) (step, error) {
	a, err := s.operand(stmt, x)
	if err != nil {
		return nil, err
	}
	b, err := s.operand(stmt, y)
	if err != nil {
		return nil, err
	}
	return func(m *Machine, f []Value) signal {
		v, w := a.get(f), b.get(f)
		if v == nil || w == nil {
			return leave
		}
		m.weigh(v, w)
		if equal(v, w) != want {
			return leave
		}
		return m.pause()
	}, nil
}

func (s *scope) is(stmt ir.Stmt, o ir.Operand, kind Kind) (step, error) {
	source, err := s.operand(stmt, o)
	if err != nil {
		return nil, err
	}
	return func(_ *Machine, f []Value) signal {
		if kindOf(source.get(f)) != kind {
			return leave
		}
		return next
	}, nil
}

func (s *scope) defined(l ir.Local, want bool) step {
	source := s.local(l)
	return func(_ *Machine, f []Value) signal {
		if (source.get(f) != nil) != want {
			return leave
		}
		return next
	}
}
