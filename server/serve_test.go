package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/server"
)

// slow holds a request inside a handler until it is let go.
type slow struct{ begun, release chan struct{} }

func newSlow(s *server.Server) slow {
	h := slow{make(chan struct{}, 1), make(chan struct{})}
	s.Handle("/slow", func(c *gin.Context) {
		h.begun <- struct{}{}
		<-h.release
		c.String(http.StatusOK, "done")
	})
	return h
}

func TestServeDrains(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), Logger: slog.New(slog.DiscardHandler), DrainTimeout: 2 * patience})
	require.NoError(t, err)
	held := newSlow(s)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own server
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	url := "http://" + l.Addr().String()

	running := make(chan string, 1)
	go func() {
		resp, err := http.Get(url + "/slow") //nolint:noctx // ends with the server
		if err != nil {
			running <- err.Error()
			return
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		running <- string(body)
	}()
	<-held.begun
	stop()

	get := func(path string) answered {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer demo-erin")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return decoded(t, resp, raw)
	}
	require.Eventually(t, func() bool { return get("/readyz").StatusCode == 503 }, patience, 5*time.Millisecond)
	assert.JSONEq(t, `{"status":"draining","checks":[]}`, get("/readyz").raw)
	assert.Equal(t, 200, get("/healthz").StatusCode)
	turned := get("/v1/machines")
	assert.Equal(t, 503, turned.StatusCode)
	assert.Equal(t, "busy", turned.code())
	assert.NotEmpty(t, turned.Header.Get("Retry-After"))
	assert.True(t, turned.Close)

	select {
	case err := <-ended:
		t.Fatalf("the server ended under a running request: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(held.release)
	assert.Equal(t, "done", <-running, "a request that was begun is answered")
	require.NoError(t, <-ended)
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestServeCutsOffWhatNeverEnds(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newWorld(t, openSQLite(t))
	s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	held := newSlow(s)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own server
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String()) //nolint:noctx // a test's own server
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	<-held.begun
	began := time.Now()
	stop()
	require.ErrorContains(t, <-ended, "1 requests were cut off")
	assert.GreaterOrEqual(t, time.Since(began), 10*time.Second, "it had that long")
	assert.Less(t, time.Since(began), 10*time.Second+patience)
	close(held.release)
	_ = conn.Close()
}

func TestServeSaysWhyItFailed(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own server
	require.NoError(t, err)
	require.NoError(t, l.Close())
	s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users)})
	require.NoError(t, err)
	require.ErrorContains(t, s.Serve(t.Context(), l), "serve: ")
}

func TestListenerHasLimits(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newWorld(t, openSQLite(t))
	conn, err := net.Dial("tcp", w.host()) //nolint:noctx // a test's own server
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("a", 40<<10)+"\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)

	s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	s.Limit(0, time.Hour, time.Hour)                                            // so it is the header's own that ends it
	dribble, err := net.Dial("tcp", strings.TrimPrefix(serve(t, s), "http://")) //nolint:noctx // a test's own server
	require.NoError(t, err)
	defer func() { _ = dribble.Close() }()
	_, err = io.WriteString(dribble, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	require.NoError(t, err)
	require.NoError(t, dribble.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.Copy(io.Discard, dribble)
	require.NoError(t, err, "the server hangs up")
}

func TestPanicIsAnAnswerWithoutAStack(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	w.server.Handle("/panic", func(*gin.Context) { panic("a secret of the stack") })
	w.server.Handle("/half", func(c *gin.Context) {
		c.String(http.StatusOK, "half an ans")
		c.Writer.Flush()
		panic("too late")
	})
	resp, err := http.Get(w.url + "/panic") //nolint:noctx // a test's own server
	require.NoError(t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	a := decoded(t, resp, raw)
	assert.Equal(t, 500, a.StatusCode)
	assert.Equal(t, "internal", a.code())
	assert.NotEmpty(t, a.json["trace_id"])
	assert.NotContains(t, a.raw, "secret")
	assert.NotContains(t, a.raw, ".go")
	assert.Contains(t, w.log.String(), "a secret of the stack")

	resp, err = http.Get(w.url + "/half") //nolint:noctx // a test's own server
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err, "half an answer must not look whole")
	require.NoError(t, resp.Body.Close())
	w.must(200, "", "GET", "/healthz", "")
}

func TestReadinessSaysWhichPart(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newWorld(t, openSQLite(t))
	s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), Logger: slog.New(slog.NewTextHandler(w.log, nil)), Ready: []server.Check{
		{Name: "store", Ask: func(context.Context) error { return nil }},
		{Name: "redis", Ask: func(context.Context) error { return errors.New("dial tcp 10.1.2.3: refused") }},
		{Name: "hung", Ask: func(ctx context.Context) error { <-ctx.Done(); return nil }},
		{Name: "broken", Ask: func(context.Context) error { panic("x") }},
	}})
	require.NoError(t, err)
	w.url = serve(t, s)
	a := w.must(503, "", "GET", "/readyz", "")
	assert.JSONEq(t, `{"status":"not_ready","checks":[{"name":"store","ok":true},{"name":"redis","ok":false},{"name":"hung","ok":false},{"name":"broken","ok":false}]}`, regexp.MustCompile(`,"age_ms":[0-9]+`).ReplaceAllString(a.raw, ""))
	assert.Contains(t, w.log.String(), "10.1.2.3")
}

