package server

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// algorithm says which keys an algorithm takes.
type algorithm struct {
	kty   string
	curve string // EC and OKP
	bytes int    // oct: at least so many, the size of the hash (RFC 7518, 3.2)
}

var algorithms = map[string]algorithm{
	"RS256": {kty: "RSA"}, "RS384": {kty: "RSA"}, "RS512": {kty: "RSA"},
	"PS256": {kty: "RSA"}, "PS384": {kty: "RSA"}, "PS512": {kty: "RSA"},
	"ES256": {kty: "EC", curve: "P-256"}, "ES384": {kty: "EC", curve: "P-384"}, "ES512": {kty: "EC", curve: "P-521"},
	"EdDSA": {kty: "OKP", curve: "Ed25519"},
	"HS256": {kty: "oct", bytes: 32}, "HS384": {kty: "oct", bytes: 48}, "HS512": {kty: "oct", bytes: 64},
}

const minRSABits = 2048

// verifyKey is one key for one algorithm.
type verifyKey struct {
	kid, alg string
	key      any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or []byte
}

// parseKeys reads a key set. Of a set that was made for this server every key
// must be one that can be used; of a published one the others are left out, as
// those for encryption.
func parseKeys(data []byte, allowed []string, published bool) ([]verifyKey, error) {
	members, err := object(data)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	list, ok := members["keys"].([]any)
	if !ok {
		return nil, errors.New(`key set: want {"keys": [...]} (RFC 7517)`)
	}
	set, err := jwk.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if set.Len() != len(list) {
		return nil, errors.New("key set: a key in it can't be read")
	}
	var out []verifyKey
	for i := range set.Len() {
		key, _ := set.Key(i)
		one, err := usable(key, allowed)
		if err != nil && published && !errors.Is(err, errPrivateKey) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("key set: key %d: %w", i, err)
		}
		if slices.ContainsFunc(out, func(o verifyKey) bool { return o.kid == one.kid }) {
			return nil, fmt.Errorf("key set: key %d: kid %q is there twice", i, one.kid)
		}
		out = append(out, one)
	}
	return out, nil
}

var errPrivateKey = errors.New("it is a private key: a server that only verifies needs the public half alone")

func usable(key jwk.Key, allowed []string) (verifyKey, error) {
	if private, err := jwk.IsPrivateKey(key); err == nil && private {
		return verifyKey{}, errPrivateKey
	}
	if err := key.Validate(); err != nil {
		return verifyKey{}, err
	}
	if use, ok := key.KeyUsage(); ok && use != "sig" {
		return verifyKey{}, fmt.Errorf("use %q: want sig", use)
	}
	kid, _ := key.KeyID()
	if len(kid) > 128 {
		return verifyKey{}, errors.New("kid is longer than 128 bytes")
	}
	name, err := algorithmOf(key, allowed)
	if err != nil {
		return verifyKey{}, err
	}
	var raw any
	if err := jwk.Export(key, &raw); err != nil {
		return verifyKey{}, err
	}
	if err := fits(raw, name); err != nil {
		return verifyKey{}, err
	}
	return verifyKey{kid: kid, alg: name, key: raw}, nil
}

// algorithmOf gives the key its one algorithm: what it says, or the only accepted
// one that takes such keys.
func algorithmOf(key jwk.Key, allowed []string) (string, error) {
	if alg, ok := key.Algorithm(); ok {
		name := alg.String()
		if !slices.Contains(allowed, name) {
			return "", fmt.Errorf("alg %q is not among the accepted algorithms", name)
		}
		return name, nil
	}
	kty := key.KeyType().String()
	var fitting []string
	for _, name := range allowed {
		a := algorithms[name]
		if a.kty == kty && (kty != jwa.EC().String() || a.curve == curveOf(key)) {
			fitting = append(fitting, name)
		}
	}
	if len(fitting) != 1 {
		return "", fmt.Errorf("it has no alg, and of the accepted algorithms %d take a key of type %s: add alg to the key", len(fitting), kty)
	}
	return fitting[0], nil
}

func curveOf(key jwk.Key) string {
	var crv jwa.EllipticCurveAlgorithm
	if err := key.Get(jwk.ECDSACrvKey, &crv); err != nil {
		return ""
	}
	return crv.String()
}

func fits(raw any, alg string) error {
	want := algorithms[alg]
	switch key := raw.(type) {
	case *rsa.PublicKey:
		if want.kty == "RSA" && key.N.BitLen() >= minRSABits {
			return nil
		}
	case *ecdsa.PublicKey:
		if want.kty == "EC" && key.Params().Name == want.curve {
			return nil
		}
	case ed25519.PublicKey:
		if want.kty == "OKP" {
			return nil
		}
	case []byte:
		if want.kty == "oct" && len(key) >= want.bytes {
			return nil
		}
	}
	return fmt.Errorf("it is no key for %s, or too short: want RSA of at least 2048 bits, EC of the algorithm's curve, Ed25519, or as many secret bytes as the hash has", alg)
}
