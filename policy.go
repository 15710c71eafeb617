package interlock

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/interlock-go/interlock/fsm"
)

// Policy is where rules come from, such as a directory of Rego.
type Policy interface {
	// Compile reads the rules as they stand now and checks them against the
	// machines: every check and grant that a machine names must exist. A bad
	// policy is an error that says where; nothing is half loaded.
	Compile(ctx context.Context, machines []*fsm.Machine) (Rules, error)
}

// Rules are compiled, immutable and safe for concurrent use.
type Rules interface {
	// Revision identifies everything that a machine's decisions depend on:
	// its package, the libraries, the data. "" for a machine without rules.
	Revision(machine string) string

	// Defines tells whether the machine's policy has a rule of this name (a
	// check's or grant's, "deny" or "target").
	Defines(machine, condition string) bool

	// Reads tells whether the condition (a check's or grant's name, "deny" or
	// "target") reads input.input (the form) or input.note, itself or through
	// others. When that can't be told it answers true. A rule that doesn't exist reads nothing.
	Reads(machine, condition string) (form, note bool)

	// Decide evaluates. An error, a time-out or a panic inside is an error, and
	// the gate refuses. What q holds is nobody's to change, nor to keep: others
	// decide on the same rows at the same time.
	Decide(ctx context.Context, q *Query) (Verdict, error)
}

// Query asks for named conditions on one (event, target).
type Query struct {
	Input  *Input
	Checks []string // must be exactly true
	Grants []string // without the `$`
	Deny   bool     // ask for `deny`, too
	Target bool     // ask for `target`, too
	Trace  bool     // fill Verdict.Trace; several times slower

	// Draft says that nothing but a menu, or what a dry run says of an event, rests
	// on the verdict: no commit, no look at an instance, nothing that was asked for
	// with [Strong]. A quicker evaluator may answer then.
	Draft bool

	// Held is where rules may keep what they hold from one question to the next, of
	// those that are asked one after the other for one request. What is kept there
	// and has a method Release() is released after the last. Nil: the question stands alone.
	Held *Memo
}

// Verdict is what the rules say. Its zero value grants nothing; it does not
// say yes by itself: the gate compares Passed with what it asked for.
type Verdict struct {
	Passed  []string // checks that are exactly true
	Failed  []Reason // the other checks and grants: Code is the name, Message the rule's title
	Granted []string // grants that are exactly true
	Deny    []Reason // not empty: refused
	Target  string   // "" when undefined
	Trace   []string // a line a step
}

// Input is all that a policy may read. It is complete: every declared state,
// event, fact and attribute is there (facts and attributes that are absent are
// absent, their types are checked when the input is built). It is made of rows that
// are shared: rules change nothing of it.
type Input struct {
	Machine    string          `json:"machine"`
	Event      string          `json:"event"` // declared name, or $read, $create, $facts, $explain
	Transition InputTransition `json:"transition"`
	Instance   InputInstance   `json:"instance"`
	Actor      InputActor      `json:"actor"`
	Form       map[string]any  `json:"input"` // never nil
	Note       string          `json:"note"`
	Now        InputTime       `json:"now"` // the only clock
	Request    InputRequest    `json:"request"`

	// Memo is where rules keep all of this that isn't Event, Transition or Instance,
	// for everything that is asked of one actor in one decision. Nil: nothing is kept.
	Memo *Memo `json:"-"`
}

// InputTransition is the edge that is asked for.
type InputTransition struct {
	From     string         `json:"from"`
	To       string         `json:"to"`
	Override bool           `json:"override"`
	Metadata map[string]any `json:"metadata"` // the edge's over the event's; never nil
}

// InputInstance is the instance before the event. To a rule every declared state
// is a key of Entered, and every declared event one of Did and Last; here keys
// for whom there is nobody and nothing may be left out, the maps may not be nil.
// All who are named in it are persons, not accounts.
type InputInstance struct {
	ID        string               `json:"id"`
	Tenant    string               `json:"tenant"`
	State     string               `json:"state"`
	Version   int64                `json:"version"`
	Facts     map[string]any       `json:"facts"`
	CreatedBy string               `json:"created_by"`
	CreatedAt time.Time            `json:"created_at"`
	Since     time.Time            `json:"since"`   // when it entered its state
	Entered   map[string][]string  `json:"entered"` // who ever brought it into each state; never cleared
	Did       map[string][]string  `json:"did"`     // who ever did each event; never cleared
	Actors    []string             `json:"actors"`  // who ever did anything
	Last      map[string]InputLast `json:"last"`

	// Memo is where rules keep this instance in the form that they read it in, for
	// all decisions on it. Nothing of the instance may change then. Nil: nothing is kept.
	Memo *Memo `json:"-"`
}

// Memo keeps what rules make of a part of their input, by the rules that made it:
// not for long, and never more than a few. The zero Memo is ready. It is safe for
// concurrent use.
type Memo struct {
	made atomic.Pointer[[]memoized] // copied when it changes
}

type memoized struct{ owner, value any }

const mostMemoized = 8 // what is made for the rules in force, and for those before

func (m *Memo) all() []memoized {
	if all := m.made.Load(); all != nil {
		return *all
	}
	return nil
}

// Load returns what was stored for the owner.
func (m *Memo) Load(owner any) (any, bool) {
	for _, one := range m.all() {
		if one.owner == owner {
			return one.value, true
		}
	}
	return nil, false
}

// Store keeps the value for the owner, and may forget what was stored before. The
// owner is comparable.
func (m *Memo) Store(owner, value any) {
	next := []memoized{{owner, value}}
	all := m.all()
	next = append(next, all[:min(len(all), mostMemoized-1)]...)
	m.made.Store(&next) // of two at once one is forgotten, and made again
}

// InputLast is the newest occurrence of an event; At is "" and Count 0 when there was none.
type InputLast struct {
	Person string `json:"person"`
	At     string `json:"at"` // RFC 3339
	Count  int64  `json:"count"`
}

// InputActor is who asks, with the roles that apply here and what they include.
type InputActor struct {
	ID         string         `json:"id"`
	Person     string         `json:"person"`
	Kind       Kind           `json:"kind"`
	Roles      []string       `json:"roles"` // sorted
	Attrs      map[string]any `json:"attrs"` // the declared ones
	Claims     map[string]any `json:"claims"`
	OnBehalfOf string         `json:"on_behalf_of"` // actor id or ""
}

// InputTime is one moment twice.
type InputTime struct {
	RFC3339 string `json:"rfc3339"` // UTC, µs
	NS      int64  `json:"ns"`      // since 1970 in nanoseconds
}

// InputRequest identifies the request.
type InputRequest struct {
	ID string `json:"id"`
}
