package fsm

import (
	"fmt"
	"strings"
)

// Position is a place in a definition file; Line and Column count from 1. Line
// is 0 where the finding is about the file as a whole.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String is file:line:column.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Severity of a [Finding].
type Severity string

const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one thing said about a definition.
type Finding struct {
	Position
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`              // stable, snake_case
	Message  string   `json:"message"`           // one sentence: what is wrong and what would be right
	Excerpt  string   `json:"excerpt,omitempty"` // the line with a caret under the column
}

// String is file:line:column: message, and below it the excerpt.
func (f Finding) String() string {
	text := f.Message
	if f.Severity == Warning {
		text = "warning: " + text
	}
	if f.File != "" || f.Line > 0 {
		text = f.Position.String() + ": " + text
	}
	if f.Excerpt != "" {
		text += "\n" + f.Excerpt
	}
	return text
}

// LoadError is why a definition was refused: every error that was found, in
// order of position. Its text shows file:line:column, the sentence, the line
// itself and a caret.
type LoadError struct {
	Findings []Finding
}

func (e *LoadError) Error() string {
	texts := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		texts[i] = f.String()
	}
	return strings.Join(texts, "\n")
}
