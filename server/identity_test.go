package server_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/server"
)

func TestJWTConfig(t *testing.T) {
	iss := newIssuer(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // too small on purpose
	if err != nil {
		// Go itself may refuse to make it; a modulus of that size will do.
		small = &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: iss.rsa.Primes[0], E: 65537}}
	}
	for name, change := range map[string]func(*server.JWTConfig){
		"issuer":             func(c *server.JWTConfig) { c.Issuer = "" },
		"audience":           func(c *server.JWTConfig) { c.Audience = "" },
		"algorithms":         func(c *server.JWTConfig) { c.Algorithms = nil },
		"algorithm \"none\"": func(c *server.JWTConfig) { c.Algorithms = []string{"none"} },
		"leeway":             func(c *server.JWTConfig) { c.Leeway = time.Minute },
		"max lifetime":       func(c *server.JWTConfig) { c.MaxLifetime = -1 },
		"no keys":            func(c *server.JWTConfig) { c.KeySet = nil },
		"give one of them":   func(c *server.JWTConfig) { c.KeyFile = "x" },
		"key file":           func(c *server.JWTConfig) { c.KeySet, c.KeyFile = nil, "absent.json" },
		"no key in it":       func(c *server.JWTConfig) { c.KeySet = keySet() },
		"twice":              func(c *server.JWTConfig) { c.KeySet = keySet(iss.keys()[0], iss.keys()[0]) },
		"not among":          func(c *server.JWTConfig) { c.Algorithms = []string{"ES256"} },
		"too short": func(c *server.JWTConfig) {
			c.KeySet = keySet(fmt.Sprintf(`{"kty":"oct","alg":"HS256","k":%q}`, b64(make([]byte, 31))))
		},
		"at least 2048": func(c *server.JWTConfig) {
			c.KeySet = keySet(fmt.Sprintf(`{"kty":"RSA","alg":"RS256","n":%q,"e":"AQAB"}`, b64(small.N.Bytes())))
		},
		"it is no key for": func(c *server.JWTConfig) { c.KeySet = []byte(strings.Replace(string(c.KeySet), "ES256", "RS256", 1)) },
		"private": func(c *server.JWTConfig) {
			c.KeySet = keySet(strings.Replace(iss.keys()[2], `"kid"`, fmt.Sprintf(`"d":%q,"kid"`, b64(iss.ed.Seed())), 1))
		},
		"want sig": func(c *server.JWTConfig) { c.KeySet = []byte(strings.Replace(string(c.KeySet), `"sig"`, `"enc"`, 1)) },
		`"keys"`:   func(c *server.JWTConfig) { c.KeySet = []byte(iss.keys()[0]) },
		"key set":  func(c *server.JWTConfig) { c.KeySet = []byte("no JSON") },
		"add alg": func(c *server.JWTConfig) {
			c.KeySet = []byte(strings.Replace(string(c.KeySet), `"alg":"RS256",`, "", 1))
			c.Algorithms = append(c.Algorithms, "RS384")
		},
		"duplicate":    func(c *server.JWTConfig) { c.KeySet = []byte(`{"keys":[],"keys":[]}`) },
		"kty\": \"x\"": func(c *server.JWTConfig) { c.KeySet = keySet(`{"kty":"x"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := iss.config()
			change(&cfg)
			_, err := server.OpenTokens(t.Context(), cfg)
			require.Error(t, err)
			if !strings.HasPrefix(name, "kty") {
				require.ErrorContains(t, err, name)
			}
		})
	}
}

func TestJWTKeyFileIsReadAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	first, second := newIssuer(t), newIssuer(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(path, keySet(first.keys()...), 0o600))
	cfg := first.config()
	cfg.KeySet, cfg.KeyFile = nil, path
	identity := believes(t, cfg)

	const head = `{"alg":"ES256","typ":"JWT","kid":"ec-1"}`
	old, fresh := "Bearer "+first.sign(t, "ec", head, claims(nil)), "Bearer "+second.sign(t, "ec", head, claims(nil))
	_, err := ask(identity, old)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(path, []byte("half wri"), 0o600))
	time.Sleep(1100 * time.Millisecond)
	_, err = ask(identity, old)
	require.NoError(t, err, "a broken file leaves the former keys")

	require.NoError(t, os.WriteFile(path, keySet(second.keys()...), 0o600))
	require.Eventually(t, func() bool { _, err := ask(identity, fresh); return err == nil }, patience, 100*time.Millisecond)
	_, err = ask(identity, old)
	require.Error(t, err, "a key that left the file verifies nothing any more")

	require.NoError(t, os.WriteFile(path, keySet(), 0o600))
	require.Eventually(t, func() bool { _, err := ask(identity, fresh); return err != nil }, patience, 100*time.Millisecond)
}

func TestDemoIdentity(t *testing.T) {
	identity := server.DemoIdentity(map[string]interlock.Actor{"erin": {ID: "erin", Roles: []string{"employee"}}})
	for _, tc := range []struct {
		name, peer, host, authorization string
		header                          string
		ok                              bool
	}{
		{name: "IPv4", peer: "127.0.0.1:5", host: "127.0.0.1:8080", authorization: "Bearer demo-erin", ok: true},
		{name: "IPv6", peer: "[::1]:5", host: "[::1]:8080", authorization: "Bearer demo-erin", ok: true},
		{name: "mapped", peer: "[::ffff:127.0.0.1]:5", host: "localhost", authorization: "Bearer demo-erin", ok: true},
		{name: "unknown user", peer: "127.0.0.1:5", host: "localhost", authorization: "Bearer demo-mallory"},
		{name: "no prefix", peer: "127.0.0.1:5", host: "localhost", authorization: "Bearer erin"},
		{name: "nobody", peer: "127.0.0.1:5", host: "localhost"},
		{name: "from elsewhere", peer: "192.0.2.1:5", host: "localhost", authorization: "Bearer demo-erin"},
		{name: "no address", peer: "@", host: "localhost", authorization: "Bearer demo-erin"},
		{name: "rebound name", peer: "127.0.0.1:5", host: "evil.example", authorization: "Bearer demo-erin"},
		{name: "through a proxy", peer: "127.0.0.1:5", host: "localhost", authorization: "Bearer demo-erin", header: "X-Forwarded-For"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://"+tc.host+"/", nil)
			r.RemoteAddr = tc.peer
			if tc.authorization != "" {
				r.Header.Set("Authorization", tc.authorization)
			}
			if tc.header != "" {
				r.Header.Set(tc.header, "192.0.2.1")
			}
			actor, err := identity(r)
			if !tc.ok {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "erin", actor.ID)
		})
	}
}
