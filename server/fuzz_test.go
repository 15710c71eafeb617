package server_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/server"
)

// Whatever the address, the answer is one of the documented ones and never a
// failure of the server.
func FuzzAddress(f *testing.F) {
	for _, b := range badRequests() {
		if b.path != "" {
			f.Add(b.path)
		}
	}
	f.Add("/v1/machines/loan/instances?limit=1&cursor=AAAA")
	w := newWorld(f, openSQLite(f))
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return // net/http answers these itself
		}
		r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
		r.URL, r.RequestURI, r.RemoteAddr = u, target, "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer demo-erin")
		rec := httptest.NewRecorder()
		w.server.Handler().ServeHTTP(rec, r)
		switch rec.Code {
		case 200:
			require.NotContains(t, strings.ToLower(u.EscapedPath()), "%2f")
		case 400, 403, 404, 405, 406, 409, 422:
			require.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
		default:
			t.Fatalf("%q: %d %s", target, rec.Code, rec.Body)
		}
	})
}

// No token is believed but the issuer's own, letter for letter.
func FuzzJWT(f *testing.F) {
	var iss *issuer
	var good string
	var identity func(*http.Request) (interlock.Actor, error)
	f.Add("a.b.c")
	f.Add(b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + b64([]byte(claims(nil))) + "." + b64([]byte("x")))
	f.Add(b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64([]byte(claims(nil))) + "." + b64(make([]byte, 32)))
	f.Add(b64([]byte(`{"alg":"ES256","typ":"JWT","kid":"ec-1"}`)) + "." + b64([]byte(claims(nil))) + "." + b64(make([]byte, 64)))
	f.Fuzz(func(t *testing.T, token string) {
		if iss == nil {
			iss = newIssuer(t)
			cfg := iss.config()
			cfg.Logger = slog.New(slog.DiscardHandler)
			tokens, err := server.OpenTokens(t.Context(), cfg)
			require.NoError(t, err)
			identity = tokens.Identify
			good = iss.sign(t, "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1"}`, claims(nil))
			_, err = ask(identity, "Bearer "+good)
			require.NoError(t, err)
		}
		if token == good {
			return
		}
		_, err := ask(identity, "Bearer "+token)
		require.Error(t, err)
	})
}
