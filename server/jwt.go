package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/interlock-go/interlock"
)

// JWTConfig says which bearer tokens to believe (RFC 7519 under the rules of
// RFC 8725). Issuer, Audience, Algorithms and one of KeyFile and KeySet are required.
type JWTConfig struct {
	Issuer     string   // must equal `iss`
	Audience   string   // must be in `aud`
	Algorithms []string // the only ones accepted: RS256 … PS512, ES256 … ES512, EdDSA, HS256 … HS512
	KeyFile    string   // JSON Web Key Set (RFC 7517); read again when the file changes
	KeySet     []byte   // the set itself, instead of a file

	Types []string // accepted `typ`, without regard to case; nil: JWT, at+jwt

	TenantClaim string // a string claim that names the tenant; "": the default tenant
	PersonClaim string // a string claim that names the human behind the account; "": `sub`
	// RolesClaim is an array of strings that become Actor.Roles. "" (the default):
	// what a token says about roles is a claim that policies may read, and no role.
	// With it a role lives as long as the token.
	RolesClaim string

	Leeway      time.Duration    // clock difference allowed for exp, nbf, iat: 0 to 30 s
	MaxLifetime time.Duration    // exp minus iat at most; 0: 1 h
	Now         func() time.Time // nil: time.Now
	Logger      *slog.Logger     // told of a key file that can't be used; nil: slog.Default()
}

const (
	maxToken  = 8 << 10
	maxLeeway = 30 * time.Second
)

// JWT returns an identity for signed bearer tokens in the compact form. A
// missing token is [ErrNoCredentials], anything else that is wrong an error.
// `sub` becomes the actor's id, every claim one of Actor.Claims. No token makes
// an actor of the kind system. An incomplete configuration is an error.
func JWT(cfg JWTConfig) (func(*http.Request) (interlock.Actor, error), error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	keys, err := openKeys(cfg)
	if err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	v := &verifier{JWTConfig: cfg, keys: keys}
	return func(r *http.Request) (interlock.Actor, error) {
		token, err := bearer(r)
		if err != nil {
			return interlock.Actor{}, err
		}
		return v.actor(token)
	}, nil
}

