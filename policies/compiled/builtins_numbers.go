package compiled

func init() {
	register(map[string]native{
		"plus":  arithmetic(add),
		"mul":   arithmetic(multiply),
		"minus": minus,
		"rem": arithmetic(func(x, y int64) (int64, bool) {
			if y == 0 || y == -1 {
				return 0, y == -1
			}
			return x % y, true
		}),
		"div": arithmetic(func(x, y int64) (int64, bool) {
			// 0/-1 is -0 to OPA, and a quotient that isn't whole a float.
			if x == 0 || y == 0 || y == -1 || x%y != 0 || !narrow(x) || !narrow(y) {
				return 0, false
			}
			return x / y, true
		}),
		"abs": func(m *Machine, v []Value) (Value, bool) {
			n, ok := v[0].(*integer)
			if !ok || !narrow(n.n) {
				return nil, false
			}
			return m.arena.integer(max(n.n, -n.n)), true
		},
		"sum": sum,
		"max": extreme(1),
		"min": extreme(-1),
	})
}

// narrow are the integers that OPA divides as such.
func narrow(n int64) bool { return n >= -1<<31 && n < 1<<31 }

func arithmetic(op func(x, y int64) (int64, bool)) native {
	return func(m *Machine, v []Value) (Value, bool) {
		x, ok := v[0].(*integer)
		if !ok {
			return nil, false
		}
		y, ok := v[1].(*integer)
		if !ok {
			return nil, false
		}
		n, ok := op(x.n, y.n)
		if !ok {
			return nil, false
		}
		return m.arena.integer(n), true
	}
}

var minusNumbers = arithmetic(subtract)

// minus is also the difference of sets.
func minus(m *Machine, v []Value) (Value, bool) {
	s, ok := v[0].(*set)
	t, isSet := v[1].(*set)
	if ok && isSet {
		return filter(m, s, func(e Value) bool { return t.find(e) < 0 }), true
	}
	return minusNumbers(m, v)
}

func sum(m *Machine, v []Value) (Value, bool) {
	items, ok := elements(v[0])
	if !ok {
		return nil, false
	}
	m.work(len(items))
	var total int64
	for _, item := range items {
		n, ok := item.(*integer)
		if !ok {
			return nil, false
		}
		if total, ok = add(total, n.n); !ok {
			return nil, false
		}
	}
	return m.arena.integer(total), true
}

// extreme is the greatest of the elements, or with sign -1 the least.
func extreme(sign int) native {
	return func(m *Machine, v []Value) (Value, bool) {
		items, ok := elements(v[0])
		if !ok || len(items) == 0 {
			return nil, false
		}
		m.work(int(weightOf(v[0])))
		best := items[0]
		for _, item := range items[1:] {
			switch c := sign * compare(item, best); {
			case c > 0:
				best = item
			case c == 0 && !same(item, best): // 1 and 1.0: OPA knows which it takes
				return nil, false
			}
		}
		return best, true
	}
}

// elements are those of an array, or of a set in no particular order.
func elements(v Value) ([]Value, bool) {
	switch v := v.(type) {
	case *array:
		return v.items, true
	case *set:
		return v.list, true
	}
	return nil, false
}
