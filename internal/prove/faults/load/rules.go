package load

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// Plain is the fixture's policy once more, in Go: for processes that start often
// and must do so quickly. The replayer, which has its own reading of the rules,
// judges what comes of it.
type Plain struct{}

// Compile is interlock.Policy's.
func (p Plain) Compile(context.Context, []*fsm.Machine) (interlock.Rules, error) { return p, nil }

// Revision is interlock.Rules'.
func (Plain) Revision(string) string { return "plain" }

// Defines is interlock.Rules'.
func (Plain) Defines(_, name string) bool {
	return conditions[name] != nil || name == "deny" || name == "target"
}

// Reads is interlock.Rules': no condition reads form or note.
func (Plain) Reads(_, _ string) (form, note bool) { return false, false }

var conditions = map[string]func(*interlock.Input) bool{
	"four_eyes":      func(in *interlock.Input) bool { return another(in.Instance.Entered["verified"], in.Actor.Person) },
	"somebody_elses": func(in *interlock.Input) bool { return another(in.Instance.Did["submit"], in.Actor.Person) },
	"creator":        func(in *interlock.Input) bool { return in.Instance.CreatedBy == in.Actor.Person },
	"within_limit": func(in *interlock.Input) bool {
		amount, ok1 := whole(in.Instance.Facts["amount"])
		limit, ok2 := whole(in.Actor.Attrs["limit"])
		return ok1 && ok2 && amount <= limit
	},
}

func another(persons []string, person string) bool {
	return len(persons) > 0 && !slices.Contains(persons, person)
}

func whole(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

// Decide is interlock.Rules'.
func (Plain) Decide(_ context.Context, q *interlock.Query) (v interlock.Verdict, err error) {
	for _, name := range q.Checks {
		if conditions[name](q.Input) {
			v.Passed = append(v.Passed, name)
		} else {
			v.Failed = append(v.Failed, interlock.Reason{Code: name, Message: name})
		}
	}
	for _, name := range q.Grants {
		if conditions[name](q.Input) {
			v.Granted = append(v.Granted, name)
		}
	}
	if in := q.Input; q.Deny && in.Transition.To == "approved" && in.Transition.From != "approved" && in.Instance.Facts["hold"] == true {
		v.Deny = []interlock.Reason{{Code: "on_hold", Message: "It is on hold"}}
	}
	if q.Target && q.Input.Event == "review" {
		v.Target = "reviewed"
		if amount, ok := whole(q.Input.Instance.Facts["amount"]); ok && amount > 5000 {
			v.Target = "second_review"
		}
	}
	return v, nil
}
