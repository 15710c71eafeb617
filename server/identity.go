package server

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/interlock-go/interlock"
)

// ErrNoCredentials is what an identity returns for a request that carries none.
// The answer is 401 with a bare challenge; any other error is 401 with
// error="invalid_token" (RFC 6750), and a *[interlock.Refusal] is answered as it says.
var ErrNoCredentials = errors.New("no credentials")

// credentialError says why credentials were refused, in words that may be told
// to whoever sent them.
type credentialError string

func (e credentialError) Error() string { return string(e) }

// whoAsks looks at headers of a proxy first: they are refused wherever they
// don't belong, whatever else the request carries. API keys are the gate's, the
// rest is the identity's.
func (s *Server) whoAsks(r *http.Request) (interlock.Actor, error) {
	if s.proxies != nil {
		if there, err := s.proxies.look(r); err != nil {
			return interlock.Actor{}, err
		} else if there {
			return s.proxies.actor(r)
		}
	}
	if s.apiKeys {
		if token, err := bearer(r); err == nil && interlock.IsAPIKey(token) {
			return s.gate.APIKeyActor(r.Context(), token)
		}
	}
	if s.identity == nil {
		return interlock.Actor{}, ErrNoCredentials
	}
	actor, err := s.identity(r)
	if err == nil && (interlock.IsReservedActor(actor.ID) || actor.OnBehalfOf != nil && interlock.IsReservedActor(actor.OnBehalfOf.ID)) {
		return interlock.Actor{}, errors.New("identity: an id that is reserved for API keys and operators")
	}
	return actor, err
}

// DemoIdentity knows the users of a demonstration: `Authorization: Bearer
// demo-<user>`. There is no secret in it, so it answers only requests that come
// from this machine itself, by a loopback name and through no proxy.
func DemoIdentity(users map[string]interlock.Actor) func(*http.Request) (interlock.Actor, error) {
	known := make(map[string]interlock.Actor, len(users))
	for name, actor := range users {
		known[name] = actor
	}
	return func(r *http.Request) (interlock.Actor, error) {
		if !fromLoopback(r) {
			return interlock.Actor{}, credentialError("demo users are known on the loopback address only")
		}
		token, err := bearer(r)
		if err != nil {
			return interlock.Actor{}, err
		}
		name, isDemo := strings.CutPrefix(token, "demo-")
		actor, ok := known[name]
		if !isDemo || !ok {
			return interlock.Actor{}, credentialError("no such demo user: send Authorization: Bearer demo-<user>")
		}
		return actor, nil
	}
}

// bearer returns the request's one bearer token.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	switch {
	case len(values) == 0:
		return "", ErrNoCredentials
	case len(values) > 1:
		return "", credentialError("more than one Authorization header")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", credentialError("the Authorization header must be: Bearer <token>")
	}
	if token == "" || strings.ContainsAny(token, " \t,") {
		return "", credentialError("one token must follow Bearer after one space")
	}
	return token, nil
}

// fromLoopback also looks at the Host, against a page elsewhere whose name was
// rebound to 127.0.0.1, and refuses what a proxy on this machine passes on.
func fromLoopback(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(name)) > 0 {
			return false
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
