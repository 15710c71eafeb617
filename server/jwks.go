package server

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

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

const (
	maxKeyFile  = 1 << 20
	minRSABits  = 2048
	keyInterval = time.Second // between two looks at the file
)

// verifyKey is one key for one algorithm.
type verifyKey struct {
	kid, alg string
	key      any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or []byte
}

// keys are the issuer's, as the file says.
type keys struct {
	path    string
	allowed []string
	log     *slog.Logger
	now     func() time.Time

	mu     sync.Mutex
	known  []verifyKey
	looked time.Time
	stamp  fileStamp
}

type fileStamp struct {
	modified time.Time
	size     int64
}

func openKeys(cfg JWTConfig) (*keys, error) {
	k := &keys{path: cfg.KeyFile, allowed: cfg.Algorithms, log: cfg.Logger, now: time.Now}
	var err error
	if k.path == "" {
		k.known, err = parseKeys(cfg.KeySet, k.allowed)
	} else {
		err = k.load()
	}
	if err != nil {
		return nil, err
	}
	if len(k.known) == 0 {
		return nil, errors.New("key set: there is no key in it")
	}
	return k, nil
}

// find returns the one key that the header names. Without kid there must be only
// one key of the algorithm: trying several would make the choice the sender's.
func (k *keys) find(h header) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refresh()
	var found []verifyKey
	for _, key := range k.known {
		if key.alg == h.alg && (h.kid == "" || key.kid == h.kid) {
			found = append(found, key)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].key, nil
	case h.kid == "" && len(found) > 1:
		return nil, credentialError("the token must say by its kid which key signed it")
	}
	return nil, credentialError("the token is signed with a key that this server doesn't know for its alg")
}

// refresh reads the file again when it has changed. What can't be used leaves the
// keys that there are: a slip of an editor must not lock everybody out.
func (k *keys) refresh() {
	if k.path == "" || k.now().Sub(k.looked) < keyInterval {
		return
	}
	k.looked = k.now()
	info, err := os.Stat(k.path)
	if err == nil && (fileStamp{info.ModTime(), info.Size()}) == k.stamp {
		return
	}
	if err == nil {
		err = k.load()
	}
	if err != nil {
		k.log.Error("key set not reloaded, the former keys stay", "error", err)
	}
}

func (k *keys) load() error {
	file, err := os.Open(k.path)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if len(data) > maxKeyFile {
		return fmt.Errorf("key file %s: larger than 1 MiB", k.path)
	}
	known, err := parseKeys(data, k.allowed)
	if err != nil {
		return fmt.Errorf("key file %s: %w", k.path, err)
	}
	k.known, k.stamp, k.looked = known, fileStamp{info.ModTime(), info.Size()}, k.now()
	return nil
}

// parseKeys reads a key set; every key in it must be one that can be used.
func parseKeys(data []byte, allowed []string) ([]verifyKey, error) {
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

func usable(key jwk.Key, allowed []string) (verifyKey, error) {
	if private, err := jwk.IsPrivateKey(key); err == nil && private {
		return verifyKey{}, errors.New("it is a private key: a server that only verifies needs the public half alone")
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
