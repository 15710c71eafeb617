package fsm_test

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/interlock-go/interlock/fsm"
)

// A machine is one YAML file. It answers what is legal from a state, and never
// holds a state itself: that lives in the database.
func Example() {
	loan, err := fsm.Load("testdata/good/loan.yaml")
	if err != nil {
		log.Fatal(err) // with file, line, column and the line itself
	}

	verified, _ := loan.StateByName("verified")
	fmt.Println("From verified:")
	for _, event := range loan.Legal(verified) {
		for _, edge := range loan.Step(verified, event) {
			fmt.Printf("  %s leads to %s for %v, if %v\n", loan.Event(event).Name, loan.State(edge.To).Name, edge.Requires, edge.Checks)
		}
	}

	submit, _ := loan.EventByName("submit")
	fmt.Println("submit is legal from verified:", len(loan.Step(verified, submit)) > 0)
	fmt.Println("a manager is:", loan.Expand([]string{"manager"}))
	// Output:
	// From verified:
	//   approve leads to approved for [employee], if [four_eyes within_limit]
	//   deny leads to denied for [employee], if []
	//   override leads to submitted for [manager], if []
	//   override leads to reviewed for [manager], if []
	//   override leads to verified for [manager], if []
	//   override leads to approved for [manager], if [four_eyes within_limit]
	// submit is legal from verified: false
	// a manager is: [employee manager]
}

// Every error shows where it is and what would be right.
func ExampleParse_refused() {
	_, err := fsm.Parse("loan.yaml", []byte(`machine: loan
initial: created
states:
  created: {}
  approved: {closed: true, finale: true}
events:
  approve: {from: created, to: aproved, requires: [employee]}
  reopen:  {from: approved, to: created, requires: [employee]}
`))
	fmt.Println(err)
	// Output:
	// loan.yaml:5:28: "finale" is no key of the state "approved"; did you mean "final"?
	//    5 |   approved: {closed: true, finale: true}
	//      |                            ^
}

// What is legal but hardly meant is a finding, not an error.
func ExampleMachine_Findings() {
	m, err := fsm.Parse("door.yaml", []byte(`machine: door
initial: open
states: {open: {}, shut: {}, walled_up: {}}
events:
  shut: {from: open, to: shut, requires: [anyone]}
  open: {from: shut, to: open}
`))
	if err != nil {
		log.Fatal(err)
	}
	for _, finding := range m.Findings() {
		fmt.Println(finding)
	}
	// Output:
	// door.yaml:3:30: warning: no way leads from the initial state "open" to "walled_up"; give it a transition or take it out
	//    3 | states: {open: {}, shut: {}, walled_up: {}}
	//      |                              ^
	// door.yaml:3:30: warning: nothing leads on from "walled_up"; give it a transition, or declare it `final: true` or `closed: true`
	//    3 | states: {open: {}, shut: {}, walled_up: {}}
	//      |                              ^
	// door.yaml:6:3: warning: nobody can take this transition of the event "open", since it has no `requires`; name who may, or `anyone`
	//    6 |   open: {from: shut, to: open}
	//      |   ^
}

// The shortest way, with and without exceptions.
func ExampleMachine_Path() {
	loan, err := fsm.Load("testdata/good/loan.yaml")
	if err != nil {
		log.Fatal(err)
	}
	denied, _ := loan.StateByName("denied")
	approved, _ := loan.StateByName("approved")
	show := func(path []fsm.Edge, ok bool) {
		if !ok {
			fmt.Println("no way")
		}
		for _, edge := range path {
			fmt.Printf("%s → %s\n", loan.Event(edge.Event).Name, loan.State(edge.To).Name)
		}
	}
	show(loan.Path(loan.Initial(), approved, false))
	show(loan.Path(denied, approved, false))
	show(loan.Path(denied, approved, true))
	// Output:
	// submit → submitted
	// review → reviewed
	// verify → verified
	// approve → approved
	// no way
	// override → approved
}

// Form fields are checked against the event's schema before any policy runs.
func ExampleSchema_Check() {
	account, err := fsm.Load("testdata/good/account.yaml")
	if err != nil {
		log.Fatal(err)
	}
	invite, _ := account.EventByName("invite")
	for _, fault := range account.Event(invite).Input.Check(map[string]any{"email": "uma", "age": json.Number("7")}) {
		fmt.Println(fault.Pointer, fault.Message)
	}
	// Output:
	// /age is not known here
	// /email must be of the format email
}

// In the metadata form the events follow from the states, and each edge knows
// the entry that made it.
func ExampleEdge_source() {
	photo, err := fsm.Load("testdata/good/photo-submission.yaml")
	if err != nil {
		log.Fatal(err)
	}
	pending, _ := photo.StateByName("PENDING")
	for _, event := range photo.Legal(pending) {
		for _, edge := range photo.Step(pending, event) {
			fmt.Println(edge.Source, photo.Event(event).Name, edge.Requires)
		}
	}
	// Output:
	// testdata/good/photo-submission.yaml:9:45 transition_to_escalated [MODERATOR ADMIN SUPERUSER]
	// testdata/good/photo-submission.yaml:9:25 transition_to_approved [MODERATOR ADMIN SUPERUSER]
	// testdata/good/photo-submission.yaml:9:35 transition_to_rejected [MODERATOR ADMIN SUPERUSER]
}

func ExampleMachine_WriteMermaid() {
	door, err := fsm.Parse("door.yaml", []byte(`machine: door
initial: open
states: {open: {}, shut: {}, gone: {closed: true}}
events:
  shut: {from: open, to: shut, requires: [anyone]}
  open: {from: shut, to: open, requires: [anyone], checks: [has_key]}
  blast: {override: true, from: {any: true}, to: gone, requires: [fire_brigade]}
`))
	if err != nil {
		log.Fatal(err)
	}
	if err := door.WriteMermaid(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// stateDiagram-v2
	//     direction LR
	//     state "open" as s0
	//     state "shut" as s1
	//     state "gone" as s2
	//     [*] --> s0
	//     s0 --> s1 : shut
	//     s0 --> s2 : ⇢ blast
	//     s1 --> s0 : open #91;has_key#93;
	//     s1 --> s2 : ⇢ blast
	//     s2 --> [*]
}
