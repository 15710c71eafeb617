package tokens

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/interlock-go/interlock"
)

var setup = interlock.SystemActor("acme", "setup")

const (
	rsHead = `{"alg":"RS256","typ":"JWT","kid":"rsa-1"}`
	esHead = `{"alg":"ES256","typ":"JWT","kid":"ec-1"}`
	edHead = `{"alg":"EdDSA","typ":"at+jwt","kid":"ed-1"}`
	sHead  = `{"alg":"ES256","typ":"svc+jwt","kid":"ec-s"}`
)

func encode(all, changed map[string]any) string {
	for name, value := range changed {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = value
	}
	out, err := json.Marshal(all)
	if err != nil {
		panic(err) // only ever given values that encode
	}
	return string(out)
}

// claims are good ones of a person with some members replaced; nil removes.
func (d *desk) claims(changed change) string {
	return encode(change{"iss": people, "aud": audience, "sub": "erin", "tenant": "acme", "person": "p-erin",
		"iat": noon.Unix() - 60, "exp": noon.Unix() + 600}, changed)
}

// serviceClaims are good ones of a service.
func (d *desk) serviceClaims(changed change) string {
	return encode(change{"iss": services, "aud": audience, "sub": "bot", "tenant": "acme", "gty": "client-credentials",
		"iat": noon.Unix() - 60, "exp": noon.Unix() + 600}, changed)
}

func (d *desk) es(changed change) string { return d.p.sign(d.t, "ec", esHead, d.claims(changed)) }

func (d *desk) goodOnes() []credential {
	ok := func(name, token, path string) credential {
		return credential{name: name, headers: bearer(token), path: path, status: 200}
	}
	service := func(head string, changed change) string { return d.s.sign(d.t, "ec", head, d.serviceClaims(changed)) }
	good := []credential{
		ok("RSA", d.p.sign(d.t, "rsa", rsHead, d.claims(nil)), ""),
		ok("EC", d.es(nil), ""),
		ok("Ed25519, access token's typ", d.p.sign(d.t, "ed", edHead, d.claims(nil)), ""),
		ok("it is erin", d.es(nil), self("erin")),
		ok("no kid, one key of the alg", d.p.sign(d.t, "ec", `{"alg":"ES256","typ":"JWT"}`, d.claims(nil)), ""),
		ok("typ in capitals with its prefix", d.p.sign(d.t, "ec", `{"alg":"ES256","typ":"application/AT+JWT","kid":"ec-1"}`, d.claims(nil)), ""),
		ok("several audiences", d.es(change{"aud": []string{"other", audience}}), ""),
		ok("expired within leeway", d.es(change{"exp": noon.Unix() - 9}), ""),
		ok("not before, within leeway", d.es(change{"nbf": noon.Unix() + 10}), ""),
		ok("issued in the future, within leeway", d.es(change{"iat": noon.Unix() + 10}), ""),
		ok("longest life", d.es(change{"iat": noon.Unix(), "exp": noon.Unix() + 3600}), ""),
		ok("a claim of any name", d.es(change{"é": "ü", "kind": "system", "roles": []string{"interlock:admin"}}), ""),
		ok("a service by typ and claim", service(sHead, nil), self("bot")),
		ok("a service for a user", service(sHead, change{"for": "erin"}), ""),
		ok("a person of the other issuer", service(`{"alg":"ES256","typ":"at+jwt","kid":"ec-s"}`, change{"gty": nil, "sub": "sam"}), self("sam")),
		ok("an actor acts for the subject", d.es(change{"act": change{"sub": "agent"}}), ""),
		ok("an API key", d.keys["good"], self("key~billing")),
		{name: "lower case bearer", headers: []string{"Authorization: bearer " + d.es(nil)}, status: 200},
		{name: "a peer says who asks", headers: []string{"X-User: una", "X-Person: p-una", "X-Tenant: acme"}, unix: true, path: self("una"), status: 200},
		{name: "a token at the Unix socket", headers: bearer(d.es(nil)), unix: true, status: 200},
		{name: "the issuer's roles are none", headers: bearer(d.es(change{"roles": []string{"interlock:admin"}})), path: self("mark"), status: 403, code: "denied"},
		{name: "a peer's reserved roles are none", headers: []string{"X-User: una", "X-Person: p-una", "X-Tenant: acme", "X-Roles: interlock:admin, system"},
			unix: true, path: self("mark"), status: 403, code: "denied"},
		{name: "of another tenant", headers: bearer(d.es(change{"tenant": "elsewhere"})), status: 404, code: "not_found"},
		{name: "an API key of another tenant", headers: bearer(d.keys["elsewhere"]), status: 404, code: "not_found"},
		{name: "nobody", status: 401, code: "unauthenticated"},
	}
	return good
}

