package middleware

import (
	"net/http"
	"strings"

	"github.com/interlock-go/interlock"
)

// Codes of problems that don't come from the gate.
const (
	codeMalformed     = "malformed"
	codeTooLarge      = "too_large"
	codeMediaType     = "unsupported_media_type"
	codeTimeout       = "timeout"
	codeInternal      = "internal"
	codeMisconfigured = "misconfigured"
	codeOtherRoute    = "other_route"
)

type kind struct {
	code   string
	stage  interlock.Stage // "" when it isn't the gate's
	status int
	title  string
	about  string
}

// kinds is the one table of what a code means over HTTP.
var kinds = []kind{
	{codeMalformed, "", 400, "Malformed request", "The request can't be read: bad JSON, a repeated or unknown member, a bad parameter."},
	{"id_invalid", interlock.StageInput, 400, "Bad id", "An id is 1 to 128 of A-Z a-z 0-9 . _ ~ - and begins with a letter or digit."},

	{"unauthenticated", interlock.StageIdentity, 401, "Not authenticated", "The request doesn't say who asks, or not in a way that can be trusted."},
	{"actor_invalid", interlock.StageIdentity, 401, "No such actor can be", "The actor's id, tenant, person, kind or claims are not ones that can be."},
	{"inactive", interlock.StageIdentity, 403, "Account not active", "This actor is known and may not act."},
	{"person_mismatch", interlock.StageIdentity, 403, "Another person", "This account belongs to another person than the identity says."},
	{"denied", interlock.StagePolicy, 403, "Not allowed", "The policy says no; the reasons are all there."},
	{"vetoed", interlock.StagePolicy, 403, "Vetoed", "The application said no after the policy had said yes."},
	{"last_admin", interlock.StagePolicy, 403, "Last administrator", "This would leave the tenant without an active administrator."},

	{"not_found", interlock.StageGraph, 404, "Not found", "There is no such thing, or not for you."},
	{"method_not_allowed", "", 405, "Method not allowed", "This address doesn't take this method."},
	{"not_acceptable", "", 406, "Not acceptable", "The answer doesn't exist in a form that the request accepts."},

	{"illegal_event", interlock.StageGraph, 409, "Not legal from this state", "The event doesn't leave the state that the instance is in; legal_events do."},
	{"unknown_event", interlock.StageGraph, 409, "No such event", "The machine has no such event; legal_events leave this state."},
	{"undeclared_target", interlock.StageGraph, 409, "No such target", "The event doesn't lead from here to that state."},
	{codeOtherRoute, "", 409, "Done at another route", "The application does more than the event alone, at a route of its own; detail says which."},
	{"facts_locked", interlock.StageGraph, 409, "Facts are locked", "Facts can't be edited in this state."},
	{"state_changed", interlock.StageConflict, 409, "Changed meanwhile", "Somebody else was faster; state and version are as they stand now."},
	{"exists", interlock.StageConflict, 409, "Exists", "There is an instance of this id already."},
	{"key_in_progress", interlock.StageConflict, 409, "Being carried out", "A request with this idempotency key is being carried out; ask again, and its answer is yours."},
	{"drift", interlock.StageConflict, 409, "State was changed outside the gate", "The application's table holds a state that history doesn't; nothing moves until that is mended."},

	{"precondition_failed", interlock.StageConflict, 412, "Precondition failed", "What If-Match or If-None-Match asks for doesn't hold; nothing was changed. The answer's ETag, where there is one, is the current one."},
	{codeTooLarge, "", 413, "Body too large", "The body is longer than this address takes."},
	{codeMediaType, "", 415, "Unsupported media type", "The body must be application/json, without a content encoding."},

	{"note_required", interlock.StageInput, 422, "Note required", "This event takes a note."},
	{"note_forbidden", interlock.StageInput, 422, "No note here", "This event takes no note."},
	{"input_invalid", interlock.StageInput, 422, "Input doesn't fit", "The event's form doesn't fit its schema; errors point at each field."},
	{"target_required", interlock.StageInput, 422, "Target required", "The event leads to several states; say which in to."},
	{"facts_invalid", interlock.StageInput, 422, "Facts don't fit", "The facts don't fit the machine's schema; errors point at each one."},
	{"key_reused", interlock.StageInput, 422, "Key used for something else", "The idempotency key belongs to another request."},
	{"precondition_required", interlock.StageInput, 428, "Precondition required", "This machine demands If-Match: read the instance, look at it as it stands, and send the ETag of that answer as If-Match with the same request."},

	{codeInternal, "", 500, "Internal error", "Something failed on the server; the log says what under the trace id."},
	{codeMisconfigured, "", 500, "Route misconfigured", "The server mounts this route wrongly and therefore refuses it; the log says why."},

	{"store_failed", interlock.StageUnavailable, 503, "Store not available", "The truth can't be read or written now."},
	{"policy_failed", interlock.StageUnavailable, 503, "Policy not available", "The policy could not be evaluated; that is never a yes."},
	{"state_unknown", interlock.StageUnavailable, 503, "State unknown to the machine", "The instance is in a state that the machine doesn't have; an operator must move it."},
	{"store_rewound", interlock.StageUnavailable, 503, "Store put back", "The store was put back to an earlier time while the gate ran; nothing is decided until its operator begins a new epoch."},
	{"revision_retired", interlock.StageUnavailable, 503, "Rules replaced", "The rules of this replica are no longer in force; it is about to load the new ones."},
	{"outcome_unknown", interlock.StageUnavailable, 503, "Outcome unknown", "It may or may not have been committed; look before asking again."},
	{"keys_unavailable", "", 503, "Keys not available", "The keys that tokens are verified with can't be had, so nobody can be told from anybody else; nothing was done."},
	{"busy", interlock.StageUnavailable, 503, "Busy", "Too much is going on; nothing was done."},
	{codeTimeout, interlock.StageUnavailable, 503, "Out of time", "The request ended before its answer."},
}

func kindOf(code string) (kind, bool) {
	for _, k := range kinds {
		if k.code == code {
			return k, true
		}
	}
	return kind{}, false
}

func slug(code string) string { return strings.ReplaceAll(code, "_", "-") }

// statusOf goes by the stage where the code is new to the table; a stage that
// nobody knows is the server's fault.
func statusOf(r *interlock.Refusal) int {
	if k, ok := kindOf(r.Code); ok && k.stage == r.Stage {
		return k.status
	}
	switch r.Stage {
	case interlock.StageIdentity:
		return http.StatusUnauthorized
	case interlock.StageGraph, interlock.StageConflict:
		return http.StatusConflict
	case interlock.StageInput:
		return http.StatusUnprocessableEntity
	case interlock.StagePolicy:
		return http.StatusForbidden
	case interlock.StageUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
