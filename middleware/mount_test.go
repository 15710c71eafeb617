package middleware

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/store/sqlite"
)

const docMachine = `
machine: doc
initial: draft
roles: {boss: [writer], writer: [reader]}
facts: {schema: {type: object, properties: {pages: {type: integer}}}}
create: {requires: [writer, system]}
read: {requires: [reader]}
states: {draft: {}, sent: {}, done: {closed: true}}
events:
  send:
    input: {type: object, properties: {copies: {type: integer}}, additionalProperties: false}
    transitions: [{from: draft, to: sent, requires: [writer]}]
  touch: {from: draft, stay: true, requires: [writer]}
  finish: {from: sent, to: done, requires: [boss], note: required}
  route: {from: sent, to: [draft, done], requires: [writer]}
`

// whoIs reads "X-User: ann writer": an id and a role.
func whoIs(c *gin.Context) (interlock.Actor, error) {
	id, role, ok := strings.Cut(c.GetHeader("X-User"), " ")
	switch {
	case id == "down":
		return interlock.Actor{}, &Problem{Status: 503, Code: "login_down", Cause: errSecret}
	case id == "zero":
		return interlock.Actor{}, nil
	case id == "root":
		return interlock.SystemActor("", "root"), nil
	case !ok:
		return interlock.Actor{}, errors.New("no X-User in the request")
	}
	return interlock.Actor{ID: id, Roles: []string{role}}, nil
}

type app struct {
	t      *testing.T
	gate   *interlock.Gate
	store  *sqlite.Store
	router *gin.Engine
	il     *Interlock
	log    *bytes.Buffer
}

// newApp has one document, d1, in draft.
func newApp(t *testing.T, change func(*Config)) *app {
	t.Helper()
	return newAppOn(t, nil, change)
}

func cachedApp(t *testing.T, cache interlock.Cache) *app {
	t.Helper()
	return newAppOn(t, cache, nil)
}

func newAppOn(t *testing.T, cache interlock.Cache, change func(*Config)) *app {
	t.Helper()
	m, err := fsm.Parse("doc.yaml", []byte(docMachine))
	require.NoError(t, err)
	store, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	a := &app{t: t, store: store, log: &bytes.Buffer{}}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	a.gate, err = interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: store, Cache: cache, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, a.gate.Close(context.Background())) })
	_, err = a.gate.Create(t.Context(), interlock.SystemActor("", "setup"), interlock.CreateRequest{Machine: "doc", ID: "d1", Facts: map[string]any{"pages": 3}})
	require.NoError(t, err)
	cfg := Config{Actor: whoIs, Logger: slog.New(slog.NewTextHandler(a.log, nil))}
	if change != nil {
		change(&cfg)
	}
	a.il = New(a.gate, cfg)
	a.router = gin.New()
	return a
}

// mounted is newApp with the usual routes.
func mounted(t *testing.T, change func(*Config)) *app {
	t.Helper()
	a := newApp(t, change)
	docs := a.il.Group(a.router.Group("/docs/:id"), "doc")
	docs.GET("/actions", a.il.Available())
	docs.POST("/actions", a.il.Fire())
	docs.GET("/history", a.il.History())
	docs.POST("/send", a.il.FireEvent("send"))
	docs.POST("/finish", Do(a.il, "finish", func(_ context.Context, _ *sql.Tx, tr interlock.Transition) (any, error) {
		return gin.H{"done": tr.Note}, nil
	}))
	docs.PUT("/pages", a.il.Check("touch"), func(c *gin.Context) {
		who, _ := ActorFrom(c.Request.Context())
		c.JSON(200, gin.H{"by": who.ID})
	})
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	return a
}

func (a *app) ask(method, path, user, body string, headers ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if user != "" {
		r.Header.Set("X-User", user)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.router.ServeHTTP(w, r)
	return w
}

func (a *app) state() string {
	a.t.Helper()
	i, err := a.gate.Get(a.t.Context(), interlock.SystemActor("", "test"), interlock.Ref{Machine: "doc", ID: "d1"})
	require.NoError(a.t, err)
	return i.State
}

// is fails unless the answer has this status and, if it is a problem, this code.
func is(t *testing.T, w *httptest.ResponseRecorder, status int, code string) map[string]any {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), w.Body.String())
	if code != "" {
		assert.Equal(t, code, body["code"])
		assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	}
	return body
}

