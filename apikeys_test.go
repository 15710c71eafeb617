package interlock_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// addKey makes a key as a program would that keeps the secret to itself.
func addKey(t *testing.T, g *interlock.Gate, by interlock.Actor, name string, expires time.Time) (key, id string) {
	t.Helper()
	key, id, hash := interlock.NewAPIKey()
	k, err := g.AddAPIKey(t.Context(), by, interlock.APIKey{ID: id, Name: name, Hash: hash, Expires: expires})
	require.NoError(t, err)
	require.Nil(t, k.Hash, "not even the hash is told")
	return key, id
}

func TestAPIKeys(t *testing.T) {
	g, _ := governed(t)
	adam := interlock.Actor{ID: "adam"}
	first, firstID := addKey(t, g, adam, "billing", time.Time{})
	second, _ := addKey(t, g, adam, "billing", time.Now().Add(time.Hour))
	require.NotEqual(t, first, second)
	for _, key := range []string{first, second} {
		who, err := g.APIKeyActor(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, []any{"default", "key~billing", interlock.Service}, []any{who.Tenant, who.ID, who.Kind})
		require.Empty(t, who.Roles)
		require.Nil(t, who.OnBehalfOf)
	}
	list, err := g.APIKeys(t.Context(), adam)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "adam", list[0].CreatedBy)

	ended, err := g.RevokeAPIKey(t.Context(), adam, firstID)
	require.NoError(t, err)
	require.Equal(t, "adam", ended.RevokedBy)
	_, err = g.APIKeyActor(t.Context(), first)
	refusal(t, err, interlock.StageIdentity, "unauthenticated")
	_, err = g.APIKeyActor(t.Context(), second)
	require.NoError(t, err, "the other key of the service holds")
	again, err := g.RevokeAPIKey(t.Context(), interlock.Actor{ID: "eve"}, firstID)
	require.NoError(t, err)
	require.Equal(t, ended, again, "revoked once and for good")
}

// A key lets in until the moment it expires, and only who has its secret.
func TestAPIKeysExpireAndHaveASecret(t *testing.T) {
	now := time.Now()
	g := newGate(t, func(c *interlock.Config) { c.Now = func() time.Time { return now } })
	key, _ := addKey(t, g, root, "billing", now.Add(time.Hour))
	now = now.Add(time.Hour - time.Microsecond)
	_, err := g.APIKeyActor(t.Context(), key)
	require.NoError(t, err)
	now = now.Add(time.Microsecond)
	_, err = g.APIKeyActor(t.Context(), key)
	refusal(t, err, interlock.StageIdentity, "unauthenticated")

	guessed, id, _ := interlock.NewAPIKey()
	_, _, hash := interlock.NewAPIKey() // of another secret
	_, err = g.AddAPIKey(t.Context(), root, interlock.APIKey{ID: id, Name: "other", Hash: hash})
	require.NoError(t, err)
	_, err = g.APIKeyActor(t.Context(), guessed)
	refusal(t, err, interlock.StageIdentity, "unauthenticated")
}

