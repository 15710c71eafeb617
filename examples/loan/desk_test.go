package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/testservice"
)

// desk is the running application with its demo team, asked over HTTP.
type desk struct {
	*testing.T
	app *app
	url string
}

// onBoth runs a story on both databases.
func onBoth(t *testing.T, story func(d *desk)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Attr("store", "sqlite")
		story(open(t, filepath.Join(t.TempDir(), "loan.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		story(open(t, testservice.Postgres(t)))
	})
}

func open(t *testing.T, db string) *desk {
	t.Helper()
	gin.SetMode(gin.TestMode)
	a, err := newApp(t.Context(), config{db: db, patience: time.Minute}) // a busy machine is no refusal
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	require.NoError(t, a.seed(t.Context()))
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return &desk{t, a, server.URL}
}

// step is a part of the story that fails by itself.
func (d *desk) step(name string, part func(d *desk)) {
	d.Run(name, func(t *testing.T) { part(&desk{t, d.app, d.url}) })
}

// ask sends a request as somebody ("" is nobody) and returns the answer.
func (d *desk) ask(who, method, path, body string) (int, string) {
	d.Helper()
	req, err := http.NewRequestWithContext(d.Context(), method, d.url+path, strings.NewReader(body))
	require.NoError(d, err)
	if who != "" {
		req.SetBasicAuth(who, who)
	}
	switch {
	case strings.HasPrefix(body, "{"):
		req.Header.Set("Content-Type", "application/json")
	case body != "":
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(d, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(d, err)
	return res.StatusCode, string(b)
}

// does asks for an event, named as "event", "event:to" or with a note behind.
func (d *desk) does(who, id, what string, note ...string) (int, string) {
	d.Helper()
	event, to, _ := strings.Cut(what, ":")
	body, err := json.Marshal(map[string]string{"event": event, "to": to, "note": strings.Join(note, "")})
	require.NoError(d, err)
	return d.ask(who, "POST", "/loans/"+id+"/actions", string(body))
}

// must is does, and it must be done.
func (d *desk) must(who, id, what string, note ...string) {
	d.Helper()
	code, body := d.does(who, id, what, note...)
	require.Equal(d, 200, code, "%s by %s: %s", what, who, body)
}

// refused is does, and it must be refused with this status and words in the
// answer, and change nothing.
func (d *desk) refused(who, id, what, note string, want int, words ...string) {
	d.Helper()
	before := d.status(id)
	code, body := d.does(who, id, what, note)
	require.Equal(d, want, code, "%s by %s: %s", what, who, body)
	for _, w := range words {
		require.Contains(d, body, w, "%s by %s", what, who)
	}
	require.Equal(d, before, d.status(id), "a refusal changes nothing")
}

// status reads the application's own column, not the gate.
func (d *desk) status(id string) (s string) {
	d.Helper()
	require.NoError(d, d.app.db.QueryRowContext(d.Context(), `SELECT status FROM loans WHERE id = $1`, id).Scan(&s))
	return s
}

func (d *desk) count(query string, args ...any) (n int) {
	d.Helper()
	require.NoError(d, d.app.db.QueryRowContext(d.Context(), query, args...).Scan(&n))
	return n
}

// verified makes a loan of 20,000 that erin submitted, evan reviewed and
// somebody verified.
func (d *desk) verified(id, by string) {
	d.Helper()
	d.created(id, 20_000)
	d.must("erin", id, "submit")
	d.must("evan", id, "review")
	d.must(by, id, "verify")
}

func (d *desk) created(id string, amount int) {
	d.Helper()
	body, err := json.Marshal(map[string]any{"id": id, "applicant": "Ada", "amount": amount})
	require.NoError(d, err)
	code, answer := d.ask("erin", "POST", "/loans", string(body))
	require.Equal(d, 201, code, answer)
}
