package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
	"github.com/interlock-go/interlock/store/sqlite"
)

// With the settings of the package's comment an application refuses what could be
// read in two ways, before anything is decided.
func TestApplicationWithTheSettingsThatTheCommentAsksFor(t *testing.T) {
	m, err := fsm.Parse("m.yaml", []byte("machine: m\ninitial: a\ncreate: {requires: [anyone]}\nread: {requires: [anyone]}\nstates: {a: {}, b: {}}\nevents:\n  go: {from: a, to: b, requires: [anyone]}\n"))
	require.NoError(t, err)
	st, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	gate, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: st})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gate.Close(context.Background())) })
	ann := interlock.Actor{ID: "ann"}
	_, err = gate.Create(t.Context(), ann, interlock.CreateRequest{Machine: "m", ID: "x"})
	require.NoError(t, err)

	r := gin.New()
	r.RedirectTrailingSlash = false
	r.HandleMethodNotAllowed = true
	r.UseRawPath = true
	il := middleware.New(gate, middleware.Config{Actor: func(*gin.Context) (interlock.Actor, error) { return ann, nil }})
	il.Group(r.Group("/things/:id"), "m").POST("/actions", il.Fire())
	for name, c := range map[string]struct {
		method, target, body string
		status               int
	}{
		"encoded slash":      {"POST", "/things/a%2Fx/actions", `{"event":"go"}`, 400},
		"encoded dot dot":    {"POST", "/things/%2e%2e/actions", `{"event":"go"}`, 400},
		"NUL":                {"POST", "/things/x%00/actions", `{"event":"go"}`, 400},
		"homoglyph":          {"POST", "/things/%d1%85/actions", `{"event":"go"}`, 400},
		"parameter":          {"POST", "/things/x;a/actions", `{"event":"go"}`, 400},
		"trailing slash":     {"POST", "/things/x/actions/", `{"event":"go"}`, 404},
		"two slashes":        {"POST", "/things//x/actions", `{"event":"go"}`, 404},
		"another method":     {"PUT", "/things/x/actions", `{"event":"go"}`, 405},
		"state in the body":  {"POST", "/things/x/actions", `{"event":"go","state":"b"}`, 400},
		"actor in the body":  {"POST", "/things/x/actions", `{"event":"go","actor":"eve"}`, 400},
		"event twice":        {"POST", "/things/x/actions", `{"event":"stay","event":"go"}`, 400},
		"dry run, misspelt":  {"POST", "/things/x/actions?dry_run=yes", `{"event":"go"}`, 400},
		"more than 64 KiB":   {"POST", "/things/x/actions", `{"event":"go","note":"` + strings.Repeat("a", 64<<10) + `"}`, 413},
		"a text with NUL":    {"POST", "/things/x/actions", `{"event":"go","note":"\u0000"}`, 422},
		"event by its cases": {"POST", "/things/x/actions", `{"Event":"go"}`, 400},
	} {
		req := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		assert.Equal(t, c.status, w.Code, "%s: %s", name, w.Body)
		assert.Equal(t, c.status == http.StatusMethodNotAllowed, w.Header().Get("Allow") != "", name)
	}
	rows, err := gate.History(t.Context(), ann, interlock.Ref{Machine: "m", ID: "x"}, 0, 10)
	require.NoError(t, err)
	require.Len(t, rows, 1, "none of them moved anything")
}
