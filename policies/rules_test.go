package policies

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReads(t *testing.T) {
	source := map[string]string{"loan.rego": loanRules + readers, "mine.rego": "package interlock.lib.mine\n\nnoted if input.note == \"x\"\n"}
	rules, err := Sources(source).Compile(context.Background(), []*fsm.Machine{machine(t, loanMachine)})
	require.NoError(t, err)
	for name, want := range map[string][2]bool{
		"four_eyes": {}, "within_limit": {}, "owner": {}, "fixed": {}, "missing": {},
		"form": {true, false}, "note": {false, true},
		"through_helper": {true, false}, "through_rule": {false, true}, "imported": {true, false},
		"whole": {true, true}, "alias": {true, true}, "computed": {true, true}, "got": {true, true},
		"inside": {false, true}, "comprehension": {true, false}, "library": {false, true}, "otherwise": {false, true},
		"deny": {false, true}, "target": {true, false},
	} {
		form, note := rules.Reads("loan", name)
		require.Equal(t, want, [2]bool{form, note}, name)
		require.Equal(t, name != "missing", rules.Defines("loan", name), name)
	}
	form, note := rules.Reads("other", "form")
	require.False(t, form || note)
	require.False(t, rules.Defines("other", "form"))
}

const readers = `
import input.input as filled

form if input.input.reference == "x"

note if input.note == "x"

imported if filled.reference == "x"

through_helper if helper("x")

helper(x) if input.input.reference == x

through_rule if deeper

deeper if also

also if input.note == "x"

whole if count(input) > 3

alias if {
	i := input
	i.note == "x"
}

computed if {
	some key in ["note"]
	input[key] == "x"
}

got if object.get(input, "note", "") == "x"

inside if input.instance.last[input.note].count == 3

comprehension if count([1 | some x in input.input; x == 1]) > 0

library if data.interlock.lib.mine.noted

otherwise := true if {
	input.instance.state == "created"
} else := true if {
	through_rule
}

fixed if input.instance.state == "created"

deny contains {"code": "x", "message": "y"} if input.note == "z"

target := "verified" if input.input.reference == "z"
`

func TestRevision(t *testing.T) {
	machines := []*fsm.Machine{machine(t, loanMachine), machine(t, strings.Replace(loanMachine, "machine: loan", `machine: "Other One"`, 1)), machine(t, "machine: bare\ninitial: a\nstates: {a: {}}\nevents: {go: {from: a, stay: true, requires: [user]}}\n")}
	base := map[string]string{
		"a.rego":      loanRules,
		"b.rego":      "package interlock.machine.other_one\n\nimport data.interlock.lib.mine\n\nfour_eyes if mine.x\n\nwithin_limit if mine.x\n\nowner if mine.x\n",
		"mine.rego":   "package interlock.lib.mine\n\nimport data.interlock.lib.deep\n\nx if deep.y\n",
		"deep.rego":   "package interlock.lib.deep\n\ny if input.note == \"\"\n",
		"unused.rego": "package interlock.lib.unused\n\ny := 1\n",
		"data.json":   `{"a": 1}`,
	}
	revisions := func(change map[string]string) [3]string {
		files := map[string]string{}
		for k, v := range base {
			files[k] = v
		}
		for k, v := range change {
			files[k] = v
		}
		r, err := Sources(files).Compile(context.Background(), machines)
		require.NoError(t, err)
		require.Equal(t, r.Revision("Other One"), r.Revision("other_one"))
		return [3]string{r.Revision("loan"), r.Revision("Other One"), r.Revision("bare")}
	}
	before := revisions(nil)
	require.Len(t, before[0], 64)
	require.Empty(t, before[2])
	require.Equal(t, before, revisions(nil))
	changed := func(change map[string]string) [2]bool {
		after := revisions(change)
		return [2]bool{after[0] != before[0], after[1] != before[1]}
	}
	require.Equal(t, [2]bool{true, false}, changed(map[string]string{"a.rego": loanRules + "\n# more\n"}))
	require.Equal(t, [2]bool{false, true}, changed(map[string]string{"mine.rego": base["mine.rego"] + "\n"}))
	require.Equal(t, [2]bool{false, true}, changed(map[string]string{"deep.rego": base["deep.rego"] + "\n"}))
	require.Equal(t, [2]bool{false, false}, changed(map[string]string{"unused.rego": base["unused.rego"] + "\n"}))
	require.Equal(t, [2]bool{true, true}, changed(map[string]string{"data.json": `{"a": 2}`}))
	require.Equal(t, [2]bool{false, false}, changed(map[string]string{"data.json": `{ "a": 1}`}))
}

