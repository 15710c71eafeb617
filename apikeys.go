package interlock

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"time"

	"github.com/interlock-go/interlock/fsm"
)

// APIKey is an API key of a service, as it is stored: without the secret.
type APIKey struct {
	Tenant    string
	ID        string // the part of the key by which it is found
	Name      string // of the service; several keys may have one, so that they can be changed without a gap
	Hash      []byte // of the whole key: see [NewAPIKey]
	CreatedBy string // actor id
	CreatedAt time.Time
	Expires   time.Time // zero: never
	RevokedBy string
	RevokedAt time.Time // zero: not revoked
}

// Actor is who asks with the key: the service "key~" + Name. Roles are granted
// to that id like to any other. It belongs to keys alone ([IsReservedActor]), so that
// no key is ever taken for a person.
func (k APIKey) Actor() Actor {
	return Actor{Tenant: k.Tenant, ID: keyActorPrefix + k.Name, Kind: Service}
}

// IsReservedActor tells ids that an identity must refuse: those of API keys ("key~"),
// which come from keys alone, and those of operators at the command line
// ("operator~"), who have the store and no identity.
func IsReservedActor(id string) bool {
	return strings.HasPrefix(id, keyActorPrefix) || strings.HasPrefix(id, "operator~")
}

const (
	keyActorPrefix = "key~"
	keyPrefix      = "il_"
	keyIDLength    = 16
	secretLength   = 52
	sumLength      = 7
	maxAPIKeyName  = 100
)

// APIKeyStore is what a [Store] also has where API keys are used.
type APIKeyStore interface {
	// APIKey finds a key by its id, in whichever tenant; nil, nil: unknown.
	APIKey(ctx context.Context, id string) (*APIKey, error)
	// APIKeys lists a tenant's keys ordered by id, from after the given id, at most limit.
	APIKeys(ctx context.Context, tenant, after string, limit int) ([]APIKey, error)
}

// NewAPIKey makes an API key: il_<id>_<secret>, the last 7 characters of which are
// a checksum that tells a slip of the pen from a key that was revoked. Only id
// and hash are for the server ([Gate.AddAPIKey]); the key itself is for whoever
// uses it, and kept nowhere else.
//
// The hash is a plain SHA-256: the secret is 260 random bits, which no number of
// guesses finds. Slow hashes protect what people think up; here they would only
// slow down every request.
func NewAPIKey() (key, id string, hash []byte) {
	id = strings.ToLower(rand.Text())[:keyIDLength]
	body := keyPrefix + id + "_" + strings.ToLower(rand.Text()+rand.Text())
	key = body + keySum(body)
	return key, id, keyHash(key)
}

var keyText = base32.StdEncoding.WithPadding(base32.NoPadding)

func keySum(body string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body)))
	return strings.ToLower(keyText.EncodeToString(sum))
}

func keyHash(key string) []byte {
	sum := sha256.Sum256([]byte("interlock/key/v1\x00" + key))
	return sum[:]
}

// parseKey finds the id in a key that has the form of one.
func parseKey(key string) (id string, ok bool) {
	body, hasPrefix := strings.CutPrefix(key, keyPrefix)
	if !hasPrefix || len(body) != keyIDLength+1+secretLength+sumLength || body[keyIDLength] != '_' {
		return "", false
	}
	if id = body[:keyIDLength]; !keyLetters(id) || !keyLetters(body[keyIDLength+1:]) {
		return "", false
	}
	end := len(key) - sumLength
	return id, keySum(key[:end]) == key[end:]
}

func keyLetters(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || '2' <= c && c <= '7') {
			return false
		}
	}
	return true
}

// IsAPIKey tells credentials that are meant to be an API key from others.
func IsAPIKey(credentials string) bool { return strings.HasPrefix(credentials, keyPrefix) }

