package interlock

import (
	"context"
	"time"
)

// Cache keeps facts, never decisions. It is an untrusted hint: what comes from
// it is repeated in the commit's predicate, and a no that rests on it is decided
// once more on the store's facts. An error costs a look at the store, nothing else.
type Cache interface {
	// Get returns the entries in the order of keys; a miss is an entry with Version 0.
	Get(ctx context.Context, epoch string, keys []CacheKey) ([]CacheEntry, error)
	// Put stores entries that are newer than what is there.
	Put(ctx context.Context, epoch string, entries []CacheEntry) error
	// Floor removes what is older than the entries' versions and refuses late
	// fills below them.
	Floor(ctx context.Context, epoch string, entries []CacheEntry) error
}

// CacheKey names a fact: Kind is "instance" or "actor" (Machine is then "").
type CacheKey struct {
	Kind, Tenant, Machine, ID string
}

// CacheEntry is a versioned value.
type CacheEntry struct {
	Key     CacheKey
	Version int64
	Payload []byte

	// Read is when the store said so, which is before it is put: what waits on its
	// way to the cache must not be believed for longer. Zero: now.
	Read time.Time
}
