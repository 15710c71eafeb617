package fsm

import "encoding/json"

// Schema is a compiled JSON Schema (draft 2020-12). It loads nothing from
// files or the network.
type Schema struct {
	raw   json.RawMessage
	props []string
}

// JSON is the schema as canonical JSON.
func (s *Schema) JSON() json.RawMessage { return s.raw }

// Properties are the names of the declared top-level properties, sorted.
func (s *Schema) Properties() []string { return s.props }

// FieldError is one value that doesn't fit, with an RFC 6901 JSON Pointer to it.
type FieldError struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// Check returns what doesn't fit of a decoded JSON value (numbers as
// json.Number), sorted by pointer; nil when all fits. A required member that is
// missing is reported at its own pointer.
func (s *Schema) Check(value any) []FieldError { panic("fsm: unbuilt") }
