package policies_test

import (
	"fmt"
	"slices"
	"strings"
)

// hostile is one policy. The machine asks it for the check `ok`, and a yes would
// be committed.
type hostile struct {
	name  string
	files map[string]string // beside the machine's package, or instead of it
	want  outcome
	code  string // of the diagnostic, for one that is refused when it is loaded

	claims map[string]any // of who asks
}

type outcome int

const (
	atLoad outcome = iota // refused with a code and the place
	inTime                // refused because it doesn't end, at most 100 ms after the deadline
	failed                // refused because it can't tell
	denied                // it can tell, and the answer is no
)

const pkg = "package interlock.machine.case\n\n"

func rego(name string, want outcome, code, text string) hostile {
	return hostile{name: name, files: map[string]string{"case.rego": pkg + text + "\n"}, want: want, code: code}
}

// A long text and a large list, made of nothing but rules.
const (
	longText  = `long := concat("", [s | some _ in numbers.range(1, 30000); s := "aaaaaaaaaaaaaaaaaaaa"])`
	largeList = `large := [x | some a in numbers.range(1, 2000); some b in numbers.range(1, 2000); x := a * b]`
)

func policies() []hostile {
	return slices.Concat(endless(), expensive(), large(), unloadable(), deceitful())
}

// endless don't end while anybody waits.
func endless() []hostile {
	loop := func(n int, body string) string {
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, "some a%d in numbers.range(1, 1000); ", i)
		}
		return "[1 | " + s.String() + body + "]"
	}
	var tree strings.Builder
	tree.WriteString("ok if {\n\tx0 := numbers.range(1, 10)\n")
	for i := range 5 {
		fmt.Fprintf(&tree, "\tx%d := [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("x%d, ", i), 8), ", "))
	}
	return []hostile{
		rego("comprehensions in each other", inTime, "", "ok if count("+loop(4, "a0 + a1 + a2 + a3 == 0")+") == 0"),
		rego("sets in each other", inTime, "", `ok if count({[a, b, c] | some a in numbers.range(1, 500); some b in numbers.range(1, 500); some c in numbers.range(1, 500)}) > 0`),
		rego("objects in each other", inTime, "", `ok if count({sprintf("%d-%d", [a, b]): a | some a in numbers.range(1, 5000); some b in numbers.range(1, 5000)}) > 0`),
		rego("every in every", inTime, "", `ok if { every a in numbers.range(1, 30000) { every b in numbers.range(1, 30000) { a + b > 0 } } }`),
		rego("a yes after a long while", inTime, "", "ok if { count("+loop(4, "true")+") > 0; true }"),
		rego("functions on functions", inTime, "", "f(x) := y if { y := count([a | some a in numbers.range(1, 3000); a > x]) }\n\nok if { every a in numbers.range(1, 100000) { f(a) < 3000 } }"),
		rego("a deny that doesn't end", inTime, "", "ok if input.event == \"go\"\n\ndeny contains {\"code\": \"x\", \"message\": \"y\"} if { input.event == \"go\"; count("+loop(4, "a0 + a1 + a2 + a3 == 0")+") > 0 }"),
		rego("a partial rule without end", inTime, "", "all contains [a, b] if { some a in numbers.range(1, 20000); some b in numbers.range(1, 20000) }\n\nok if count(all) > 0"),
		rego("values within values", inTime, "", tree.String()+"\tcount(json.marshal(x5)) > 0\n}"),
	}
}

