package middleware

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

var errSecret = errors.New("dial tcp 10.0.0.7:5432: password of user gate")

// TestStatus is the table of answers: stage and code of a refusal, and every other error.
func TestStatus(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{&interlock.Refusal{Stage: interlock.StageIdentity, Code: "unauthenticated"}, 401, "unauthenticated"},
		{&interlock.Refusal{Stage: interlock.StageIdentity, Code: "inactive"}, 403, "inactive"},
		{&interlock.Refusal{Stage: interlock.StageIdentity, Code: "person_mismatch"}, 403, "person_mismatch"},
		{&interlock.Refusal{Stage: interlock.StageIdentity, Code: "new_code"}, 401, "new_code"},
		{&interlock.Refusal{Stage: interlock.StageGraph, Code: "not_found"}, 404, "not_found"},
		{&interlock.Refusal{Stage: interlock.StageGraph, Code: "illegal_event"}, 409, "illegal_event"},
		{&interlock.Refusal{Stage: interlock.StageGraph, Code: "unknown_event"}, 409, "unknown_event"},
		{&interlock.Refusal{Stage: interlock.StageGraph, Code: "undeclared_target"}, 409, "undeclared_target"},
		{&interlock.Refusal{Stage: interlock.StageGraph, Code: "facts_locked"}, 409, "facts_locked"},
		{&interlock.Refusal{Stage: interlock.StageInput, Code: "note_required"}, 422, "note_required"},
		{&interlock.Refusal{Stage: interlock.StageInput, Code: "note_forbidden"}, 422, "note_forbidden"},
		{&interlock.Refusal{Stage: interlock.StageInput, Code: "input_invalid"}, 422, "input_invalid"},
		{&interlock.Refusal{Stage: interlock.StageInput, Code: "target_required"}, 422, "target_required"},
		{&interlock.Refusal{Stage: interlock.StageInput, Code: "facts_invalid"}, 422, "facts_invalid"},
		{&interlock.Refusal{Stage: interlock.StageIdentity, Code: "actor_invalid"}, 401, "actor_invalid"},
		{&interlock.Refusal{Stage: interlock.StageInput, Code: "key_reused"}, 422, "key_reused"},
		{&interlock.Refusal{Stage: interlock.StageInput, Code: "id_invalid"}, 400, "id_invalid"},
		{&interlock.Refusal{Stage: interlock.StagePolicy, Code: "denied"}, 403, "denied"},
		{&interlock.Refusal{Stage: interlock.StagePolicy, Code: "vetoed"}, 403, "vetoed"},
		{&interlock.Refusal{Stage: interlock.StagePolicy, Code: "last_admin"}, 403, "last_admin"},
		{&interlock.Refusal{Stage: interlock.StageConflict, Code: "state_changed"}, 409, "state_changed"},
		{&interlock.Refusal{Stage: interlock.StageConflict, Code: "exists"}, 409, "exists"},
		{&interlock.Refusal{Stage: interlock.StageConflict, Code: "drift"}, 409, "drift"},
		{&interlock.Refusal{Stage: interlock.StageUnavailable, Code: "store_failed"}, 503, "store_failed"},
		{&interlock.Refusal{Stage: interlock.StageUnavailable, Code: "policy_failed"}, 503, "policy_failed"},
		{&interlock.Refusal{Stage: interlock.StageUnavailable, Code: "state_unknown"}, 503, "state_unknown"},
		{&interlock.Refusal{Stage: interlock.StageUnavailable, Code: "revision_retired"}, 503, "revision_retired"},
		{&interlock.Refusal{Stage: interlock.StageUnavailable, Code: "outcome_unknown"}, 503, "outcome_unknown"},
		{&interlock.Refusal{Stage: interlock.StageUnavailable, Code: "busy"}, 503, "busy"},
		{&interlock.Refusal{}, 500, "internal"},
		{&interlock.Refusal{Stage: "policy", Code: "not_found"}, 403, "not_found"}, // the stage outranks a code of another stage
		{fmt.Errorf("loan 7: %w", &interlock.Refusal{Stage: interlock.StagePolicy, Code: "denied"}), 403, "denied"},
		{&Problem{Status: 402, Code: "no_credit", Title: "No credit"}, 402, "no_credit"},
		{fmt.Errorf("booking: %w", &Problem{Code: "precondition_failed"}), 412, "precondition_failed"},
		{&Problem{Status: 405}, 405, "method_not_allowed"},
		{&Problem{Status: 200, Code: "fine"}, 500, "fine"},
		{&Problem{}, 500, "internal"},
		// A cause is for the log, whatever it is.
		{&interlock.Refusal{Stage: interlock.StagePolicy, Code: "vetoed", Cause: &Problem{Status: 418}}, 403, "vetoed"},
		{&Problem{Code: "precondition_failed", Cause: &interlock.Refusal{Stage: interlock.StageConflict}}, 412, "precondition_failed"},
		{&http.MaxBytesError{Limit: 1}, 413, "too_large"},
		{context.Canceled, 503, "timeout"},
		{context.DeadlineExceeded, 503, "timeout"},
		{errSecret, 500, "internal"},
		{nil, 500, "internal"},
	} {
		t.Run(fmt.Sprint(test.code, " ", test.status), func(t *testing.T) {
			c, w := post(t, "")
			WriteProblem(c, test.err)
			require.Equal(t, test.status, w.Code, w.Body.String())
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			assert.True(t, c.IsAborted())
			assert.Len(t, c.Errors, 1)
			var p map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
			assert.Equal(t, test.code, p["code"])
			assert.EqualValues(t, test.status, p["status"])
			assert.Equal(t, "/loans/7/actions", p["instance"])
			for _, member := range []string{"type", "title", "trace_id"} {
				assert.NotEmpty(t, p[member], member)
			}
			assert.Equal(t, test.status == 401, w.Header().Get("WWW-Authenticate") != "")
			assert.Equal(t, test.status == 503, w.Header().Get("Retry-After") != "")
		})
	}
}

