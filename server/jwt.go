package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/interlock-go/interlock"
)

// JWTConfig says which bearer tokens of one issuer to believe (RFC 7519 under
// the rules of RFC 8725). Issuer, Audience, Algorithms and one of KeyURL, KeyFile
// and KeySet are required.
type JWTConfig struct {
	Issuer     string   // must equal `iss`
	Audience   string   // must be in `aud`
	Algorithms []string // the only ones accepted: RS256 … PS512, ES256 … ES512, EdDSA, HS256 … HS512

	// KeyURL is where the issuer publishes its JSON Web Key Set (RFC 7517): https,
	// or http on loopback. It is fetched before [OpenTokens] returns, then again
	// every 5 min or sooner, as its Cache-Control says, and for an unknown `kid`
	// at most once in 30 s, while nobody waits. No secrets are taken from a URL:
	// HS256 … HS512 need a file.
	KeyURL   string
	MaxStale time.Duration // how long the last keys hold while KeyURL can't be fetched; 0: 24 h. Then: 503

	KeyFile string // the set in a file; read again when it changes
	KeySet  []byte // the set itself

	Types []string // accepted `typ`, without regard to case; nil: JWT, at+jwt

	// What makes a token a service's: its `typ` is one of ServiceTypes, the claim
	// ServiceClaim is the text ServiceValue, or, when both are configured, both:
	// a token of which only one is true is refused. None: all tokens are people's.
	ServiceTypes               []string
	ServiceClaim, ServiceValue string

	// BehalfClaim names, in a service's token, the user for whom it asks; `sub`
	// is the service. A person's token with `act` (RFC 8693, 4.1) needs no
	// configuration: `act.sub` asks, on behalf of `sub`. Longer chains are refused.
	BehalfClaim string

	TenantClaim string // a string claim that names the tenant; "": the default tenant
	PersonClaim string // a string claim that names the human behind the account; "": `sub`
	// RolesClaim is an array of strings that become Actor.Roles. "" (the default):
	// what a token says about roles is a claim that policies may read, and no role.
	// With it a role lives as long as the token. Never taken where somebody asks
	// on behalf of another: the claim doesn't say of which of the two it speaks.
	RolesClaim string

	Leeway      time.Duration    // clock difference allowed for exp, nbf, iat: 0 to 30 s
	MaxLifetime time.Duration    // exp minus iat at most; 0: 1 h
	Remember    int              // verified tokens that need no second verification; 0: 4096, negative: none
	Now         func() time.Time // nil: time.Now
	Logger      *slog.Logger     // told of keys that can't be had; nil: slog.Default()
}

const (
	maxToken        = 8 << 10
	maxLeeway       = 30 * time.Second
	defaultRemember = 4096
)

// Tokens believes the signed bearer tokens of its issuers. It is safe for
// concurrent use. Make it with [OpenTokens], and close it.
type Tokens struct {
	issuers []*verifier // few
	end     context.CancelFunc
	running sync.WaitGroup
}

// OpenTokens has every issuer's keys, or fails: there is no start on keys from
// another time. An incomplete or unsafe configuration is an error. ctx bounds
// the first fetch only.
func OpenTokens(ctx context.Context, issuers ...JWTConfig) (*Tokens, error) {
	if len(issuers) == 0 {
		return nil, errors.New("jwt: no issuer: say whose tokens to accept")
	}
	t := &Tokens{}
	for _, cfg := range issuers {
		if err := cfg.complete(); err != nil {
			return nil, fmt.Errorf("jwt: %w", err)
		}
		if t.issuer(cfg.Issuer) != nil {
			return nil, fmt.Errorf("jwt: issuer %s stands there twice", cfg.Issuer)
		}
		t.issuers = append(t.issuers, &verifier{JWTConfig: cfg, known: newRemembered(cfg.Remember)})
	}
	for _, v := range t.issuers {
		var err error
		if v.keys, err = openKeys(ctx, v.JWTConfig); err != nil {
			return nil, fmt.Errorf("jwt: issuer %s: %w", v.Issuer, err)
		}
	}
	background, end := context.WithCancel(context.Background())
	t.end = end
	for _, v := range t.issuers {
		if v.keys.fetch != nil {
			t.running.Go(func() { v.keys.keepFresh(background) })
		}
	}
	return t, nil
}

// Check is what [OpenTokens] asks without a network: whether the configuration is
// complete and safe, and whether there are keys in KeyFile or KeySet to be used.
func (c JWTConfig) Check() error {
	if err := c.complete(); err != nil {
		return err
	}
	if c.KeyURL != "" {
		_, err := fetcher(c.KeyURL)
		return err
	}
	_, err := openKeys(context.Background(), c)
	return err
}

// Identify is an identity for [Config]. A missing token is [ErrNoCredentials],
// anything else that is wrong an error. `sub` becomes the actor's id, every
// claim one of Actor.Claims. No token makes an actor of the kind system.
func (t *Tokens) Identify(r *http.Request) (interlock.Actor, error) {
	token, err := bearer(r)
	if err != nil {
		return interlock.Actor{}, err
	}
	return t.actor(token)
}

// Purge forgets every key and every verified token at once, for a key that must
// not be believed any longer, and has the keys anew. Where that fails, tokens of
// the issuer are answered 503 until it works.
func (t *Tokens) Purge(ctx context.Context) error {
	var all error
	for _, v := range t.issuers {
		if err := v.keys.purge(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("jwt: issuer %s: %w", v.Issuer, err))
		}
	}
	return all
}

