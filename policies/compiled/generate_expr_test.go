package compiled_test

import (
	"encoding/json"
	"fmt"
	"strings"
)

func (g *generator) name() string { return g.one("a", "b", "c", "d") }

// key is what an object is asked for.
func (g *generator) key() string {
	if len(g.vars) > 0 && g.chance(5) {
		return g.one(g.vars...)
	}
	return g.one(`"a"`, `"b"`, `"c"`, "0", "1")
}

// numbers in many forms.
var numbers = []string{
	"0", "1", "2", "3", "-1", "10", "42", "1.0", "1.5", "0.1", "0.3", "-0.5", "1e2", "2.50", "100",
	"9007199254740993", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551616",
	"1e21", "0.30000000000000004", "1e-7", "2147483648", "-2147483649", "3.0e0",
}

var strs = []string{`"a"`, `"b"`, `"ab"`, `""`, `"1"`, `"é"`, `"x,y"`, `"A"`, `" a "`, `"abc"`}

func (g *generator) literal(depth int) string {
	if depth <= 0 || g.chance(6) {
		switch g.n(8) {
		case 0:
			return "null"
		case 1:
			return g.one("true", "false")
		case 2, 3, 4:
			return g.one(numbers...)
		}
		return g.one(strs...)
	}
	switch g.n(3) {
	case 0:
		return "[" + g.some(func() string { return g.literal(depth - 1) }) + "]"
	case 1:
		return "{" + g.some(func() string { return fmt.Sprintf(`"%s": %s`, g.name(), g.literal(depth-1)) }) + "}"
	}
	if s := g.some(func() string { return g.literal(depth - 1) }); s != "" {
		return "{" + s + "}"
	}
	return "set()"
}

func (g *generator) some(item func() string) string {
	var all []string
	for range g.n(4) {
		all = append(all, item())
	}
	return strings.Join(all, ", ")
}

func (g *generator) reference() string {
	switch g.n(10) {
	case 0, 1, 2:
		return "input." + g.name()
	case 3:
		return fmt.Sprintf("input.%s.%s", g.name(), g.name())
	case 4:
		return fmt.Sprintf("input.%s[%s]", g.name(), g.key())
	case 5:
		return fmt.Sprintf("data.base.%s", g.name())
	case 6:
		return fmt.Sprintf("data.base.%s[%s]", g.name(), g.key())
	case 7:
		if all := append(append([]string{}, g.sets...), g.objects...); len(all) > 0 {
			if g.chance(5) {
				return fmt.Sprintf("%s[%s]", g.one(all...), g.key())
			}
			return g.one(all...)
		}
	case 8:
		if g.lib != nil {
			return g.library()
		}
	}
	if len(g.complete) > 0 && g.chance(6) {
		return g.one(g.complete...)
	}
	if len(g.vars) > 0 {
		return g.one(g.vars...)
	}
	return "input." + g.name()
}

// library is a reference to rules of the other package, at times by a computed name.
func (g *generator) library() string {
	known := append(append(append([]string{}, g.lib.complete...), g.lib.sets...), g.lib.objects...)
	switch g.n(4) {
	case 0:
		if len(g.vars) > 0 {
			return fmt.Sprintf("data.lib[%s]", g.one(g.vars...))
		}
	case 1:
		return "data.lib"
	}
	if len(known) == 0 {
		return "data.lib"
	}
	ref := "data.lib." + g.one(known...)
	if g.chance(3) {
		ref += fmt.Sprintf("[%s]", g.key())
	}
	return ref
}

// loose is an expression whose type isn't known, mostly, so that it may be the
// operand of anything.
func (g *generator) loose(depth int) string {
	if depth > 0 && g.chance(3) {
		return g.expr(depth)
	}
	return g.reference()
}

