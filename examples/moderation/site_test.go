package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/policies"
)

// onBoth runs a story on either database.
func onBoth(t *testing.T, story func(s *site)) {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	t.Run("sqlite", func(t *testing.T) { story(newSite(t, filepath.Join(t.TempDir(), "moderation.db"))) })
	t.Run("postgres", func(t *testing.T) { story(newSite(t, testservice.Postgres(t))) })
}

// site is the application behind a real listener, over a store that counts and
// can be made to fail, and rules that can.
type site struct {
	*testing.T
	*app
	store *watched
	rules *fallible
	url   string
}

func newSite(t *testing.T, name string) *site {
	t.Helper()
	db, err := open(t.Context(), name)
	require.NoError(t, err)
	s := &site{T: t, store: &watched{Store: db.store}, rules: &fallible{Policy: policies.FS(definitions, "policies", policies.Timeout(time.Minute))}} // a busy machine is no refusal
	db.store = s.store
	s.app, err = newApp(db, s.rules)
	require.NoError(t, err)
	s.memory.age = time.Hour // nor does it make what is remembered old
	server := httptest.NewServer(s.app)
	s.url = server.URL
	t.Cleanup(func() {
		server.Close()
		assert.NoError(t, s.gate.Close(context.Background()))
		assert.NoError(t, db.close())
	})
	return s
}

// body is a JSON object.
type body map[string]any

func (s *site) do(user, method, path string, send any) (int, body) {
	s.Helper()
	var in io.Reader
	if send != nil {
		b, err := json.Marshal(send)
		require.NoError(s, err)
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, in)
	require.NoError(s, err)
	req.Header.Set("X-User", user)
	if send != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(s, err)
	defer res.Body.Close()
	var out body
	require.NoError(s, json.NewDecoder(res.Body).Decode(&out), "%s %s", method, path)
	return res.StatusCode, out
}

func (s *site) get(user, path string) body {
	s.Helper()
	status, b := s.do(user, http.MethodGet, path, nil)
	require.Equal(s, http.StatusOK, status, "%s: %v", path, b)
	return b
}

// create brings a thing in and returns its address.
func (s *site) create(user, path string, fields map[string]string) string {
	s.Helper()
	status, b := s.do(user, http.MethodPost, path, fields)
	require.Equal(s, http.StatusCreated, status, "%v", b)
	require.Equal(s, "PENDING", b["status"])
	return path + "/" + b["id"].(string)
}

// move fires transition_to_<state>.
func (s *site) move(user, path, event string) (int, body) {
	s.Helper()
	return s.do(user, http.MethodPost, path+"/actions", map[string]string{"event": "transition_to_" + event})
}

func (s *site) moves(user, path, event string) {
	s.Helper()
	status, b := s.move(user, path, event)
	require.Equal(s, http.StatusOK, status, "%s by %s: %v", event, user, b)
}

// status is the application's own column, by the application's own query.
func (s *site) status(table, path string) string {
	s.Helper()
	list, err := s.db.texts(s.Context(), "SELECT status FROM "+table+" WHERE id = $1", filepath.Base(path))
	require.NoError(s, err)
	require.Len(s, list, 1)
	return list[0]
}

func (s *site) texts(query string, args ...any) []string {
	s.Helper()
	list, err := s.db.texts(s.Context(), query, args...)
	require.NoError(s, err)
	return list
}

// watched counts what the gate asks of its store, and fails when it is told to.
type watched struct {
	interlock.Store
	reads, commits         atomic.Int64
	readsFail, commitsFail atomic.Bool
	withins                atomic.Int64
}

var errGone = errors.New("the database is gone")

func (w *watched) Migrate(ctx context.Context) error {
	return w.Store.(interface{ Migrate(context.Context) error }).Migrate(ctx)
}

func (w *watched) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	w.reads.Add(1)
	if w.readsFail.Load() {
		return interlock.Facts{}, errGone
	}
	return w.Store.Load(ctx, tenant, ref, actors)
}

func (w *watched) LoadMany(ctx context.Context, tenant string, refs []interlock.Ref, actors []string) ([]interlock.Facts, error) {
	w.reads.Add(1)
	return w.Store.LoadMany(ctx, tenant, refs, actors)
}

func (w *watched) Actor(ctx context.Context, tenant, id string) (*interlock.ActorRecord, error) {
	w.reads.Add(1)
	return w.Store.Actor(ctx, tenant, id)
}

func (w *watched) History(ctx context.Context, tenant string, ref interlock.Ref, after int64, limit int) ([]interlock.Record, error) {
	w.reads.Add(1)
	return w.Store.History(ctx, tenant, ref, after, limit)
}

func (w *watched) Commit(ctx context.Context, c *interlock.Commit) error {
	w.commits.Add(1)
	if w.commitsFail.Load() {
		return errGone
	}
	return w.Store.Commit(ctx, c)
}

func (w *watched) Within(ctx context.Context, fn func(interlock.Tx) error) error {
	w.withins.Add(1)
	if w.commitsFail.Load() {
		return errGone
	}
	return w.Store.Within(ctx, fn)
}

// warm waits until the gate answers the user from its cache: it is filled behind the answer.
func (s *site) warm(user, path string) {
	s.Helper()
	require.Eventually(s, func() bool {
		before := s.store.reads.Load()
		s.get(user, path+"/actions")
		return s.store.reads.Load() == before
	}, 20*time.Second, 5*time.Millisecond)
}

// fallible are rules that can be made to fail.
type fallible struct {
	interlock.Policy
	failing atomic.Bool
}

type fallibleRules struct {
	interlock.Rules
	p *fallible
}

func (p *fallible) Compile(ctx context.Context, machines []*fsm.Machine) (interlock.Rules, error) {
	rules, err := p.Policy.Compile(ctx, machines)
	return fallibleRules{rules, p}, err
}

func (r fallibleRules) Decide(ctx context.Context, q *interlock.Query) (interlock.Verdict, error) {
	if r.p.failing.Load() {
		return interlock.Verdict{}, errors.New("the policy engine is gone")
	}
	return r.Rules.Decide(context.WithoutCancel(ctx), q) // they have a limit of their own
}

// own is a change by somebody else's code.
func (s *site) own(query string) {
	s.Helper()
	require.NoError(s, s.db.write(s.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(s.Context(), query)
		return err
	}))
}
