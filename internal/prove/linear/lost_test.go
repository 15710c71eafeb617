package linear_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/server"
)

// Clients ask the API for events over HTTP; one answer in ten is cut after the
// server has carried the request out, and is asked for again under its key until
// it comes. Each event is applied once, and the answer that comes at last is
// that of the first time, byte for byte.
func TestLostAnswers(t *testing.T) {
	tried, violations, note := 0, 0, ""
	for _, store := range []string{"sqlite", "postgres"} {
		t.Run(store, func(t *testing.T) {
			var w *fixture.World
			if store == "sqlite" {
				w = fixture.SQLite(t, "", fixture.Config{})
			} else {
				w = fixture.Postgres(t, testservice.Postgres(t), fixture.Config{})
			}
			l := newLost(t, w)
			l.run(prove.Size(60, 10_000))
			tried += int(l.events.Load())
			violations += int(l.violations.Load())
			note += fmt.Sprintf("%s: %d answers cut; ", store, l.cuts.Load())
			w.Redecided(t, "lost-answers/"+store)
		})
	}
	prove.Record(t, prove.Row{Claim: "lost-answers", Tried: tried, Least: 20_000, Violations: violations, Note: note})
}

// lost is a server whose answers are cut, and what was answered first.
type lost struct {
	t      *testing.T
	w      *fixture.World
	api    http.Handler
	url    string
	client *http.Client

	mu    sync.Mutex
	first map[string]reply // by key: the first time that it was carried out

	answers, events, cuts, violations atomic.Int64
	versions                          sync.Map // of an instance, each made by one transition → key
}

type reply struct {
	status int
	etag   string
	body   []byte
}

const (
	lostClients = 16
	lostLoans   = 64 // few meet on one, so that the answers and not the races are tried
)

func newLost(t *testing.T, w *fixture.World) *lost {
	t.Helper()
	l := &lost{t: t, w: w, first: map[string]reply{}}
	api, err := server.New(server.Config{Gate: w.Gate, Logger: slog.New(slog.DiscardHandler), Identity: func(r *http.Request) (interlock.Actor, error) {
		return fixture.As(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")), nil
	}})
	require.NoError(t, err)
	l.api = api.Handler()
	listening := httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(listening.Close)
	l.url = listening.URL
	transport := &http.Transport{MaxIdleConnsPerHost: lostClients}
	t.Cleanup(transport.CloseIdleConnections)
	l.client = &http.Client{Transport: transport, Timeout: time.Minute}
	for n := range lostLoans {
		_, err := w.Gate.Create(t.Context(), fixture.As("clara"), interlock.CreateRequest{Machine: fixture.Machine, ID: lostLoan(n), Facts: map[string]any{"amount": 1}})
		require.NoError(t, err)
	}
	return l
}

func lostLoan(n int) string { return fmt.Sprintf("lost-%d", n%lostLoans) }

// serve lets the API do the whole, and then may answer nothing.
func (l *lost) serve(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	l.api.ServeHTTP(rec, r)
	key := r.Header.Get("Idempotency-Key")
	if rec.Code == http.StatusOK {
		l.mu.Lock()
		if _, before := l.first[key]; !before {
			l.first[key] = reply{rec.Code, rec.Header().Get("ETag"), bytes.Clone(rec.Body.Bytes())}
		}
		l.mu.Unlock()
	}
	if l.answers.Add(1)%10 == 0 {
		l.cuts.Add(1)
		panic(http.ErrAbortHandler) // net/http closes the connection
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (l *lost) run(events int) {
	l.t.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	for c := range lostClients {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(events); n = next.Add(1) {
				l.event(c, int(n))
			}
		})
	}
	wg.Wait()
	ticks := 0
	for n := range lostLoans {
		inst, err := l.w.Gate.Get(l.t.Context(), fixture.As("clara"), interlock.Ref{Machine: fixture.Machine, ID: lostLoan(n)})
		require.NoError(l.t, err)
		ticks += int(inst.Last["tick"].Count)
	}
	if want := int(l.events.Load()); ticks != want {
		l.wrong("%d events were applied, %d were answered", ticks, want)
	}
	assert.NotZero(l.t, l.cuts.Load())
}

func (l *lost) wrong(format string, args ...any) {
	l.violations.Add(1)
	l.t.Errorf(format, args...)
}

// event asks under one key until it is answered.
func (l *lost) event(client, n int) {
	key := fmt.Sprintf("k-%d", n)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		got, err := l.post(client, n, key)
		switch {
		case err != nil: // no answer
			continue
		case got.status == http.StatusConflict, got.status == http.StatusServiceUnavailable:
			time.Sleep(5 * time.Millisecond) // under way, or busy: as Retry-After says, only sooner
			continue
		case got.status != http.StatusOK:
			l.wrong("%s was answered %d: %s", key, got.status, got.body)
			return
		}
		l.events.Add(1)
		l.compare(key, got)
		return
	}
	l.wrong("%s was never answered", key)
}

func (l *lost) compare(key string, got reply) {
	l.mu.Lock()
	first := l.first[key]
	l.mu.Unlock()
	if !bytes.Equal(first.body, got.body) || first.etag != got.etag {
		l.wrong("%s was answered\n%s %s\nand first\n%s %s", key, got.etag, got.body, first.etag, first.body)
	}
	var body struct {
		ID      string
		Version int64
	}
	if err := json.Unmarshal(got.body, &body); err != nil || body.Version < 2 || got.etag == "" {
		l.wrong("%s: no new version in %s", key, got.body)
	}
	if other, used := l.versions.LoadOrStore(fmt.Sprintf("%s@%d", body.ID, body.Version), key); used {
		l.wrong("%s and %s are of one transition", key, other)
	}
}

func (l *lost) post(client, n int, key string) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url := fmt.Sprintf("%s/v1/machines/%s/instances/%s/events", l.url, fixture.Machine, lostLoan(n))
	body := fmt.Sprintf(`{"event":"tick","input":{"n":%d}}`, n)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return reply{}, err
	}
	everybody := slices.Concat(fixture.Clerks, fixture.Officers)
	req.Header.Set("Authorization", "Bearer "+everybody[client%len(everybody)])
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := l.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, errors.New("cut within the answer")
	}
	return reply{res.StatusCode, res.Header.Get("ETag"), got}, nil
}
