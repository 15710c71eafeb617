package compiled

// natives are the built-in functions that needn't go over OPA's values.
var natives = map[string]native{}

func register(all map[string]native) {
	for name, fn := range all {
		natives[name] = fn
	}
}

func init() {
	for _, name := range []string{"equal", "neq", "lt", "lte", "gt", "gte"} {
		holds := conditions[name]
		natives[name] = func(m *Machine, v []Value) (Value, bool) { return boolOf(holds(m, v[0], v[1])), true }
	}
	register(map[string]native{
		"is_null":    isKind(Null),
		"is_boolean": isKind(Boolean),
		"is_number":  isKind(Number),
		"is_string":  isKind(String),
		"is_array":   isKind(Array),
		"is_object":  isKind(Object),
		"is_set":     isKind(Set),
		"type_name":  func(_ *Machine, v []Value) (Value, bool) { return kindTexts[v[0].Kind()], true },
	})
}

// conditions are the natives of two operands that never fail.
var conditions = map[string]func(m *Machine, a, b Value) bool{
	"equal":             func(m *Machine, a, b Value) bool { m.weigh(a, b); return equal(a, b) },
	"neq":               func(m *Machine, a, b Value) bool { m.weigh(a, b); return !equal(a, b) },
	"lt":                func(m *Machine, a, b Value) bool { m.weigh(a, b); return compare(a, b) < 0 },
	"lte":               func(m *Machine, a, b Value) bool { m.weigh(a, b); return compare(a, b) <= 0 },
	"gt":                func(m *Machine, a, b Value) bool { m.weigh(a, b); return compare(a, b) > 0 },
	"gte":               func(m *Machine, a, b Value) bool { m.weigh(a, b); return compare(a, b) >= 0 },
	"internal.member_2": func(m *Machine, a, b Value) bool { return contains(m, b, a) },
}

func isKind(k Kind) native {
	return func(_ *Machine, v []Value) (Value, bool) { return boolOf(v[0].Kind() == k), true }
}

var kindTexts = func() (all [len(kindNames)]Value) {
	for i, name := range kindNames {
		all[i] = &text{name, hashText(name)}
	}
	return all
}()