// expensive call what takes long, or much memory, in one call.
func expensive() []hostile {
	return []hostile{
		rego("numbers.range without end", inTime, "", `ok if count(numbers.range(1, 10000000000)) > 0`),
		rego("numbers.range_step without end", inTime, "", `ok if count(numbers.range_step(1, 1000000000000, 1)) > 0`),
		rego("sum of everything", inTime, "", `ok if sum(numbers.range(1, 100000000)) > 0`),
		rego("product of everything", inTime, "", "ok if { every _ in numbers.range(1, 1000) { product(numbers.range(1, 20000)) > 0 } }"),
		rego("regular expressions of long texts", inTime, "", longText+"\n\nok if { every _ in numbers.range(1, 1000) { not regex.match(`(a?){200}(a|aa|aaa)+(a|b)*c$`, long) } }"),
		rego("replacing by regular expression", inTime, "", longText+"\n\nok if { every _ in numbers.range(1, 1000) { regex.replace(long, `(a+?)(a)(a*?)`, `$1$2$3$1$2$3`) != \"\" } }"),
		rego("patterns in each other", inTime, "", longText+"\n\nok if { every _ in numbers.range(1, 10000) { not glob.match(\"{*a*,*a*a*,*a*a*a*}*{*a*,*b*}*{*a,*b}*c\", [], long) } }"),
		rego("a text that grows", inTime, "", longText+"\n\nok if { every _ in numbers.range(1, 100000) { count(replace(long, \"a\", \"bbbb\")) > 0 } }"),
		rego("sprintf of a mebibyte", inTime, "", `ok if count([x | some i in numbers.range(1, 100000); x := count(sprintf("%999999d", [i]))]) > 5`),
		rego("concat of everything", inTime, "", longText+"\n\nok if count(concat(\",\", [long | some _ in numbers.range(1, 100000000)])) > 0"),
		rego("splitting a long text", inTime, "", longText+"\n\nok if { every _ in numbers.range(1, 10000) { count(split(long, \"\")) > 0 } }"),
		rego("indexes of everything", inTime, "", longText+"\n\nok if { every _ in numbers.range(1, 10000) { count(indexof_n(long, \"a\")) > 0 } }"),
		rego("JSON without end", inTime, "", largeList+"\n\nok if { every _ in numbers.range(1, 100) { count(json.marshal(large)) > 0 } }"),
		rego("JSON deep in itself", inTime, "", `ok if { every n in numbers.range(1, 10000) { json.unmarshal(sprintf("%s%s", [concat("", [s | some _ in numbers.range(1, 9000); s := "["]), concat("", [s | some _ in numbers.range(1, 9000); s := "]"])])) != n } }`),
		rego("a graph where all know all", inTime, "", `ok if { g := {n: k | some n in numbers.range(1, 3000); k := numbers.range(1, 3000)}; count(graph.reachable(g, {1})) > 0 }`),
		rego("a walk through everything", inTime, "", largeList+"\n\nok if count([p | walk(large, [p, _])]) > 0"),
		rego("sorting everything", inTime, "", largeList+"\n\nok if sort(large)[0] == 1"),
		rego("unions of everything", inTime, "", `ok if count({numbers.range(1, a) | some a in numbers.range(1, 20000)}) > 0`),
		rego("differences of everything", inTime, "", "a := {x | some x in numbers.range(1, 300000)}\n\nok if { every n in numbers.range(1, 10000) { count(a - {n}) > 0 } }"),
		rego("digests of a long text", inTime, "", longText+"\n\nok if { every _ in numbers.range(1, 100000) { crypto.sha256(long) != \"\" } }"),
	}
}

// large go through large claims at once, or through what holds them over and over.
func large() []hostile {
	const texts, items = 12000, 120
	claims := map[string]any{"l": make([]string, texts), "list": make([]any, items)}
	for i := range items {
		claims["list"].([]any)[i] = i
	}
	rows := func(from, n int) (all []any) {
		for i := range n {
			all = append(all, map[string]any{"k": from + i})
		}
		return all
	}
	given := func(name string, claims map[string]any, text string) hostile {
		h := rego(name, inTime, "", text)
		h.claims = claims
		return h
	}
	var twice strings.Builder
	twice.WriteString("ok if {\n\tx0 := input.actor.claims.list\n")
	for i := range 20 {
		fmt.Fprintf(&twice, "\tx%d := [x%d, x%d]\n", i+1, i, i)
	}
	const all = `some i in input.actor.claims.list; some j in input.actor.claims.list`
	const forEver = "\n\tcount([1 | " + all + "; some k in input.actor.claims.list; some l in input.actor.claims.list; i + j + k + l < 0]) == 0\n}" // what comes after
	return []hostile{
		given("a set that holds a large value often", claims, "ok if {\n\tl := input.actor.claims.l\n\ta := {[i, j, l] | "+all+"}\n\t[1, 1, l] in a"+forEver),
		given("a set of them in order", claims, "ok if {\n\tl := input.actor.claims.l\n\ta := {[l, j, i] | "+all+"}\n\tsome x in a\n\tx[1] >= 0"+forEver),
		given("a list that holds itself twice", claims, twice.String()+"\t[x20, 1] <= [x20, 2]\n}"),
		given("the greatest of large equals", claims, "ok if {\n\tl := input.actor.claims.l\n\tevery _ in input.actor.claims.list {\n\t\ta := [[l, 1, 0] | "+all+"]\n\t\tmax(a)[1] == 1\n\t}\n}"),
		given("pairs that a table finds", map[string]any{"a": rows(0, 2000), "b": rows(10000, 650)},
			"ok if not hit\n\nhit if input.actor.claims.a[_].k == input.actor.claims.b[_].k"),
	}
}

