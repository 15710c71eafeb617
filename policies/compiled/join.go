package compiled

import "github.com/open-policy-agent/opa/v1/ir"

// A loop within a loop that looks for the elements whose field equals something
// from outside,
//
//	some person in data.people
//	person.team == team
//
// goes through all of them for each team. Gone through a third time, they are
// put in a table by that field, and from then on only those that match are
// visited. All that stands before the comparison has no effect of its own, and
// the comparison itself is made again, so that nothing else changes.
type join struct {
	index int
	path  []*namePlace // from the element to what is compared
	other operand      // with what, or
	from  []*namePlace // what is there at this path into it
}

// joined is what an evaluation knows of a join.
type joined struct {
	source Value
	size   int
	times  int
	table  map[uint64][]int32 // turns of the loop by the hash of what is compared
}

const timesBeforeTable = 3

// join finds the comparison in a loop; nil where there is none.
func (s *scope) join(scan *ir.ScanStmt) *join {
	if scan.Block == nil {
		return nil
	}
	changing := map[ir.Local]bool{scan.Key: true, scan.Value: true}
	eachStmt(scan.Block, func(stmt ir.Stmt) {
		for _, l := range assigned(stmt) {
			changing[l] = true
		}
	})
	paths, outside := map[ir.Local][]*text{scan.Value: {}}, map[ir.Local]reference{}
	for i, stmt := range scan.Block.Stmts {
		a, b, compared := comparison(scan.Block.Stmts[i:])
		switch stmt := stmt.(type) {
		case *ir.AssignVarStmt:
			source, isLocal := plain(stmt.Source).(ir.Local)
			delete(outside, stmt.Target)
			if path, ok := paths[source]; ok && isLocal {
				paths[stmt.Target] = path
			} else {
				delete(paths, stmt.Target)
			}
			continue
		case *ir.DotStmt:
			source, isLocal := plain(stmt.Source).(ir.Local)
			key, isText := plain(stmt.Key).(ir.StringIndex)
			if !isLocal || !isText || s.base[source] {
				return nil
			}
			delete(outside, stmt.Target)
			if path, ok := paths[source]; ok {
				paths[stmt.Target] = append(path[:len(path):len(path)], s.texts[key])
				continue
			}
			delete(paths, stmt.Target)
			if ref, ok := outside[source]; ok {
				outside[stmt.Target] = ref.field(s.texts[key])
			} else if !changing[source] {
				outside[stmt.Target] = reference{of: ir.Operand{Value: source}}.field(s.texts[key])
			}
			continue
		}
		if !compared {
			return nil
		}
		for _, sides := range [][2]ir.Operand{{a, b}, {b, a}} {
			of, isLocal := plain(sides[0]).(ir.Local)
			path, ok := paths[of]
			if !ok || !isLocal {
				continue
			}
			with := reference{of: sides[1]}
			if l, isLocal := plain(sides[1]).(ir.Local); isLocal && changing[l] {
				if with, ok = outside[l]; !ok {
					return nil
				}
			}
			if o, err := s.operand(stmt, with.of); err == nil {
				return s.joinOn(path, o, with.path)
			}
		}
		return nil
	}
	return nil
}

// reference is something from outside of the loop, or what is there at a path into it.
type reference struct {
	of   ir.Operand
	path []*text
}

func (r reference) field(name *text) reference {
	return reference{r.of, append(r.path[:len(r.path):len(r.path)], name)}
}

func (s *scope) joinOn(path []*text, other operand, from []*text) *join {
	j := &join{index: s.program.joins, other: other, path: places(path), from: places(from)}
	s.program.joins++
	return j
}

func places(path []*text) []*namePlace {
	var all []*namePlace
	for _, name := range path {
		all = append(all, &namePlace{name: name})
	}
	return all
}

// comparison are the sides of an equation, written = or ==.
func comparison(stmts []ir.Stmt) (a, b ir.Operand, ok bool) {
	switch stmt := stmts[0].(type) {
	case *ir.EqualStmt:
		return stmt.A, stmt.B, true
	case *ir.CallStmt:
		if stmt.Func != "equal" || len(stmt.Args) != 2 || len(stmts) < 2 {
			return a, b, false
		}
		asked, ok := stmts[1].(*ir.NotEqualStmt)
		if ok && plain(asked.A) == stmt.Result && plain(asked.B) == ir.Bool(false) {
			return stmt.Args[0], stmt.Args[1], true
		}
	}
	return a, b, false
}

// matches are the turns of the loop in which the comparison may hold, in order;
// false: go through all.
func (j *join) matches(m *Machine, f []Value, source Value, size int) ([]int32, bool) {
	if j == nil || size <= small {
		return nil, false
	}
	known := &m.joins[j.index]
	if known.source != source || known.size != size {
		*known = joined{source: source, size: size}
	}
	if known.times++; known.times < timesBeforeTable {
		return nil, false
	}
	if known.table == nil {
		known.table = j.tabulate(m, source, size)
	}
	with := j.other.get(f)
	for _, p := range j.from {
		with = p.in(with)
	}
	if with == nil {
		return nil, false
	}
	m.weighKey(with)
	hits := known.table[with.hash()]
	m.spare(int64(size - len(hits)))
	return hits, true
}

func (j *join) tabulate(m *Machine, source Value, size int) map[uint64][]int32 {
	table := make(map[uint64][]int32, size)
	m.work(int(weightOf(source)))
	i := int32(0)
	for _, v := range All(source) {
		for _, p := range j.path {
			v = p.in(v)
		}
		if v != nil {
			h := v.hash()
			table[h] = append(table[h], i)
		}
		i++
	}
	return table
}