func TestMachinesOfOddNames(t *testing.T) {
	m := machine(t, strings.Replace(checkMachine, "machine: m", "machine: edit-submission", 1))
	rules, err := Sources(map[string]string{"m.rego": "package interlock.machine[\"edit-submission\"]\n\nok if input.event == \"go\"\n\ngranted if input.machine == \"edit-submission\"\n"}, Timeout(patience)).Compile(context.Background(), []*fsm.Machine{m})
	require.NoError(t, err)
	in := checkInput()
	in.Machine = "edit-submission"
	v, err := rules.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"ok"}, Grants: []string{"granted"}})
	require.NoError(t, err)
	require.Equal(t, []string{"ok"}, v.Passed)
	require.Equal(t, []string{"granted"}, v.Granted)
}

// A machine without checks needs no package.
func TestMachineWithoutRules(t *testing.T) {
	rules, err := Sources(nil).Compile(context.Background(), []*fsm.Machine{machine(t, "machine: bare\ninitial: a\nstates: {a: {}}\nevents: {go: {from: a, stay: true, requires: [user]}}\n")})
	require.NoError(t, err)
	v, err := rules.Decide(context.Background(), &interlock.Query{Input: &interlock.Input{Machine: "bare"}, Deny: true, Target: true})
	require.NoError(t, err)
	require.Equal(t, interlock.Verdict{}, v)
}

// Each Decide is answered by the rules that it was asked of, whatever is compiled meanwhile.
func TestDecideWhileReloading(t *testing.T) {
	dir := t.TempDir()
	machines := []*fsm.Machine{machine(t, checkMachine)}
	source := Dir(dir, Timeout(patience))
	load := func(n int) interlock.Rules {
		put(t, dir, map[string]string{"m.rego": fmt.Sprintf("package interlock.machine.m\n\nok if input.event == \"go\"\n\ngranted if data.n == %d\n", n), "data.json": fmt.Sprintf(`{"n": %d}`, n)})
		rules, err := source.Compile(context.Background(), machines)
		require.NoError(t, err)
		return rules
	}
	var mu sync.Mutex
	current := load(0)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				r := current
				mu.Unlock()
				v, err := r.Decide(context.Background(), &interlock.Query{Input: checkInput(), Checks: []string{"ok"}, Grants: []string{"granted"}, Deny: true})
				if err != nil || len(v.Passed) != 1 || len(v.Granted) != 1 {
					t.Errorf("half a reload: %v %v", v, err)
					return
				}
			}
		})
	}
	for n := 1; n < 20; n++ {
		r := load(n)
		mu.Lock()
		current = r
		mu.Unlock()
	}
	put(t, dir, map[string]string{"m.rego": "package interlock.machine.m\n\nok if {\n"})
	_, err := source.Compile(context.Background(), machines)
	require.Error(t, err, "and what was compiled before goes on")
	close(stop)
	wg.Wait()
}

func TestTrace(t *testing.T) {
	in := loanInput()
	in.Instance.Facts["amount"] = 9000
	v, err := rulesOf(t, loanRules).Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Trace: true})
	require.NoError(t, err)
	golden(t, "trace.txt", strings.Join(v.Trace, "\n")+"\n")
	require.Equal(t, []string{"four_eyes"}, v.Passed)

	v, err = checkRules(t, "ok if count([1 | some a in numbers.range(1, 5000); a > 3; a > 4\na > 5]) > 0").Decide(context.Background(), ask(interlock.Query{Trace: true}))
	require.NoError(t, err)
	require.Len(t, v.Trace, maxTraceSteps+1)
	require.Contains(t, v.Trace[maxTraceSteps], "more steps")
}

