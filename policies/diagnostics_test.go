package policies

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

var update = flag.Bool("update", false, "write the golden files")

// refused holds, by name, rules beside loanRules (or files of their own) and is
// printed with what is said of them to testdata/diagnostics/NAME.txt.
var refused = map[string]map[string]string{
	"syntax":              {"loan.rego": "package interlock.machine.loan\n\nfour_eyes if {\n"},
	"empty_file":          {"loan.rego": loanRules, "other.rego": "# nothing\n"},
	"misspelt_fact":       loanAnd(`amount_ok if input.instance.facts.amuont < 5`),
	"misspelt_attr":       loanAnd(`limit_ok if input.actor.attrs.limt > 5`),
	"misspelt_state_key":  loanAnd(`a if count(input.instance.entered.verfied) > 0`),
	"misspelt_event_key":  loanAnd(`a if count(input.instance.did.aprove) > 0`),
	"misspelt_last":       loanAnd(`a if input.instance.last.verify.when == "x"`),
	"misspelt_form_field": loanAnd(`a if input.input.refrence != ""`),
	"misspelt_by_alias":   loanAnd(`a if {` + "\n\tf := input.instance.facts\n\tf.amuont < 5\n}"),
	"misspelt_event": loanAnd(`a if input.event == "aprove"

b if input.event in {"approve", "sumbit"}

c if {
	e := input.event
	e != "verfy"
}

d if input.event == "$read"`),
	"misspelt_state": loanAnd(`a if input.transition.to == "aproved"

b if input.transition.from in ["verified", "creatd"]

c if input.instance.state != "aproved"

d if {
	some state, persons in input.instance.entered
	count(persons) > 0
	state == "aproved"
}

target := "aproved" if input.event == "override"`),
	"misspelt_role": loanAnd(`a if "managr" in input.actor.roles

b if {
	some r in input.actor.roles
	r == "emploee"
}

c if {
	every r in input.actor.roles { r != "managr" }
}

d if input.actor.roles[_] == "managr"

e if input.actor.kind == "robot"

f if "interlock:admin" in input.actor.roles`),
	"misspelt_in_object_get": loanAnd(`a if object.get(input.instance.facts, "amuont", 0) < 5

b if object.get(input, ["instance", "fact", "amount"], 0) < 5`),
	"missing_rule":         {"loan.rego": "package interlock.machine.loan\n\nfour_eys if input.note != \"\"\n\nwithin_limit if input.note != \"\"\n"},
	"missing_package":      {"laon.rego": strings.Replace(loanRules, "machine.loan", "machine.laon", 1)},
	"default_true":         loanAnd("default open := true"),
	"default_true_check":   {"loan.rego": loanRules + "\ndefault four_eyes := true\n"},
	"wrong_shapes":         {"loan.rego": "package interlock.machine.loan\n\nfour_eyes contains 1 if input.note != \"\"\n\nwithin_limit(x) if x == 1\n\nowner.of if input.note != \"\"\n\ndeny := [1]\n\ntarget contains \"verified\"\n"},
	"deny_reason":          loanAnd(`deny contains {"cod": "x", "message": "y"} if input.note == ""`),
	"core_package":         {"loan.rego": loanRules, "core.rego": "package interlock.core\n\nallow := true\n"},
	"other_packages":       {"loan.rego": loanRules, "a.rego": "package main\n\nx := 1\n", "b.rego": "package interlock\n\nx := 1\n", "c.rego": "package interlock.machine\n\nloan := 1\n", "d.rego": "package interlock.machine.loan.sub\n\nx := 1\n", "e.rego": "package system\n\nx := 1\n"},
	"shadowed_library":     {"loan.rego": loanRules, "lib.rego": "package interlock.lib.four_eyes\n\nsatisfied(_, _) := true\n"},
	"unknown_library":      loanAnd(`a if data.interlock.lib.four_eye.x`),
	"unknown_library_rule": loanAnd(`a if data.interlock.lib.four_eyes.nothing_like_that`),
	"foreign_rules":        loanAnd(`a if data.interlock.machine.account.x`),
	"unknown_data":         {"loan.rego": loanRules + "\na if data.limits.branch > 3\n\nb if data.limts.total > 3\n", "data.json": `{"limits": {"total": 4}}`},
	"builtins":             loanAnd("a if http.send({\"method\": \"get\", \"url\": \"http://localhost\"}).status_code == 200\n\nb if time.now_ns() > 0\n\nc if rand.intn(\"x\", 2) == 1\n\nd := opa.runtime()\n\ne := uuid.rfc4122(\"x\")\n\nf := net.lookup_ip_addr(\"localhost\")\n\ng := bits.lsh(1, 10000000000)\n\nh := io.jwt.decode(input.note)\n\ni := trace(\"x\")"),
	"unsafe_and_recursive": loanAnd("a if x > 1\n\nb if b"),
	"strict":               loanAnd("a if {\n\tx := 1\n\tinput.note != \"\"\n}"),
	"unlike_types":         loanAnd(`a if input.instance.facts.amount > "5"`),
	"data_interlock":       {"loan.rego": loanRules, "data.json": `{"interlock": {"machine": {"loan": {"four_eyes": true}}}}`},
	"data_blank":           {"loan.rego": loanRules, "data.json": " ", "sub/data.json": "{}", "yaml/data.yaml": ""},
	"data_doubled":         {"loan.rego": loanRules, "data.json": `{"a": 1, "a": 2}`, "b/data.json": `{"c": 1}`, "b/data.yaml": "c: 2\n", "c/data.json": `{"a": 1}{"a": 1}`, "d/data.yaml": "a: &x 1\nb: *x\n", "e/data.yaml": "a: 1\na: 2\n"},
	"findings": loanAnd(`a if input.instance.facts.rating > 3

deny contains {"code": "late", "message": "Too late"} if input.now.ns > 5

untested if input.actor.claims.level > 3

keyed if count(input.instance.did[input.event]) > 0

got if object.get(input.instance.facts, "amount", 0) < 3

target := "verified" if input.note == "x"

params["four_eys"] := {"a": 1}

guarded if {
	is_number(input.instance.facts.rating)
	input.instance.facts.rating > 3
}`),
	"negations": loanAnd(`a if not input.instance.facts.amount > 1000

b if not violation

violation if over(input.instance.facts.amount)

over(x) if x > 1000

c if not input.transition.override

d if not "manager" in input.actor.roles

e if {
	amount := input.instance.facts.amount
	not amount > 1000
}

f if not input.actor.claims.suspended`),
	"empty_every": loanAnd(`a if every p in input.instance.did.verify { p != input.actor.person }

b if {
	count(input.instance.did.verify) > 0
	every p in input.instance.did.verify { p != input.actor.person }
}`),
	"own_schema":      loanAnd("# METADATA\n# schemas:\n#   - input: {type: object}\na if input.instance.facts.amuont > 3"),
	"replaced":        loanAnd("a if four_eyes with input.actor.person as \"x\""),
	"unused_packages": {"loan.rego": loanRules, "x.rego": "package interlock.machine.laon\n\nx if input.note == \"\"\n", "y.rego": "package interlock.lib.mine\n\nx := 1\n"},
	"many_rules":      {"loan.rego": "package interlock.machine.loan\n\n" + strings.Repeat("a if input.note == \"\"\n", 2001)},
	"many_else":       loanAnd("a if input.note == \"\"" + strings.Repeat("\n\nelse := false if input.note == \"x\"", 101)),
	"constant_checks": {"loan.rego": "package interlock.machine.loan\n\n# METADATA\n# title: t\nfour_eyes := true\n\nwithin_limit := \"yes\"\n\nowner if true\n"},
}

func loanAnd(more string) map[string]string {
	return map[string]string{"loan.rego": loanRules, "more.rego": "package interlock.machine.loan\n\n" + more + "\n"}
}

func TestDiagnostics(t *testing.T) {
	for name, files := range refused {
		t.Run(name, func(t *testing.T) {
			report, err := Check(context.Background(), Sources(files), []*fsm.Machine{machine(t, loanMachine)})
			require.NoError(t, err)
			var b strings.Builder
			for _, d := range report.Errors {
				b.WriteString("error " + d.String() + "\n")
			}
			for _, d := range report.Findings {
				b.WriteString("finding " + d.String() + "\n")
			}
			golden(t, filepath.Join("diagnostics", name+".txt"), b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}
