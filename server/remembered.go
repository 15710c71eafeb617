package server

import (
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/interlock-go/interlock"
)

// tokenID is the SHA-256 of a whole token: the token itself is kept nowhere.
type tokenID [sha256.Size]byte

func idOf(token string) tokenID { return sha256.Sum256([]byte(token)) }

// rememberedToken is a token that was verified, and what it holds under: its own
// times and the keys of that moment. Refused tokens are not remembered.
type rememberedToken struct {
	actor       interlock.Actor
	from, until time.Time
	revision    uint64 // of the keys
}

// remembered keeps at most so many verified tokens: two generations of half as
// many, of which the older is dropped when the younger is full. What is asked
// for moves to the younger.
type remembered struct {
	half int

	mu         sync.Mutex
	young, old map[tokenID]rememberedToken
}

// newRemembered is nil where nothing is to be kept.
func newRemembered(most int) *remembered {
	if most < 0 {
		return nil
	}
	return &remembered{half: max(1, most/2), young: map[tokenID]rememberedToken{}}
}

func (m *remembered) get(id tokenID) (rememberedToken, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.young[id]; ok {
		return t, true
	}
	t, ok := m.old[id]
	if ok {
		m.keep(id, t)
	}
	return t, ok
}

func (m *remembered) put(id tokenID, t rememberedToken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(id, t)
}

func (m *remembered) keep(id tokenID, t rememberedToken) {
	if len(m.young) >= m.half {
		m.young, m.old = make(map[tokenID]rememberedToken, m.half), m.young
	}
	m.young[id] = t
}

// copied keeps one request's hands off what the next one gets.
func copied(a interlock.Actor) interlock.Actor {
	a.Claims, a.Roles = maps.Clone(a.Claims), slices.Clone(a.Roles)
	if a.OnBehalfOf != nil {
		behalf := *a.OnBehalfOf
		a.OnBehalfOf = &behalf
	}
	return a
}
