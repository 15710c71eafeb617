// Package fsm is the graph half of Interlock: the definition of a machine in
// one strict YAML file, compiled to integer tables, with findings, analysis and
// drawings. It stands alone and knows no other package of this module.
//
// A [Machine] is immutable after [Parse] and safe for concurrent use. It holds
// no "current state": the state lives in the database, and the machine answers
// questions about it.
package fsm