func (c *JWTConfig) complete() error {
	switch {
	case c.Issuer == "":
		return errors.New("no issuer: say which `iss` to accept")
	case c.Audience == "":
		return errors.New("no audience: say which `aud` means this server")
	case len(c.Algorithms) == 0:
		return errors.New("no algorithms: list the ones that the issuer signs with, such as ES256")
	case c.KeyFile == "" && len(c.KeySet) == 0:
		return errors.New("no keys: give a key file or a key set")
	case c.KeyFile != "" && len(c.KeySet) != 0:
		return errors.New("a key file and a key set: give one of them")
	case c.Leeway < 0 || c.Leeway > maxLeeway:
		return fmt.Errorf("leeway %s: want 0 to %s", c.Leeway, maxLeeway)
	case c.MaxLifetime < 0:
		return fmt.Errorf("max lifetime %s: want more than 0", c.MaxLifetime)
	}
	for _, name := range c.Algorithms {
		if _, ok := algorithms[name]; !ok {
			return fmt.Errorf("algorithm %q: want one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512", name)
		}
	}
	if c.MaxLifetime == 0 {
		c.MaxLifetime = time.Hour
	}
	if c.Types == nil {
		c.Types = []string{"JWT", "at+jwt"}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

type verifier struct {
	JWTConfig
	keys *keys
}

type header struct{ alg, kid string }

func (v *verifier) actor(token string) (interlock.Actor, error) {
	head, err := v.header(token)
	if err != nil {
		return interlock.Actor{}, err
	}
	key, err := v.keys.find(head)
	if err != nil {
		return interlock.Actor{}, err
	}
	alg, _ := jwa.LookupSignatureAlgorithm(head.alg)
	payload, err := jws.Verify([]byte(token), jws.WithKey(alg, key))
	if err != nil {
		return interlock.Actor{}, credentialError("the token's signature doesn't verify")
	}
	claims, err := object(payload)
	if err != nil {
		return interlock.Actor{}, credentialError("the token's claims are not one JSON object without duplicates")
	}
	if err := v.valid(claims); err != nil {
		return interlock.Actor{}, err
	}
	return v.read(claims)
}

// header reads what may be read before the signature is checked, and refuses
// whatever would ask for more than one plain signature by a known key.
func (v *verifier) header(token string) (header, error) {
	if len(token) > maxToken {
		return header{}, credentialError("the token is longer than 8 KiB")
	}
	for i := range len(token) {
		c := token[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return header{}, credentialError("the token is not a compact JWS")
		}
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return header{}, credentialError("the token is not a compact JWS: want three parts")
	}
	for _, part := range parts {
		if _, err := strictBase64.DecodeString(part); err != nil {
			return header{}, credentialError("the token is not a compact JWS: its parts must be base64url")
		}
	}
	raw, _ := strictBase64.DecodeString(parts[0])
	members, err := object(raw)
	if err != nil {
		return header{}, credentialError("the token's header is not one JSON object without duplicates")
	}
	for _, name := range []string{"crit", "b64", "jku", "jwk", "x5u", "x5c", "cty", "zip", "enc", "p2c"} {
		if _, ok := members[name]; ok {
			return header{}, credentialError("the token's header has " + name + ", which is not accepted")
		}
	}
	typ, _ := members["typ"].(string)
	if !slices.ContainsFunc(v.Types, func(t string) bool {
		return strings.EqualFold(t, strings.TrimPrefix(strings.ToLower(typ), "application/"))
	}) {
		return header{}, credentialError("the token's typ must be " + strings.Join(v.Types, " or "))
	}
	alg, _ := members["alg"].(string)
	if !slices.Contains(v.Algorithms, alg) {
		return header{}, credentialError("the token's alg is not one that this server accepts")
	}
	kid, isString := members["kid"].(string)
	if _, present := members["kid"]; present && (!isString || kid == "" || len(kid) > 128) {
		return header{}, credentialError("the token's kid must be a string of 1 to 128 bytes")
	}
	return header{alg: alg, kid: kid}, nil
}

func (v *verifier) valid(claims map[string]any) error {
	if iss, _ := claims["iss"].(string); iss != v.Issuer {
		return credentialError("the token has another issuer")
	}
	if !hasAudience(claims["aud"], v.Audience) {
		return credentialError("the token is meant for another audience")
	}
	now := v.Now()
	exp, err := date(claims, "exp")
	if err != nil {
		return err
	}
	if exp.IsZero() {
		return credentialError("the token has no exp")
	}
	if !now.Before(exp.Add(v.Leeway)) {
		return credentialError("the token has expired")
	}
	nbf, err := date(claims, "nbf")
	if err != nil {
		return err
	}
	if now.Add(v.Leeway).Before(nbf) {
		return credentialError("the token is not valid yet")
	}
	iat, err := date(claims, "iat")
	if err != nil {
		return err
	}
	if now.Add(v.Leeway).Before(iat) {
		return credentialError("the token was issued in the future")
	}
	begin := iat
	if begin.IsZero() {
		begin = now // what is left of it is then all that can be judged
	}
	if exp.Sub(begin) > v.MaxLifetime {
		return credentialError("the token lives longer than " + v.MaxLifetime.String())
	}
	return nil
}

func (v *verifier) read(claims map[string]any) (interlock.Actor, error) {
	actor := interlock.Actor{Tenant: interlock.DefaultTenant, Kind: interlock.User, Claims: claims}
	var err error
	if actor.ID, err = identifier(claims, "sub"); err != nil {
		return interlock.Actor{}, err
	}
	if v.TenantClaim != "" {
		if actor.Tenant, err = identifier(claims, v.TenantClaim); err != nil {
			return interlock.Actor{}, err
		}
	}
	if v.PersonClaim != "" {
		if actor.Person, err = identifier(claims, v.PersonClaim); err != nil {
			return interlock.Actor{}, err
		}
	}
	if v.RolesClaim != "" {
		if actor.Roles, err = roles(claims, v.RolesClaim); err != nil {
			return interlock.Actor{}, err
		}
	}
	return actor, nil
}

func identifier(claims map[string]any, name string) (string, error) {
	id, _ := claims[name].(string)
	if !interlock.ValidID(id) {
		return "", credentialError("the token's " + name + " must be a string like [A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
	}
	return id, nil
}

// roles drops the reserved ones: those are granted here and nowhere else.
func roles(claims map[string]any, name string) ([]string, error) {
	value, present := claims[name]
	if !present {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		return nil, credentialError("the token's " + name + " must be an array of strings")
	}
	var out []string
	for _, item := range list {
		role, ok := item.(string)
		if !ok || role == "" {
			return nil, credentialError("the token's " + name + " must be an array of strings")
		}
		if !strings.HasPrefix(role, "interlock:") {
			out = append(out, role)
		}
	}
	return out, nil
}

func hasAudience(claim any, want string) bool {
	switch aud := claim.(type) {
	case string:
		return aud == want
	case []any:
		for _, a := range aud {
			if _, ok := a.(string); !ok {
				return false
			}
		}
		return slices.Contains(aud, any(want))
	}
	return false
}

// date reads a NumericDate; the zero time when the claim is absent.
func date(claims map[string]any, name string) (time.Time, error) {
	value, present := claims[name]
	if !present {
		return time.Time{}, nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, credentialError("the token's " + name + " must be a number")
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 1 || seconds > 1<<40 {
		return time.Time{}, credentialError("the token's " + name + " is no date in seconds since 1970")
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

// strictBase64 refuses padding and bits that would be thrown away: one token, one spelling.
var strictBase64 = base64.RawURLEncoding.Strict()

// object decodes one JSON object strictly: no duplicate names, no invalid UTF-8,
// nothing after it, numbers as json.Number.
func object(data []byte) (map[string]any, error) {
	var out map[string]any
	err := jsonv2.Unmarshal(data, &out, jsonv2.WithUnmarshalers(jsonv2.UnmarshalFromFunc(exactNumber)))
	if err == nil && out == nil {
		err = errors.New("want an object, not null")
	}
	return out, err
}

func exactNumber(dec *jsontext.Decoder, value *any) error {
	if dec.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	raw, err := dec.ReadValue()
	*value = json.Number(raw)
	return err
}
