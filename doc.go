// Package interlock is the gate that every change of business state goes
// through: first the graph (is this event legal from here?), then the policy
// (may she?), then one atomic commit with its history.
//
// A [Gate] is made by [New] from machines (package fsm), a policy (package
// policies, or none) and a store (packages store/sqlite and store/postgres).
// [Gate.Fire] lets the gate commit; [Do] commits the application's own writes
// in the same transaction; [Gate.Available] is the menu. What the gate refuses
// it refuses with a [*Refusal], which is an error.
//
// Every "don't know" is a refusal: an error, a missing fact, a stale entry or a
// lost reply never becomes a yes.
package interlock