func TestAnswersOfTheMount(t *testing.T) {
	a := mounted(t, nil)
	for _, test := range []struct {
		name, method, path, user, body string
		status                         int
		code                           string
	}{
		{"nobody", "POST", "/docs/d1/actions", "", `{"event":"send"}`, 401, "unauthenticated"},
		{"nobody reads", "GET", "/docs/d1/actions", "", "", 401, "unauthenticated"},
		{"zero actor", "POST", "/docs/d1/actions", "zero", `{"event":"send"}`, 401, "unauthenticated"},
		{"system from outside", "POST", "/docs/d1/actions", "root", `{"event":"send"}`, 401, "unauthenticated"},
		{"bad actor id", "POST", "/docs/d1/actions", "a/b writer", `{"event":"send"}`, 401, "actor_invalid"},
		{"login down", "POST", "/docs/d1/actions", "down", `{"event":"send"}`, 503, "login_down"},
		{"no such instance", "POST", "/docs/d2/actions", "ann writer", `{"event":"send"}`, 404, "not_found"},
		{"may not read", "POST", "/docs/d1/actions", "ann stranger", `{"event":"send"}`, 404, "not_found"},
		{"bad id", "POST", "/docs/-x/actions", "ann writer", `{"event":"send"}`, 400, "id_invalid"},
		{"malformed", "POST", "/docs/d1/actions", "ann writer", `{"event":"send"`, 400, "malformed"},
		{"no body", "POST", "/docs/d1/actions", "ann writer", "", 400, "malformed"},
		{"no event", "POST", "/docs/d1/actions", "ann writer", `{"note":"x"}`, 400, "malformed"},
		{"mass assignment", "POST", "/docs/d1/actions", "ann writer", `{"event":"send","state":"done"}`, 400, "malformed"},
		{"event in the body of a fixed one", "POST", "/docs/d1/send", "ann writer", `{"event":"finish"}`, 400, "malformed"},
		{"dry run misspelt", "POST", "/docs/d1/send?dry_run=1", "ann writer", "", 400, "malformed"},
		{"dry run twice", "POST", "/docs/d1/send?dry_run=true&dry_run=false", "ann writer", "", 400, "malformed"},
		{"role", "POST", "/docs/d1/actions", "ann reader", `{"event":"send"}`, 403, "denied"},
		{"illegal", "POST", "/docs/d1/actions", "ann boss", `{"event":"route","to":"draft"}`, 409, "illegal_event"},
		{"done elsewhere", "POST", "/docs/d1/actions", "ann boss", `{"event":"finish","note":"x"}`, 409, "other_route"},
		{"unknown event", "POST", "/docs/d1/actions", "ann boss", `{"event":"explode"}`, 409, "unknown_event"},
		{"input", "POST", "/docs/d1/actions", "ann writer", `{"event":"send","input":{"copies":"two"}}`, 422, "input_invalid"},
		{"menu of nothing", "GET", "/docs/d2/actions", "ann writer", "", 404, "not_found"},
		{"menu, bad flag", "GET", "/docs/d1/actions?denied=no", "ann writer", "", 400, "malformed"},
		{"history, bad limit", "GET", "/docs/d1/history?limit=0", "ann writer", "", 400, "malformed"},
		{"history, bad cursor", "GET", "/docs/d1/history?cursor=x", "ann writer", "", 400, "malformed"},
		{"history of nothing", "GET", "/docs/d2/history", "ann writer", "", 404, "not_found"},
		{"checked out", "PUT", "/docs/d1/pages", "ann reader", "", 403, "denied"},
		{"check of nothing", "PUT", "/docs/d2/pages", "ann writer", "", 404, "not_found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := a.ask(test.method, test.path, test.user, test.body)
			body := is(t, w, test.status, test.code)
			assert.Equal(t, test.status == 401, w.Header().Get("WWW-Authenticate") != "")
			if test.code == "illegal_event" {
				assert.Equal(t, []any{"send", "touch"}, body["legal_events"])
			}
			assert.NotContains(t, w.Body.String(), "10.0.0.7")
		})
	}
	assert.Equal(t, "draft", a.state(), "refusals changed something")
	assert.Equal(t, 1, strings.Count(a.log.String(), "\n"), "what is the caller's fault is not logged: "+a.log.String())
	assert.Contains(t, a.log.String(), "code=login_down")
	for _, header := range []string{"If-None-Match", "If-Unmodified-Since", "If-Modified-Since"} {
		w := a.ask("POST", "/docs/d1/send", "ann writer", "", header, `"1"`)
		assert.Contains(t, is(t, w, 400, "malformed")["detail"], header)
	}
}

