package fsm

import "encoding/json"

// StateID and EventID are small indices into [Machine.States] and
// [Machine.Events], stable for one compiled machine only; never store them.
type (
	StateID int32
	EventID int32
)

// Reserved words of `requires`.
const (
	Anyone = "anyone" // every authenticated actor
	System = "system" // only actors of the kind system
)

// Machine is a compiled definition. Its zero value is of no use; see [Parse].
//
// A machine from the metadata form has an event transition_to_x for each state x
// that another leads to. Its title is the state's ("Approved"), or, where the
// state has none, the event's name.
type Machine struct {
	def definition
}

// Metadata is what a definition says beside the rules: title, description,
// color, order, confirm, destructive, activity, tags and any key that begins
// with "x-". Values are JSON-like (string, bool, json.Number, []any, map[string]any).
type Metadata map[string]any

// State is one state of a machine.
type State struct {
	ID     StateID
	Name   string
	Slug   string
	Title  string   // as declared, or the name
	Final  bool     // no normal edge leaves
	Closed bool     // nothing leaves, ever
	Entry  []string // checks on every edge that enters
	Meta   Metadata
}

// NoteMode says whether an event takes a note.
type NoteMode string

const (
	NoteOptional  NoteMode = "optional"
	NoteRequired  NoteMode = "required"
	NoteForbidden NoteMode = "forbidden"
)

// Event is one event of a machine.
type Event struct {
	ID       EventID
	Name     string
	Slug     string
	Title    string // as declared, or the name
	Note     NoteMode
	Input    *Schema // nil: the event takes no form fields
	Override bool
	Meta     Metadata
}

// Edge is one transition of the graph: from a state by an event to one target.
type Edge struct {
	From, To StateID
	Event    EventID
	Stay     bool     // declared `stay: true`: recorded, enters nobody
	Override bool     // off the normal path
	Requires []string // who: any one suffices (role, $condition, anyone, system)
	Checks   []string // all must hold: machine's, event's, edge's, target state's entry; in that order, no repeats
	Meta     Metadata // the edge's own; the event's is not repeated
	Source   Position // the entry of `from` (or of can_transition_to) that made it
}

// Access says who may do something that is no event: create, read, explain, edit facts.
type Access struct {
	Requires []string
	Checks   []string
	States   []StateID // facts edits only: where they are legal; nil elsewhere
}

// Name is the machine's name as declared.
func (m *Machine) Name() string { return m.def.name }

// Slug is the machine's identifier in addresses and Rego packages.
func (m *Machine) Slug() string { return m.def.slug }

// Title is the machine's title, or its name.
func (m *Machine) Title() string { return m.def.title }

// Meta is the machine's own metadata.
func (m *Machine) Meta() Metadata { return m.def.meta }

// Revision is the hex SHA-256 of the canonical definition: equal definitions
// have equal revisions whatever their comments, key order and layout.
func (m *Machine) Revision() string { return m.def.revision }

// Initial is the state in which instances are created.
func (m *Machine) Initial() StateID { return m.def.initial }

// States are all states in their declared order; index = StateID.
func (m *Machine) States() []State { return m.def.states }

// Events are all events in their declared order; index = EventID.
func (m *Machine) Events() []Event { return m.def.events }

// State returns the state of that id.
func (m *Machine) State(id StateID) *State { return &m.def.states[id] }

// Event returns the event of that id.
func (m *Machine) Event(id EventID) *Event { return &m.def.events[id] }

// StateByName finds a state by its declared name.
func (m *Machine) StateByName(name string) (StateID, bool) {
	id, ok := m.def.stateIDs[name]
	return id, ok
}

// EventByName finds an event by its declared name.
func (m *Machine) EventByName(name string) (EventID, bool) {
	id, ok := m.def.eventIDs[name]
	return id, ok
}

// Step returns the edges by which event leaves state: none when it is illegal,
// several when it has several targets. It is a table look-up without allocation.
// The slice is the machine's own: read it, never write it.
func (m *Machine) Step(state StateID, event EventID) []Edge {
	def := &m.def
	if uint(state) >= uint(len(def.states)) || uint(event) >= uint(len(def.events)) {
		return nil
	}
	s := def.spans[int(state)*len(def.events)+int(event)]
	return def.edges[s.begin:s.end:s.end]
}

// Legal returns the events that leave state, in declared order. Shared; read only.
func (m *Machine) Legal(state StateID) []EventID {
	if uint(state) >= uint(len(m.def.legal)) {
		return nil
	}
	return m.def.legal[state]
}

// Edges are all edges, sorted by (from, event, declared target order).
func (m *Machine) Edges() []Edge { return m.def.edges }

// Roles are the declared or named roles, sorted.
func (m *Machine) Roles() []string { return m.def.roles }

// Create says who may create an instance. Default: nobody.
func (m *Machine) Create() Access { return m.def.create }

// Read says who may see an instance and its history. Default: whoever meets any
// `requires` of the machine; Requires is then the union of them, without checks.
func (m *Machine) Read() Access { return m.def.read }

// Explain says who may see how a decision came about. Default: interlock:admin.
func (m *Machine) Explain() Access { return m.def.explain }

// IfMatch tells whether events and edits of facts must name the version that they
// are meant for (If-Match over HTTP). Default: no.
func (m *Machine) IfMatch() bool { return m.def.ifMatch }

// FactsEdit says who may change facts, and in which states. Default: nobody.
func (m *Machine) FactsEdit() Access { return m.def.factsEdit }

// FactsSchema is nil when the definition declares none: there are then no facts.
func (m *Machine) FactsSchema() *Schema { return m.def.facts }

// AttrsSchema is nil when the definition declares none: policies then read no
// attributes of actors.
func (m *Machine) AttrsSchema() *Schema { return m.def.attrs }

// Checks are the names of all conditions that the policy must define as checks,
// sorted.
func (m *Machine) Checks() []string { return m.def.checks }

// Grants are the names of the conditions that stand in `requires` as `$name`,
// without the `$`, sorted.
func (m *Machine) Grants() []string { return m.def.grants }

// Findings are what [Machine.Validate]-time analysis has to say about a
// definition that is legal: unreachable states, dead ends, edges for nobody …
// Sorted by position.
func (m *Machine) Findings() []Finding { return m.def.findings }

// Source is the canonical JSON of the definition, what Revision hashes.
func (m *Machine) Source() json.RawMessage { return m.def.canonical }

type definition struct {
	name, slug, title, revision string
	meta                        Metadata
	initial                     StateID
	states                      []State
	events                      []Event
	edges                       []Edge
	stateIDs                    map[string]StateID
	eventIDs                    map[string]EventID
	roles, checks, grants       []string
	create, read, explain       Access
	factsEdit                   Access
	ifMatch                     bool
	facts, attrs                *Schema
	findings                    []Finding
	canonical                   json.RawMessage
	source                      Position            // where the machine is named
	excerpt                     string              // that line
	closure                     map[string][]string // role → itself and all that it includes, sorted
	spans                       []span              // [state × events + event] → its part of edges
	legal                       [][]EventID         // state → events that leave it
}

// span is a half-open range of edges.
type span struct{ begin, end int32 }