func TestInputSchema(t *testing.T) {
	text := InputSchema(machine(t, loanMachine))
	golden(t, "input_schema.json", string(text)+"\n")
	require.True(t, json.Valid(text))
}

// A machine's schema may use what the engine's type checker doesn't know.
func TestInputSchemaOfAnySchema(t *testing.T) {
	m := machine(t, `machine: s
initial: a
facts:
  schema:
    type: object
    $defs: {money: {type: object, properties: {amount: {type: integer}, currency: {type: string}}}}
    properties:
      price: {$ref: "#/$defs/money"}
      either: {oneOf: [{type: string}, {type: integer}]}
      maybe: {type: [integer, "null"]}
      kind: {enum: [a, b]}
      fixed: {const: 3}
      open: {}
      map: {type: object, additionalProperties: {type: integer}}
      list: {type: array, items: {type: object, properties: {n: {type: integer}}}}
      tuple: {type: array, prefixItems: [{type: integer}]}
    allOf: [{properties: {more: {type: boolean}}}]
states: {a: {}}
events: {go: {from: a, stay: true, requires: [user], checks: [ok]}}
`)
	compile := func(condition string) error {
		_, err := Sources(map[string]string{"s.rego": "package interlock.machine.s\n\nok if " + condition + "\n"}).Compile(context.Background(), []*fsm.Machine{m})
		return err
	}
	facts := "input.instance.facts."
	for _, ok := range []string{"price.amount > 3", "either == 3", "maybe == null", `kind == "a"`, "fixed == 3", "open.x.y == 3", "map.anything == 3", "list[_].n == 3", "tuple[0] == 3", "more"} {
		require.NoError(t, compile(facts+ok), ok)
	}
	for _, bad := range []string{"price.amuont > 3", "prize.amount > 3", "list[_].m == 3", "kind.x == 3", "mor"} {
		require.Error(t, compile(facts+bad), bad)
	}
}

// A machine that declares no facts, attributes or form fields has none to read:
// to the type checker alone, an object without properties would be open.
func TestUndeclaredFieldsAreErrors(t *testing.T) {
	m := machine(t, "machine: s\ninitial: a\nstates: {a: {}}\nevents: {go: {from: a, stay: true, requires: [user], checks: [ok]}}\n")
	for _, condition := range []string{
		"input.instance.facts.amount > 3", "input.actor.attrs.limit > 3", "input.input.reference != 3",
		"object.get(input.instance.facts, \"amount\", 0) == 0", "f.amount > 3",
	} {
		_, err := Sources(map[string]string{"s.rego": "package interlock.machine.s\n\nimport input.instance.facts as f\n\nother if f == {}\n\nok if " + condition + "\n"}).Compile(context.Background(), []*fsm.Machine{m})
		require.ErrorContains(t, err, "the machine declares none", condition)
	}
}

func TestCapabilities(t *testing.T) {
	var names []string
	for _, b := range capabilities().Builtins {
		require.False(t, b.Nondeterministic, b.Name)
		names = append(names, b.Name)
	}
	for _, name := range strings.Fields(allowedBuiltins) {
		require.Contains(t, names, name, "the engine knows it")
	}
	for _, name := range []string{"http.send", "net.lookup_ip_addr", "net.cidr_expand", "opa.runtime", "rand.intn", "uuid.rfc4122", "providers.aws.sign_req", "trace", "time.now_ns", "bits.lsh", "io.jwt.decode_verify", "rego.parse_module"} {
		require.NotContains(t, names, name)
		require.Contains(t, ast.BuiltinMap, name, "it is still called so")
	}
	require.NotNil(t, capabilities().AllowNet)
	golden(t, filepath.Join("capabilities.txt"), strings.Join(names, "\n")+"\n")
}
