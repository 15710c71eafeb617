package server_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/server"
)

// Beyond what is worked on and what may wait, requests are told so at once;
// health and readiness answer all the same.
func TestOverload(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), Logger: slog.New(slog.DiscardHandler),
		MaxInFlight: 1, MaxWaiting: 1, WaitLimit: time.Minute})
	require.NoError(t, err)
	held := newSlow(s)
	w.url = serve(t, s)
	answers := make(chan int, 2)
	hold := func() {
		resp, err := http.Get(w.url + "/slow") //nolint:noctx // ends with the server
		if err != nil {
			answers <- 0
			return
		}
		_ = resp.Body.Close()
		answers <- resp.StatusCode
	}
	go hold()
	<-held.begun
	go hold() // it waits for its place
	require.Eventually(t, func() bool { return s.Waiting() == 1 }, patience, time.Millisecond)
	for _, path := range []string{"/v1/machines", "/openapi.json"} {
		a := w.must(503, "erin", "GET", path, "")
		assert.Equal(t, "busy", a.code())
		assert.NotEmpty(t, a.Header.Get("Retry-After"))
	}
	w.must(200, "", "GET", "/healthz", "")
	w.must(200, "", "GET", "/readyz", "")
	held.release <- struct{}{}
	<-held.begun // the one that waited has its place
	held.release <- struct{}{}
	assert.Equal(t, []int{200, 200}, []int{<-answers, <-answers})
	w.must(200, "erin", "GET", "/v1/machines", "")
}

// Who has waited for as long as one may is told that it is busy.
func TestWaitingHasALimit(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), Logger: slog.New(slog.DiscardHandler),
		MaxInFlight: 1, WaitLimit: 10 * time.Millisecond})
	require.NoError(t, err)
	held := newSlow(s)
	w.url = serve(t, s)
	go func() {
		if resp, err := http.Get(w.url + "/slow"); err == nil { //nolint:noctx // ends with the server
			_ = resp.Body.Close()
		}
	}()
	<-held.begun
	assert.Equal(t, "busy", w.must(503, "erin", "GET", "/v1/machines", "").code())
	held.release <- struct{}{}
}

// A connection on which nothing comes, or that comes by drops, is closed.
func TestSlowConnectionsAreClosed(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	for name, test := range map[string]struct {
		send                   string
		readHeader, read, idle time.Duration
	}{
		"header by drops":   {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", 50 * time.Millisecond, time.Hour, time.Hour},
		"body by drops":     {"POST /v1/available HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-erin\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", time.Hour, 50 * time.Millisecond, 50 * time.Millisecond},
		"nothing afterward": {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", time.Hour, time.Hour, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			s.Limit(test.readHeader, test.read, test.idle)
			conn, err := net.Dial("tcp", strings.TrimPrefix(serve(t, s), "http://")) //nolint:noctx // a test's own server
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, test.send)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			_, err = io.Copy(io.Discard, bufio.NewReader(conn))
			require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the server still waits")
		})
	}
}
