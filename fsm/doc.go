// Package fsm is the graph half of Interlock: the definition of a machine in
// one strict YAML file, compiled to integer tables, with findings, analysis and
// drawings. It stands alone and knows no other package of this module.
//
// A [Machine] is immutable after [Parse] and safe for concurrent use. It holds
// no "current state": the state lives in the database, and the machine answers
// questions about it.
//
//	m, err := fsm.Load("loan.yaml")           // or a *LoadError that shows line and caret
//	m.Legal(state)                            // the events that leave a state
//	m.Step(state, event)                      // the edges of one event: none, one, or one a target
//	m.Path(m.Initial(), state, false)         // the shortest way
//	m.Findings()                              // what is legal but hardly meant
//	m.WriteMermaid(os.Stdout)                 // the picture
//
// # The format
//
// A JSON Schema of the format is in machine.schema.json and in [FormatSchema].
// What it can't say:
//
//   - Where `roles` stands, every role that the machine names must be in it, as
//     a key or as an included one. Without it, naming a role is declaring it.
//   - A transition's own `requires` stand instead of the event's; its `checks`
//     are added to the machine's, the event's and the target's `entry`.
//   - A (state, event) pair has one transition. A wildcard that overlaps
//     another transition of its event is an error: it says `except`.
//   - A wildcard skips closed states, a normal one final states too, and it
//     includes its own target: that is a self-edge, which enters. `stay: true`
//     enters nobody.
//   - No normal transition leaves a final state, not even one that stays.
//   - The states of facts.edit are a state, a list or a wildcard, which skips
//     final and closed states.
//   - Names of one kind (states, events, roles) must differ in their [Slug].
//   - In the metadata form, an event has the title of the state that it leads to.
//   - In the metadata form, a target without `requires_moderator` is one that
//     nobody may lead to, and a finding says so.
//   - Schemas are of draft 2020-12 with `format` asserted; a word or a format
//     that the draft doesn't know is an error, since it would check nothing.
//
// Of YAML it takes what all readers understand alike: no tags, directives,
// merge keys, complex keys, second documents; numbers as in JSON; plain words
// such as no and on only in quotes where they are names.
//
// # Revision
//
// [Machine.Source] is the definition in one canonical form, itself a valid
// definition, and [Machine.Revision] is its SHA-256. The order of states, of
// events and of several targets counts, since menus show it; the order of
// other keys and of sets doesn't, nor do comments, layout, aliases, or whether
// the short or the long form was written. Keep Source as text: a store that
// sorts the keys of JSON objects would reorder the states.
package fsm
