package compiled

import (
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/util"
)

func (s *scope) dot(stmt *ir.DotStmt) (step, error) {
	source, err := s.operand(stmt, stmt.Source)
	if err != nil {
		return nil, err
	}
	key, err := s.operand(stmt, stmt.Key)
	if err != nil {
		return nil, err
	}
	base := s.base[ir.Local(source.local)] && source.value == nil
	target := s.target(stmt.Target)
	if base {
		s.base[stmt.Target] = true
	}
	if name, ok := key.value.(*text); ok && source.value == nil {
		if _, position := util.Atoi(name.s); !base || !position {
			return dotText(source.local, name, target), nil
		}
	}
	if base {
		return s.dotBase(stmt, source.local, key, target), nil
	}
	return func(m *Machine, f []Value) signal {
		k := key.get(f)
		if k == nil {
			return leave
		}
		m.weighKey(k)
		v := lookup(source.get(f), k)
		f[target] = v
		if v == nil {
			return leave
		}
		return m.pause()
	}, nil
}

// dotText is the most common statement of all: a field of an object.
func dotText(source int, name *text, target int) step {
	at := &namePlace{name: name}
	return func(_ *Machine, f []Value) signal {
		v := at.in(f[source])
		f[target] = v
		if v == nil {
			return leave
		}
		return next
	}
}

// namePlace is a name that a statement asks for, and where it was the last time:
// objects that come to one statement mostly have one shape.
type namePlace struct {
	name *text
	last atomic.Uint32
}

func (p *namePlace) in(v Value) Value {
	switch from := v.(type) {
	case *object:
		if at := int(p.last.Load()); at < len(from.list) {
			if t, ok := from.list[at].(*text); ok && (t == p.name || t.s == p.name.s) {
				return from.values[at]
			}
		}
		at := from.findName(p.name)
		if at < 0 {
			return nil
		}
		p.last.Store(uint32(at))
		return from.values[at]
	case *set:
		return lookup(from, p.name)
	}
	return nil
}

// path compiles a reference like input.actor.attrs.limit, which is several
// statements of which each goes on from where the one before came to.
func (s *scope) path(stmts []ir.Stmt) (step, int) {
	first, ok := stmts[0].(*ir.DotStmt)
	if !ok {
		return nil, 0
	}
	source, ok := plain(first.Source).(ir.Local)
	if !ok || s.base[source] || s.known[source] != nil {
		return nil, 0
	}
	var places []*namePlace
	var targets []int
	at := source
	for _, stmt := range stmts {
		dot, ok := stmt.(*ir.DotStmt)
		if !ok {
			break
		}
		from, isLocal := plain(dot.Source).(ir.Local)
		key, isText := plain(dot.Key).(ir.StringIndex)
		if !isLocal || !isText || from != at {
			break
		}
		places = append(places, &namePlace{name: s.texts[key]})
		targets = append(targets, s.target(dot.Target))
		at = dot.Target
	}
	if len(places) < 2 {
		return nil, 0
	}
	start := int(source)
	s.locals(source)
	return func(_ *Machine, f []Value) signal {
		v := f[start]
		for i, p := range places {
			v = p.in(v)
			f[targets[i]] = v
			if v == nil {
				return leave
			}
		}
		return next
	}, len(places)
}

// dotBase looks into base documents by a computed key. OPA asks its store for
// them by paths of strings: 2 means "2" there, "2" the third item of an array,
// and a composite nothing.
func (s *scope) dotBase(stmt ir.Stmt, source int, key operand, target int) step {
	mocked := s.mocksData
	unclear := s.notCompiled(stmt, "documents that a \"with\" replaces, by a key of another type")
	return func(m *Machine, f []Value) signal {
		k := key.get(f)
		from := f[source]
		if other := asPath(&m.arena, from, k); other != k {
			if mocked { // then the store isn't asked for all of them
				return m.fail(unclear)
			}
			k = other
		}
		if k == nil {
			return leave
		}
		v := lookup(from, k)
		f[target] = v
		if v == nil {
			return leave
		}
		return next
	}
}

// asPath is a key as the store takes it.
func asPath(a *arena, from, key Value) Value {
	switch from.(type) {
	case *object:
		switch kindOf(key) {
		case Number:
			return a.text(string(numberText(key)))
		case Array, Object, Set:
			return nil
		}
	case *array:
		if t, ok := key.(*text); ok {
			if n, position := util.Atoi(t.s); position {
				return a.integer(int64(n))
			}
		}
	}
	return key
}