func (g *generator) expr(depth int) string {
	if len(g.vars) > 0 && g.chance(3) {
		return g.one(g.vars...)
	}
	if depth <= 0 {
		if g.chance(4) {
			return g.literal(0)
		}
		return g.reference()
	}
	switch g.n(12) {
	case 0:
		return g.literal(2)
	case 1:
		return fmt.Sprintf("(%s %s %s)", g.number(depth), g.one("+", "-", "*", "/", "%"), g.number(depth))
	case 2:
		return fmt.Sprintf("(%s %s %s)", g.set(depth), g.one("|", "&", "-"), g.set(depth))
	case 3, 4:
		return g.builtin(depth)
	case 5:
		return g.comprehension(depth)
	case 6:
		switch {
		case len(g.funcs) > 0 && g.chance(7):
			return fmt.Sprintf("%s(%s)", g.one(g.funcs...), g.expr(depth-1))
		case len(g.funcs2) > 0:
			return fmt.Sprintf("%s(%s, %s)", g.one(g.funcs2...), g.expr(depth-1), g.expr(depth-1))
		}
	case 7:
		return fmt.Sprintf(`{"a": %s, %s: %s}`, g.expr(depth-1), g.one(`"b"`, `"c"`, "1"), g.expr(depth-1))
	case 8:
		return fmt.Sprintf("[%s, %s]", g.expr(depth-1), g.expr(depth-1))
	case 9:
		return fmt.Sprintf("{%s, %s}", g.expr(depth-1), g.expr(depth-1))
	}
	return g.reference()
}

func (g *generator) number(depth int) string {
	if g.chance(3) {
		return g.one(numbers...)
	}
	return g.loose(depth - 1)
}

func (g *generator) set(depth int) string {
	if g.chance(4) {
		return fmt.Sprintf("{%s, %s}", g.expr(depth-1), g.expr(0))
	}
	if len(g.sets) > 0 && g.chance(5) {
		return g.one(g.sets...)
	}
	return g.loose(depth - 1)
}

func (g *generator) builtin(depth int) string {
	a, b := g.loose(depth-1), g.loose(depth-1)
	switch g.n(16) {
	case 0, 1:
		return fmt.Sprintf("count(%s)", a)
	case 2:
		return fmt.Sprintf("%s(%s)", g.one("sum", "max", "min", "sort", "product"), a)
	case 3:
		return fmt.Sprintf("%s(%s)", g.one("lower", "upper", "trim_space", "abs", "round", "floor", "ceil", "to_number", "type_name"), a)
	case 4:
		return fmt.Sprintf("object.get(%s, %s, %s)", a, g.one(g.key(), `["a", "b"]`, "[]", b), g.literal(0))
	case 5:
		return fmt.Sprintf("%s(%s, %s)", g.one("trim", "trim_left", "trim_right", "trim_prefix", "trim_suffix", "split", "indexof"), a, b)
	case 6:
		return fmt.Sprintf("%s(%s, %s)", g.one("concat", "array.concat", "object.union", "object.remove", "object.filter"), a, b)
	case 7:
		return fmt.Sprintf("%s(%s)", g.one("array.reverse", "object.keys", "union", "intersection", "json.marshal", "is_object"), a)
	case 8:
		return fmt.Sprintf(`sprintf(%s, [%s, %s])`, g.one(`"%v-%v"`, `"%d %s"`, `"%s%v"`), a, b)
	case 9:
		return fmt.Sprintf("[x | walk(%s, [_, x])]", a)
	case 10:
		return fmt.Sprintf("[p | walk(%s, [p, %s])]", a, g.literal(0))
	case 11:
		return fmt.Sprintf("replace(%s, %s, %s)", a, g.one(strs...), g.one(strs...))
	case 12:
		return fmt.Sprintf("substring(%s, %s, %s)", a, g.one("0", "1", "-1", "2"), g.one("-1", "1", "2"))
	case 13:
		return fmt.Sprintf("array.slice(%s, 0, %s)", a, g.one("1", "2", b))
	case 14:
		return fmt.Sprintf("format_int(%s, %s)", a, g.one("10", "16", "2"))
	}
	return fmt.Sprintf("json.unmarshal(%s)", g.one(`"[1, 2.0]"`, `"{\"a\": 1e2}"`, `"x"`, a))
}

