package fsm

// Position is a place in a definition file; Line and Column count from 1.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
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

// LoadError is why a definition was refused: every error that was found, in
// order of position. Its text shows file:line:column, the sentence, the line
// itself and a caret.
type LoadError struct {
	Findings []Finding
}

func (e *LoadError) Error() string { panic("fsm: unbuilt") }
