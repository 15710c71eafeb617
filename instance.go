package interlock

import (
	"time"
)

// Ref names one instance within the actor's tenant.
type Ref struct {
	Machine string `json:"machine"`
	ID      string `json:"id"`
}

// Instance is one thing that moves. It is a value: what Get returned stays as
// it was read.
type Instance struct {
	Tenant  string         `json:"tenant"`
	Machine string         `json:"machine"`
	ID      string         `json:"id"`
	State   string         `json:"state"`
	Version int64          `json:"version"` // 1 at creation, then one more each commit; equals the newest history row's seq
	Facts   map[string]any `json:"facts"`   // JSON values, numbers as json.Number

	Entered map[string][]string `json:"entered"` // state → persons who moved it there; sorted, never cleared
	Did     map[string][]string `json:"did"`     // event → persons who did it; sorted, never cleared
	Actors  []string            `json:"actors"`  // persons who did anything; sorted
	Last    map[string]Last     `json:"last"`    // event → its newest occurrence

	CreatedBy string    `json:"created_by"` // person
	CreatedAt time.Time `json:"created_at"`
	Since     time.Time `json:"since"` // when it entered its state
	UpdatedAt time.Time `json:"updated_at"`
	Head      []byte    `json:"head,omitempty"` // hash of the newest history row
}

// Last is the newest occurrence of an event on an instance.
type Last struct {
	Person string    `json:"person"`
	At     time.Time `json:"at"`
	Count  int64     `json:"count"`
}

// Transition is one committed row of an instance's history. Creation and facts
// edits are rows too, with the events $create and $facts; an adopted row of the
// application's table begins with $adopt, or with $backfill where an
// administrator adopted it in another state than the initial one; an instance
// moved by a new definition has $move; an application's column that was changed
// by hand and written back has $repair; $erase says that texts of earlier rows
// were erased, $archive that earlier rows have left the store. None of these but
// $create enters anybody.
type Transition struct {
	ID       string `json:"id"` // unique; UUIDv7
	Tenant   string `json:"tenant"`
	Machine  string `json:"machine"`
	Instance string `json:"instance"`
	Seq      int64  `json:"seq"`
	Event    string `json:"event"`
	From     string `json:"from"`
	To       string `json:"to"`
	Override bool   `json:"override"`

	Actor            string `json:"actor"`
	Person           string `json:"person"`
	OnBehalfOf       string `json:"on_behalf_of,omitempty"`        // actor id
	OnBehalfOfPerson string `json:"on_behalf_of_person,omitempty"` // and the person

	Note  string         `json:"note,omitempty"`  // "" when erased, too
	Input map[string]any `json:"input,omitempty"` // form fields; nil when none or erased; for $create and $facts the facts given

	// Facts are the instance's facts (an actor's attributes) after it, with the
	// bound columns that were judged; nil when erased.
	Facts map[string]any `json:"facts,omitempty"`

	Time     time.Time `json:"time"`     // the gate's, UTC, whole µs
	Revision string    `json:"revision"` // of the machine and its policy, under which it was decided
	Hash     []byte    `json:"hash"`     // SHA-256 of the row's chain bytes
	Prev     []byte    `json:"prev"`     // the row before; the genesis hash for the first
}

// ValidID tells whether s may be the id of an instance, actor or tenant:
// `[A-Za-z0-9][A-Za-z0-9._~-]{0,127}`.
func ValidID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '_' && c != '~' && c != '-') {
			return false
		}
	}
	return true
}