// APIKeyActor says who asks with an API key. It looks at the store each time, so a
// revoked key is refused from the moment that [Gate.RevokeAPIKey] has returned. The
// actor remembers its key: what was let in before that, and was not committed,
// isn't committed after it. What is unknown, wrong, expired or revoked is one and
// the same refusal.
func (g *Gate) APIKeyActor(ctx context.Context, key string) (Actor, error) {
	id, ok := parseKey(key)
	if !ok {
		return Actor{}, identity("unauthenticated", "this is no API key, or not the whole of one")
	}
	keys, no := g.keyStore()
	if no != nil {
		return Actor{}, no
	}
	k, no := g.storedKey(ctx, keys, id)
	if no != nil {
		return Actor{}, no
	}
	want := make([]byte, sha256.Size) // an unknown id takes as long as a wrong secret
	if k != nil {
		want = k.Hash
	}
	same := subtle.ConstantTimeCompare(keyHash(key), want) == 1
	if k == nil || !same || !k.RevokedAt.IsZero() || !k.Expires.IsZero() && !g.now().Before(k.Expires) {
		return Actor{}, noKey()
	}
	actor := k.Actor()
	actor.apiKey = k.ID
	return actor, nil
}

func noKey() *Refusal {
	return identity("unauthenticated", "this API key is not known, has expired or was revoked")
}

