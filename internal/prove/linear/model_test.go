package linear_test

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove/fixture"
)

// loan is one instance as a child would write it down, with its guest: whoever
// holds a role for this loan alone.
type loan struct {
	version   int64
	state     string
	amount    int64
	creator   string
	submitted uint64 // persons, by their bits
	verified  uint64
	guest     bool  // holds the role
	known     bool  // has committed something, and so has a person
	guestAt   int64 // version of the guest's row
}

// sequential is the loan machine, one thing at a time. What it answers to each
// request is what a gate must have answered at some moment between question and answer.
var sequential = porcupine.Model{
	Init: func() any { return loan{} },
	Step: func(state, input, output any) (bool, any) {
		return step(state.(loan), input.(*fixture.Op), output.(*fixture.Op))
	},
	Equal: func(a, b any) bool { return a == b },
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, op := range history {
			at := op.Input.(*fixture.Op).Instance
			parts[at] = append(parts[at], op)
		}
		var all [][]porcupine.Operation
		for _, p := range parts {
			all = append(all, p)
		}
		return all
	},
	DescribeOperation: func(input, output any) string {
		op := input.(*fixture.Op)
		return fmt.Sprintf("%s %s by %s on %s: %s %s", op.Kind, op.Event, op.Actor.ID, op.Instance, op.Outcome, op.Code)
	},
}

func step(s loan, op, out *fixture.Op) (bool, any) {
	next, code := s.ask(op)
	switch out.Outcome {
	case fixture.Unknown:
		// It happened here, or, where it stands last of all, never.
		if code == "" {
			return true, next
		}
		return true, s
	case fixture.Done:
		return code == "" && next.told(out), next
	}
	if !s.seen(out.Seen) {
		return false, s
	}
	switch {
	case out.Stage == interlock.StageUnavailable, out.Code == "state_changed":
		return true, s // nothing was changed, which is all that was said
	}
	return code == out.Code, s
}

// told compares an answer with the loan after it.
func (s loan) told(out *fixture.Op) bool {
	switch out.Kind {
	case "grant", "revoke":
		return out.Record != nil && out.Record.Version == s.guestAt && (len(out.Record.Grants) == 1) == s.guest
	case "look":
		if (out.Record == nil) != (s.guestAt == 0) || out.Record != nil && out.Record.Version != s.guestAt {
			return false
		}
	case "create", "fire", "facts":
		if out.Transition.Seq != s.version || out.Transition.To != s.state {
			return false
		}
	}
	if out.Seen == nil {
		return s.version == 0
	}
	return s.seen(out.Seen)
}

func (s loan) seen(i *interlock.Instance) bool {
	if i == nil {
		return true
	}
	amount, ok := i.Facts["amount"].(interface{ Int64() (int64, error) })
	if !ok {
		return false
	}
	n, err := amount.Int64()
	return err == nil && i.Version == s.version && i.State == s.state && n == s.amount
}

// ask is what a request leads to; code tells why it leads nowhere.
func (s loan) ask(op *fixture.Op) (next loan, code string) {
	next = s
	next.version++
	person := op.Actor.Person
	if person == "" {
		person = op.Actor.ID
	}
	switch op.Kind {
	case "grant":
		next.version--
		if !next.guest {
			next.guest, next.guestAt = true, next.guestAt+1
		}
		return next, ""
	case "revoke":
		next.version--
		if next.guest {
			next.guest, next.guestAt = false, next.guestAt+1
		}
		return next, ""
	case "look":
		return s, ""
	case "create":
		switch {
		case !s.holds(op, "clerk"):
			return s, "denied"
		case s.version > 0:
			return s, "exists"
		}
		next.state, next.amount, next.creator = "created", op.Amount, person
		return next.joined(op), ""
	}
	if s.version == 0 {
		return s, "not_found"
	}
	switch op.Kind {
	case "read":
		return s, ""
	case "facts":
		switch {
		case !slices.Contains([]string{"created", "submitted"}, s.state):
			return s, "facts_locked"
		case !s.holds(op, "clerk"):
			return s, "denied"
		}
		next.amount = op.Amount
		return next.joined(op), ""
	}
	to, code := s.leads(op)
	if code != "" {
		return s, code
	}
	if !s.may(op, to, bit(person)) {
		return s, "denied"
	}
	switch {
	case op.Event == "submit":
		next.submitted |= bit(person)
	case to == "verified":
		next.verified |= bit(person)
	}
	if op.Event != "tick" {
		next.state = to
	}
	return next.joined(op), ""
}

// joined: a guest's first commit fixes his person, which is a version of its own.
func (s loan) joined(op *fixture.Op) loan {
	if op.Guest && !s.known {
		s.known, s.guestAt = true, s.guestAt+1
	}
	return s
}

// leads is where the graph leads to.
func (s loan) leads(op *fixture.Op) (to, code string) {
	from := func(states ...string) bool { return slices.Contains(states, s.state) }
	legal := false
	switch op.Event {
	case "tick":
		to, legal = s.state, from("created", "submitted", "reviewed", "second_review", "verified")
	case "submit":
		to, legal = "submitted", from("created")
	case "review":
		if to = "reviewed"; s.amount > 5000 {
			to = "second_review"
		}
		legal = from("submitted")
	case "verify":
		to, legal = "verified", from("reviewed", "second_review")
	case "approve":
		to, legal = "approved", from("verified")
	case "deny":
		to, legal = "denied", from("reviewed", "second_review", "verified")
	case "return":
		to, legal = "created", from("submitted", "reviewed", "second_review", "verified")
	case "reopen":
		to, legal = "created", from("approved", "denied")
	case "override":
		to, legal = op.To, s.state != "archived"
	default:
		return "", "unknown_event"
	}
	if !legal {
		return "", "illegal_event"
	}
	return to, ""
}

// may is what the rules say.
func (s loan) may(op *fixture.Op, to string, who uint64) bool {
	others := func(set uint64) bool { return bits.OnesCount64(set) > 0 && set&who == 0 }
	switch op.Event {
	case "tick", "submit":
		return s.holds(op, "clerk")
	case "verify":
		return s.holds(op, "officer") && others(s.submitted)
	case "return":
		return s.holds(op, "officer") || bit(s.creator) == who
	case "reopen":
		return s.holds(op, "manager")
	case "override":
		return s.holds(op, "manager") && (to != "approved" || others(s.verified) && s.amount <= fixture.Limit)
	case "approve":
		return s.holds(op, "officer") && others(s.verified) && s.amount <= fixture.Limit && !op.Guest
	}
	return s.holds(op, "officer")
}

func (s loan) holds(op *fixture.Op, role string) bool {
	ranks := []string{"clerk", "officer", "manager"}
	has := slices.Index(ranks, fixture.RoleOf(op.Actor.ID))
	if op.Guest {
		if has = -1; s.guest {
			has = 1 // an officer
		}
	}
	return has >= slices.Index(ranks, role)
}

var everybody = append(fixture.Accounts(), fixture.Strange...)

// bit is a person's; the guest's is his own.
func bit(person string) uint64 {
	if i := slices.Index(everybody, person); i >= 0 {
		return 1 << i
	}
	return 1 << 63
}