func TestProblemMembers(t *testing.T) {
	c, w := post(t, "", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	WriteProblem(c, &interlock.Refusal{
		Stage: interlock.StageGraph, Code: "illegal_event", Message: "approve does not leave created",
		LegalEvents: []string{"submit"}, Revision: "rev1", Instance: &interlock.Instance{State: "created", Version: 3},
	})
	assert.JSONEq(t, `{"type":"/problems/illegal-event","title":"Not legal from this state","status":409,
		"detail":"approve does not leave created","instance":"/loans/7/actions","code":"illegal_event","stage":"graph",
		"legal_events":["submit"],"state":"created","version":3,"policy_revision":"rev1",
		"trace_id":"0af7651916cd43dd8448eb211c80319c"}`, w.Body.String())

	c, w = post(t, "")
	WriteProblem(c, &interlock.Refusal{Stage: interlock.StageGraph, Code: "illegal_event"})
	assert.Contains(t, w.Body.String(), `"legal_events":[]`, "no way out is an answer")

	c, w = post(t, "")
	WriteProblem(c, &interlock.Refusal{
		Stage: interlock.StagePolicy, Code: "denied",
		Reasons: []interlock.Reason{{Code: "four_eyes", Message: "Somebody else must approve", Params: map[string]any{"n": 1}}, {Code: "limit", Message: "Too much"}},
	})
	assert.Contains(t, w.Body.String(), `"reasons":[{"code":"four_eyes","message":"Somebody else must approve","params":{"n":1}},{"code":"limit","message":"Too much"}]`)
	assert.NotContains(t, w.Body.String(), "legal_events")

	c, w = post(t, "")
	WriteProblem(c, &interlock.Refusal{Stage: interlock.StageInput, Code: "input_invalid", Fields: []fsm.FieldError{{Pointer: "/amount", Message: "want a number"}}})
	assert.Contains(t, w.Body.String(), `"errors":[{"pointer":"/amount","message":"want a number"}]`)
}

// TestNeverInternals: what failed stands in c.Errors and, where it is the
// server's fault, in the log under the trace id of the answer; never in the answer.
func TestNeverInternals(t *testing.T) {
	for name, err := range map[string]error{
		"bare":    errSecret,
		"refusal": &interlock.Refusal{Stage: interlock.StageUnavailable, Code: "store_failed", Message: "the store can't be read", Cause: errSecret},
		"problem": &Problem{Status: 502, Code: "upstream", Cause: errSecret},
		"wrapped": fmt.Errorf("%w: %w", errSecret, &interlock.Refusal{Stage: interlock.StagePolicy, Code: "denied", Cause: errSecret}),
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			c, w := post(t, "", "X-Request-ID", "req-7")
			visiting(c, &settings{problemBase: "https://example.org/p/", maxBody: 10, logger: slog.New(slog.NewTextHandler(&log, nil))})
			WriteProblem(c, err)
			assert.NotContains(t, w.Body.String(), "10.0.0.7")
			assert.Contains(t, w.Body.String(), `"trace_id":"req-7"`)
			if w.Code < 500 {
				assert.Empty(t, log.String())
			} else {
				assert.Contains(t, log.String(), "10.0.0.7")
				assert.Contains(t, log.String(), "trace_id=req-7")
				assert.Contains(t, log.String(), "level=ERROR")
			}
			assert.Contains(t, c.Errors.String(), "10.0.0.7")
		})
	}
}

