package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
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
	code := m.Run()
	if code == 0 {
		http.DefaultClient.CloseIdleConnections()
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString("goroutines are left over: " + err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// ticket is a machine with everything that the loan machine lacks: a form,
// several targets, stay, a self-edge, a forbidden note, events for nobody.
const ticket = `
machine: ticket
title: Ticket
initial: open
description: Something that somebody wants
facts: {schema: {type: object, properties: {urgent: {type: boolean}, tags: {type: array, items: {type: string}}}}, edit: {requires: [employee], states: [open, waiting]}}
create: {requires: [employee]}
read: {requires: [anyone]}
states:
  open: {title: Open, color: green}
  waiting: {}
  done: {final: true}
  gone: {closed: true}
events:
  answer:
    title: Answer
    order: 1
    from: open
    to: waiting
    requires: [employee]
    note: forbidden
    input: {type: object, additionalProperties: false, required: [text], properties: {text: {type: string, minLength: 1, maxLength: 20}, hours: {type: integer, minimum: 0}}}
  comment: {from: [open, waiting], stay: true, requires: [anyone], note: required}
  again: {from: waiting, to: waiting, requires: [employee]}
  route: {from: open, to: [waiting, done], requires: [employee]}
  polite: {from: open, to: done, requires: [employee], checks: [said_please]}
  short: {from: open, to: done, requires: [employee], checks: [is_short], input: {type: object, properties: {word: {type: string}}}}
  never: {from: open, to: done, requires: [employee], checks: [impossible]}
  expire: {from: {any: true}, to: gone, requires: [system]}
`

const ticketRules = `package interlock.machine.ticket

# METADATA
# title: Say please
said_please if contains(input.note, "please")

# METADATA
# title: One short word
is_short if count(input.input.word) < 5

# METADATA
# title: Nobody can
impossible if input.instance.version < 0
`

// patience is for whatever would be another answer on a busy machine.
const patience = 30 * time.Second

// world is a server over a store, asked as the demonstration's users.
type world struct {
	t       testing.TB
	gate    *interlock.Gate
	server  *server.Server
	url     string
	check   *contract
	metrics *server.Metrics
	log     *record
}

// record is a log that may be read while it is written.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

type stores map[string]func(testing.TB) interlock.Store

// onEach runs a test over every store.
func onEach(t *testing.T, test func(*world)) {
	t.Helper()
	for name, open := range storesUnderTest() {
		t.Run(name, func(t *testing.T) { test(newWorld(t, open(t))) })
	}
}

func storesUnderTest() stores {
	return stores{"sqlite": openSQLite, "postgres": openPostgres}
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

func machines(t testing.TB) []*fsm.Machine {
	t.Helper()
	source, err := fs.ReadFile(examples.Files(), "loan/loan.yaml")
	require.NoError(t, err)
	loan, err := fsm.Parse("loan.yaml", source)
	require.NoError(t, err)
	tick, err := fsm.Parse("ticket.yaml", []byte(ticket))
	require.NoError(t, err)
	return []*fsm.Machine{loan, tick}
}

func rules(t testing.TB) interlock.Policy {
	t.Helper()
	loan, err := fs.ReadFile(examples.Files(), "loan/policies/loan.rego")
	require.NoError(t, err)
	return policies.Sources(map[string]string{
		"interlock/machine/loan/loan.rego": string(loan), "interlock/machine/ticket/ticket.rego": ticketRules,
	})
}

var users = map[string]interlock.Actor{
	"erin":  {ID: "erin", Roles: []string{"employee"}},
	"evan":  {ID: "evan", Roles: []string{"employee"}},
	"erin2": {ID: "erin2", Person: "erin", Roles: []string{"employee"}},
	"mark":  {ID: "mark", Roles: []string{"manager"}},
	"adam":  {ID: "adam"},
	"uma":   {ID: "uma"},
	"alien": {ID: "erin", Tenant: "elsewhere", Roles: []string{"employee"}},
}

func newWorld(t testing.TB, st interlock.Store) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, log: &record{}}
	logger := slog.New(slog.NewJSONHandler(w.log, nil))
	w.metrics = server.NewMetrics()
	var err error
	w.gate, err = interlock.New(interlock.Config{Machines: machines(t), Policy: rules(t), Store: st, Observer: w.metrics, Logger: logger,
		ReadTimeout: patience, CommitTimeout: patience, PolicyTimeout: patience, DecisionAge: patience})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.gate.Close(ctx)) })
	require.NoError(t, w.gate.Bootstrap(ctx, "", "adam"))
	root := interlock.SystemActor("", "setup")
	for user, limit := range map[string]int{"erin": 50000, "evan": 50000, "mark": 500000} {
		_, err = w.gate.SetActor(ctx, root, user, map[string]any{"limit": limit}, nil)
		require.NoError(t, err)
	}
	w.server, err = server.New(server.Config{
		Gate: w.gate, Identity: server.DemoIdentity(users), APIKeys: true, Metrics: w.metrics, Logger: logger,
		Ready: []server.Check{{Name: "store", Ask: func(ctx context.Context) error { _, err := st.Epoch(ctx); return err }}},
	})
	require.NoError(t, err)
	w.url = serve(t, w.server)
	w.check = newContract(t, w.url)
	return w
}

// serve runs a server on a free port until the test ends.
func serve(t testing.TB, s *server.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own server
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return "http://" + l.Addr().String()
}

// answered is an answer with its body read and, where it is JSON, decoded.
type answered struct {
	*http.Response
	raw  string
	json map[string]any
}

func (a answered) code() string { s, _ := a.json["code"].(string); return s }

// ask sends a request and holds the answer against the document. user "" asks as nobody.
func (w *world) ask(user, method, path, body string, headers ...string) answered {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	require.NoError(w.t, err)
	if body == "" {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if user != "" {
		req.Header.Set("Authorization", "Bearer demo-"+user)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	w.check.exchange(w.t, req, body, resp, raw)
	return decoded(w.t, resp, raw)
}

func decoded(t testing.TB, resp *http.Response, raw []byte) answered {
	t.Helper()
	a := answered{Response: resp, raw: string(raw)}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		require.NoError(t, dec.Decode(&a.json), a.raw)
	}
	return a
}

// must asks and wants this status.
func (w *world) must(status int, user, method, path, body string, headers ...string) answered {
	w.t.Helper()
	a := w.ask(user, method, path, body, headers...)
	require.Equal(w.t, status, a.StatusCode, "%s %s as %s: %s", method, path, user, a.raw)
	return a
}

// loan makes a loan and brings it through the events, each as "user event".
func (w *world) loan(id string, amount string, steps ...string) string {
	w.t.Helper()
	path := "/v1/machines/loan/instances/" + id
	w.must(201, "erin", "POST", "/v1/machines/loan/instances", `{"id":"`+id+`","facts":{"amount":`+amount+`}}`)
	for _, step := range steps {
		user, event, _ := strings.Cut(step, " ")
		w.must(200, user, "POST", path+"/events", `{"event":"`+event+`"}`)
	}
	return path
}
