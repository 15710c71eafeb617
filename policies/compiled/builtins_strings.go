package compiled

import "strings"

func init() {
	register(map[string]native{
		"startswith":  predicate(strings.HasPrefix),
		"endswith":    predicate(strings.HasSuffix),
		"contains":    predicate(strings.Contains),
		"lower":       mapped(strings.ToLower),
		"upper":       mapped(strings.ToUpper),
		"trim_space":  mapped(strings.TrimSpace),
		"trim":        trimmed(strings.Trim),
		"trim_left":   trimmed(strings.TrimLeft),
		"trim_right":  trimmed(strings.TrimRight),
		"trim_prefix": trimmed(strings.TrimPrefix),
		"trim_suffix": trimmed(strings.TrimSuffix),
		"concat":      concat,
		"split":       split,
	})
}

func two(v []Value) (string, string, bool) {
	s, ok := v[0].(*text)
	if !ok {
		return "", "", false
	}
	t, ok := v[1].(*text)
	if !ok {
		return "", "", false
	}
	return s.s, t.s, true
}

func predicate(is func(s, t string) bool) native {
	return func(_ *Machine, v []Value) (Value, bool) {
		s, t, ok := two(v)
		if !ok {
			return nil, false
		}
		return boolOf(is(s, t)), true
	}
}

func mapped(to func(string) string) native {
	return func(m *Machine, v []Value) (Value, bool) {
		s, ok := v[0].(*text)
		if !ok {
			return nil, false
		}
		return m.arena.text(to(s.s)), true
	}
}

func trimmed(by func(s, t string) string) native {
	return func(m *Machine, v []Value) (Value, bool) {
		s, t, ok := two(v)
		if !ok {
			return nil, false
		}
		return m.arena.text(by(s, t)), true
	}
}

const longText = 1 << 16 // what is longer is put together by OPA, which can be cancelled meanwhile

func concat(m *Machine, v []Value) (Value, bool) {
	by, ok := v[0].(*text)
	if !ok {
		return nil, false
	}
	var order []int32
	items, ok := elements(v[1])
	if !ok {
		return nil, false
	}
	if s, ok := v[1].(*set); ok {
		order = s.order()
	}
	parts := make([]string, len(items))
	size := 0
	for i := range items {
		part, ok := at(items, order, i).(*text)
		if !ok {
			return nil, false
		}
		parts[i] = part.s
		size += len(part.s) + len(by.s)
	}
	if size > longText {
		return nil, false
	}
	m.work(len(items))
	return m.arena.text(strings.Join(parts, by.s)), true
}

func split(m *Machine, v []Value) (Value, bool) {
	s, by, ok := two(v)
	if !ok {
		return nil, false
	}
	if !strings.Contains(s, by) {
		return m.arena.array(m.arena.grow(nil, v[0])), true
	}
	parts := strings.Split(s, by)
	items := m.arena.list(len(parts))
	for _, part := range parts {
		items = append(items, m.arena.text(part))
	}
	m.work(len(parts))
	return m.arena.array(items), true
}