func (g *generator) comprehension(depth int) string {
	if len(g.vars) > 0 && g.chance(4) {
		return g.joined()
	}
	scope := len(g.vars)
	domain := g.collection(depth - 1)
	v := g.bind()
	some := fmt.Sprintf("some %s in %s", v, domain)
	if g.chance(3) {
		some = fmt.Sprintf("some %s, %s in %s", g.bind(), v, domain)
	}
	if g.chance(5) {
		some += "; " + g.condition(depth-1)
	}
	e, k := g.expr(depth-1), g.key()
	g.vars = g.vars[:scope]
	switch g.n(3) {
	case 0:
		return fmt.Sprintf("[%s | %s]", e, some)
	case 1:
		return fmt.Sprintf("{%s | %s}", e, some)
	}
	return fmt.Sprintf("{%s: %s | %s}", k, e, some)
}

// joined looks in rows for what a variable is.
func (g *generator) joined() string {
	v := g.one(g.vars...)
	g.fresh++
	row, rows := fmt.Sprintf("v%d", g.fresh), g.one("input.rows", "data.base.rows")
	match := fmt.Sprintf(g.one("%s.%s == %s", "%s.%s = %s", "%s.%s.a == %s"), row, g.name(), v)
	switch g.n(4) {
	case 0:
		return fmt.Sprintf("{%s.%s | some %s in %s; %s}", row, g.name(), row, rows, match)
	case 1:
		return fmt.Sprintf("[k | some k, %s in %s; %s]", row, rows, match)
	case 2:
		return fmt.Sprintf("count([1 | some %s in %s; %s; %s.%s != %s])", row, rows, match, row, g.name(), g.literal(0))
	}
	return fmt.Sprintf("[%s.%s | some %s in %s; %s]", row, g.name(), row, rows, match)
}

func (g *generator) collection(depth int) string {
	if g.chance(2) {
		return g.one("input.rows", "data.base.rows", "input.rows[_]")
	}
	if g.chance(6) {
		return g.reference()
	}
	if depth > 0 && g.chance(5) {
		return g.expr(depth)
	}
	return g.literal(2)
}

// document is a value as JSON has it, with the names that policies ask for.
func document(s *source, depth int) any {
	if depth <= 0 || s.chance(4) {
		switch s.n(8) {
		case 0:
			return nil
		case 1:
			return s.n(2) == 0
		case 2, 3, 4:
			return json.Number(s.one(numbers...))
		}
		text, _ := unquote(s.one(strs...))
		return text
	}
	if s.chance(5) {
		items := []any{}
		for range s.n(5) {
			items = append(items, document(s, depth-1))
		}
		return items
	}
	o := map[string]any{}
	for range s.n(5) {
		o[s.one("a", "b", "c", "d", "1")] = document(s, depth-1)
	}
	return o
}

func unquote(s string) (string, error) {
	var out string
	err := json.Unmarshal([]byte(s), &out)
	return out, err
}

// fields is an object with most of the names that policies ask for.
func fields(s *source) map[string]any {
	o := map[string]any{}
	for _, name := range []string{"a", "b", "c", "d"} {
		if s.chance(8) {
			o[name] = document(s, 3)
		}
	}
	if s.chance(5) {
		o["rows"] = rows(s)
	}
	return o
}

// rows are many objects with few values, in an array or an object.
func rows(s *source) any {
	row := func() map[string]any {
		o := map[string]any{}
		for _, name := range []string{"a", "b", "c", "d"} {
			if s.chance(8) {
				o[name] = document(s, s.n(2))
			}
		}
		return o
	}
	list, named := []any{}, map[string]any{}
	for i := range s.n(40) {
		list = append(list, row())
		named[fmt.Sprint("r", i)] = row()
	}
	if s.chance(3) {
		return named
	}
	return list
}
