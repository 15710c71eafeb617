package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// header is what chooses a key.
type header struct{ alg, kid string }

// parsedToken is a token that has the form of one; nothing in it is believed yet.
type parsedToken struct {
	header
	typ    string
	claims map[string]any
}

// refusedHeaders would have more done than one plain signature checked by a
// known key, or another key fetched.
var refusedHeaders = []string{"crit", "b64", "jku", "jwk", "x5u", "x5c", "cty", "zip", "enc", "p2c", "p2s", "epk"}

// parseToken reads a compact JWS strictly and only once: what is verified is
// what is read.
func parseToken(token string) (*parsedToken, error) {
	for i := range len(token) {
		c := token[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return nil, credentialError("the token is not a compact JWS")
		}
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return nil, credentialError("the token is not a compact JWS: want three parts")
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = strictBase64.DecodeString(part); err != nil {
			return nil, credentialError("the token is not a compact JWS: its parts must be base64url")
		}
	}
	members, err := object(raw[0])
	if err != nil {
		return nil, credentialError("the token's header is not one JSON object without duplicates")
	}
	out := &parsedToken{}
	if out.header, err = readHeader(members); err != nil {
		return nil, err
	}
	out.typ, _ = members["typ"].(string)
	if out.claims, err = object(raw[1]); err != nil {
		return nil, credentialError("the token's claims are not one JSON object without duplicates")
	}
	return out, nil
}

func readHeader(members map[string]any) (header, error) {
	for _, name := range refusedHeaders {
		if _, ok := members[name]; ok {
			return header{}, credentialError("the token's header has " + name + ", which is not accepted")
		}
	}
	alg, _ := members["alg"].(string)
	kid, isString := members["kid"].(string)
	if _, present := members["kid"]; present && (!isString || !plainKid(kid)) {
		return header{}, credentialError("the token's kid must be a string of 1 to 128 printable ASCII characters")
	}
	return header{alg: alg, kid: kid}, nil
}

// plainKid: a kid is a key of a map and never anything else.
func plainKid(kid string) bool {
	for i := range len(kid) {
		if kid[i] < ' ' || kid[i] > '~' {
			return false
		}
	}
	return 0 < len(kid) && len(kid) <= 128
}

// accepts refuses what this issuer doesn't sign.
func (v *verifier) accepts(t *parsedToken) error {
	if !ofType(v.Types, t.typ) && !ofType(v.ServiceTypes, t.typ) {
		return credentialError("the token's typ must be " + strings.Join(slices.Concat(v.Types, v.ServiceTypes), " or "))
	}
	if !slices.Contains(v.Algorithms, t.alg) {
		return credentialError("the token's alg is not one that this server accepts")
	}
	return nil
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
