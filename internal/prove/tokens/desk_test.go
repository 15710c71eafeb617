// Package tokens proves that the server lets nobody in but whom a credential
// names that was made for it: each bad one is sent over a real connection, to a
// server on each store, and must get its own status and code.
package tokens

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/server"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

const (
	people   = "https://people.example"
	services = "https://services.example"
	audience = "interlock"
	page     = "/v1/machines/page/instances/P1" // of the tenant acme
)

const machineYAML = `
machine: page
initial: draft
create: {requires: [anyone]}
read: {requires: [anyone]}
states: {draft: {}, gone: {}}
events: {drop: {from: draft, to: gone, requires: [nobody_has_it]}}
`

// noon is the time of every clock here.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// signer signs whatever it is told to.
type signer struct {
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
	ed     ed25519.PrivateKey
	secret []byte
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{secret: make([]byte, 32)}
	var err error
	s.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, s.ed, err = ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	_, err = rand.Read(s.secret)
	require.NoError(t, err)
	return s
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (s *signer) set(t *testing.T, suffix string) string {
	t.Helper()
	point, err := s.ec.PublicKey.Bytes()
	require.NoError(t, err)
	return `{"keys":[` + strings.Join([]string{
		fmt.Sprintf(`{"kty":"RSA","kid":"rsa%s","alg":"RS256","use":"sig","n":%q,"e":"AQAB"}`, suffix, b64(s.rsa.N.Bytes())),
		fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"ec%s","alg":"ES256","x":%q,"y":%q}`, suffix, b64(point[1:33]), b64(point[33:])),
		fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":"ed%s","alg":"EdDSA","x":%q}`, suffix, b64(s.ed.Public().(ed25519.PublicKey))),
		fmt.Sprintf(`{"kty":"RSA","kid":"enc%s","alg":"RSA-OAEP","use":"enc","n":%q,"e":"AQAB"}`, suffix, b64(s.rsa.N.Bytes())),
	}, ",") + `]}`
}

// sign puts a signature of the named kind below exactly this header and these claims.
func (s *signer) sign(t *testing.T, with, head, claims string) string {
	t.Helper()
	signed := b64([]byte(head)) + "." + b64([]byte(claims))
	digest := sha256.Sum256([]byte(signed))
	mac := func(key []byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(signed))
		return m.Sum(nil)
	}
	public, err := x509.MarshalPKIXPublicKey(&s.rsa.PublicKey)
	require.NoError(t, err)
	var sig []byte
	switch with {
	case "rsa":
		sig, err = rsa.SignPKCS1v15(rand.Reader, s.rsa, crypto.SHA256, digest[:])
	case "pss":
		sig, err = rsa.SignPSS(rand.Reader, s.rsa, crypto.SHA256, digest[:], nil)
	case "ec":
		r, v, signErr := ecdsa.Sign(rand.Reader, s.ec, digest[:])
		err = signErr
		sig = append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	case "ec-der":
		sig, err = ecdsa.SignASN1(rand.Reader, s.ec, digest[:])
	case "ec-zero":
		sig = make([]byte, 64) // CVE-2022-21449
	case "ed":
		sig = ed25519.Sign(s.ed, []byte(signed))
	case "hs-pem":
		sig = mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	case "hs-der":
		sig = mac(public)
	case "hs-modulus":
		sig = mac(s.rsa.N.Bytes())
	case "hs-empty":
		sig = mac(nil)
	case "hs":
		sig = mac(s.secret)
	case "nothing":
		sig = []byte{0}
	}
	require.NoError(t, err)
	return signed + "." + b64(sig)
}

// desk is a server with all ways of identity, and what to ask it with.
type desk struct {
	t        *testing.T
	tcp      string
	unix     string
	tokens   *server.Tokens
	gate     *interlock.Gate
	now      atomic.Int64 // µs since noon
	set      atomic.Pointer[string]
	down     atomic.Bool
	p, other *signer
	s        *signer
	keys     map[string]string
}

func stores(t *testing.T) map[string]func(*testing.T) interlock.Store {
	t.Helper()
	return map[string]func(*testing.T) interlock.Store{
		"sqlite": func(t *testing.T) interlock.Store {
			t.Helper()
			st, err := sqlite.Open(":memory:")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, st.Close()) })
			return st
		},
		"postgres": func(t *testing.T) interlock.Store {
			t.Helper()
			pool, err := pgxpool.New(t.Context(), testservice.Postgres(t))
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			return postgres.New(pool)
		},
	}
}

func (d *desk) clock() time.Time { return noon.Add(time.Duration(d.now.Load()) * time.Microsecond) }