// keyStands tells, after a commit that didn't find everything as it was, whether
// it is the key that is gone.
func (g *Gate) keyStands(ctx context.Context, q *question) *Refusal {
	if q.actor.apiKey == "" {
		return nil
	}
	keys, no := g.keyStore()
	if no != nil {
		return no
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	k, err := keys.APIKey(limited, q.actor.apiKey)
	switch {
	case err != nil:
		return unavailable("store_failed", "the store doesn't answer", err)
	case k == nil || !k.RevokedAt.IsZero():
		return noKey()
	}
	return nil
}

// AddAPIKey stores a key that [NewAPIKey] made, of which ID, Name, Hash and Expires
// count. Only an actor with AdminRole may, or the system, under the rules of
// [Gate.Grant]: it is a row in the history of the key's actor. An id that is
// there already is the refusal conflict/exists.
func (g *Gate) AddAPIKey(ctx context.Context, by Actor, k APIKey) (APIKey, error) {
	if _, no := g.keyAdmin(ctx, by); no != nil {
		return APIKey{}, no
	}
	k.Expires = k.Expires.UTC().Truncate(time.Microsecond)
	if wrong := g.keyFits(k); wrong != nil {
		return APIKey{}, &Refusal{Stage: StageInput, Code: "input_invalid", Message: "the key doesn't fit", Fields: wrong}
	}
	input := map[string]any{"key": k.ID}
	if !k.Expires.IsZero() {
		input["expires"] = k.Expires.Format(time.RFC3339)
	}
	_, err := g.change(ctx, by, k.Actor().ID, "$key", input, func(q *question, a *ActorRecord) (bool, *Refusal) {
		k = APIKey{Tenant: q.actor.Tenant, ID: k.ID, Name: k.Name, Hash: k.Hash, Expires: k.Expires, CreatedBy: q.actor.ID, CreatedAt: q.now}
		q.apiKey = &k
		return true, nil
	})
	return shown(k, err)
}

func (g *Gate) keyFits(k APIKey) []fsm.FieldError {
	var wrong []fsm.FieldError
	bad := func(pointer, message string) {
		wrong = append(wrong, fsm.FieldError{Pointer: pointer, Message: message})
	}
	if len(k.ID) != keyIDLength || !keyLetters(k.ID) {
		bad("/id", "want 16 of a-z and 2-7: the part between the first two underscores of the key")
	}
	if !ValidID(k.Name) || len(k.Name) > maxAPIKeyName {
		bad("/name", "want a name like [A-Za-z0-9][A-Za-z0-9._~-]{0,99}")
	}
	if len(k.Hash) != sha256.Size {
		bad("/hash", "want a SHA-256")
	}
	if !k.Expires.IsZero() && !k.Expires.After(g.now()) {
		bad("/expires_at", "want a time to come")
	}
	return wrong
}

// RevokeAPIKey ends a key for good, under the rules of [Gate.AddAPIKey]. When it has
// returned nil, nothing commits any more that was asked for with the key. One that
// is revoked already stays as it is.
func (g *Gate) RevokeAPIKey(ctx context.Context, by Actor, id string) (APIKey, error) {
	q, no := g.keyAdmin(ctx, by)
	if no != nil {
		return APIKey{}, no
	}
	keys, no := g.keyStore()
	if no != nil {
		return APIKey{}, no
	}
	found, no := g.storedKey(ctx, keys, id)
	if no != nil {
		return APIKey{}, no
	}
	if found == nil || found.Tenant != q.actor.Tenant {
		return APIKey{}, &Refusal{Stage: StageGraph, Code: "not_found", Message: "there is no such key"}
	}
	k := *found
	_, err := g.change(ctx, by, k.Actor().ID, "$key_revoke", map[string]any{"key": id}, func(q *question, _ *ActorRecord) (bool, *Refusal) {
		now, no := g.storedKey(ctx, keys, id) // somebody may have been faster
		if no != nil {
			return false, no
		}
		if now == nil {
			return false, unavailable("store_failed", "the key is gone from the store, which keeps revoked ones, too", nil)
		}
		k = *now
		if !k.RevokedAt.IsZero() {
			return false, nil
		}
		k.RevokedBy, k.RevokedAt = q.actor.ID, q.now
		q.apiKey = &k
		return true, nil
	})
	return shown(k, err)
}

// APIKeys lists the keys of the tenant, revoked and expired ones too, for an
// administrator. Their hashes are left out.
func (g *Gate) APIKeys(ctx context.Context, by Actor) ([]APIKey, error) {
	q, no := g.keyAdmin(ctx, by)
	if no != nil {
		return nil, no
	}
	keys, no := g.keyStore()
	if no != nil {
		return nil, no
	}
	const page = 500
	var all []APIKey
	for after := ""; ; after = all[len(all)-1].ID {
		limited, cancel := g.reading(ctx)
		some, err := keys.APIKeys(limited, q.actor.Tenant, after, page)
		cancel()
		if err != nil {
			return nil, unavailable("store_failed", "the store doesn't answer", err)
		}
		for _, k := range some {
			k.Hash = nil
			all = append(all, k)
		}
		if len(some) < page {
			return all, nil
		}
	}
}

// shown is a key as it may be told: without its hash.
func shown(k APIKey, err error) (APIKey, error) {
	if err != nil {
		return APIKey{}, err
	}
	k.Hash = nil
	return k, nil
}

func (g *Gate) keyStore() (APIKeyStore, *Refusal) {
	if keys, ok := g.cfg.Store.(APIKeyStore); ok {
		return keys, nil
	}
	return nil, unavailable("store_failed", "the store keeps no API keys", errors.New("the store is no interlock.APIKeyStore"))
}

// storedKey is the key of the id; nil, nil: unknown.
func (g *Gate) storedKey(ctx context.Context, keys APIKeyStore, id string) (*APIKey, *Refusal) {
	limited, cancel := g.reading(ctx)
	defer cancel()
	k, err := keys.APIKey(limited, id)
	if err != nil {
		return nil, unavailable("store_failed", "the store doesn't answer", err)
	}
	return k, nil
}

// keyAdmin lets nobody but an administrator learn which keys there are.
func (g *Gate) keyAdmin(ctx context.Context, by Actor) (*question, *Refusal) {
	q, no := g.ask(opActor, by, Ref{Machine: ActorMachine})
	if no != nil {
		return nil, no
	}
	_, _, no = g.admin(ctx, q)
	return q, no
}
