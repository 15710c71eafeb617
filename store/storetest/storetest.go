// Package storetest is the one conformance suite of interlock.Store: whoever
// passes it may stand behind the gate.
//
//	func TestStore(t *testing.T) {
//		t.Run("mine", func(t *testing.T) {
//			storetest.Run(t, func(t *testing.T) interlock.Store { return open(t, storetest.Bindings()) })
//		})
//	}
//
// A store that may write several commits as one can show the suite how to make
// it do so, by a method CommitTogether(context.Context, []*interlock.Commit) []error
// in the tests of its own package; without it they are made at once.
//
// It looks at the rows themselves through the store's own transactions, so it
// knows the names of the tables of this project's two stores.
package storetest

import (
	"testing"

	"github.com/interlock-go/interlock"
)

// Bindings are the tables that the store under test must be bound to. The suite
// creates them.
func Bindings() []interlock.Binding {
	facts := []string{"amount", "ratio", "note", "flag"}
	return []interlock.Binding{
		{Machine: "loan", Table: "loans", ID: "id", State: "status", Facts: facts},
		{Machine: "ticket", Table: "tickets", ID: "id", State: "status", Facts: facts},
		{Machine: "photo", Table: "photos", ID: "id", State: "status", Facts: facts},
		{Machine: "order", Table: "orders", ID: "id", State: "status", Facts: facts, Tenant: "org"},
		{Machine: "bare", Table: "bares", ID: "id", State: "status"},
	}
}

// Run runs every test. open returns a store with [Bindings] over an empty
// database; it closes it when the test ends. The suite calls its Migrate.
func Run(t *testing.T, open func(t *testing.T) interlock.Store) {
	t.Helper()
	for _, group := range []struct {
		name  string
		tests []namedTest
	}{
		{"commit", commitTests}, {"keys", keyTests}, {"race", raceTests}, {"together", togetherTests}, {"within", withinTests}, {"bound", boundTests}, {"drift", driftTests},
		{"read", readTests}, {"history", historyTests}, {"archive", archiveTests}, {"revision", revisionTests}, {"epoch", epochTests}, {"text", textTests}, {"api key", apiKeyTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(start(t, open)) })
			}
		})
	}
}

type namedTest struct {
	name string
	run  func(*fixture)
}
