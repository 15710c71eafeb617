package server_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/server"
)

// issuer signs whatever it is told to, well-formed or not.
type issuer struct {
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
	ed     ed25519.PrivateKey
	secret []byte
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, d, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	secret := make([]byte, 32)
	_, err = rand.Read(secret)
	require.NoError(t, err)
	return &issuer{r, e, d, secret}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (i *issuer) keys() []string {
	x, y := make([]byte, 32), make([]byte, 32)
	point, _ := i.ec.PublicKey.Bytes()
	copy(x, point[1:33])
	copy(y, point[33:])
	return []string{
		fmt.Sprintf(`{"kty":"RSA","kid":"rsa-1","alg":"RS256","use":"sig","n":%q,"e":"AQAB"}`, b64(i.rsa.N.Bytes())),
		fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"ec-1","alg":"ES256","x":%q,"y":%q}`, b64(x), b64(y)),
		fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":"ed-1","alg":"EdDSA","x":%q}`, b64(i.ed.Public().(ed25519.PublicKey))),
		fmt.Sprintf(`{"kty":"oct","kid":"hs-1","alg":"HS256","k":%q}`, b64(i.secret)),
	}
}

func keySet(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

func (i *issuer) sign(t testing.TB, with, head, claims string) string {
	t.Helper()
	signed := b64([]byte(head)) + "." + b64([]byte(claims))
	digest := sha256.Sum256([]byte(signed))
	var sig []byte
	var err error
	switch with {
	case "rsa":
		sig, err = rsa.SignPKCS1v15(rand.Reader, i.rsa, crypto.SHA256, digest[:])
	case "ec":
		r, s, signErr := ecdsa.Sign(rand.Reader, i.ec, digest[:])
		err = signErr
		sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "ed":
		sig = ed25519.Sign(i.ed, []byte(signed))
	case "hs":
		mac := hmac.New(sha256.New, i.secret)
		mac.Write([]byte(signed))
		sig = mac.Sum(nil)
	case "hs-with-rsa-key":
		mac := hmac.New(sha256.New, i.rsa.N.Bytes())
		mac.Write([]byte(signed))
		sig = mac.Sum(nil)
	case "garbage":
		sig = []byte("not a signature")
	}
	require.NoError(t, err)
	return signed + "." + b64(sig)
}

var tokenTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (i *issuer) config() server.JWTConfig {
	return server.JWTConfig{
		Issuer: "https://issuer.example", Audience: "interlock",
		Algorithms: []string{"RS256", "ES256", "EdDSA", "HS256"},
		KeySet:     keySet(i.keys()...),
		Leeway:     10 * time.Second,
		Now:        func() time.Time { return tokenTime },
		Logger:     slog.New(slog.DiscardHandler),
	}
}

// claims are good ones with some members replaced; nil removes.
func claims(change map[string]any) string {
	all := map[string]any{
		"iss": "https://issuer.example", "aud": "interlock", "sub": "erin",
		"iat": tokenTime.Unix() - 60, "exp": tokenTime.Unix() + 600, "tenant": "acme", "roles": []string{"manager"},
	}
	for name, value := range change {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = value
	}
	out, _ := json.Marshal(all)
	return string(out)
}

func ask(identity func(*http.Request) (interlock.Actor, error), authorization ...string) (interlock.Actor, error) {
	r := httptest.NewRequest(http.MethodGet, "http://localhost/v1/machines", nil)
	for _, value := range authorization {
		r.Header.Add("Authorization", value)
	}
	return identity(r)
}

// believes is an identity that believes the tokens of such issuers until the test ends.
func believes(t testing.TB, issuers ...server.JWTConfig) func(*http.Request) (interlock.Actor, error) {
	t.Helper()
	tokens, err := server.OpenTokens(t.Context(), issuers...)
	require.NoError(t, err)
	t.Cleanup(tokens.Close)
	return tokens.Identify
}

func TestJWTTokens(t *testing.T) {
	iss := newIssuer(t)
	identity := believes(t, iss.config())

	const rs, es, ed, hs = `{"alg":"RS256","typ":"JWT","kid":"rsa-1"}`, `{"alg":"ES256","typ":"JWT","kid":"ec-1"}`,
		`{"alg":"EdDSA","typ":"JWT","kid":"ed-1"}`, `{"alg":"HS256","typ":"JWT","kid":"hs-1"}`
	now := tokenTime.Unix()
	type change = map[string]any
	for _, tc := range []struct {
		name, with, head, claims string
		refused                  string // part of the sentence; "" when the token is good
	}{
		{"RSA", "rsa", rs, claims(nil), ""},
		{"EC", "ec", es, claims(nil), ""},
		{"Ed25519", "ed", ed, claims(nil), ""},
		{"shared secret", "hs", hs, claims(nil), ""},
		{"no kid, one key of the alg", "ec", `{"alg":"ES256","typ":"JWT"}`, claims(nil), ""},
		{"access token type", "rsa", `{"alg":"RS256","typ":"at+jwt","kid":"rsa-1"}`, claims(nil), ""},
		{"access token type, long and capital", "rsa", `{"alg":"RS256","typ":"application/AT+JWT","kid":"rsa-1"}`, claims(nil), ""},
		{"several audiences", "ec", es, claims(change{"aud": []string{"other", "interlock"}}), ""},
		{"expired within leeway", "ec", es, claims(change{"exp": now - 9}), ""},
		{"nbf within leeway", "ec", es, claims(change{"nbf": now + 9}), ""},
		{"fraction of a second", "ec", es, claims(change{"exp": float64(now) + 0.5}), ""},
		{"no iat, short rest", "ec", es, claims(change{"iat": nil}), ""},
		{"an unknown header member", "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1","x5t":"abc"}`, claims(nil), ""},

		{"alg none", "garbage", `{"alg":"none","typ":"JWT"}`, claims(nil), "alg is not one"},
		{"alg nOnE", "garbage", `{"alg":"nOnE","typ":"JWT"}`, claims(nil), "alg is not one"},
		{"alg in lower case", "ec", `{"alg":"es256","typ":"JWT","kid":"ec-1"}`, claims(nil), "alg is not one"},
		{"alg missing", "ec", `{"typ":"JWT","kid":"ec-1"}`, claims(nil), "alg is not one"},
		{"alg a number", "ec", `{"alg":256,"typ":"JWT","kid":"ec-1"}`, claims(nil), "alg is not one"},
		{"alg not listed", "rsa", `{"alg":"PS256","typ":"JWT","kid":"rsa-1"}`, claims(nil), "alg is not one"},
		{"HS256 with the RSA key as secret", "hs-with-rsa-key", `{"alg":"HS256","typ":"JWT","kid":"rsa-1"}`, claims(nil), "key"},
		{"HS256, RSA key as secret, no kid", "hs-with-rsa-key", `{"alg":"HS256","typ":"JWT"}`, claims(nil), "signature"},
		{"alg of another key type", "ec", `{"alg":"RS256","typ":"JWT","kid":"ec-1"}`, claims(nil), "key"},
		{"unknown kid", "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-2"}`, claims(nil), "key"},
		{"kid a path", "ec", `{"alg":"ES256","typ":"JWT","kid":"../../dev/null"}`, claims(nil), "key"},
		{"kid empty", "ec", `{"alg":"ES256","typ":"JWT","kid":""}`, claims(nil), "kid"},
		{"kid too long", "ec", `{"alg":"ES256","typ":"JWT","kid":"` + strings.Repeat("k", 129) + `"}`, claims(nil), "kid"},
		{"kid a number", "ec", `{"alg":"ES256","typ":"JWT","kid":1}`, claims(nil), "kid"},
		{"typ missing", "ec", `{"alg":"ES256","kid":"ec-1"}`, claims(nil), "typ"},
		{"typ of another kind", "ec", `{"alg":"ES256","typ":"secevent+jwt","kid":"ec-1"}`, claims(nil), "typ"},
		{"crit", "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1","crit":["exp"]}`, claims(nil), "crit"},
		{"b64", "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1","b64":false}`, claims(nil), "b64"},
		{"jku", "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1","jku":"https://evil.example"}`, claims(nil), "jku"},
		{"x5u", "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1","x5u":"https://evil.example"}`, claims(nil), "x5u"},
		{"jwk", "ec", `{"alg":"ES256","typ":"JWT","jwk":{}}`, claims(nil), "jwk"},
		{"nested token", "ec", `{"alg":"ES256","typ":"JWT","cty":"JWT"}`, claims(nil), "cty"},
		{"duplicate header member", "ec", `{"alg":"ES256","alg":"none","typ":"JWT"}`, claims(nil), "header"},
		{"header no object", "ec", `["ES256"]`, claims(nil), "header"},
		{"header followed by more", "ec", `{"alg":"ES256","typ":"JWT"} {}`, claims(nil), "header"},
		{"header null", "ec", `null`, claims(nil), "header"},
		{"signature of another token", "garbage", es, claims(nil), "signature"},
		{"signed by another key", "rsa", es, claims(nil), "signature"},

		{"iss missing", "ec", es, claims(change{"iss": nil}), "issuer"},
		{"iss other", "ec", es, claims(change{"iss": "https://issuer.example/"}), "issuer"},
		{"iss an array", "ec", es, claims(change{"iss": []string{"https://issuer.example"}}), "issuer"},
		{"aud missing", "ec", es, claims(change{"aud": nil}), "audience"},
		{"aud other", "ec", es, claims(change{"aud": "interlock2"}), "audience"},
		{"aud empty list", "ec", es, claims(change{"aud": []string{}}), "audience"},
		{"aud with a number", "ec", es, claims(change{"aud": []any{"interlock", 1}}), "audience"},
		{"exp missing", "ec", es, claims(change{"exp": nil}), "exp"},
		{"exp past", "ec", es, claims(change{"exp": now - 10}), "expired"},
		{"exp a string", "ec", es, claims(change{"exp": "tomorrow"}), "exp"},
		{"exp a digit string", "ec", es, claims(change{"exp": fmt.Sprint(now + 600)}), "exp"},
		{"exp zero", "ec", es, claims(change{"exp": 0}), "exp"},
		{"exp beyond time", "ec", es, claims(change{"exp": 1e300}), "exp"},
		{"exp null", "ec", es, strings.Replace(claims(nil), `"exp":`, `"exp":null,"x":`, 1), "exp"},
		{"nbf future", "ec", es, claims(change{"nbf": now + 11}), "not valid yet"},
		{"nbf a string", "ec", es, claims(change{"nbf": "x"}), "nbf"},
		{"iat future", "ec", es, claims(change{"iat": now + 11}), "future"},
		{"lives too long", "ec", es, claims(change{"iat": now - 1, "exp": now + 3600}), "longer"},
		{"no iat, lives too long", "ec", es, claims(change{"iat": nil, "exp": now + 3601}), "longer"},
		{"sub missing", "ec", es, claims(change{"sub": nil}), "sub"},
		{"sub empty", "ec", es, claims(change{"sub": ""}), "sub"},
		{"sub a number", "ec", es, claims(change{"sub": 7}), "sub"},
		{"sub a path", "ec", es, claims(change{"sub": "../mark"}), "sub"},
		{"sub not ASCII", "ec", es, claims(change{"sub": "еrin"}), "sub"},
		{"sub too long", "ec", es, claims(change{"sub": strings.Repeat("a", 129)}), "sub"},
		{"duplicate claims", "ec", es, strings.Replace(claims(nil), `"sub":`, `"sub":"mark","sub":`, 1), "claims"},
		{"duplicate claims deep down", "ec", es, strings.Replace(claims(nil), `"sub":`, `"x":{"a":1,"a":2},"sub":`, 1), "claims"},
		{"claims an array", "ec", es, `[]`, "claims"},
		{"claims null", "ec", es, `null`, "claims"},
		{"claims followed by more", "ec", es, claims(nil) + "x", "claims"},
		{"claims not UTF-8", "ec", es, strings.Replace(claims(nil), "erin", "er\xffin", 1), "claims"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			actor, err := ask(identity, "Bearer "+iss.sign(t, tc.with, tc.head, tc.claims))
			if tc.refused == "" {
				require.NoError(t, err)
				assert.Equal(t, "erin", actor.ID)
				assert.Equal(t, interlock.DefaultTenant, actor.Tenant)
				assert.Equal(t, interlock.User, actor.Kind)
				assert.Empty(t, actor.Roles, "roles in a token are claims")
				assert.Equal(t, []any{"manager"}, actor.Claims["roles"])
				return
			}
			require.ErrorContains(t, err, tc.refused)
			assert.Equal(t, interlock.Actor{}, actor)
		})
	}
}