func TestIdentityErrors(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	for _, tc := range []struct {
		name      string
		actor     interlock.Actor
		err       error
		status    int
		challenge string
		told      string
	}{
		{"nobody", interlock.Actor{}, server.ErrNoCredentials, 401, `Bearer realm="interlock"`, ""},
		{"an error", interlock.Actor{}, errors.New("ldap://10.1.2.3 says no"), 401, `Bearer realm="interlock", error="invalid_token"`, ""},
		{"unavailable", interlock.Actor{}, &interlock.Refusal{Stage: interlock.StageUnavailable, Code: "busy", Message: "identity doesn't answer", Cause: errors.New("10.1.2.3")}, 503, "", "identity doesn't answer"},
		{"the zero actor", interlock.Actor{}, nil, 401, "Bearer", ""},
		{"the system", interlock.SystemActor("", "erin"), nil, 401, `Bearer realm="interlock", error="invalid_token"`, ""},
		{"an unknown kind", interlock.Actor{ID: "erin", Kind: "robot"}, nil, 401, "Bearer", ""},
		{"no id", interlock.Actor{ID: "a b"}, nil, 401, "Bearer", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := server.New(server.Config{Gate: w.gate, Logger: slog.New(slog.DiscardHandler), Identity: func(*http.Request) (interlock.Actor, error) { return tc.actor, tc.err }})
			require.NoError(t, err)
			r := httptest.NewRequest("GET", "/v1/machines", nil)
			rec := httptest.NewRecorder()
			s.Handler().ServeHTTP(rec, r)
			assert.Equal(t, tc.status, rec.Code, rec.Body.String())
			assert.Equal(t, tc.challenge, rec.Header().Get("WWW-Authenticate"))
			assert.Contains(t, rec.Body.String(), tc.told)
			assert.NotContains(t, rec.Body.String(), "10.1.2.3")
		})
	}
}

func TestRequestIDs(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	a := w.must(404, "erin", "GET", "/v1/machines/none", "", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01", "X-Request-Id", "mine.1~2")
	assert.Equal(t, trace, a.json["trace_id"])
	assert.Equal(t, "mine.1~2", a.Header.Get("X-Request-Id"))
	seen := map[string]bool{}
	for _, id := range []string{"", "a b", "a\"b", strings.Repeat("a", 129), "ä", "<script>"} {
		a := w.must(404, "erin", "GET", "/v1/machines/none", "", "X-Request-Id", id)
		made := a.Header.Get("X-Request-Id")
		assert.Regexp(t, "^[0-9a-f]{32}$", made)
		assert.Equal(t, made, a.json["trace_id"])
		assert.False(t, seen[made])
		seen[made] = true
	}
	for _, bad := range []string{"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "00-" + strings.ToUpper(trace) + "-00f067aa0ba902b7-01", "x"} {
		a := w.must(404, "erin", "GET", "/v1/machines/none", "", "Traceparent", bad)
		assert.Equal(t, a.Header.Get("X-Request-Id"), a.json["trace_id"])
	}
}

func TestConfig(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	good := server.Config{Gate: w.gate, Identity: server.DemoIdentity(users)}
	for says, change := range map[string]func(*server.Config){
		"Gate":      func(c *server.Config) { c.Gate = nil },
		"Identity":  func(c *server.Config) { c.Identity = nil },
		"Ready[0]":  func(c *server.Config) { c.Ready = []server.Check{{Name: "x"}} },
		"CursorKey": func(c *server.Config) { c.CursorKey = make([]byte, 31) },
	} {
		cfg := good
		change(&cfg)
		_, err := server.New(cfg)
		require.ErrorContains(t, err, says)
	}
}

// Two servers with one key continue each other's pages; with random keys they don't.
func TestCursorKey(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	w.loan("k1", "1")
	w.loan("k2", "1")
	another := func(key []byte) string {
		s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), CursorKey: key})
		require.NoError(t, err)
		return serve(t, s)
	}
	key := []byte(strings.Repeat("k", 32))
	w.url = another(key)
	cursor := w.must(200, "erin", "GET", "/v1/machines/loan/instances?limit=1", "").json["next_cursor"].(string)
	w.url = another(key)
	page := w.must(200, "erin", "GET", "/v1/machines/loan/instances?limit=1&cursor="+cursor, "")
	assert.Equal(t, []string{"k2"}, names(page.json["instances"], "id"))
	w.url = another(nil)
	w.must(400, "erin", "GET", "/v1/machines/loan/instances?limit=1&cursor="+cursor, "")
}
