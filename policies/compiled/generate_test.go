package compiled_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// source is where a generator takes its choices from: a seed, or the bytes of a
// fuzzing engine, after which everything is as small as it can be.
type source struct {
	rnd   *rand.Rand
	bytes []byte
}

func seeded(seed uint64) *source { return &source{rnd: rand.New(rand.NewPCG(seed, 4))} }

// n is one of 0…k-1.
func (s *source) n(k int) int {
	if s.rnd != nil {
		return s.rnd.IntN(k)
	}
	if len(s.bytes) == 0 {
		return 0
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return int(b) % k
}

func (s *source) one(of ...string) string { return of[s.n(len(of))] }

// chance is true in k of 10 cases.
func (s *source) chance(k int) bool { return s.n(10) >= 10-k }

// policy is Rego that a grammar made, and what can be asked of it.
type policy struct {
	modules map[string]string
	queries []string
}

// generator writes a policy. Rules refer to earlier ones only, since Rego
// forbids that they recur; variables are bound before they are used.
type generator struct {
	*source
	out      strings.Builder
	complete []string // rules with one value
	sets     []string
	objects  []string
	funcs    []string // of one argument
	funcs2   []string // of two
	vars     []string // in scope
	fresh    int
	lib      *generator // of the package that this one may refer to
}

func generate(s *source) policy {
	lib := &generator{source: s}
	lib.module("lib", 1+s.n(3))
	g := &generator{source: s, lib: lib}
	queries := g.module("test", 1+s.n(4))
	return policy{map[string]string{"lib.rego": lib.out.String(), "test.rego": g.out.String()}, queries}
}

func (g *generator) module(name string, rules int) []string {
	g.line("package %s\n", name)
	queries := []string{"data." + name}
	for i := range rules {
		queries = append(queries, "data."+name+"."+g.rule(i))
	}
	return queries
}

func (g *generator) line(format string, args ...any) {
	fmt.Fprintf(&g.out, format+"\n", args...)
}

// rule writes one rule of any kind, and gives what to ask for it.
func (g *generator) rule(i int) string {
	g.vars = nil
	switch g.n(8) {
	case 0, 1:
		name := fmt.Sprintf("s%d", i)
		for range 1 + g.n(3) {
			body, end := g.body(2, 1)
			g.line("%s contains %s if {\n%s}", name, g.expr(2), body)
			end()
		}
		g.sets = append(g.sets, name)
		return name
	case 2:
		name := fmt.Sprintf("o%d", i)
		for range 1 + g.n(2) {
			body, end := g.body(2, 1)
			g.line("%s[%s] := %s if {\n%s}", name, g.key(), g.expr(2), body)
			end()
		}
		g.objects = append(g.objects, name)
		return name
	case 3:
		return g.function(i)
	case 4:
		name := fmt.Sprintf("d%d", i)
		for range 1 + g.n(2) {
			body, end := g.body(2, 1)
			g.line("%s[%s][%s] := %s if {\n%s}", name, g.key(), g.key(), g.expr(1), body)
			end()
		}
		g.objects = append(g.objects, name)
		return name
	}
	name := fmt.Sprintf("p%d", i)
	if g.chance(4) {
		g.line("default %s := %s", name, g.one("false", "null", "0", `"none"`, "[]", `{"k": 1}`))
	}
	constant := g.one("", "", "true", `"yes"`, "1")
	for range 1 + g.n(3) {
		body, end := g.body(3, 1)
		g.line("%s := %s if {\n%s}%s", name, g.value(constant), body, g.otherwise(constant, end))
	}
	g.complete = append(g.complete, name)
	return name
}

// value is the one that all bodies of a rule give, or any.
func (g *generator) value(constant string) string {
	if constant != "" {
		return constant
	}
	return g.expr(2)
}

func (g *generator) otherwise(constant string, end func()) string {
	end()
	var all strings.Builder
	for g.chance(2) {
		body, end := g.body(2, 1)
		fmt.Fprintf(&all, " else := %s if {\n%s}", g.value(constant), body)
		end()
	}
	return all.String()
}

func (g *generator) function(i int) string {
	name := fmt.Sprintf("f%d", i)
	two := g.chance(3)
	if g.chance(2) && !two {
		g.line("default %s(_) := %s", name, g.one("false", "0", "null"))
	}
	for range 1 + g.n(2) {
		args := []string{g.argument()}
		if two {
			args = append(args, g.argument())
		}
		body, end := g.body(2, 1)
		g.line("%s(%s) := %s if {\n%s}%s", name, strings.Join(args, ", "), g.expr(2), body, g.otherwise("", end))
		g.vars = nil
	}
	called := fmt.Sprintf("c%d", i)
	if two {
		g.funcs2 = append(g.funcs2, name)
		g.line("%s := %s(%s, %s)", called, name, g.expr(1), g.expr(1))
	} else {
		g.funcs = append(g.funcs, name)
		g.line("%s := %s(%s)", called, name, g.expr(1))
	}
	g.complete = append(g.complete, called)
	return called
}

// argument is a parameter: mostly a variable, at times a value or a pattern.
func (g *generator) argument() string {
	switch g.n(8) {
	case 0:
		return g.literal(1)
	case 1:
		return fmt.Sprintf("[%s, %s]", g.bind(), g.pattern())
	case 2:
		return fmt.Sprintf(`{"a": %s}`, g.bind())
	}
	return g.bind()
}

// pattern is something that a value is matched with.
func (g *generator) pattern() string {
	switch g.n(4) {
	case 0:
		return "_"
	case 1:
		return "1"
	}
	return g.bind()
}

func (g *generator) bind() string {
	g.fresh++
	name := fmt.Sprintf("v%d", g.fresh)
	g.vars = append(g.vars, name)
	return name
}

// body writes some statements; end takes their variables out of scope.
func (g *generator) body(most, least int) (string, func()) {
	scope := len(g.vars)
	var b strings.Builder
	for range least + g.n(most) {
		b.WriteString("\t" + g.statement(2) + "\n")
	}
	return b.String(), func() { g.vars = g.vars[:min(scope, len(g.vars))] }
}

func (g *generator) statement(depth int) string {
	switch g.n(14) {
	case 0, 1:
		e := g.expr(depth)
		return fmt.Sprintf("%s := %s", g.bind(), e)
	case 2:
		e := g.collection(depth)
		return fmt.Sprintf("some %s in %s", g.bind(), e)
	case 3:
		e := g.collection(depth)
		return fmt.Sprintf("some %s, %s in %s", g.bind(), g.bind(), e)
	case 4:
		return "not " + g.condition(depth-1)
	case 5:
		domain := g.collection(depth - 1)
		scope := len(g.vars)
		v := g.bind()
		body := fmt.Sprintf("%s %s %s", v, g.one("==", "!=", "<", ">"), g.expr(depth-1))
		if g.chance(3) {
			body += "; " + g.condition(depth-1)
		}
		g.vars = g.vars[:scope]
		return fmt.Sprintf("every %s%s in %s { %s }", g.one("", "_, "), v, domain, body)
	case 6:
		e := g.reference()
		return fmt.Sprintf("%s := %s[_]", g.bind(), e)
	case 7:
		e := g.reference()
		return fmt.Sprintf("[%s, %s] = %s", g.bind(), g.pattern(), e)
	case 8:
		e := g.reference()
		return fmt.Sprintf(`{"a": %s} = %s`, g.bind(), e)
	case 9:
		return g.condition(depth-1) + " with " + g.replacement()
	case 10:
		e := g.expr(1)
		with := g.replacement()
		return fmt.Sprintf("%s = %s with %s", g.bind(), e, with)
	}
	return g.condition(depth)
}

func (g *generator) replacement() string {
	switch g.n(7) {
	case 0:
		return "input as " + g.expr(1)
	case 1, 2:
		return fmt.Sprintf("input.%s as %s", g.name(), g.expr(1))
	case 3:
		return fmt.Sprintf("input.%s.%s as %s", g.name(), g.name(), g.expr(1))
	case 4:
		return fmt.Sprintf("data.base.%s as %s", g.name(), g.expr(1))
	case 5:
		if g.lib != nil && len(g.lib.complete) > 0 {
			return fmt.Sprintf("data.lib.%s as %s", g.one(g.lib.complete...), g.expr(1))
		}
	case 6:
		if len(g.funcs) > 0 {
			return fmt.Sprintf("%s as %s", g.one(g.funcs...), g.literal(1))
		}
		return "count as " + g.one("3", `"x"`)
	}
	return "input.a as " + g.literal(1)
}

func (g *generator) condition(depth int) string {
	switch g.n(8) {
	case 0:
		return g.expr(depth)
	case 1:
		return fmt.Sprintf("%s in %s", g.expr(depth-1), g.collection(depth-1))
	case 2:
		return fmt.Sprintf("%s(%s, %s)", g.one("startswith", "endswith", "contains"), g.loose(0), g.loose(0))
	case 3:
		return fmt.Sprintf("%s(%s)", g.one("is_string", "is_number", "is_object", "is_array", "is_set", "is_boolean", "is_null"), g.expr(depth-1))
	}
	return fmt.Sprintf("%s %s %s", g.expr(depth-1), g.one("==", "!=", "<", "<=", ">", ">="), g.expr(depth-1))
}
