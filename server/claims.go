package server

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/interlock-go/interlock"
)

// foreignClaims stand in tokens that were made for something else than to be
// shown here by whoever has them (RFC 8725, 3.12).
var foreignClaims = []struct{ claim, why string }{
	{"events", "it is a security event (RFC 8417), no access token"},
	{"cnf", "it belongs to the holder of a key (RFC 7800), and nobody has shown that he holds it"},
	{"at_hash", "it is an id token, no access token"},
	{"c_hash", "it is an id token, no access token"},
	{"s_hash", "it is an id token, no access token"},
	{"nonce", "it is an id token, no access token"},
}

// valid checks what the issuer signed, and tells from when until when it holds.
func (v *verifier) valid(t *parsedToken) (from, until time.Time, err error) {
	no := func(why string) (time.Time, time.Time, error) { return time.Time{}, time.Time{}, credentialError(why) }
	claims := t.claims
	if !hasAudience(claims["aud"], v.Audience) {
		return no("the token is meant for another audience")
	}
	for _, f := range foreignClaims {
		if _, there := claims[f.claim]; there {
			return no("the token has " + f.claim + ": " + f.why)
		}
	}
	var dates [3]time.Time
	for i, name := range []string{"exp", "nbf", "iat"} {
		if dates[i], err = date(claims, name); err != nil {
			return time.Time{}, time.Time{}, err
		}
	}
	exp, nbf, iat, now := dates[0], dates[1], dates[2], v.Now()
	switch {
	case exp.IsZero():
		return no("the token has no exp")
	case !now.Before(exp.Add(v.Leeway)):
		return no("the token has expired")
	case now.Add(v.Leeway).Before(nbf):
		return no("the token is not valid yet")
	case now.Add(v.Leeway).Before(iat):
		return no("the token was issued in the future")
	}
	begin := iat
	if begin.IsZero() {
		begin = now // what is left of it is then all that can be judged
	}
	if exp.Sub(begin) > v.MaxLifetime {
		return no("the token lives longer than " + v.MaxLifetime.String())
	}
	from = nbf
	if iat.After(from) {
		from = iat
	}
	return from.Add(-v.Leeway), exp.Add(v.Leeway), nil
}

// kind tells people's tokens from services'. Where typ and a claim both tell,
// they must agree: no token is one kind here and the other there.
func (v *verifier) kind(t *parsedToken) (interlock.Kind, error) {
	byType := ofType(v.ServiceTypes, t.typ)
	service := byType
	if v.ServiceClaim != "" {
		value, _ := t.claims[v.ServiceClaim].(string)
		service = value == v.ServiceValue
		if len(v.ServiceTypes) > 0 && service != byType {
			return "", credentialError("the token's typ and its " + v.ServiceClaim + " don't say the same of whose it is: a person's or a service's")
		}
	}
	if service {
		return interlock.Service, nil
	}
	return interlock.User, nil
}

func (v *verifier) read(t *parsedToken) (interlock.Actor, error) {
	claims := t.claims
	actor := interlock.Actor{Tenant: interlock.DefaultTenant, Claims: claims}
	var err error
	if actor.Kind, err = v.kind(t); err != nil {
		return interlock.Actor{}, err
	}
	if actor.ID, err = identifier(claims, "sub"); err != nil {
		return interlock.Actor{}, err
	}
	if v.TenantClaim != "" {
		if actor.Tenant, err = identifier(claims, v.TenantClaim); err != nil {
			return interlock.Actor{}, err
		}
	}
	if err := v.readPerson(claims, &actor); err != nil {
		return interlock.Actor{}, err
	}
	if err := v.readBehalf(claims, &actor); err != nil {
		return interlock.Actor{}, err
	}
	if v.RolesClaim != "" && actor.OnBehalfOf == nil {
		if actor.Roles, err = roles(claims, v.RolesClaim); err != nil {
			return interlock.Actor{}, err
		}
	}
	return actor, nil
}

// readPerson: behind a service there need not be anybody.
func (v *verifier) readPerson(claims map[string]any, actor *interlock.Actor) (err error) {
	if v.PersonClaim == "" {
		return nil
	}
	if _, there := claims[v.PersonClaim]; !there && actor.Kind == interlock.Service {
		return nil
	}
	actor.Person, err = identifier(claims, v.PersonClaim)
	return err
}

// readBehalf finds out who asks for whom. A token that names a second party and
// isn't understood is refused: taken for the first alone it would hide who acted.
func (v *verifier) readBehalf(claims map[string]any, actor *interlock.Actor) error {
	act, acts := claims["act"]
	_, named := claims[v.BehalfClaim]
	named = named && v.BehalfClaim != ""
	switch {
	case !acts && !named:
		return nil
	case acts && named:
		return credentialError("the token says by act and by " + v.BehalfClaim + " for whom it asks: one of them")
	case named && actor.Kind != interlock.Service:
		return credentialError("only a service's token may have " + v.BehalfClaim)
	case named:
		id, err := identifier(claims, v.BehalfClaim)
		if err != nil {
			return err
		}
		// The human of the token is the one behind the account that is acted for.
		actor.OnBehalfOf = &interlock.Actor{ID: id, Person: actor.Person, Kind: interlock.User}
		actor.Person = ""
	case actor.Kind == interlock.Service:
		return credentialError("a service's token with act: nobody acts for a service here")
	default:
		id, err := v.actorOf(act)
		if err != nil {
			return err
		}
		actor.OnBehalfOf = &interlock.Actor{ID: actor.ID, Person: actor.Person, Kind: interlock.User}
		actor.ID, actor.Person, actor.Kind = id, "", interlock.Service
	}
	if actor.OnBehalfOf.ID == actor.ID {
		return credentialError("the token says that " + actor.ID + " asks on behalf of itself")
	}
	return nil
}

// actorOf reads `act` (RFC 8693, 4.1).
func (v *verifier) actorOf(act any) (string, error) {
	members, ok := act.(map[string]any)
	if !ok {
		return "", credentialError("the token's act must be an object")
	}
	if _, chain := members["act"]; chain {
		return "", credentialError("the token's act holds another act: one acts for one other, not a chain of them")
	}
	if iss, there := members["iss"]; there && iss != v.Issuer {
		return "", credentialError("the token's act is an actor of another issuer")
	}
	id, _ := members["sub"].(string)
	if !interlock.ValidID(id) || interlock.IsReservedActor(id) {
		return "", credentialError("the token's act must have a sub like [A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
	}
	return id, nil
}

// identifier reads an id. Those of API keys and operators are nobody's to claim.
func identifier(claims map[string]any, name string) (string, error) {
	id, _ := claims[name].(string)
	if !interlock.ValidID(id) || interlock.IsReservedActor(id) {
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
