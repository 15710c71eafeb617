package tokens

import (
	"strings"

	"github.com/interlock-go/interlock"
)

func (d *desk) badAuthorization() []credential {
	good := d.es(nil)
	all := refused("authorization: ", map[string][]string{
		"basic":            {"Authorization: Basic ZXJpbjpwYXNz"},
		"no scheme":        {"Authorization: " + good},
		"no token":         {"Authorization: Bearer"},
		"empty":            {"Authorization:"},
		"two tokens":       {"Authorization: Bearer " + good + " " + good},
		"a list of tokens": {"Authorization: Bearer " + good + ", Bearer " + good},
		"two blanks":       {"Authorization: Bearer  " + good},
		"a tab":            {"Authorization: Bearer\t" + good},
		"token as scheme":  {"Authorization: Token " + good},
		"DPoP":             {"Authorization: DPoP " + good},
		"in another place": {"Proxy-Authorization: Bearer " + good},
		"in a cookie":      {"Cookie: access_token=" + good},
		"overridden":       {"X-Original-Authorization: Bearer " + good, "X-HTTP-Method-Override: GET"},
	})
	return append(all,
		credential{name: "authorization: twice", headers: []string{"Authorization: Bearer " + good, "Authorization: Bearer " + good}, status: 400, code: "malformed"},
		credential{name: "authorization: twice, one of them empty", headers: []string{"Authorization: Bearer " + good, "authorization:"}, status: 400, code: "malformed"},
		credential{name: "authorization: in the query", path: page + "?access_token=" + good, status: 401, code: "unauthenticated"},
	)
}

func (d *desk) badServices() []credential {
	sign := func(head string, changed change) string { return d.s.sign(d.t, "ec", head, d.serviceClaims(changed)) }
	person := `{"alg":"ES256","typ":"at+jwt","kid":"ec-s"}`
	return tokens("services: ", map[string]string{
		"typ of a service, claim of none":      sign(sHead, change{"gty": nil}),
		"typ of a service, claim of another":   sign(sHead, change{"gty": "password"}),
		"typ of a person, claim of a service":  sign(person, nil),
		"typ not of this issuer":               sign(`{"alg":"ES256","typ":"JWT","kid":"ec-s"}`, nil),
		"a person for another":                 sign(person, change{"gty": nil, "for": "erin"}),
		"for itself":                           sign(sHead, change{"for": "bot"}),
		"for nobody":                           sign(sHead, change{"for": ""}),
		"for several":                          sign(sHead, change{"for": []string{"erin", "mark"}}),
		"for an API key":                       sign(sHead, change{"for": "key~billing"}),
		"by two ways":                          sign(sHead, change{"for": "erin", "act": change{"sub": "agent"}}),
		"an actor for a service":               sign(sHead, change{"act": change{"sub": "agent"}}),
		"alg of another issuer":                d.s.sign(d.t, "rsa", `{"alg":"RS256","typ":"svc+jwt","kid":"rsa-1"}`, d.serviceClaims(nil)),
		"issuer says services, key of people":  d.p.sign(d.t, "ec", `{"alg":"ES256","typ":"svc+jwt","kid":"ec-s"}`, d.serviceClaims(nil)),
		"issuer says people, key of services":  d.s.sign(d.t, "ec", esHead, d.claims(nil)),
		"act a text":                           d.es(change{"act": "agent"}),
		"act without sub":                      d.es(change{"act": change{}}),
		"act of another issuer":                d.es(change{"act": change{"sub": "agent", "iss": services}}),
		"act a chain":                          d.es(change{"act": change{"sub": "agent", "act": change{"sub": "first"}}}),
		"act for itself":                       d.es(change{"act": change{"sub": "erin"}}),
		"act of an API key":                    d.es(change{"act": change{"sub": "key~billing"}}),
		"act of an operator":                   d.es(change{"act": change{"sub": "operator~root"}}),
		"act null":                             d.p.sign(d.t, "ec", esHead, strings.Replace(d.claims(nil), `"sub":`, `"act":null,"sub":`, 1)),
		"a service of an unknown issuer":       sign(sHead, change{"iss": "https://evil.example"}),
		"a service's token signed with secret": d.s.sign(d.t, "hs", `{"alg":"HS256","typ":"svc+jwt","kid":"ec-s"}`, d.serviceClaims(nil)),
	})
}