func (d *desk) badHeaders() []credential {
	sign := func(with, head string) string { return d.p.sign(d.t, with, head, d.claims(nil)) }
	with := func(members string) string { return sign("ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1",`+members+`}`) }
	jwk := fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"}`, b64(d.other.rsa.N.Bytes()))
	return tokens("header: ", map[string]string{
		"alg none":                         sign("nothing", `{"alg":"none","typ":"JWT"}`),
		"alg None":                         sign("nothing", `{"alg":"None","typ":"JWT"}`),
		"alg nOnE":                         sign("nothing", `{"alg":"nOnE","typ":"JWT"}`),
		"alg empty":                        sign("ec", `{"alg":"","typ":"JWT","kid":"ec-1"}`),
		"alg missing":                      sign("ec", `{"typ":"JWT","kid":"ec-1"}`),
		"alg a number":                     sign("ec", `{"alg":256,"typ":"JWT","kid":"ec-1"}`),
		"alg a list":                       sign("ec", `{"alg":["ES256"],"typ":"JWT","kid":"ec-1"}`),
		"alg in lower case":                sign("ec", `{"alg":"es256","typ":"JWT","kid":"ec-1"}`),
		"alg with a blank":                 sign("ec", `{"alg":"ES256 ","typ":"JWT","kid":"ec-1"}`),
		"alg not listed":                   sign("pss", `{"alg":"PS256","typ":"JWT","kid":"rsa-1"}`),
		"HS256 with the public key as PEM": sign("hs-pem", `{"alg":"HS256","typ":"JWT","kid":"rsa-1"}`),
		"HS256 with the public key as DER": sign("hs-der", `{"alg":"HS256","typ":"JWT","kid":"rsa-1"}`),
		"HS256 with the modulus":           sign("hs-modulus", `{"alg":"HS256","typ":"JWT"}`),
		"HS256 with nothing":               sign("hs-empty", `{"alg":"HS256","typ":"JWT"}`),
		"RS256 by the EC key's name":       sign("rsa", `{"alg":"RS256","typ":"JWT","kid":"ec-1"}`),
		"ES256 by the RSA key's name":      sign("ec", `{"alg":"ES256","typ":"JWT","kid":"rsa-1"}`),
		"by a key for encryption":          sign("rsa", `{"alg":"RS256","typ":"JWT","kid":"enc-1"}`),
		"kid unknown":                      sign("ec", `{"alg":"ES256","typ":"JWT","kid":"ec-9"}`),
		"kid a path":                       sign("ec", `{"alg":"ES256","typ":"JWT","kid":"../../../../dev/null"}`),
		"kid SQL":                          sign("ec", `{"alg":"ES256","typ":"JWT","kid":"x' UNION SELECT 'ec-1"}`),
		"kid a URL":                        sign("ec", `{"alg":"ES256","typ":"JWT","kid":"http://127.0.0.1/jwks"}`),
		"kid a command":                    sign("ec", `{"alg":"ES256","typ":"JWT","kid":"|/bin/true"}`),
		"kid with NUL":                     sign("ec", `{"alg":"ES256","typ":"JWT","kid":"ec-1\u0000"}`),
		"kid not ASCII":                    sign("ec", `{"alg":"ES256","typ":"JWT","kid":"еc-1"}`),
		"kid empty":                        sign("ec", `{"alg":"ES256","typ":"JWT","kid":""}`),
		"kid a number":                     sign("ec", `{"alg":"ES256","typ":"JWT","kid":1}`),
		"kid null":                         sign("ec", `{"alg":"ES256","typ":"JWT","kid":null}`),
		"kid too long":                     sign("ec", `{"alg":"ES256","typ":"JWT","kid":"`+strings.Repeat("k", 129)+`"}`),
		"kid of the other issuer":          sign("ec", `{"alg":"ES256","typ":"JWT","kid":"ec-s"}`),
		"own jwk":                          d.other.sign(d.t, "rsa", `{"alg":"RS256","typ":"JWT","jwk":`+jwk+`}`, d.claims(nil)),
		"jku":                              with(`"jku":"https://evil.example/jwks"`),
		"x5u":                              with(`"x5u":"https://evil.example/cert"`),
		"x5c":                              with(`"x5c":["MIIB"]`),
		"crit":                             with(`"crit":["exp"]`),
		"crit empty":                       with(`"crit":[]`),
		"b64":                              with(`"b64":false`),
		"zip":                              with(`"zip":"DEF"`),
		"enc":                              with(`"enc":"A256GCM"`),
		"cty":                              with(`"cty":"JWT"`),
		"p2c":                              with(`"p2c":2147483647`),
		"typ missing":                      sign("ec", `{"alg":"ES256","kid":"ec-1"}`),
		"typ of a logout token":            sign("ec", `{"alg":"ES256","typ":"logout+jwt","kid":"ec-1"}`),
		"typ of a security event":          sign("ec", `{"alg":"ES256","typ":"secevent+jwt","kid":"ec-1"}`),
		"typ of the other issuer's":        sign("ec", `{"alg":"ES256","typ":"svc+jwt","kid":"ec-1"}`),
		"twice the same member":            sign("ec", `{"alg":"ES256","alg":"ES256","typ":"JWT","kid":"ec-1"}`),
		"not an object":                    sign("ec", `["ES256"]`),
		"null":                             sign("ec", `null`),
		"two objects":                      sign("ec", esHead+`{}`),
		"not UTF-8":                        sign("ec", "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ec-1\",\"x\":\"\xff\"}"),
	})
}

