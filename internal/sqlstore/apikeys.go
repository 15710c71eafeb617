package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/interlock-go/interlock"
)

const addAPIKeySQL = `INSERT INTO il.api_key (id, tenant, name, hash, created_by, created_us, expires_us)
	VALUES ($1, $2, $3, $4, $5, $6, $7)
	ON CONFLICT (id) DO NOTHING`

const revokeAPIKeySQL = `UPDATE il.api_key SET revoked_by = $3, revoked_us = $4 WHERE id = $1 AND tenant = $2 AND revoked_us = 0`

// Whoever revokes a key changes its actor's row, which is locked before this is
// asked: so the answer holds until the end of the transaction.
const liveAPIKeySQL = `SELECT 1 FROM il.api_key WHERE tenant = $1 AND id = $2 AND revoked_us = 0`

const apiKeyColumns = `SELECT id, tenant, name, hash, created_by, created_us, expires_us, revoked_by, revoked_us FROM il.api_key `

const apiKeySQL = apiKeyColumns + `WHERE id = $1`

const apiKeysSQL = apiKeyColumns + `WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3`

// APIKey is interlock.APIKeyStore's.
func (s *Store) APIKey(ctx context.Context, id string) (*interlock.APIKey, error) {
	if !storable(id) {
		return nil, nil
	}
	found, err := s.readAPIKeys(ctx, s.q.apiKey, id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// APIKeys is interlock.APIKeyStore's.
func (s *Store) APIKeys(ctx context.Context, tenant, after string, limit int) ([]interlock.APIKey, error) {
	if !storable(tenant, after) {
		return nil, nil
	}
	return s.readAPIKeys(ctx, s.q.apiKeys, tenant, after, limit)
}

func (s *Store) readAPIKeys(ctx context.Context, query string, args ...any) ([]interlock.APIKey, error) {
	var out []interlock.APIKey
	err := each(ctx, s.db, query, args, func(r Rows) error {
		var k interlock.APIKey
		var created, expires, revoked int64
		if err := r.Scan(&k.ID, &k.Tenant, &k.Name, &k.Hash, &k.CreatedBy, &created, &expires, &k.RevokedBy, &revoked); err != nil {
			return err
		}
		k.CreatedAt, k.Expires, k.RevokedAt = fromMicros(created), never(expires), never(revoked)
		out = append(out, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("API keys: %w", err)
	}
	return out, nil
}

// never is the zero time for 0, which stands for a time that isn't set.
func never(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return fromMicros(us)
}

// checkKey asks for the key that the acting actor was believed by.
func (s *Store) checkKey(ctx context.Context, tx Conn, c *interlock.Commit) error {
	if c.ByKey == "" {
		return nil
	}
	found, err := exists(ctx, tx, s.q.liveAPIKey, tenantOf(c), c.ByKey)
	if err != nil || !found {
		return stale(err, interlock.ErrStale)
	}
	return nil
}

func (s *Store) applyAPIKey(ctx context.Context, tx Conn, k *interlock.APIKey) error {
	if k == nil {
		return nil
	}
	query, none := s.q.addAPIKey, interlock.ErrExists
	args := []any{k.ID, k.Tenant, k.Name, bytesOf(k.Hash), k.CreatedBy, micros(k.CreatedAt), int64(0)}
	if !k.Expires.IsZero() {
		args[6] = micros(k.Expires)
	}
	if !k.RevokedAt.IsZero() {
		query, none = s.q.revokeAPIKey, interlock.ErrStale
		args = []any{k.ID, k.Tenant, k.RevokedBy, micros(k.RevokedAt)}
	}
	rows, err := tx.Exec(ctx, query, args...)
	if err != nil || rows == 0 {
		return stale(err, none)
	}
	return nil
}
