package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/examples"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/server"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

// form is a machine whose one event takes a field of each type.
const form = `
machine: form
initial: open
facts: {schema: {type: object, additionalProperties: false, properties: {count: {type: integer}, name: {type: string}}}, edit: {requires: [employee], states: [open]}}
create: {requires: [employee]}
states: {open: {}, closed: {final: true}}
events:
  fill:
    from: open
    to: closed
    requires: [employee]
    input:
      type: object
      additionalProperties: false
      required: [text]
      properties:
        text: {type: string, minLength: 1, maxLength: 20}
        whole: {type: integer, minimum: 0, maximum: 9007199254740991}
        ratio: {type: number}
        flag: {type: boolean}
        list: {type: array, maxItems: 3, items: {type: string}}
        part: {type: object, additionalProperties: false, properties: {a: {type: string}}}
`

// world is a server over a store, with a loan x and a form f that a wrong
// request could move.
type world struct {
	t       testing.TB
	store   interlock.Store
	address string
}

func openSQLite(t testing.TB) interlock.Store {
	t.Helper()
	st, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	t.Attr("store", "sqlite")
	return st
}

func openPostgres(t testing.TB) interlock.Store {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), testservice.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return postgres.New(pool)
}

func newWorld(t testing.TB, st interlock.Store) *world {
	t.Helper()
	ctx := context.Background()
	read := func(name string) string {
		text, err := fs.ReadFile(examples.Files(), name)
		require.NoError(t, err)
		return string(text)
	}
	loan, err := fsm.Parse("loan.yaml", []byte(read("loan/loan.yaml")))
	require.NoError(t, err)
	forms, err := fsm.Parse("form.yaml", []byte(form))
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	gate, err := interlock.New(interlock.Config{
		Machines: []*fsm.Machine{loan, forms}, Store: st, Logger: log,
		Policy: policies.Sources(map[string]string{"loan.rego": read("loan/policies/loan.rego")}),
		// Of these limits no input is about, and a busy machine needs long ones.
		PolicyTimeout: patience, ReadTimeout: patience, CommitTimeout: patience, DecisionAge: patience,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gate.Close(ctx)) })
	require.NoError(t, gate.Bootstrap(ctx, "", "adam"))
	_, err = gate.SetActor(ctx, interlock.SystemActor("", "setup"), "erin", map[string]any{"limit": 50000}, nil)
	require.NoError(t, err)
	erin := interlock.Actor{ID: "erin", Roles: []string{"employee"}}
	_, err = gate.Create(ctx, erin, interlock.CreateRequest{Machine: "loan", ID: "x", Facts: map[string]any{"amount": 1000}})
	require.NoError(t, err)
	_, err = gate.Create(ctx, erin, interlock.CreateRequest{Machine: "form", ID: "f"})
	require.NoError(t, err)
	s, err := server.New(server.Config{Gate: gate, Logger: log, Identity: server.DemoIdentity(map[string]interlock.Actor{
		"erin": erin, "adam": {ID: "adam"},
	})})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own server
	require.NoError(t, err)
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(serving, l) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return &world{t: t, store: st, address: l.Addr().String()}
}

// patience bounds one exchange; an answer comes in milliseconds.
const patience = 30 * time.Second

// send writes the bytes and returns all that comes back until the connection ends.
func (w *world) send(b bad) ([]verdict, error) {
	conn, err := net.Dial("tcp", w.address) //nolint:noctx // a test's own server
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err = io.WriteString(conn, b.raw); err != nil && !isReset(err) {
		return nil, err
	}
	if b.cut {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil && !isReset(err) {
			return nil, err
		}
	}
	all, err := io.ReadAll(conn)
	if err != nil && !isReset(err) {
		return nil, fmt.Errorf("after %q: %w", all, err)
	}
	method, _, _ := strings.Cut(b.raw, " ")
	return verdicts(all, method)
}

// isReset: a server that refuses early doesn't read on.
func isReset(err error) bool {
	text := err.Error()
	return strings.Contains(text, "connection reset") || strings.Contains(text, "broken pipe") || errors.Is(err, os.ErrClosed)
}

// verdict is an answer without what differs from one request to the next.
type verdict struct {
	status        int
	code, kind    string // of the problem, and its type
	allow, policy string
	media         string
	challenge     string
	body          string
}

var changing = regexp.MustCompile(`"trace_id":"[^"]*"`)

func verdicts(all []byte, method string) ([]verdict, error) {
	var out []verdict
	for in := bufio.NewReader(bytes.NewReader(all)); ; {
		if _, err := in.Peek(1); err != nil {
			return out, nil
		}
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return out, fmt.Errorf("%q is no answer: %w", all, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return out, fmt.Errorf("%q is cut off: %w", all, err)
		}
		_ = resp.Body.Close()
		v := verdict{status: resp.StatusCode, allow: resp.Header.Get("Allow"), media: resp.Header.Get("Content-Type"),
			challenge: resp.Header.Get("WWW-Authenticate"), policy: resp.Header.Get("Content-Security-Policy"), body: changing.ReplaceAllString(string(body), "")}
		if strings.HasSuffix(v.media, "json") && len(body) > 0 {
			var p struct {
				Type, Code string
				Status     int
			}
			if err := json.Unmarshal(body, &p); err != nil {
				return out, fmt.Errorf("%q: %w", body, err)
			}
			v.kind, v.code = p.Type, p.Code
			if p.Status != 0 && p.Status != v.status {
				return out, fmt.Errorf("the problem's status is %d, the answer's %d", p.Status, v.status)
			}
		}
		out = append(out, v)
		method = "GET"
	}
}

// committed is a digest of all history: of instances and of actors.
func (w *world) committed() string {
	w.t.Helper()
	h := sha256.New()
	n := 0
	for rec, err := range w.store.Chain(context.Background()) {
		require.NoError(w.t, err)
		h.Write(rec.Hash)
		n++
	}
	return fmt.Sprint(n, " rows ", hex.EncodeToString(h.Sum(nil)))
}

// well tells whether the server still answers somebody else.
func (w *world) well() error {
	got, err := w.send(bad{raw: ask("GET", "/v1/machines/loan/instances/x", "")})
	if err == nil && (len(got) != 1 || got[0].status != http.StatusOK) {
		err = fmt.Errorf("a good request is answered with %v", got)
	}
	return err
}
