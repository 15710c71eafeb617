package storetest

import (
	"bytes"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// API keys: what interlock.APIKeyStore promises.
var apiKeyTests = []namedTest{
	{"kept and found", apiKeyKept},
	{"listed by tenant", apiKeysListed},
	{"of one id", apiKeyOnce},
	{"revoked for good", apiKeyRevoked},
	{"with the change of its actor or not at all", apiKeyWithItsActor},
}

const keyTenant = "keys"

func (f *fixture) newAPIKey(id string) *interlock.APIKey {
	return &interlock.APIKey{Tenant: keyTenant, ID: id, Name: "billing", Hash: bytes.Repeat([]byte{0, 7}, 16), CreatedBy: "root", CreatedAt: f.now()}
}

// apiKeyCommit stores k with the next version of its actor.
func (f *fixture) apiKeyCommit(k *interlock.APIKey) *interlock.Commit {
	f.Helper()
	prev, err := f.store.Actor(f.ctx, k.Tenant, k.Actor().ID)
	require.NoError(f, err)
	next := f.actor(k.Tenant, k.Actor().ID)
	if prev != nil {
		next = *prev
	}
	c := f.commitActor(f.actorChange(prev, next))
	c.APIKey = k
	return c
}

// believed is the id of a new key that holds.
func (f *fixture) believed(tenant string) string {
	f.Helper()
	k := f.newAPIKey(f.fresh("key"))
	k.Tenant = tenant
	f.must(f.apiKeyCommit(k))
	return k.ID
}

func (f *fixture) endKey(id string) {
	f.Helper()
	k, err := f.apiKeyStore().APIKey(f.ctx, id)
	require.NoError(f, err)
	k.RevokedBy, k.RevokedAt = "root", f.now()
	f.must(f.apiKeyCommit(k))
}

func (f *fixture) apiKeyStore() interlock.APIKeyStore {
	f.Helper()
	keys, ok := f.store.(interlock.APIKeyStore)
	require.True(f, ok, "the store is no interlock.APIKeyStore")
	return keys
}

func apiKeyKept(f *fixture) {
	keys := f.apiKeyStore()
	eternal, brief := f.newAPIKey("a"), f.newAPIKey("b")
	brief.Expires = f.now().Add(time.Hour)
	for _, k := range []*interlock.APIKey{eternal, brief} {
		f.must(f.apiKeyCommit(k))
		found, err := keys.APIKey(f.ctx, k.ID)
		require.NoError(f, err)
		require.Equal(f, k, found)
	}
	for _, id := range []string{"c", "A", "", "a\x00", "a\xff"} {
		found, err := keys.APIKey(f.ctx, id)
		require.NoError(f, err, "%q", id)
		require.Nil(f, found, "%q", id)
	}
}

func apiKeysListed(f *fixture) {
	keys := f.apiKeyStore()
	for _, id := range []string{"b", "a", "c"} {
		f.must(f.apiKeyCommit(f.newAPIKey(id)))
	}
	other := f.newAPIKey("ab")
	other.Tenant = "others"
	f.must(f.apiKeyCommit(other))
	page := func(tenant, after string, limit int) (ids []string) {
		found, err := keys.APIKeys(f.ctx, tenant, after, limit)
		require.NoError(f, err)
		for _, k := range found {
			ids = append(ids, k.ID)
		}
		return ids
	}
	require.Equal(f, []string{"a", "b"}, page(keyTenant, "", 2))
	require.Equal(f, []string{"c"}, page(keyTenant, "b", 2))
	require.Equal(f, []string{"ab"}, page("others", "", 9))
	require.Empty(f, page(keyTenant, "c", 2))
	require.Empty(f, page("nobody", "", 2))
}

func apiKeyOnce(f *fixture) {
	f.apiKeyStore()
	f.must(f.apiKeyCommit(f.newAPIKey("a")))
	before := f.dump()
	again := f.newAPIKey("a")
	again.Tenant = "others"
	require.ErrorIs(f, f.store.Commit(f.ctx, f.apiKeyCommit(again)), interlock.ErrExists)
	require.Equal(f, before, f.dump())
}

func apiKeyRevoked(f *fixture) {
	keys := f.apiKeyStore()
	k := f.newAPIKey("a")
	f.must(f.apiKeyCommit(k))
	ended := *k
	ended.RevokedBy, ended.RevokedAt = "root", f.now()
	f.must(f.apiKeyCommit(&ended))
	found, err := keys.APIKey(f.ctx, "a")
	require.NoError(f, err)
	require.Equal(f, &ended, found)

	before := f.dump()
	for _, wrong := range []func(*interlock.APIKey){
		func(*interlock.APIKey) {},
		func(k *interlock.APIKey) { k.ID = "absent" },
		func(k *interlock.APIKey) { k.Tenant = "others" },
	} {
		again := ended
		wrong(&again)
		require.ErrorIs(f, f.store.Commit(f.ctx, f.apiKeyCommit(&again)), interlock.ErrStale)
	}
	require.Equal(f, before, f.dump())
}

func apiKeyWithItsActor(f *fixture) {
	f.apiKeyStore()
	admin := f.haveActor(f.actor(keyTenant, "adam", interlock.AdminRole))
	before := f.dump()
	stale := f.apiKeyCommit(f.newAPIKey("a"))
	stale.Actors = []interlock.ActorCheck{{ID: admin.ID, Version: admin.Version, Digest: []byte("of before")}}
	require.ErrorIs(f, f.store.Commit(f.ctx, stale), interlock.ErrStale)

	foreign := f.apiKeyCommit(f.newAPIKey("a"))
	foreign.APIKey.Tenant = "others"
	require.Error(f, f.store.Commit(f.ctx, foreign))
	alone := f.creation(tenant, "doc", "d")
	alone.APIKey = f.newAPIKey("a")
	require.Error(f, f.store.Commit(f.ctx, alone))
	short := f.apiKeyCommit(f.newAPIKey("a"))
	short.APIKey.Hash = []byte("short")
	require.Error(f, f.store.Commit(f.ctx, short))
	require.Equal(f, before, f.dump())
}