func TestFireAnswersAfterTheCommit(t *testing.T) {
	a := mounted(t, nil)
	w := a.ask("POST", "/docs/d1/send?dry_run=true", "ann writer", `{"input":{"copies":2}}`)
	body := is(t, w, 200, "")
	assert.Equal(t, "sent", body["state"])
	assert.EqualValues(t, 2, body["version"])
	assert.Empty(t, w.Header().Get("Interlock-Transition"))
	assert.Empty(t, w.Header().Get("Interlock-Sequence"), "nothing was committed that could be counted")
	assert.NotEmpty(t, w.Header().Get("Interlock-Revision"))
	assert.Equal(t, "draft", a.state())

	w = a.ask("POST", "/docs/d1/send", "ann writer", "", "X-Request-ID", "r1")
	body = is(t, w, 200, "")
	assert.Equal(t, "sent", a.state())
	assert.Equal(t, "sent", body["state"])
	assert.EqualValues(t, 2, body["version"])
	assert.Equal(t, map[string]any{"pages": 3.0}, body["facts"])
	assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, body["since"])
	assert.NotEmpty(t, w.Header().Get("Interlock-Transition"))
	assert.Equal(t, "2", w.Header().Get("Interlock-Sequence"))
	assert.NotEmpty(t, w.Header().Get("Interlock-Revision"))

	is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"route"}`), 422, "target_required")
	is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"route","to":"sent"}`), 409, "undeclared_target")
	body = is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"route","to":"draft","note":"again"}`), 200, "")
	assert.Equal(t, "draft", body["state"])
	is(t, a.ask("POST", "/docs/d1/send", "ann writer", `{"input":{"copies":9007199254740993}}`), 200, "")

	is(t, a.ask("POST", "/docs/d1/finish", "ben boss", ""), 422, "note_required")
	is(t, a.ask("POST", "/docs/d1/finish?dry_run=true", "ben boss", `{"note":"ok"}`), 200, "")
	assert.Equal(t, "sent", a.state())
	w = a.ask("POST", "/docs/d1/finish", "ben boss", `{"note":"ok"}`)
	assert.Equal(t, map[string]any{"done": "ok"}, is(t, w, 200, ""))
	assert.Equal(t, "done", a.state())

	body = is(t, a.ask("GET", "/docs/d1/actions", "ben boss", ""), 200, "")
	assert.Equal(t, []any{}, body["events"], "no actions available is an answer")

	body = is(t, a.ask("GET", "/docs/d1/history?limit=2", "ben boss", ""), 200, "")
	rows := body["history"].([]any)
	require.Len(t, rows, 2)
	assert.Equal(t, "$create", rows[0].(map[string]any)["event"])
	assert.Equal(t, "2", body["next_cursor"])
	w = a.ask("GET", "/docs/d1/history?cursor=2", "ben boss", "")
	body = is(t, w, 200, "")
	rows = body["history"].([]any)
	require.Len(t, rows, 3)
	assert.Nil(t, body["next_cursor"])
	assert.Contains(t, w.Body.String(), `"copies":9007199254740993`)
	last := rows[2].(map[string]any)
	assert.Equal(t, "ok", last["note"])
	assert.Equal(t, "ben", last["actor"])
	assert.Len(t, last["hash"], 64)
}

func TestMenu(t *testing.T) {
	a := mounted(t, nil)
	events := func(w *httptest.ResponseRecorder) map[string]bool {
		all := map[string]bool{}
		for _, e := range is(t, w, 200, "")["events"].([]any) {
			all[e.(map[string]any)["event"].(string)] = e.(map[string]any)["allowed"].(bool)
		}
		return all
	}
	assert.Equal(t, map[string]bool{"send": true, "touch": true}, events(a.ask("GET", "/docs/d1/actions", "ann writer", "")))
	assert.Equal(t, map[string]bool{"send": false, "touch": false}, events(a.ask("GET", "/docs/d1/actions", "ann reader", "")))
	assert.Empty(t, events(a.ask("GET", "/docs/d1/actions?denied=false", "ann reader", "")))
}

func TestCheckLetsTheHandlerRun(t *testing.T) {
	a := mounted(t, nil)
	assert.JSONEq(t, `{"by":"ann"}`, a.ask("PUT", "/docs/d1/pages", "ann writer", "").Body.String())
	is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 200, "")
	body := is(t, a.ask("PUT", "/docs/d1/pages", "ann writer", ""), 409, "illegal_event")
	assert.Equal(t, "sent", body["state"])
	i, err := a.gate.Get(t.Context(), interlock.SystemActor("", "t"), interlock.Ref{Machine: "doc", ID: "d1"})
	require.NoError(t, err)
	assert.EqualValues(t, 2, i.Version, "a check commits nothing")
}

func TestNoGoroutineStays(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Run("app", func(t *testing.T) {
		a := mounted(t, nil)
		for range 20 {
			a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`)
		}
	})
	goleak.VerifyNone(t, ignore)
}

// TestConcurrent: handlers share nothing between requests (run with -race).
func TestConcurrent(t *testing.T) {
	a := mounted(t, nil)
	done := make(chan int)
	for i := range 8 {
		go func() {
			path, body := "/docs/d1/actions", `{"event":"touch"}`
			if i%2 == 0 {
				body = `{"event":"finish"}`
			}
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			r.Header.Set("X-User", "ann writer")
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			a.router.ServeHTTP(w, r)
			done <- w.Code
		}()
	}
	for range 8 {
		assert.Contains(t, []int{http.StatusOK, http.StatusConflict, http.StatusServiceUnavailable}, <-done)
	}
}
