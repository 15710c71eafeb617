package fsm

import "io"

// Parse compiles one definition. name is used in positions. The error is a *[LoadError].
func Parse(name string, source []byte) (*Machine, error) { panic("fsm: unbuilt") }

// Load reads and compiles one file of at most 1 MiB.
func Load(path string) (*Machine, error) { panic("fsm: unbuilt") }

// LoadDir compiles every .yaml and .yml file directly in dir, sorted by file name. Two
// machines of one slug are an error. All errors of all files are reported.
func LoadDir(dir string) ([]*Machine, error) { panic("fsm: unbuilt") }

// Reachable returns the states reachable from a state, itself included, sorted.
// Overrides count only when overrides is true.
func (m *Machine) Reachable(from StateID, overrides bool) []StateID { panic("fsm: unbuilt") }

// Path returns a shortest sequence of edges from one state to another, nil and
// false when there is none; empty and true when they are the same.
func (m *Machine) Path(from, to StateID, overrides bool) ([]Edge, bool) { panic("fsm: unbuilt") }

// WriteMermaid, WriteDOT and WriteJSON draw the machine. Every label is
// escaped: names are text, never markup.
func (m *Machine) WriteMermaid(w io.Writer) error { panic("fsm: unbuilt") }
func (m *Machine) WriteDOT(w io.Writer) error     { panic("fsm: unbuilt") }
func (m *Machine) WriteJSON(w io.Writer) error    { panic("fsm: unbuilt") }