func newDesk(t *testing.T, st interlock.Store) *desk {
	t.Helper()
	d := &desk{t: t, p: newSigner(t), other: newSigner(t), s: newSigner(t), keys: map[string]string{}}
	set := d.p.set(t, "-1")
	d.set.Store(&set)
	publisher := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if d.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, *d.set.Load())
	}))
	t.Cleanup(publisher.Close)

	log := slog.New(slog.DiscardHandler)
	m, err := fsm.Parse("page.yaml", []byte(machineYAML))
	require.NoError(t, err)
	d.gate, err = interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: st, Now: d.clock, Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.gate.Close(context.Background())) })

	d.tokens, err = server.OpenTokens(t.Context(), server.JWTConfig{
		Issuer: people, Audience: audience, Algorithms: []string{"RS256", "ES256", "EdDSA"}, KeyURL: publisher.URL + "/jwks",
		TenantClaim: "tenant", PersonClaim: "person", Leeway: 10 * time.Second, Now: d.clock, Logger: log,
	}, server.JWTConfig{
		Issuer: services, Audience: audience, Algorithms: []string{"ES256"}, KeySet: []byte(onlyEC(t, d.s)),
		Types: []string{"at+jwt"}, ServiceTypes: []string{"svc+jwt"}, ServiceClaim: "gty", ServiceValue: "client-credentials", BehalfClaim: "for",
		TenantClaim: "tenant", Now: d.clock, Logger: log,
	})
	require.NoError(t, err)
	t.Cleanup(d.tokens.Close)
	proxy := &server.HeaderConfig{Actor: "X-User", Person: "X-Person", Tenant: "X-Tenant", Roles: "X-Roles", Peers: []string{fmt.Sprint("uid:", os.Getuid())}}
	srv, err := server.New(server.Config{Gate: d.gate, Identity: d.tokens.Identify, Headers: proxy, APIKeys: true, Logger: log})
	require.NoError(t, err)
	d.tcp = serve(t, srv, "tcp", "127.0.0.1:0")
	d.unix = serve(t, srv, "unix", filepath.Join(t.TempDir(), "s"))
	d.fill()
	return d
}

func onlyEC(t *testing.T, s *signer) string {
	t.Helper()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	require.NoError(t, json.Unmarshal([]byte(s.set(t, "-s")), &set))
	set.Keys = set.Keys[1:2]
	b, err := json.Marshal(set)
	require.NoError(t, err)
	return string(b)
}

func serve(t *testing.T, srv *server.Server, network, addr string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), network, addr)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return l.Addr().String()
}

// fill makes the page of the tenant acme, and keys of every kind.
func (d *desk) fill() {
	d.t.Helper()
	ctx := d.t.Context()
	_, err := d.gate.Create(ctx, interlock.Actor{Tenant: "acme", ID: "uma"}, interlock.CreateRequest{Machine: "page", ID: "P1"})
	require.NoError(d.t, err)
	add := func(name, tenant string, life time.Duration) (id string) {
		key, id, hash := interlock.NewAPIKey()
		k := interlock.APIKey{ID: id, Name: "billing", Hash: hash}
		if life > 0 {
			k.Expires = d.clock().Add(life)
		}
		_, err := d.gate.AddAPIKey(ctx, interlock.SystemActor(tenant, "setup"), k)
		require.NoError(d.t, err)
		d.keys[name] = key
		return id
	}
	add("good", "acme", 0)
	add("expiring", "acme", time.Minute)
	add("elsewhere", "elsewhere", 0)
	_, err = d.gate.RevokeAPIKey(ctx, interlock.SystemActor("acme", "setup"), add("revoked", "acme", 0))
	require.NoError(d.t, err)
	d.keys["unknown"], _, _ = interlock.NewAPIKey()
	off := false
	key, id, hash := interlock.NewAPIKey()
	_, err = d.gate.AddAPIKey(ctx, interlock.SystemActor("acme", "setup"), interlock.APIKey{ID: id, Name: "off", Hash: hash})
	require.NoError(d.t, err)
	d.keys["off"] = key
	_, err = d.gate.SetActor(ctx, interlock.SystemActor("acme", "setup"), "key~off", nil, &off)
	require.NoError(d.t, err)
}

// ask sends the headers as they are, and tells status, code and the whole answer.
func (d *desk) ask(network, path string, headers []string) (status int, code, raw string) {
	d.t.Helper()
	addr := d.tcp
	if network == "unix" {
		addr = d.unix
	}
	c, err := new(net.Dialer).DialContext(d.t.Context(), network, addr)
	require.NoError(d.t, err)
	defer c.Close()
	require.NoError(d.t, c.SetDeadline(time.Now().Add(time.Minute)))
	text := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	for _, h := range headers {
		text += h + "\r\n"
	}
	_, err = io.WriteString(c, text+"\r\n")
	require.NoError(d.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(d.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(d.t, err)
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(body, &problem) // what isn't a problem has no code
	return resp.StatusCode, problem.Code, string(body)
}