// Close ends the fetching of keys.
func (t *Tokens) Close() {
	t.end()
	t.running.Wait()
}

func (t *Tokens) issuer(iss string) *verifier {
	for _, v := range t.issuers {
		if v.Issuer == iss {
			return v
		}
	}
	return nil
}

func (t *Tokens) actor(token string) (interlock.Actor, error) {
	if len(token) > maxToken {
		return interlock.Actor{}, credentialError("the token is longer than 8 KiB")
	}
	id := idOf(token)
	for _, v := range t.issuers {
		if actor, ok, err := v.again(id); ok || err != nil {
			return actor, err
		}
	}
	parsed, err := parseToken(token)
	if err != nil {
		return interlock.Actor{}, err
	}
	iss, _ := parsed.claims["iss"].(string)
	v := t.issuer(iss) // which keys to look among; whether it is true, the signature says
	if v == nil {
		return interlock.Actor{}, credentialError("the token has another issuer")
	}
	return v.first(token, id, parsed)
}

// verifier believes one issuer.
type verifier struct {
	JWTConfig
	keys  *keys
	known *remembered
}

// again answers for a token that was verified before, by the keys that still stand.
func (v *verifier) again(id tokenID) (interlock.Actor, bool, error) {
	if v.known == nil {
		return interlock.Actor{}, false, nil
	}
	seen, ok := v.known.get(id)
	if !ok {
		return interlock.Actor{}, false, nil
	}
	revision, err := v.keys.current()
	if err != nil {
		return interlock.Actor{}, false, err
	}
	if now := v.Now(); seen.revision != revision || !now.Before(seen.until) || now.Before(seen.from) {
		return interlock.Actor{}, false, nil // and says why, like any other token
	}
	return copied(seen.actor), true, nil
}

func (v *verifier) first(token string, id tokenID, parsed *parsedToken) (interlock.Actor, error) {
	if err := v.accepts(parsed); err != nil {
		return interlock.Actor{}, err
	}
	key, revision, err := v.keys.find(parsed.header)
	if err != nil {
		return interlock.Actor{}, err
	}
	alg, _ := jwa.LookupSignatureAlgorithm(parsed.alg)
	if _, err := jws.Verify([]byte(token), jws.WithKey(alg, key)); err != nil {
		return interlock.Actor{}, credentialError("the token's signature doesn't verify")
	}
	from, until, err := v.valid(parsed)
	if err != nil {
		return interlock.Actor{}, err
	}
	actor, err := v.read(parsed)
	if err != nil {
		return interlock.Actor{}, err
	}
	if v.known != nil {
		v.known.put(id, rememberedToken{actor: copied(actor), from: from, until: until, revision: revision})
	}
	return actor, nil
}

func (c *JWTConfig) complete() error {
	switch {
	case c.Issuer == "":
		return errors.New("no issuer: say which `iss` to accept")
	case c.Audience == "":
		return errors.New("no audience: say which `aud` means this server")
	case len(c.Algorithms) == 0:
		return errors.New("no algorithms: list the ones that the issuer signs with, such as ES256")
	case c.KeyURL == "" && c.KeyFile == "" && len(c.KeySet) == 0:
		return errors.New("no keys: give a key file, a key set or the URL of one")
	case c.KeyFile != "" && len(c.KeySet) != 0, c.KeyURL != "" && (c.KeyFile != "" || len(c.KeySet) != 0):
		return errors.New("a key file, a key set, the URL of one: give one of them")
	case c.Leeway < 0 || c.Leeway > maxLeeway:
		return fmt.Errorf("leeway %s: want 0 to %s", c.Leeway, maxLeeway)
	case c.MaxLifetime < 0:
		return fmt.Errorf("max lifetime %s: want more than 0", c.MaxLifetime)
	case c.MaxStale < 0:
		return fmt.Errorf("max stale %s: want more than 0", c.MaxStale)
	case (c.ServiceClaim == "") != (c.ServiceValue == ""):
		return errors.New("what makes a token a service's: give the claim and its value, or neither")
	case c.BehalfClaim != "" && c.ServiceClaim == "" && len(c.ServiceTypes) == 0:
		return errors.New("a claim for whom a service asks, and nothing that tells services: give service types or a service claim")
	}
	for _, name := range c.Algorithms {
		a, ok := algorithms[name]
		if !ok {
			return fmt.Errorf("algorithm %q: want one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512", name)
		}
		if a.kty == "oct" && c.KeyURL != "" {
			return fmt.Errorf("algorithm %s with a URL of keys: a shared secret isn't fetched; give it in a key file", name)
		}
	}
	c.defaults()
	for _, t := range c.ServiceTypes {
		if ofType(c.Types, t) {
			return fmt.Errorf("typ %q stands for people's and for services' tokens: one typ, one kind", t)
		}
	}
	if len(c.Types)+len(c.ServiceTypes) == 0 {
		return errors.New("no typ is accepted: leave types out for JWT and at+jwt")
	}
	return nil
}

func (c *JWTConfig) defaults() {
	if c.MaxLifetime == 0 {
		c.MaxLifetime = time.Hour
	}
	if c.MaxStale == 0 {
		c.MaxStale = 24 * time.Hour
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
	if c.Remember == 0 {
		c.Remember = defaultRemember
	}
}

// ofType compares media types without their case and the prefix that RFC 7515,
// 4.1.9 lets senders leave out.
func ofType(types []string, typ string) bool {
	short := func(s string) string { return strings.TrimPrefix(strings.ToLower(s), "application/") }
	return slices.ContainsFunc(types, func(t string) bool { return short(t) == short(typ) })
}