// unloadable are refused before anybody can ask them.
func unloadable() []hostile {
	built := func(name, text string) hostile { return rego("built-in "+name, atLoad, "rego_type_error", text) }
	with := func(name, code string, files map[string]string) hostile {
		if files["case.rego"] == "" {
			files["case.rego"] = pkg + "ok if input.event == \"go\"\n"
		}
		return hostile{name: name, files: files, want: atLoad, code: code}
	}
	return []hostile{
		built("http.send", `ok if http.send({"method": "get", "url": "http://169.254.169.254/"}).status_code == 200`),
		built("net.lookup_ip_addr", `ok if count(net.lookup_ip_addr("localhost")) > 0`),
		built("opa.runtime", `ok if opa.runtime().env.SECRET != ""`),
		built("time.now_ns", `ok if time.now_ns() > 0`),
		built("rand.intn", `ok if rand.intn("x", 2) == 1`),
		built("uuid.rfc4122", `ok if uuid.rfc4122("x") != ""`),
		built("bits.lsh", `ok if bits.lsh(1, 10000000000) > 0`),
		built("graph.reachable_paths", `ok if count(graph.reachable_paths({1: [2]}, {1})) > 0`),
		built("io.jwt.decode", `ok if io.jwt.decode(input.note)[1].admin`),
		built("rego.parse_module", `ok if rego.parse_module("x", "package y").package`),
		built("net.cidr_expand", `ok if count(net.cidr_expand("10.0.0.0/8")) > 0`),
		built("http.send by another name", "ok if ask({\"method\": \"get\", \"url\": \"http://localhost\"})\n\nask(x) if http.send(x).status_code == 200"),
		rego("a built-in put for another", atLoad, "", "ok if count([1]) == 0 with count as http.send"),
		rego("a rule that asks itself", atLoad, "rego_recursion_error", "ok if again\n\nagain if ok"),
		rego("a function that calls itself", atLoad, "rego_recursion_error", "f(x) := f(x + 1)\n\nok if f(1) > 0"),
		rego("brackets without end", atLoad, "rego_parse_error", "ok if "+strings.Repeat("(", 60000)+"true"+strings.Repeat(")", 60000)),
		rego("lists without end", atLoad, "rego_parse_error", "ok if "+strings.Repeat("[", 300000)+strings.Repeat("]", 300000)+" != 1"),
		rego("objects without end", atLoad, "rego_parse_error", "ok if "+strings.Repeat(`{"a":`, 100000)+"1"+strings.Repeat("}", 100000)+" != 1"),
		rego("twenty thousand rules", atLoad, "too_many_rules", strings.Repeat("ok if input.event == \"go\"\n", 20000)),
		rego("five thousand else", atLoad, "too_many_rules", "ok if input.event == \"x\""+strings.Repeat("\n\nelse := false if input.event == \"y\"", 5000)),
		rego("a number beyond all", atLoad, "rego_parse_error", "ok if 1e999999999 > 0"),
		rego("default true", atLoad, "default_true", "default ok := true"),
		rego("unsafe", atLoad, "rego_unsafe_var_error", "ok if x > 1"),
		rego("misspelt", atLoad, "rego_type_error", `ok if input.instance.facts.amuont < 5`),
		rego("the rules of another machine", atLoad, "", `ok if data.interlock.machine.other.ok`),
		with("the core's package", "package_not_allowed", map[string]string{"core.rego": "package interlock.core\n\nallow := true\n"}),
		with("the system's package", "package_not_allowed", map[string]string{"system.rego": "package system\n\nmain := true\n"}),
		with("a library's package", "package_not_allowed", map[string]string{"lib.rego": "package interlock.lib.four_eyes\n\nsomebody_else(_, _) := true\n"}),
		with("data in the place of rules", "data_invalid", map[string]string{"data.json": `{"interlock": {"machine": {"case": {"ok": true}}}}`}),
		with("data that doubles itself", "data_invalid", map[string]string{"data.yaml": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"}),
		with("data with a name twice", "data_invalid", map[string]string{"data.json": `{"limit": 1, "limit": 1000000}`}),
		with("blank data", "data_invalid", map[string]string{"data.json": "  "}),
		with("a file of 2 MiB", "unreadable", map[string]string{"big.rego": pkg + "# " + strings.Repeat("x", 2<<20)}),
		with("bytes that aren't text", "not_utf8", map[string]string{"bin.rego": pkg + "x := \"\xff\xfe\"\n"}),
		rego("no such rule", atLoad, "rule_missing", "okay if input.event == \"go\""),
		rego("old Rego", atLoad, "rego_parse_error", "ok { input.event == \"go\" }"),
	}
}

// deceitful would say yes where anything but `true` counted.
func deceitful() []hostile {
	return []hostile{
		rego("a text", denied, "", `ok := "true"`),
		rego("a number", denied, "", `ok := 1`),
		rego("an object", denied, "", `ok := {"allow": true}`),
		rego("null", denied, "", `ok := null`),
		rego("undefined", denied, "", `ok if input.note == "sesame"`),
		rego("allow", denied, "", "allow := true\n\nok if input.note == \"sesame\""),
		rego("a deny of nothing but space", failed, "", "ok if input.event == \"go\"\n\ndeny contains {\"code\": \"\", \"message\": \"\"} if input.event == \"go\""),
		rego("a deny of numbers", failed, "", "ok if input.event == \"go\"\n\ndeny contains x if { input.event == \"go\"; some x in [1] }"),
		rego("a deny of lists", failed, "", "ok if input.event == \"go\"\n\ndeny contains x if { input.event == \"go\"; some x in [[\"a\"]] }"),
		rego("two answers", failed, "", "ok := true if input.event == \"go\"\n\nok := false if input.actor.id != \"\""),
		rego("an error", failed, "", "ok if not to_number(input.note) > 0"),
		rego("an error in a deny", failed, "", "ok if input.event == \"go\"\n\ndeny contains {\"code\": \"x\", \"message\": \"y\"} if { input.event == \"go\"; to_number(input.note) > 1 }"),
		rego("division by zero", failed, "", "ok if not 1 / count(input.actor.claims) > 0"),
	}
}