func TestJWTForms(t *testing.T) {
	iss := newIssuer(t)
	identity := believes(t, iss.config())
	good := iss.sign(t, "ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1"}`, claims(nil))
	parts := strings.Split(good, ".")

	_, err := ask(identity)
	require.ErrorIs(t, err, server.ErrNoCredentials)
	for name, headers := range map[string][]string{
		"two headers":         {"Bearer " + good, "Bearer " + good},
		"basic":               {"Basic ZXJpbjpwYXNz"},
		"no token":            {"Bearer "},
		"bare token":          {good},
		"two tokens":          {"Bearer " + good + " " + good},
		"two in a list":       {"Bearer " + good + ",Bearer " + good},
		"two spaces":          {"Bearer  " + good},
		"padding":             {"Bearer " + good + "="},
		"two parts":           {"Bearer " + parts[0] + "." + parts[1]},
		"five parts":          {"Bearer " + good + ".a.b"},
		"empty signature":     {"Bearer " + parts[0] + "." + parts[1] + "."},
		"empty claims":        {"Bearer " + parts[0] + ".." + parts[2]},
		"not base64":          {"Bearer " + parts[0] + "." + parts[1] + ".A"},
		"JSON serialisation":  {`Bearer {"payload":"","signatures":[]}`},
		"other last bits":     {"Bearer " + otherSpelling(good)},
		"too long":            {"Bearer " + strings.Repeat("a", 9000)},
		"claims changed":      {"Bearer " + parts[0] + "." + b64([]byte(strings.Replace(claims(nil), "erin", "mark", 1))) + "." + parts[2]},
		"a demonstration one": {"Bearer demo-erin"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(identity, headers...)
			require.Error(t, err)
			require.NotErrorIs(t, err, server.ErrNoCredentials)
			assert.NotContains(t, err.Error(), parts[2], "an error never repeats the token")
		})
	}
	_, err = ask(identity, "bearer "+good)
	require.NoError(t, err, "the scheme's name has no case (RFC 9110, 11.1)")
}

// otherSpelling sets a bit of the last character that decoding would throw away.
func otherSpelling(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

func TestJWTMapsClaims(t *testing.T) {
	iss := newIssuer(t)
	cfg := iss.config()
	cfg.TenantClaim, cfg.PersonClaim, cfg.RolesClaim = "tenant", "person", "roles"
	identity := believes(t, cfg)
	for _, tc := range []struct {
		name   string
		change map[string]any
		want   interlock.Actor
		refuse string
	}{
		{"all", map[string]any{"person": "p-1"}, interlock.Actor{Tenant: "acme", Person: "p-1", Roles: []string{"manager"}}, ""},
		{"reserved roles are not taken", map[string]any{"person": "p-1", "roles": []string{"interlock:admin", "employee"}},
			interlock.Actor{Tenant: "acme", Person: "p-1", Roles: []string{"employee"}}, ""},
		{"no roles", map[string]any{"person": "p-1", "roles": nil}, interlock.Actor{Tenant: "acme", Person: "p-1"}, ""},
		{"kind is not taken", map[string]any{"person": "p-1", "roles": nil, "kind": "system"}, interlock.Actor{Tenant: "acme", Person: "p-1"}, ""},
		{"roles a string", map[string]any{"person": "p-1", "roles": "ex-manager"}, interlock.Actor{}, "roles"},
		{"roles with a number", map[string]any{"person": "p-1", "roles": []any{1}}, interlock.Actor{}, "roles"},
		{"tenant missing", map[string]any{"person": "p-1", "tenant": nil}, interlock.Actor{}, "tenant"},
		{"tenant wrong", map[string]any{"person": "p-1", "tenant": "a/b"}, interlock.Actor{}, "tenant"},
		{"person missing", nil, interlock.Actor{}, "person"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			actor, err := ask(identity, "Bearer "+iss.sign(t, "hs", `{"alg":"HS256","typ":"JWT"}`, claims(tc.change)))
			if tc.refuse != "" {
				require.ErrorContains(t, err, tc.refuse)
				return
			}
			require.NoError(t, err)
			actor.Claims = nil
			tc.want.ID, tc.want.Kind = "erin", interlock.User
			assert.Equal(t, tc.want, actor)
		})
	}
}