func (d *desk) badForms() []credential {
	good := d.es(nil)
	part := strings.Split(good, ".")
	return tokens("form: ", map[string]string{
		"signature of another kind":  d.p.sign(d.t, "ec-der", esHead, d.claims(nil)),
		"signature of zeros":         d.p.sign(d.t, "ec-zero", esHead, d.claims(nil)),
		"signature of another key":   d.other.sign(d.t, "ec", esHead, d.claims(nil)),
		"signature of another issue": part[0] + "." + part[1] + "." + strings.Split(d.es(change{"sub": "mark"}), ".")[2],
		"no signature":               part[0] + "." + part[1] + ".",
		"no signature, two parts":    part[0] + "." + part[1],
		"truncated":                  good[:len(good)-1],
		"cut in the middle":          good[:len(good)/2],
		"claims of another token":    part[0] + "." + b64([]byte(d.claims(change{"sub": "mark"}))) + "." + part[2],
		"padded":                     good + "=",
		"a character more":           good + "A",
		"other last bits":            otherSpelling(good),
		"standard base64":            part[0] + "." + part[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(part[2]) + "+",
		"not ASCII":                  part[0] + "." + part[1] + ".é" + part[2],
		"five parts, a JWE":          b64([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + "..a.b.c",
		"JSON serialisation":         `{"payload":"` + part[1] + `","signatures":[]}`,
		"flattened JSON":             `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`,
		"oversized":                  part[0] + "." + b64([]byte(strings.Repeat(" ", 9000))) + "." + part[2],
		"dots":                       "..",
		"a word":                     "token",
		"a demonstration's":          "demo-erin",
		"wrapped in quotes":          `"` + good + `"`,
	})
}

// otherSpelling sets a bit of the last character that decoding would throw away.
func otherSpelling(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

func (d *desk) badClaims() []credential {
	now := noon.Unix()
	raw := func(claims string) string { return d.p.sign(d.t, "ec", esHead, claims) }
	replace := func(old, new string) string { return raw(strings.Replace(d.claims(nil), old, new, 1)) }
	all := tokens("claims: ", map[string]string{
		"iss missing": d.es(change{"iss": nil}), "iss of nobody": d.es(change{"iss": people + "/"}), "iss a list": d.es(change{"iss": []string{people}}),
		"iss the other issuer's, own key": d.es(change{"iss": services}),
		"aud missing":                     d.es(change{"aud": nil}), "aud other": d.es(change{"aud": "interlock2"}), "aud empty": d.es(change{"aud": []string{}}),
		"aud with a number": d.es(change{"aud": []any{audience, 1}}), "aud in capitals": d.es(change{"aud": "Interlock"}), "aud an object": d.es(change{"aud": change{"a": audience}}),
		"exp missing": d.es(change{"exp": nil}), "exp past leeway": d.es(change{"exp": now - 10}), "exp text": d.es(change{"exp": fmt.Sprint(now + 600)}),
		"exp zero": d.es(change{"exp": 0}), "exp negative": d.es(change{"exp": -1}), "exp beyond time": d.es(change{"exp": 1e300}), "exp null": replace(`"exp":`, `"exp":null,"x":`),
		"nbf past leeway": d.es(change{"nbf": now + 11}), "nbf text": d.es(change{"nbf": "x"}), "iat past leeway": d.es(change{"iat": now + 11}), "iat text": d.es(change{"iat": "x"}),
		"a second too long a life": d.es(change{"iat": now, "exp": now + 3601}), "no iat, too long a rest": d.es(change{"iat": nil, "exp": now + 3601}),
		"sub missing": d.es(change{"sub": nil}), "sub empty": d.es(change{"sub": ""}), "sub a number": d.es(change{"sub": 7}), "sub a path": d.es(change{"sub": "../mark"}),
		"sub with a blank": d.es(change{"sub": "erin "}), "sub not ASCII": d.es(change{"sub": "еrin"}), "sub with NUL": d.es(change{"sub": "erin\x00"}),
		"sub too long": d.es(change{"sub": strings.Repeat("a", 129)}), "sub of an API key": d.es(change{"sub": "key~billing"}), "sub of an operator": d.es(change{"sub": "operator~root"}),
		"tenant missing": d.es(change{"tenant": nil}), "tenant empty": d.es(change{"tenant": ""}), "tenant two": d.es(change{"tenant": []string{"acme"}}),
		"tenant a path": d.es(change{"tenant": "acme/x"}), "tenant a number": d.es(change{"tenant": 1}),
		"person missing": d.es(change{"person": nil}), "person a number": d.es(change{"person": 1}),
		"twice sub": replace(`"sub":`, `"sub":"mark","sub":`), "twice sub by escape": replace(`"sub":`, `"\u0073ub":"mark","sub":`), "twice deep down": replace(`"sub":`, `"x":{"a":1,"a":2},"sub":`),
		"a list": raw(`[]`), "null": raw(`null`), "followed by more": raw(d.claims(nil) + "x"), "not UTF-8": replace("erin", "er\xffin"), "a lone surrogate": replace("erin", `er\ud800in`),
		"an id token's nonce": d.es(change{"nonce": "n"}), "an id token's at_hash": d.es(change{"at_hash": "h"}), "a security event": d.es(change{"events": change{}}),
		"bound to a key": d.es(change{"cnf": change{"jkt": "x"}}),
	})
	return append(all, credential{name: "claims: another person's account", headers: bearer(d.es(change{"sub": "uma"})), status: 403, code: "person_mismatch"})
}
