package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/middleware"
)

// publisher is an issuer's address as the tests turn it.
type publisher struct {
	mu      sync.Mutex
	body    string
	maxAge  time.Duration
	err     error
	fetches int
}

func (p *publisher) fetch(context.Context) (published, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches++
	return published{[]byte(p.body), p.maxAge}, p.err
}

// says is what it answers from now on.
func (p *publisher) says(body string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body, p.err = body, err
}

// counted tells how often it was asked since the last time.
func (p *publisher) counted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.fetches
	p.fetches = 0
	return n
}

func octets(kids ...string) string {
	var all []string
	for _, kid := range kids {
		all = append(all, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":%q,"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, kid))
	}
	return `{"keys":[` + strings.Join(all, ",") + `]}`
}

// remotely runs a test on keys that are fetched from p, in time of its own.
func remotely(t *testing.T, p *publisher, test func(t *testing.T, k *keys)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &keys{allowed: []string{"EdDSA"}, log: slog.New(slog.DiscardHandler), now: time.Now, maxStale: 24 * time.Hour,
			fetch: p.fetch, wake: make(chan struct{}, 1), missing: map[string]time.Time{}}
		require.NoError(t, k.firstFetch(t.Context()))
		ctx, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { k.keepFresh(ctx); close(done) }()
		test(t, k)
		end()
		<-done
	})
}

func has(k *keys, kid string) bool {
	_, _, err := k.find(header{alg: "EdDSA", kid: kid})
	return err == nil
}

func TestAVanishedKeyIsRefusedAtTheNextRefresh(t *testing.T) {
	p := &publisher{body: octets("a", "b")}
	remotely(t, p, func(t *testing.T, k *keys) {
		t.Helper()
		t.Helper()
		before, err := k.current()
		require.NoError(t, err)
		p.says(octets("b", "c"), nil)
		time.Sleep(maxInterval)
		synctest.Wait()
		require.False(t, has(k, "a"), "gone from the set")
		require.True(t, has(k, "b"))
		require.True(t, has(k, "c"), "new in the set")
		after, err := k.current()
		require.NoError(t, err)
		require.NotEqual(t, before, after, "what was verified before must be verified again")
		time.Sleep(maxInterval)
		synctest.Wait()
		same, err := k.current()
		require.NoError(t, err)
		require.Equal(t, after, same, "the same set is the same revision")
	})
}

func TestCacheControlIsHonouredWithinBounds(t *testing.T) {
	for _, c := range []struct {
		maxAge      time.Duration
		least, most int // fetches in an hour, with a jitter of a tenth
	}{{0, 12, 14}, {time.Hour, 12, 14}, {time.Minute, 60, 67}, {minInterval, 120, 134}} {
		p := &publisher{body: octets("a"), maxAge: c.maxAge}
		remotely(t, p, func(t *testing.T, _ *keys) {
			t.Helper()
			time.Sleep(maxInterval) // the first wait is the default's
			synctest.Wait()
			p.counted()
			time.Sleep(time.Hour)
			synctest.Wait()
			n := p.counted()
			require.GreaterOrEqual(t, n, c.least, c.maxAge)
			require.LessOrEqual(t, n, c.most, c.maxAge)
		})
	}
	for text, want := range map[string]time.Duration{
		"": 0, "public": 0, "max-age=600": 10 * time.Minute, "public, Max-Age=600": 10 * time.Minute, `max-age="600"`: 10 * time.Minute,
		"max-age=1": minInterval, "no-store": minInterval, "no-cache, max-age=600": minInterval, "max-age=-1": 0, "max-age=x": 0, "max-age=99999999999999999999": 0,
	} {
		require.Equal(t, want, maxAge(http.Header{"Cache-Control": {text}}), text)
	}
}

// A flood of unknown kids costs one fetch in the cooldown and delays nobody: no
// answer waits for a fetch.
func TestAFloodOfUnknownKids(t *testing.T) {
	p := &publisher{body: octets("a")}
	remotely(t, p, func(t *testing.T, k *keys) {
		t.Helper()
		t.Helper()
		time.Sleep(cooldown)
		synctest.Wait()
		p.counted()
		for i := range 10_000 {
			require.False(t, has(k, fmt.Sprint("kid-", i)))
			require.True(t, has(k, "a"))
		}
		synctest.Wait()
		require.Equal(t, 1, p.counted(), "10,000 kids, no time")
		for i := range 1000 {
			time.Sleep(100 * time.Millisecond) // 100 s
			require.False(t, has(k, fmt.Sprint("other-", i)))
		}
		synctest.Wait()
		require.LessOrEqual(t, p.counted(), 4, "one in 30 s")
		require.LessOrEqual(t, len(k.missing), mostKids)
	})
}

func TestAnUnknownKidIsLookedForOnce(t *testing.T) {
	p := &publisher{body: octets("a")}
	remotely(t, p, func(t *testing.T, k *keys) {
		t.Helper()
		time.Sleep(cooldown)
		p.counted()
		require.False(t, has(k, "old"))
		synctest.Wait()
		require.Equal(t, 1, p.counted())
		for range 6 { // 4 min, within the time of a kid that wasn't there
			time.Sleep(40 * time.Second)
			require.False(t, has(k, "old"))
		}
		synctest.Wait()
		require.Zero(t, p.counted(), "it wasn't there a moment ago")

		p.says(octets("a", "new"), nil)
		require.False(t, has(k, "new"), "nobody waits")
		synctest.Wait()
		require.True(t, has(k, "new"), "fetched meanwhile")
	})
}

