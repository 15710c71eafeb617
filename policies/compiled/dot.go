package compiled

import (
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
	return func(_ *Machine, f []Value) signal {
		k := key.get(f)
		if k == nil {
			return leave
		}
		v := lookup(source.get(f), k)
		f[target] = v
		if v == nil {
			return leave
		}
		return next
	}, nil
}

// dotText is the most common statement of all: a field of an object.
func dotText(source int, name *text, target int) step {
	return func(_ *Machine, f []Value) signal {
		var v Value
		switch from := f[source].(type) {
		case *object:
			v = from.field(name)
		case *set:
			v = lookup(from, name)
		}
		f[target] = v
		if v == nil {
			return leave
		}
		return next
	}
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
