package fsm_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

// What definitions of other systems hold either loads with a defined meaning
// or is refused with a sentence that names it.
func TestWhatRealDefinitionsHold(t *testing.T) {
	const head = "machine: m\ninitial: draft\nstates: {draft: , published: , archived: {final: true}}\nevents:\n"
	for _, c := range []struct {
		name, source string
		want         string // of the error; empty: it loads
		edges        []string
	}{
		{"an event named like a state", head + "  archived: {from: draft, to: archived}", "", []string{"draft --archived--> archived"}},
		{
			"spaces, capitals and brackets in quotes", "machine: 'Sales Order [1]'\ninitial: 'To Do (new)'\nstates: {'To Do (new)': , DONE: }\nevents: {'Mark as Done!': {from: 'To Do (new)', to: DONE}}", "",
			[]string{"To Do (new) --Mark as Done!--> DONE"},
		},
		{"spaces without quotes", head + "  mark as done: {from: draft, to: archived}", `write it in quotes: "mark as done"`, nil},
		{"a typo in a state", head + "  publish: {from: draft, to: pubished}", `the state "pubished" is not declared; did you mean "published"?`, nil},
		{"states coded as integers", "machine: m\ninitial: 0\nstates: {0: , 1: }\nevents: {go: {from: 0, to: 1}}", `the number 0 is not a name; names are texts, so write it in quotes: "0"`, nil},
		{"states coded as integers in quotes", "machine: m\ninitial: '0'\nstates: {'0': , '1': }\nevents: {go: {from: '0', to: '1'}}", "", []string{"0 --go--> 1"}},
		{
			"a target that depends on the source", head + "  next: {transitions: [{from: draft, to: published}, {from: published, to: archived}]}", "",
			[]string{"draft --next--> published", "published --next--> archived"},
		},
		{
			"a role that depends on the source", head + "  end: {transitions: [{from: draft, to: archived, requires: [author]}, {from: published, to: archived, requires: [editor]}]}", "",
			[]string{"draft --end--> archived", "published --end--> archived"},
		},
		{
			"two edges of one state and event, told apart by a condition", head + "  submit: {transitions: [{from: draft, to: published, checks: [trusted]}, {from: draft, to: archived, checks: [spam]}]}",
			"already has a transition from \"draft\", on line 5; write one with all targets", nil,
		},
		{
			"the same with several targets, of which the policy picks", head + "  submit: {from: draft, to: [published, archived]}", "",
			[]string{"draft --submit--> published", "draft --submit--> archived"},
		},
		{"an undeclared target", head + "  delete: {from: draft, to: deleted}", `the state "deleted" is not declared`, nil},
		{
			"any but itself", head + "  publish: {from: {any: true, except: published}, to: published}", "",
			[]string{"draft --publish--> published"},
		},
		{
			"any, itself too", head + "  publish: {from: {any: true}, to: published}", "",
			[]string{"draft --publish--> published", "published --publish--> published"},
		},
		{"any, written as elsewhere", head + "  publish: {from: '*', to: published}", "any state is written {any: true}", nil},
		{"an event only for the system", head + "  expire: {from: draft, to: archived, requires: [system]}", "", []string{"draft --expire--> archived"}},
		{"a target that means stay", head + "  note: {from: draft, to: draft}", "", []string{"draft --note--> draft"}},
		{"events that differ in letter case only", head + "  PUBLISH: {from: draft, to: published}\n  publish: {from: draft, to: archived}", "have one identifier", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := fsm.Parse("test.yaml", []byte(c.source+"\n"))
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.edges, named(m, m.Edges()))
		})
	}
}

// Several machines on one row are several files.
func TestMachinesSideBySide(t *testing.T) {
	refused := refusal(t, "machine: payment", "initial: a", "states: {a: {final: true}}", "events: {}", "---", "machine: shipment")
	require.True(t, strings.HasPrefix(refused.Error(), "test.yaml:5:1: a second document begins here"))
}