func (d *desk) badKeys() []credential {
	good := d.keys["good"]
	other, _, _ := interlock.NewAPIKey()
	id := strings.Split(good, "_")[1]
	flipped := []byte(good)
	flipped[30] ^= 'a' ^ 'b'
	all := tokens("API key: ", map[string]string{
		"unknown": d.keys["unknown"], "revoked": d.keys["revoked"],
		"a secret of another": "il_" + id + "_" + strings.Split(other, "_")[2],
		"one letter changed":  string(flipped), "cut off": good[:len(good)-1], "a letter more": good + "a", "in capitals": "il_" + strings.ToUpper(good[3:]),
		"prefix only": "il_", "no secret": "il_" + id + "_", "no id": "il__" + strings.Split(good, "_")[2], "other prefix": "IL_" + good[3:],
		"id a path": "il_../../etc/passw_" + strings.Split(good, "_")[2], "its hash": "il_" + strings.Repeat("a", 64), "hyphens": strings.ReplaceAll(good, "_", "-"),
	})
	return append(all,
		credential{name: "API key: of a service that is switched off", headers: bearer(d.keys["off"]), status: 403, code: "inactive"},
		credential{name: "API key: beside another header", headers: []string{"X-Api-Key: " + good}, status: 401, code: "unauthenticated"},
		credential{name: "API key: may not see keys", headers: bearer(good), path: "/v1/keys", status: 403, code: "denied"},
	)
}

func (d *desk) badPeers() []credential {
	who := []string{"X-Person: p-una", "X-Tenant: acme"}
	with := func(h ...string) []string { return append(append([]string{}, who...), h...) }
	var all []credential
	for name, headers := range map[string][]string{
		"over TCP":                with("X-User: una"),
		"over TCP, lower case":    with("x-user: una"),
		"over TCP, underscore":    with("X_User: una"),
		"over TCP, with a token":  append(bearer(d.es(nil)), "X-User: mark"),
		"over TCP, roles alone":   append(bearer(d.es(nil)), "X-Roles: manager"),
		"over TCP, beside a key":  append(bearer(d.keys["good"]), "X_Roles: manager", "X-Tenant: elsewhere"),
		"over TCP, forwarded for": with("X-User: una", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Client-Cert: Subject=proxy"),
	} {
		all = append(all, credential{name: "peer: " + name, headers: headers, status: 401, code: "unauthenticated"})
	}
	for name, headers := range map[string][]string{
		"twice":              with("X-User: una", "X-User: mark"),
		"twice, empty":       with("X-User: una", "x-user:"),
		"underscore beside":  with("X-User: una", "X_User: mark"),
		"capitals by _":      with("X-User: una", "X_USER: mark"),
		"a dot beside":       with("X-User: una", "X.User: mark"),
		"underscore alone":   with("X_User: una"),
		"roles by _":         with("X-User: una", "X_Roles: manager"),
		"and a token":        append(with("X-User: una"), bearer(d.es(nil))...),
		"no actor":           who,
		"empty actor":        with("X-User:"),
		"an actor's list":    with("X-User: una, mark"),
		"not an id":          with("X-User: ../mark"),
		"of an API key":      with("X-User: key~billing"),
		"of an operator":     with("X-User: operator~root"),
		"no tenant":          {"X-User: una", "X-Person: p-una"},
		"a tenant's path":    {"X-User: una", "X-Person: p-una", "X-Tenant: acme/.."},
		"a person's absence": {"X-User: una", "X-Tenant: acme"},
	} {
		all = append(all, credential{name: "peer: over the socket, " + name, headers: headers, unix: true, status: 401, code: "unauthenticated"})
	}
	return all
}
