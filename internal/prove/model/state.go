package model

// world bounds what can happen, so that all of it can be visited.
type world struct {
	again   bool  // mark asks once more, when he has no answer
	ben     bool  // ben asks, too
	keyed   bool  // mark's requests have an idempotency key
	manager bool  // mark has the role to begin with
	unfit   bool  // the instance's facts forbid it to everybody
	admin   []op  // what the administrator does, one after the other
	redis   redis // what stands before the database
	crash   bool  // one gate dies, at any moment
	calm    bool  // no connection and no message is lost
	later   bool  // mark asks again only when the administrator has been answered
	restore bool  // the backup of the beginning is restored once, at any moment
}

type op uint8

const (
	grant op = iota
	revoke
	edit     // an attribute of mark's
	activate // a revision; the one before is retired at once
)

type redis uint8

const (
	absent  redis = iota
	honest        // keeps what it was given; writes may be late, and be lost
	hostile       // answers with anything: earlier entries, other contents under the right version, another key's
)

// The rows.
type (
	actor struct {
		version         uint8
		manager, edited bool
	}
	instance struct {
		version uint8
		in      place
		head    uint16 // the asks whose transitions are its history, the newest last, four bits each
	}
	key struct {
		status keyStatus
		ask    uint8 // the token: who reserved it, who completed it
		lapsed bool  // the lease has run out
	}
	database struct {
		actor    actor
		instance instance
		key      key
		epoch    uint8
		retired  bool // revision 1; revision 2 is active then
	}
)

type place uint8

const (
	nowhere place = iota
	fresh
	held
	paid
)

type keyStatus uint8

const (
	free keyStatus = iota
	reserved
	completed
)

// facts are what one decision is made on.
type facts struct {
	actor    actor
	instance instance
	fit      bool
	cached   bool
	epoch    uint8
	revision uint8
}

// ask is one request, and the gate that has it.
type ask struct {
	at    position
	facts facts
	seen  place    // the state of a decision on database facts whose commit lost its race
	tx    [2]phase // the commit, and the same made again
	put   entry    // on its way to the cache
	knew  bool     // it began after a grant had answered
	no    answer
}

// position is where a gate is with its request.
type position uint8

const (
	unasked    position = iota
	asked               // the key is to be looked at
	ready               // to read, from the cache or the database
	rereading           // to read, from the database
	decided             // yes
	waiting             // for the commit
	lost                // the connection: the outcome is unknown
	waitAgain           // for the commit made again
	committed           // its transition, and it knows
	keyToWrite          // only where the key is completed outside of the commit
	replaying           // the key was completed
	refusing            // for the reason in no
	over                // answered, or nobody is there to answer
	dead                // the gate crashed
)

type answer uint8

const (
	denied    answer = iota // role, facts or graph
	moved                   // the state changed meanwhile
	busy                    // try again: says nothing of what was committed
	unchanged               // nothing was committed, and nothing will be
	unknown                 // it can't be told
)

// phase is how far a transaction is in the database.
type phase uint8

const (
	none phase = iota
	sent
	actorHeld
	rulesHeld
	wrote
	done
	gone // rolled back
)

type entry struct {
	there bool // else a floor, or nothing
	floor uint8
	actor actor
	epoch uint8
}

// state is all of the world at one moment. What only the checker knows is at the end.
type state struct {
	db       database
	cache    entry
	asks     [3]ask
	op, opAt uint8
	restored bool
	crashed  bool

	acked       uint8 // asks whose transition was told as committed
	deniedDone  uint8 // asks that were told: nothing is or will be committed
	wasManager  bool  // mark had the role at some time
	revoked     bool  // the revoke has answered
	granted     bool  // the grant has answered
	activated   bool  // the activation has answered
	committedBy uint8 // asks in history, since the last restore
}

const (
	mark = iota // first
	again
	ben
)

func bit(i int) uint8 { return 1 << i }

func (h instance) with(i int, to place) instance {
	return instance{h.version + 1, to, h.head<<4 | uint16(i+1)}
}
