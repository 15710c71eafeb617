package interlock

import (
	"encoding/json"

	"github.com/interlock-go/interlock/fsm"
)

// Menu is what one actor can do with one instance now.
type Menu struct {
	Instance Instance `json:"-"`
	Options  []Option `json:"events"` // each event that leaves this state, in declared order; never nil
}

// Option is an event as offered to an actor now.
type Option struct {
	Event       string          `json:"event"`
	Title       string          `json:"title"`
	Allowed     bool            `json:"allowed"` // any target is
	Needs       []string        `json:"needs"`   // what only the caller can still give: note, input, to; never nil
	To          []Target        `json:"to"`
	Note        fsm.NoteMode    `json:"note"`
	Override    bool            `json:"override"`
	InputSchema json.RawMessage `json:"input_schema"` // null: no form
	UI          map[string]any  `json:"ui"`           // the event's metadata besides title
}

// Target is one state that an option leads to.
type Target struct {
	State   string   `json:"state"`
	Title   string   `json:"title"`
	Self    bool     `json:"self,omitempty"` // a self-edge
	Stay    bool     `json:"stay,omitempty"` // recorded, enters nobody
	Allowed bool     `json:"allowed"`
	Reasons []Reason `json:"reasons"` // why not; never nil
}
