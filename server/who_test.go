package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/server"
)

func TestServicesAndThoseTheyAskFor(t *testing.T) {
	iss := newIssuer(t)
	cfg := iss.config()
	cfg.ServiceClaim, cfg.ServiceValue, cfg.BehalfClaim, cfg.PersonClaim, cfg.RolesClaim = "gty", "machine", "for", "person", "roles"
	identity := believes(t, cfg)
	type change = map[string]any
	for name, tc := range map[string]struct {
		change change
		want   interlock.Actor
	}{
		"a person":           {change{"person": "p"}, interlock.Actor{ID: "erin", Person: "p", Kind: interlock.User, Roles: []string{"manager"}}},
		"a service":          {change{"gty": "machine"}, interlock.Actor{ID: "erin", Kind: interlock.Service, Roles: []string{"manager"}}},
		"a service for mark": {change{"gty": "machine", "for": "mark", "person": "p"}, interlock.Actor{ID: "erin", Kind: interlock.Service, OnBehalfOf: &interlock.Actor{ID: "mark", Person: "p", Kind: interlock.User}}},
		"act":                {change{"person": "p", "act": change{"sub": "bot"}}, interlock.Actor{ID: "bot", Kind: interlock.Service, OnBehalfOf: &interlock.Actor{ID: "erin", Person: "p", Kind: interlock.User}}},
	} {
		token := "Bearer " + iss.sign(t, "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1"}`, claims(tc.change))
		for _, round := range []string{"verified", "remembered"} {
			got, err := ask(identity, token)
			require.NoError(t, err, name)
			require.NotEmpty(t, got.Claims)
			got.Claims["sub"] = "spoilt" // nobody else's copy
			got.Claims = nil
			tc.want.Tenant = interlock.DefaultTenant
			require.Equal(t, tc.want, got, "%s, %s", name, round)
		}
	}
}

func TestAPIKeysOverHTTP(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	key, id, hash := interlock.NewAPIKey()
	body := `{"id":"` + id + `","name":"billing","hash":"` + hex.EncodeToString(hash) + `","expires_at":null}`
	w.must(403, "erin", "POST", "/v1/keys", body)
	w.must(403, "erin", "GET", "/v1/keys", "")
	w.must(403, "erin", "DELETE", "/v1/keys/"+id, "")
	w.must(422, "adam", "POST", "/v1/keys", `{"id":"`+id+`","name":"billing","hash":"XX"}`)
	for _, expires := range []string{"2999-01-31T12:00:00,5Z", "2999-01-31", ""} {
		w.must(422, "adam", "POST", "/v1/keys", strings.Replace(body, "null", `"`+expires+`"`, 1))
	}
	w.must(400, "adam", "POST", "/v1/keys", `{"id":"`+id+`","name":"billing","key":"`+key+`"}`)
	added := w.must(201, "adam", "POST", "/v1/keys", body)
	require.Equal(t, "key~billing", added.json["actor"])
	w.must(409, "adam", "POST", "/v1/keys", body)
	w.must(404, "adam", "DELETE", "/v1/keys/absent", "")

	with := []string{"Authorization", "Bearer " + key}
	w.must(200, "", "GET", "/v1/actors/key~billing", "", with...)
	w.must(200, "adam", "PUT", "/v1/actors/key~billing/roles/employee", "")
	w.must(201, "", "POST", "/v1/machines/loan/instances", `{"id":"of-a-key","facts":{"amount":5}}`, with...)
	list := w.must(200, "adam", "GET", "/v1/keys", "")
	require.NotContains(t, list.raw, hex.EncodeToString(hash))
	w.must(200, "adam", "DELETE", "/v1/keys/"+id, "")
	no := w.must(401, "", "GET", "/v1/actors/key~billing", "", with...)
	require.Contains(t, no.Header.Get("WWW-Authenticate"), "invalid_token")
	require.NotContains(t, w.log.String(), key)
}

// Over TLS a proxy is believed for the name in a certificate that was verified.
func TestHeadersOfAProxyWithACertificate(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	srv, err := server.New(server.Config{Gate: w.gate, Headers: &server.HeaderConfig{Actor: "X-User", Peers: []string{"name:proxy.internal"}}})
	require.NoError(t, err)
	ca, stranger := newCA(t), newCA(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own server
	require.NoError(t, err)
	own := ca.issue(t, "localhost")
	l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, l) }()
	defer func() { stop(); require.NoError(t, <-ended) }()

	status := func(header string, certs ...tls.Certificate) int {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: certs, ServerName: "localhost"}}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+l.Addr().String()+"/v1/machines", nil)
		require.NoError(t, err)
		if header != "" {
			req.Header[header] = []string{"erin"}
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0
		}
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	proxy, other := ca.issue(t, "proxy.internal"), ca.issue(t, "other.internal")
	require.Equal(t, 200, status("X-User", proxy))
	require.Equal(t, 401, status("", proxy), "says nobody")
	require.Equal(t, 401, status("X_user", proxy))
	require.Equal(t, 401, status("X-User", other), "another name")
	require.Equal(t, 401, status("X-User"), "no certificate")
	require.Equal(t, 0, status("X-User", stranger.issue(t, "proxy.internal")), "of another authority")
}

func TestHeaderConfig(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	for why, cfg := range map[string]server.HeaderConfig{
		"no name of the header": {Peers: []string{"uid:1"}}, "no peers": {Actor: "X-User"}, "want uid:NUMBER": {Actor: "X-User", Peers: []string{"10.0.0.0/8"}},
		`peer "uid:x"`: {Actor: "X-User", Peers: []string{"uid:x"}}, `peer "name:*.internal"`: {Actor: "X-User", Peers: []string{"name:*.internal"}},
		"a meaning of its own": {Actor: "Authorization", Peers: []string{"uid:1"}}, "letters, digits and hyphens": {Actor: "X_User", Peers: []string{"uid:1"}},
		"stands there twice": {Actor: "X-User", Roles: "x-user", Peers: []string{"uid:1"}},
	} {
		_, err := server.New(server.Config{Gate: w.gate, Headers: &cfg})
		require.ErrorContains(t, err, why)
	}
}

type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCA(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{key, cert}
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	form := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, form, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// What remembering a verified token saves: the same token, with and without.
func BenchmarkTokens(b *testing.B) {
	for name, remember := range map[string]int{"without": -1, "with": 0} {
		for _, with := range []string{"rsa", "ec"} {
			b.Run(name+"/"+with, func(b *testing.B) {
				iss := newIssuer(b)
				cfg := iss.config()
				cfg.Remember = remember
				identity := believes(b, cfg)
				alg := map[string]string{"rsa": "RS256", "ec": "ES256"}[with]
				token := "Bearer " + iss.sign(b, with, `{"alg":"`+alg+`","typ":"JWT","kid":"`+with+`-1"}`, claims(nil))
				for b.Loop() {
					if _, err := ask(identity, token); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
