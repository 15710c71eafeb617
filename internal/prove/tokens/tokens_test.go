package tokens

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/prove"
)

// least is how many credentials each store's server must have been asked with.
const least = 80

// Every credential gets its own answer, the same from both stores: the good ones
// let exactly him in whom they name, the others nobody.
func TestTokens(t *testing.T) {
	for store, open := range stores(t) {
		t.Run(store, func(t *testing.T) {
			d := newDesk(t, open(t))
			tried, violations := 0, 0
			try := func(c credential) {
				path := c.path
				if path == "" {
					path = page
				}
				status, code, raw := d.ask(c.network(), path, c.headers)
				tried++
				if status != c.status || code != c.code {
					violations++
					t.Errorf("%s: %d %s, want %d %s: %s", c.name, status, code, c.status, c.code, raw)
				}
				for _, h := range c.headers {
					if _, token, ok := strings.Cut(h, "Bearer "); ok && len(token) > 40 && strings.Contains(raw, token[len(token)-20:]) {
						violations++
						t.Errorf("%s: the answer repeats the credential", c.name)
					}
				}
			}
			for _, group := range [][]credential{d.goodOnes(), d.badHeaders(), d.badForms(), d.badClaims(), d.badAuthorization(), d.badServices(), d.badKeys(), d.badPeers()} {
				for _, c := range group {
					try(c)
				}
			}
			d.later(try)
			prove.Record(t, prove.Row{Claim: "tokens/" + store, Tried: tried, Least: least, Violations: violations})
		})
	}
}

// later are those whose answer changes with time and with the issuer's keys.
func (d *desk) later(try func(credential)) {
	d.t.Helper()
	es := `{"alg":"ES256","typ":"JWT","kid":"ec-1"}`
	brief := bearer(d.p.sign(d.t, "ec", es, d.claims(change{"exp": noon.Unix() + 30})))
	try(credential{name: "a token with half a minute left", headers: brief, status: 200})
	try(credential{name: "the same again, remembered", headers: brief, status: 200})
	d.now.Store((39 * time.Second).Microseconds())
	try(credential{name: "within leeway, remembered", headers: brief, status: 200})
	d.now.Store((40 * time.Second).Microseconds())
	try(credential{name: "expired, though remembered", headers: brief, status: 401, code: "unauthenticated"})
	d.now.Store(time.Minute.Microseconds())
	try(credential{name: "an API key that has expired", headers: bearer(d.keys["expiring"]), status: 401, code: "unauthenticated"})
	d.now.Store(0)

	old := bearer(d.p.sign(d.t, "ec", es, d.claims(nil)))
	try(credential{name: "before the rotation", headers: old, status: 200})
	rotated := d.other.set(d.t, "-2")
	d.set.Store(&rotated)
	require.NoError(d.t, d.tokens.Purge(d.t.Context()))
	try(credential{name: "a key that was taken away, token remembered", headers: old, status: 401, code: "unauthenticated"})
	try(credential{name: "a key that was taken away, new token", headers: bearer(d.p.sign(d.t, "ec", es, d.claims(change{"jti": "2"}))), status: 401, code: "unauthenticated"})
	fresh := bearer(d.other.sign(d.t, "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-2"}`, d.claims(nil)))
	try(credential{name: "the new key", headers: fresh, status: 200})

	d.down.Store(true)
	require.Error(d.t, d.tokens.Purge(d.t.Context()))
	try(credential{name: "no keys can be had: not the token's fault, and no yes", headers: fresh, status: 503, code: "keys_unavailable"})
	try(credential{name: "another issuer meanwhile", headers: bearer(d.s.sign(d.t, "ec", `{"alg":"ES256","typ":"svc+jwt","kid":"ec-s"}`, d.serviceClaims(nil))), status: 200})
	try(credential{name: "an API key meanwhile", headers: bearer(d.keys["good"]), status: 200})
	d.down.Store(false)
	require.NoError(d.t, d.tokens.Purge(d.t.Context()))
	try(credential{name: "keys are there again", headers: fresh, status: 200})

	_, err := d.gate.RevokeAPIKey(d.t.Context(), setup, strings.Split(d.keys["good"], "_")[1])
	require.NoError(d.t, err)
	try(credential{name: "an API key at once after it was revoked", headers: bearer(d.keys["good"]), status: 401, code: "unauthenticated"})
}

type change = map[string]any

type credential struct {
	name    string
	headers []string
	unix    bool
	path    string // "": the page, which only acme's see
	status  int
	code    string
}

func (c credential) network() string {
	if c.unix {
		return "unix"
	}
	return "tcp"
}

func bearer(token string) []string { return []string{"Authorization: Bearer " + token} }

// refused are credentials that are answered alike.
func refused(prefix string, of map[string][]string) (all []credential) {
	for name, headers := range of {
		all = append(all, credential{name: prefix + name, headers: headers, status: 401, code: "unauthenticated"})
	}
	return all
}

func tokens(prefix string, of map[string]string) []credential {
	headers := map[string][]string{}
	for name, token := range of {
		headers[name] = bearer(token)
	}
	return refused(prefix, headers)
}

func self(id string) string { return fmt.Sprint("/v1/actors/", id) }
