// Package policies evaluates Rego, on an embedded OPA, behind the gate's
// contract [interlock.Policy].
//
// A machine's policy is the one package data.interlock.machine.<slug>; what
// several machines share lives in data.interlock.lib.<name>. The gate asks for
// named conditions and lets pass only what is exactly true: undefined, null, any
// other value, an error, a conflict or a time-out is a no.
//
//	gate, err := interlock.New(interlock.Config{
//		Machines: machines,
//		Policy:   policies.Dir("policies"),
//		Store:    store,
//	})
//
// Rules are checked when they are compiled, against the machines: every check
// and grant that a machine names must exist, misspelt fields of input, states,
// events and roles are errors that show file, line and column, and built-ins
// that wait, guess or read the outside world aren't there. See [Check], and
// [RunTests] for the Rego tests beside the rules.
//
// Beside them stands a library for authors, data.interlock.lib.<name>, which
// every policy may import and none may replace (see [Library]):
//
//	four_eyes       somebody_else(persons, person)
//	ownership       owned_by(owner, person), assigned_to(persons, person)
//	quorum          persons(list), reached(list, n), reached_with(list, person, n), reached_among(list, entitled, n)
//	limits          within(amount, limit), between(value, low, high)
//	business_hours  open(ns, schedule)
//	testing         request(fields), now(moment), history(states, events): for tests
package policies
