package interlock

import (
	"fmt"
	"strings"

	"github.com/interlock-go/interlock/fsm"
)

// Stage is where in the gate a request was refused.
type Stage string

// The stages, in the order in which the gate asks.
const (
	StageIdentity    Stage = "identity"    // nobody, or an actor that may not act at all
	StageGraph       Stage = "graph"       // no such thing, or not legal from here
	StageInput       Stage = "input"       // form, note or target wrong
	StagePolicy      Stage = "policy"      // may not
	StageConflict    Stage = "conflict"    // something changed meanwhile
	StageUnavailable Stage = "unavailable" // can't tell; never a yes
)

// Reason is one cause of a no. Its code is the name of a check, the code of a
// deny, or the gate's own: role_required, facts_unfit, attrs_unfit,
// target_mismatch, own_person, vetoed; in a menu, where the policy can't tell,
// policy_failed.
type Reason struct {
	Code    string         `json:"code"`    // stable
	Message string         `json:"message"` // for people
	Params  map[string]any `json:"params,omitempty"`
}

// Refusal is the gate's no. It is an error; find it with errors.As, or compare
// with errors.Is against a Refusal that has only Stage, or Stage and Code:
//
//	errors.Is(err, &interlock.Refusal{Stage: interlock.StagePolicy})
//
// Codes by stage; a policy's own names stand in Reasons:
//
//	identity     unauthenticated, actor_invalid, inactive, person_mismatch
//	graph        not_found, unknown_event, illegal_event, undeclared_target, facts_locked
//	input        note_required, note_forbidden, input_invalid, target_required, facts_invalid, id_invalid, key_reused, precondition_required
//	policy       denied, vetoed, last_admin
//	conflict     state_changed, exists, drift, key_in_progress, precondition_failed
//	unavailable  store_failed, policy_failed, state_unknown, revision_retired, store_rewound, outcome_unknown, busy
type Refusal struct {
	Stage       Stage
	Code        string
	Message     string
	Reasons     []Reason         // policy: every reason, not only the first
	LegalEvents []string         // graph: the events that do leave this state, in declared order
	Fields      []fsm.FieldError // input: a JSON Pointer per field
	Instance    *Instance        // conflict and graph: as it stands, when the actor may read it
	Revision    string           // under which it was decided, when it got that far
	Cause       error            // for the log, never for the caller; Error leaves it out, Unwrap gives it
}

func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "refused at %s: %s", r.Stage, r.Message)
	for i, why := range r.Reasons {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + why.Message + " (" + why.Code + ")")
	}
	for _, f := range r.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Pointer, f.Message)
	}
	return b.String()
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// Is matches a *Refusal target by its Stage and, where the target has one, its Code.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && t.Stage == r.Stage && (t.Code == "" || t.Code == r.Code)
}
