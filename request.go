package interlock

import "time"

// Request asks for an event on an instance.
type Request struct {
	Machine string
	ID      string
	Event   string
	To      string // the target, where the event has several
	Note    string
	Input   map[string]any // the event's form; numbers as json.Number, or any Go number
	DryRun  bool           // decide only

	// IdempotencyKey makes a repeated request apply once: the second answer is
	// that of the first, for 24 hours, if the actor may still read the instance.
	// While the first is being carried out the second is refused, key_in_progress.
	// Refusals aren't kept: nothing was applied, and the same request is decided
	// afresh. Scope: tenant and actor. 1 to 255 bytes of plain text.
	IdempotencyKey string
	// Besides is what else the application's request holds: under one key it must
	// be the same.
	Besides   []byte
	RequestID string // for input.request.id; "" makes one

	// IfMatch are the entity tags (see Gate.ETag) that the instance may have for
	// the request to hold, or "*" for any; none: it isn't asked. Else it is refused,
	// precondition_failed, and nothing is applied. A weak tag (W/"…") matches
	// nothing (RFC 9110, 13.1.1). A machine with `if_match: required` demands one.
	IfMatch []string
}

// Result is what a committed request left.
type Result struct {
	Instance   Instance   // after; as it would be when DryRun
	Transition Transition // without ID and Hash when DryRun
	Replayed   bool       // answered from the idempotency key
}

// CreateRequest asks for a new instance.
type CreateRequest struct {
	Machine   string
	ID        string         // "" makes a UUIDv7
	Facts     map[string]any // must fit the machine's schema; those that are columns of a bound table stand in the row, not here
	Note      string
	RequestID string
	DryRun    bool

	IdempotencyKey string // see Request
	Besides        []byte

	// IfNoneMatch, as by If-None-Match: "*", makes of an id that is taken
	// precondition_failed instead of exists.
	IfNoneMatch bool
}

// FactsRequest asks for a change of facts.
type FactsRequest struct {
	Machine   string
	ID        string
	Patch     map[string]any // JSON merge patch, RFC 7396: null removes
	Note      string
	RequestID string
	DryRun    bool

	IdempotencyKey string   // see Request
	IfMatch        []string // see Request
}

// ListRequest asks for the instances that the actor may read.
type ListRequest struct {
	Machine      string
	State        string
	Actor        string // id of an actor in its history
	UpdatedSince time.Time
	After        string // the last id of the page before
	Limit        int    // 1 to 200; 0 is 50
}
