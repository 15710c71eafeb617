package fsm

import (
	_ "embed"
	"slices"
)

//go:embed machine.schema.json
var formatSchema []byte

// FormatSchema is the JSON Schema (draft 2020-12) of the definition format, for
// editors. What it can't say, such as that a named state must be declared, only
// [Parse] checks.
func FormatSchema() []byte { return slices.Clone(formatSchema) }