// Only an administrator of the tenant, and under the rules of Grant.
func TestAPIKeysAreAnAdministratorsMatter(t *testing.T) {
	g, st := governed(t)
	adam := interlock.Actor{ID: "adam"}
	key, id := addKey(t, g, adam, "billing", time.Time{})
	_, newID, hash := interlock.NewAPIKey()
	fresh := interlock.APIKey{ID: newID, Name: "other", Hash: hash}
	service, err := g.APIKeyActor(t.Context(), key)
	require.NoError(t, err)
	for name, by := range map[string]interlock.Actor{
		"an employee": employee("erin"), "the key itself": service, "of another tenant": {ID: "adam", Tenant: "elsewhere"},
		"for an administrator": {ID: "bot", Kind: interlock.Service, OnBehalfOf: &interlock.Actor{ID: "adam"}}, "who says so": {ID: "erin", Roles: []string{interlock.AdminRole}},
	} {
		_, err := g.AddAPIKey(t.Context(), by, fresh)
		refusal(t, err, interlock.StagePolicy, "denied")
		_, err = g.APIKeys(t.Context(), by)
		refusal(t, err, interlock.StagePolicy, "denied")
		_, err = g.RevokeAPIKey(t.Context(), by, id)
		require.Error(t, err, name)
	}
	// A service with the role manages keys, never its own.
	_, err = g.Grant(t.Context(), root, service.ID, interlock.AdminRole, interlock.Scope{})
	require.NoError(t, err)
	own := fresh
	own.Name = "billing"
	_, err = g.AddAPIKey(t.Context(), service, own)
	refusal(t, err, interlock.StagePolicy, "denied")

	// The administrator's own row stands in the predicate.
	st.once(func() {
		_, err := g.Revoke(t.Context(), root, "adam", interlock.AdminRole, interlock.Scope{})
		require.NoError(t, err)
	})
	_, err = g.AddAPIKey(t.Context(), adam, fresh)
	refusal(t, err, interlock.StagePolicy, "denied")
	list, err := g.APIKeys(t.Context(), root)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func TestAPIKeysThatDontFit(t *testing.T) {
	g, _ := governed(t)
	_, id, hash := interlock.NewAPIKey()
	for pointer, k := range map[string]interlock.APIKey{
		"/id": {ID: "x", Name: "billing", Hash: hash}, "/name": {ID: id, Name: "a/b", Hash: hash}, "/hash": {ID: id, Name: "billing", Hash: hash[:31]},
		"/expires_at": {ID: id, Name: "billing", Hash: hash, Expires: time.Now().Add(-time.Second)},
	} {
		_, err := g.AddAPIKey(t.Context(), root, k)
		require.Equal(t, pointer, refusal(t, err, interlock.StageInput, "input_invalid").Fields[0].Pointer)
	}
	good := interlock.APIKey{ID: id, Name: "billing", Hash: hash}
	_, err := g.AddAPIKey(t.Context(), root, good)
	require.NoError(t, err)
	good.Name = "another"
	_, err = g.AddAPIKey(t.Context(), root, good)
	refusal(t, err, interlock.StageConflict, "exists")
	_, err = g.RevokeAPIKey(t.Context(), root, "absent")
	refusal(t, err, interlock.StageGraph, "not_found")
}

func TestAPIKeyWhereTheStoreDoesNotAnswer(t *testing.T) {
	g := newGate(t, nil)
	key, _, _ := interlock.NewAPIKey()
	_, err := g.APIKeyActor(t.Context(), key)
	refusal(t, err, interlock.StageIdentity, "unauthenticated")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = g.APIKeyActor(gone, key)
	refusal(t, err, interlock.StageUnavailable, "store_failed")
}

// No text but the key itself lets anybody in, and no text makes the parser fail.
func FuzzAPIKey(f *testing.F) {
	g := newGate(f, nil)
	key, id, hash := interlock.NewAPIKey()
	_, err := g.AddAPIKey(f.Context(), root, interlock.APIKey{ID: id, Name: "billing", Hash: hash})
	require.NoError(f, err)
	for _, seed := range []string{"", "il_", key[:40], strings.ToUpper(key), key + "a", strings.ReplaceAll(key, "_", "-"), "il_" + strings.Repeat("a", 76), "il_é" + key[5:]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == key {
			return
		}
		_, err := g.APIKeyActor(t.Context(), text)
		refusal(t, err, interlock.StageIdentity, "unauthenticated")
	})
}

// A request that was let in just before its key was revoked: whatever it asks,
// and by whichever way it commits, nothing is committed once the revoke has answered.
func TestNothingCommitsByAKeyThatWasRevokedMeanwhile(t *testing.T) {
	for name, ask := range map[string]func(g *interlock.Gate, by interlock.Actor) error{
		"fire": func(g *interlock.Gate, by interlock.Actor) error {
			_, err := g.Fire(t.Context(), by, interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
			return err
		},
		"under a key of its own": func(g *interlock.Gate, by interlock.Actor) error {
			_, err := g.Fire(t.Context(), by, interlock.Request{Machine: "loan", ID: "17", Event: "submit", IdempotencyKey: "k"})
			return err
		},
		"on behalf": func(g *interlock.Gate, by interlock.Actor) error {
			by.OnBehalfOf = &interlock.Actor{ID: "erin"}
			_, err := g.Fire(t.Context(), by, interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
			return err
		},
		"do": func(g *interlock.Gate, by interlock.Actor) error {
			_, _, err := interlock.Do(t.Context(), g, by, interlock.Request{Machine: "loan", ID: "17", Event: "submit"},
				func(context.Context, *sql.Tx, interlock.Transition) (any, error) { return nil, nil })
			return err
		},
		"grant": func(g *interlock.Gate, by interlock.Actor) error {
			_, err := g.Grant(t.Context(), by, "uma", "employee", interlock.Scope{})
			return err
		},
		"erase": func(g *interlock.Gate, by interlock.Actor) error {
			_, err := g.Erase(t.Context(), by, interlock.EraseRequest{Machine: "loan", ID: "17", Reason: "asked for"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, st := governed(t)
			newLoan(t, g, "17")
			key, id := addKey(t, g, root, "billing", time.Time{})
			for _, role := range []string{"employee", interlock.AdminRole} {
				_, err := g.Grant(t.Context(), root, "key~billing", role, interlock.Scope{})
				require.NoError(t, err)
			}
			by, err := g.APIKeyActor(t.Context(), key)
			require.NoError(t, err)
			_, err = g.RevokeAPIKey(t.Context(), root, id)
			require.NoError(t, err)
			before := rowsOf(t, st)
			refusal(t, ask(g, by), interlock.StageIdentity, "unauthenticated")
			require.Equal(t, before, rowsOf(t, st))
		})
	}
}

// rowsOf counts the rows of all chains.
func rowsOf(t *testing.T, st interlock.Store) int64 {
	t.Helper()
	report, err := interlock.Verify(t.Context(), st, nil)
	require.NoError(t, err)
	return report.Rows
}
