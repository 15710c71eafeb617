package compiled

func init() {
	register(map[string]native{
		"count":             count,
		"internal.member_2": member,
		"internal.member_3": memberWithKey,
		"and":               intersection,
		"or":                union,
		"object.get":        objectGet,
		"object.keys":       objectKeys,
		"array.concat":      arrayConcat,
		"array.reverse":     arrayReverse,
		"sort":              sorted,
		"walk":              walk,
	})
}

func count(m *Machine, v []Value) (Value, bool) {
	n, ok := sizeOf(v[0])
	if !ok {
		return nil, false
	}
	return m.arena.integer(int64(n)), true
}

func member(m *Machine, v []Value) (Value, bool) {
	return boolOf(contains(m, v[1], v[0])), true
}

func contains(m *Machine, collection, v Value) bool {
	var items []Value
	switch c := collection.(type) {
	case *set:
		m.weighKey(v)
		return c.find(v) >= 0
	case *array:
		items = c.items
	case *object:
		items = c.values
	}
	m.work(len(items))
	if v.Kind() >= Array {
		m.work(int(min(int64(weightOf(collection)), int64(len(items))*int64(weightOf(v)))))
	}
	for _, item := range items {
		if equal(item, v) {
			return true
		}
	}
	return false
}

func memberWithKey(m *Machine, v []Value) (Value, bool) {
	key, value := v[0], v[1]
	m.weighKey(key)
	m.weighKey(value)
	found := lookup(v[2], key)
	return boolOf(found != nil && equal(found, value)), true
}

func intersection(m *Machine, v []Value) (Value, bool) {
	s, t, ok := sets(v)
	if !ok {
		return nil, false
	}
	if len(s.list) > len(t.list) {
		s, t = t, s
	}
	return filter(m, s, func(e Value) bool { return t.find(e) >= 0 }), true
}

func union(m *Machine, v []Value) (Value, bool) {
	s, t, ok := sets(v)
	if !ok {
		return nil, false
	}
	m.work(int(weightOf(s) + weightOf(t)))
	u := m.arena.set()
	for _, from := range []*set{s, t} {
		for _, e := range from.list {
			u.add(&m.arena, e)
		}
	}
	u.weight = weightOfAll(u.list)
	return u, true
}

func sets(v []Value) (s, t *set, ok bool) {
	if s, ok = v[0].(*set); !ok {
		return nil, nil, false
	}
	t, ok = v[1].(*set)
	return s, t, ok
}

// filter is the subset for which keep is true.
func filter(m *Machine, s *set, keep func(Value) bool) *set {
	m.work(int(weightOf(s)))
	out := m.arena.set()
	out.ascending, out.weight = s.ascending, s.weight
	for _, e := range s.list {
		if keep(e) {
			out.list = m.arena.grow(out.list, e)
		}
	}
	return out
}

func objectGet(m *Machine, v []Value) (Value, bool) {
	o, ok := v[0].(*object)
	if !ok {
		return nil, false
	}
	m.weighKey(v[1])
	path, ok := v[1].(*array)
	if !ok {
		return or(o.get(v[1]), v[2]), true
	}
	var at Value = o
	for _, key := range path.items {
		if at = lookup(at, key); at == nil {
			break
		}
	}
	return or(at, v[2]), true
}

func or(v, otherwise Value) Value {
	if v == nil {
		return otherwise
	}
	return v
}

func objectKeys(m *Machine, v []Value) (Value, bool) {
	o, ok := v[0].(*object)
	if !ok {
		return nil, false
	}
	s := m.arena.set()
	s.list, s.ascending = m.arena.clone(o.list), o.ascending
	s.weight = weightOfAll(s.list)
	m.work(int(s.weight))
	return s, true
}

func arrayConcat(m *Machine, v []Value) (Value, bool) {
	a, ok := v[0].(*array)
	if !ok {
		return nil, false
	}
	b, ok := v[1].(*array)
	if !ok {
		return nil, false
	}
	items := m.arena.list(len(a.items) + len(b.items))
	items = append(append(items, a.items...), b.items...)
	m.work(len(items))
	return m.arena.array(items), true
}

func arrayReverse(m *Machine, v []Value) (Value, bool) {
	a, ok := v[0].(*array)
	if !ok {
		return nil, false
	}
	items := m.arena.list(len(a.items))
	for i := range a.items {
		items = append(items, a.items[len(a.items)-1-i])
	}
	m.work(len(items))
	return m.arena.array(items), true
}

func sorted(m *Machine, v []Value) (Value, bool) {
	switch from := v[0].(type) {
	case *array:
		m.work(int(weightOf(from)))
		items := m.arena.clone(from.items)
		sortValues(items)
		return m.arena.array(items), true
	case *set:
		m.work(int(weightOf(from)))
		order := from.order()
		items := m.arena.list(len(from.list))
		for i := range from.list {
			items = append(items, at(from.list, order, i))
		}
		return m.arena.array(items), true
	}
	return nil, false
}

// walk is the relation of all paths into a value and what is there.
func walk(m *Machine, v []Value) (Value, bool) {
	w := walker{m: m}
	w.visit(nil, v[0])
	return m.arena.array(w.pairs), true
}

type walker struct {
	m     *Machine
	pairs []Value
}

func (w *walker) visit(path []Value, v Value) {
	a := &w.m.arena
	w.m.work(1 + len(path))
	pair := append(a.list(2), a.array(path), v)
	w.pairs = a.grow(w.pairs, a.array(pair))
	step := func(key, value Value) {
		w.visit(append(append(a.list(len(path)+1), path...), key), value)
	}
	switch v := v.(type) {
	case *array:
		for i, item := range v.items {
			step(a.integer(int64(i)), item)
		}
	case *object:
		order := v.order()
		for i := range v.list {
			step(at(v.list, order, i), at(v.values, order, i))
		}
	case *set:
		order := v.order()
		for i := range v.list {
			e := at(v.list, order, i)
			step(e, e)
		}
	}
}