func TestErrorHandler(t *testing.T) {
	for name, test := range map[string]struct {
		handler func(*gin.Context, *Problem, error) any
		body    string
		kind    string
	}{
		"keeps":    {func(*gin.Context, *Problem, error) any { return nil }, `"code":"denied"`, "application/problem+json"},
		"replaces": {func(_ *gin.Context, p *Problem, _ error) any { return gin.H{"error": p.Code} }, `{"error":"denied"}`, "application/json; charset=utf-8"},
		"writes":   {func(c *gin.Context, p *Problem, _ error) any { c.String(p.Status, "no"); return nil }, "no", "text/plain; charset=utf-8"},
		"fails":    {func(*gin.Context, *Problem, error) any { return func() {} }, `"code":"internal"`, "application/problem+json"},
	} {
		t.Run(name, func(t *testing.T) {
			c, w := post(t, "")
			visiting(c, &settings{problemBase: defaultBase, maxBody: 10, errorHandler: test.handler})
			WriteProblem(c, &interlock.Refusal{Stage: interlock.StagePolicy, Code: "denied"})
			assert.GreaterOrEqual(t, w.Code, 400)
			assert.Contains(t, w.Body.String(), test.body)
			assert.Equal(t, test.kind, w.Header().Get("Content-Type"))
		})
	}
}

func TestProblemAfterAnswerBegan(t *testing.T) {
	c, w := post(t, "")
	c.String(200, "begun")
	WriteProblem(c, errSecret)
	assert.Equal(t, "begun", w.Body.String())
	assert.Len(t, c.Errors, 1)
}

func TestTraceID(t *testing.T) {
	for given, want := range map[string]string{"req-7": "req-7", "a b": "", "<x>": "", "": "", strings.Repeat("a", 129): ""} {
		c, _ := post(t, "", "X-Request-ID", given)
		got := traceID(c)
		if want != "" {
			assert.Equal(t, want, got)
		} else {
			assert.Len(t, got, 32, given)
		}
		assert.Equal(t, got, traceID(c), "one id a request")
	}
	c, _ := post(t, "", "Traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "X-Request-ID", "r")
	assert.Equal(t, "r", traceID(c), "an all-zero trace is none")
}

func TestProblemsAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Problems() {
		assert.False(t, seen[p.Code], p.Code)
		seen[p.Code] = true
		assert.NotEmpty(t, p.Title)
		assert.NotEmpty(t, p.Detail)
		assert.NotContains(t, p.Type, "_")
	}
}
