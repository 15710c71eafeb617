package policies_test

import (
	"context"
	"fmt"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
)

const door = `
machine: door
initial: closed
states: {closed: {}, open: {}}
events:
  unlock: {from: closed, to: open, requires: [guard], checks: [by_day]}
`

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Rules are compiled against the machines; the gate then asks for conditions by name.
func Example() {
	machine := must(fsm.Parse("door.yaml", []byte(door)))
	source := policies.Sources(map[string]string{"door.rego": `package interlock.machine.door

import data.interlock.lib.business_hours

# METADATA
# title: The door is unlocked by day only
by_day if business_hours.open(input.now.ns, {
	"zone": "Europe/Berlin",
	"days": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
	"from": "07:00", "to": "19:00",
})
`})
	rules := must(source.Compile(context.Background(), []*fsm.Machine{machine}))
	input := &interlock.Input{
		Machine: "door",
		Event:   "unlock",
		Instance: interlock.InputInstance{
			Entered: map[string][]string{"closed": {}, "open": {}},
			Did:     map[string][]string{"unlock": {}},
			Last:    map[string]interlock.InputLast{"unlock": {}},
		},
	}
	for _, ns := range []int64{1772445600e9, 1772492400e9} { // 2 March 2026, 10:00 and 23:00 UTC
		input.Now.NS = ns
		verdict := must(rules.Decide(context.Background(), &interlock.Query{Input: input, Checks: []string{"by_day"}}))
		fmt.Println(verdict.Passed, verdict.Failed)
	}
	// Output:
	// [by_day] []
	// [] [{by_day The door is unlocked by day only map[]}]
}

// A misspelt name is an error when the rules are compiled.
func ExampleCheck() {
	machine := must(fsm.Parse("door.yaml", []byte(door)))
	source := policies.Sources(map[string]string{"door.rego": `package interlock.machine.door

by_day if input.event == "unlok"
`})
	report := must(policies.Check(context.Background(), source, []*fsm.Machine{machine}))
	for _, d := range report.Errors {
		fmt.Println(d)
	}
	// Output:
	// door.rego:3:26: machine "door" has no event "unlok"; did you mean "unlock"? (unknown_event)
	// 	by_day if input.event == "unlok"
	// 	                         ^
}

// Rego tests stand beside the rules.
func ExampleTest() {
	source := policies.Sources(map[string]string{
		"door.rego": `package interlock.machine.door

quiet if input.note == ""
`,
		"door_test.rego": `package interlock.machine.door_test

import data.interlock.lib.testing
import data.interlock.machine.door

test_quiet if door.quiet with input as testing.request({})

test_a_note_is_not_quiet if not door.quiet with input as testing.request({"note": "hello"})
`})
	report := must(policies.Test(context.Background(), source, policies.TestOptions{}))
	for _, r := range report.Results {
		fmt.Println(r.Name, r.Pass)
	}
	// Output:
	// test_quiet true
	// test_a_note_is_not_quiet true
}
