package wire

import "github.com/interlock-go/interlock/internal/jsonvalue"

// Event is the body of a request for an event.
type Event struct {
	Event string         `json:"event"`
	To    string         `json:"to"`
	Note  string         `json:"note"`
	Input map[string]any `json:"input"`
}

// ReadJSON reads a body in which nothing is out of the ordinary. Where it answers
// no, e is as it was, and the strict decoder says what is wrong, or isn't.
func (e *Event) ReadJSON(r *jsonvalue.Reader) bool {
	var read Event
	var seen [4]bool
	ok := r.Object(func(name string) (ok bool) {
		which := 0
		switch name {
		case "event":
			read.Event, ok = r.String()
		case "to":
			which = 1
			read.To, ok = r.String()
		case "note":
			which = 2
			read.Note, ok = r.String()
		case "input":
			which = 3
			read.Input, ok = r.Members()
		}
		twice := seen[which]
		seen[which] = true
		return ok && !twice
	})
	if !ok || !r.End() {
		return false
	}
	*e = read
	return true
}
