package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/testservice"
)

// office is the running application with adam, its administrator, asked over HTTP.
type office struct {
	*testing.T
	app    *app
	url    string
	admin  string // adam's token
	mu     *sync.Mutex
	mails  map[string]string // by address, the newest invitation
	notice *[]string         // what administrators were told
}

const goodPassword = "correct horse"

// onBoth runs a story on both databases.
func onBoth(t *testing.T, story func(o *office)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Attr("store", "sqlite")
		story(open(t, filepath.Join(t.TempDir(), "account.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		story(open(t, testservice.Postgres(t)))
	})
}

func open(t *testing.T, db string) *office {
	t.Helper()
	gin.SetMode(gin.TestMode)
	o := &office{T: t, mu: &sync.Mutex{}, mails: map[string]string{}, notice: &[]string{}}
	a, err := newApp(t.Context(), config{
		db:       db,
		patience: time.Minute, // a busy machine is no refusal
		rounds:   2,
		tell: func(to, text string) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if to == administrators {
				*o.notice = append(*o.notice, text)
				return
			}
			_, token, _ := strings.Cut(text, "Your invitation: ")
			o.mails[to] = token
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	require.NoError(t, a.seed(t.Context(), goodPassword))
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	o.app, o.url = a, server.URL
	o.admin = o.login("adam@example.org", goodPassword)
	require.NotEmpty(t, o.admin)
	return o
}

// step is a part of the story that fails by itself.
func (o *office) step(name string, part func(o *office)) {
	o.Run(name, func(t *testing.T) {
		inner := *o
		inner.T = t
		part(&inner)
	})
}

// ask sends a request with a token ("" is nobody's) and returns the answer.
func (o *office) ask(token, method, path, body string) (int, string) {
	o.Helper()
	req, err := http.NewRequestWithContext(o.Context(), method, o.url+path, strings.NewReader(body))
	require.NoError(o, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(o, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(o, err)
	return res.StatusCode, string(b)
}

// login returns a token, "" where there is none to have.
func (o *office) login(email, password string) string {
	o.Helper()
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	require.NoError(o, err)
	code, answer := o.ask("", "POST", "/login", string(body))
	if code == 401 {
		return ""
	}
	require.Equal(o, 200, code, answer)
	var session struct {
		Token string `json:"token"`
	}
	require.NoError(o, json.Unmarshal([]byte(answer), &session))
	return session.Token
}

func (o *office) act(token, id, body string) (int, string) {
	o.Helper()
	return o.ask(token, "POST", "/users/"+id+"/actions", body)
}

// done asks for an event; it must be done, and answer what a read answers.
func (o *office) done(token, id, body string) {
	o.Helper()
	code, answer := o.act(token, id, body)
	require.Equal(o, 200, code, "%s: %s", body, answer)
	code, read := o.ask(o.admin, "GET", "/users/"+id, "")
	require.Equal(o, 200, code, read)
	require.Equal(o, read, answer, "an action answers exactly what a read answers")
}

// refused asks for an event; it must be refused with this status and words in
// the answer, and change nothing.
func (o *office) refused(token, id, body string, want int, words ...string) {
	o.Helper()
	before := o.row(id)
	code, answer := o.act(token, id, body)
	require.Equal(o, want, code, "%s: %s", body, answer)
	for _, w := range words {
		require.Contains(o, answer, w, body)
	}
	require.Equal(o, before, o.row(id), "a refusal changes nothing")
}

// row is what stands in the application's own table.
type row struct {
	Email, Name, Status string
	Disabled            bool
}

func (o *office) row(id string) (r row) {
	o.Helper()
	require.NoError(o, o.app.db.QueryRowContext(o.Context(),
		`SELECT coalesce(email, ''), name, status, password_disabled FROM users WHERE id = $1`, id).
		Scan(&r.Email, &r.Name, &r.Status, &r.Disabled))
	return r
}

func (o *office) count(query string, args ...any) (n int) {
	o.Helper()
	require.NoError(o, o.app.db.QueryRowContext(o.Context(), query, args...).Scan(&n))
	return n
}

// invited makes an account with an invitation and returns the token of the letter.
func (o *office) invited(id string) string {
	o.Helper()
	code, answer := o.ask(o.admin, "POST", "/invitations", `{"id": "`+id+`", "email": "`+id+`@example.org", "name": "`+id+`"}`)
	require.Equal(o, 200, code, answer)
	require.NotEmpty(o, o.mails[id+"@example.org"])
	return o.mails[id+"@example.org"]
}

// active makes an account that accepted its invitation, and logs in.
func (o *office) active(id string) string {
	o.Helper()
	o.accepts(o.invited(id), id)
	token := o.login(id+"@example.org", goodPassword)
	require.NotEmpty(o, token)
	return token
}

// accepts sets a password and accepts the invitation.
func (o *office) accepts(invitation, id string) {
	o.Helper()
	code, answer := o.ask(invitation, "PUT", "/users/"+id+"/password", `{"password": "`+goodPassword+`"}`)
	require.Equal(o, 204, code, answer)
	o.done(invitation, id, `{"event": "activate"}`)
}

func (o *office) guess(id string, times int) {
	o.Helper()
	for range times {
		require.Empty(o, o.login(id+"@example.org", "wrong"))
	}
}