func TestKeysHoldUntilTheyAreTooOld(t *testing.T) {
	p := &publisher{body: octets("a")}
	remotely(t, p, func(t *testing.T, k *keys) {
		t.Helper()
		p.says("", errors.New("down"))
		time.Sleep(23 * time.Hour)
		require.True(t, has(k, "a"), "the last keys hold for a day")
		time.Sleep(2 * time.Hour)
		_, _, err := k.find(header{alg: "EdDSA", kid: "a"})
		var problem *middleware.Problem
		require.ErrorAs(t, err, &problem)
		require.Equal(t, codeNoKeys, problem.Code, "never believed, and never the token's fault")
		_, err = k.current()
		require.Error(t, err, "what was verified before doesn't hold either")

		p.says(octets("a"), nil)
		time.Sleep(maxInterval)
		synctest.Wait()
		require.True(t, has(k, "a"))
	})
}

func TestABrokenSetLeavesTheFormerKeys(t *testing.T) {
	p := &publisher{body: octets("a")}
	remotely(t, p, func(t *testing.T, k *keys) {
		t.Helper()
		for _, body := range []string{"", "{}", `{"keys":{}}`, "<html>", octets("a", "a"), `{"keys":[],"keys":[]}`,
			`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`} {
			p.says(body, nil)
			time.Sleep(2 * maxInterval)
			synctest.Wait()
			require.True(t, has(k, "a"), body)
		}
		p.says(`{"keys":[]}`, nil)
		time.Sleep(2 * maxInterval)
		synctest.Wait()
		require.False(t, has(k, "a"), "an issuer may take all keys away")
	})
}

func TestPurge(t *testing.T) {
	p := &publisher{body: octets("a", "b")}
	remotely(t, p, func(t *testing.T, k *keys) {
		t.Helper()
		p.says(octets("b"), nil)
		require.True(t, has(k, "a"))
		require.NoError(t, k.purge(t.Context()))
		require.False(t, has(k, "a"), "at once")
		require.True(t, has(k, "b"))

		p.says("", errors.New("down"))
		require.Error(t, k.purge(t.Context()))
		_, err := k.current()
		require.Error(t, err, "purged keys aren't believed because others can't be had")
		require.False(t, has(k, "b"))
		p.says(octets("b"), nil)
		time.Sleep(maxInterval)
		synctest.Wait()
		require.True(t, has(k, "b"))
	})
}

// What was on its way when the keys were purged may be what they were purged for.
func TestAFetchOfBeforeThePurgeIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keys{allowed: []string{"EdDSA"}, log: slog.New(slog.DiscardHandler), now: time.Now, maxStale: time.Hour, missing: map[string]time.Time{}}
		k.fetch = func(context.Context) (published, error) {
			time.Sleep(time.Second)
			return published{body: []byte(octets("a"))}, nil
		}
		began := make(chan error)
		go func() { _, err := k.refetch(t.Context()); began <- err }()
		synctest.Wait()
		k.mu.Lock()
		k.purges++
		k.mu.Unlock()
		require.Error(t, <-began)
		require.False(t, has(k, "a"))
	})
}

func TestKeyURL(t *testing.T) {
	for raw, why := range map[string]string{
		"http://issuer.example/jwks":          "http is allowed on loopback only",
		"http://127.0.0.1.example/jwks":       "http is allowed on loopback only",
		"http://169.254.169.254/jwks":         "http is allowed on loopback only",
		"ftp://issuer.example/jwks":           "want https",
		"issuer.example/jwks":                 "want https",
		"file:///etc/passwd":                  "want https",
		"":                                    "want https",
		"https://user:secret@issuer.example/": "no user, password",
		"https://issuer.example/#x":           "no user, password or fragment",
		"https://issuer.example/jwks":         "",
		"http://127.0.0.1:8080/jwks":          "",
		"http://[::1]/jwks":                   "",
		"http://localhost/jwks":               "",
	} {
		_, err := fetcher(raw)
		if why == "" {
			require.NoError(t, err, raw)
			continue
		}
		require.ErrorContains(t, err, why, raw)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestFetchTakesNothingElseThanTheSet(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/set", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, octets("a"), r.Header.Get("Cookie"))
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/set", http.StatusFound) })
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, octets("a"), http.StatusBadGateway) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxKeySet+1)) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, why := range map[string]string{"/set": "", "/moved": "redirects aren't followed", "/error": "want 200", "/huge": "larger than 1 MiB", "/absent": "want 200"} {
		fetch, err := fetcher(srv.URL + path)
		require.NoError(t, err)
		got, err := fetch(t.Context())
		if why != "" {
			require.ErrorContains(t, err, why, path)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, published{[]byte(octets("a")), time.Minute}, got)
	}
	fetch, err := fetcher(srv.URL + "/set")
	require.NoError(t, err)
	srv.Close()
	_, err = fetch(t.Context())
	require.Error(t, err)
}

// A published set holds what isn't for this server, too.
func TestAPublishedSetMayHoldMore(t *testing.T) {
	mine := octets("a")
	set := strings.Replace(mine, `]}`, `,{"kty":"RSA","use":"enc","alg":"RSA-OAEP","kid":"e","n":"AQAB","e":"AQAB"}]}`, 1)
	known, err := parseKeys([]byte(set), []string{"EdDSA"}, true)
	require.NoError(t, err)
	require.Len(t, known, 1)
	_, err = parseKeys([]byte(set), []string{"EdDSA"}, false)
	require.Error(t, err)
}
