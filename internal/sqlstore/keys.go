package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/interlock-go/interlock"
)

// Leases go by the database's clock, which all processes share; what is kept
// for a day goes by the clock that made its time.
const reserveKeySQL = `INSERT INTO il.idempotency AS k (tenant, actor, key, token, lease_us, fingerprint, machine, instance, seq, expires)
	VALUES ($1, $2, $3, $4, NOW_US + $5, $6, $7, $8, 0, $9)
	ON CONFLICT (tenant, actor, key) DO UPDATE SET token = excluded.token, lease_us = excluded.lease_us, fingerprint = excluded.fingerprint,
		machine = excluded.machine, instance = excluded.instance, seq = 0, expires = excluded.expires, image = '', answer = NULL
	WHERE CASE WHEN k.seq > 0 THEN k.expires <= $10 ELSE k.lease_us <= NOW_US END`

const completeKeySQL = `UPDATE il.idempotency SET machine = $5, instance = $6, seq = $7, expires = $8, image = $9, answer = $10
	WHERE tenant = $1 AND actor = $2 AND key = $3 AND token = $4 AND seq = 0`

const answerKeySQL = `UPDATE il.idempotency SET answer = $5 WHERE tenant = $1 AND actor = $2 AND key = $3 AND token = $4 AND seq > 0`

const releaseKeySQL = `DELETE FROM il.idempotency WHERE tenant = $1 AND actor = $2 AND key = $3 AND token = $4 AND seq = 0`

const getKeySQL = `SELECT tenant, actor, key, token, fingerprint, machine, instance, seq, expires, image, answer FROM il.idempotency
	WHERE tenant = $1 AND actor = $2 AND key = $3`

const sweepKeysSQL = `DELETE FROM il.idempotency WHERE (tenant, actor, key) IN
	(SELECT tenant, actor, key FROM il.idempotency WHERE expires <= $1 ORDER BY expires LIMIT $2 SKIP_LOCKED)`

// Reserve is interlock.KeyStore's.
func (s *Store) Reserve(ctx context.Context, k interlock.Idempotency, now time.Time, lease time.Duration) (*interlock.Idempotency, error) {
	if !storable(k.Tenant, k.Actor, k.Key, k.Token, k.Machine, k.Instance) || k.Token == "" {
		return nil, fmt.Errorf("reserve a key: it has no token, or a text holds NUL or invalid UTF-8")
	}
	for range 3 {
		var rows int64
		err := s.db.Write(ctx, func(c Conn) (err error) {
			rows, err = c.Exec(ctx, s.q.reserveKey, k.Tenant, k.Actor, k.Key, k.Token, lease.Microseconds(),
				bytesOf(k.Fingerprint), k.Machine, k.Instance, micros(k.Expires), micros(now))
			return err
		})
		if err != nil || rows > 0 {
			return nil, err
		}
		if held, err := s.Idempotent(ctx, k.Tenant, k.Actor, k.Key); err != nil || held != nil {
			return held, err
		}
		// Given back between the two: ask again.
	}
	return nil, fmt.Errorf("reserve a key: %w", interlock.ErrKeyUsed)
}

// Release is interlock.KeyStore's.
func (s *Store) Release(ctx context.Context, k interlock.Idempotency) error {
	if !storable(k.Tenant, k.Actor, k.Key, k.Token) {
		return nil
	}
	return s.db.Write(ctx, func(c Conn) error {
		_, err := c.Exec(ctx, s.q.releaseKey, k.Tenant, k.Actor, k.Key, k.Token)
		return err
	})
}

// Idempotent is interlock.KeyStore's.
func (s *Store) Idempotent(ctx context.Context, tenant, actor, key string) (*interlock.Idempotency, error) {
	if !storable(tenant, actor, key) {
		return nil, nil
	}
	var (
		k       interlock.Idempotency
		expires int64
		print   []byte
		image   string
		answer  *string
	)
	found, err := one(ctx, s.db, s.q.getKey, []any{tenant, actor, key}, &k.Tenant, &k.Actor, &k.Key, &k.Token, &print,
		&k.Machine, &k.Instance, &k.Seq, &expires, &image, &answer)
	if err != nil || !found {
		return nil, err
	}
	k.Fingerprint, k.Expires = slices.Clone(print), fromMicros(expires)
	if image != "" {
		k.Image = []byte(image)
	}
	if answer != nil {
		k.Answer = []byte(*answer)
	}
	return &k, nil
}

// SweepKeys is interlock.KeyStore's.
func (s *Store) SweepKeys(ctx context.Context, now time.Time, limit int) (int, error) {
	var rows int64
	err := s.db.Write(ctx, func(c Conn) (err error) {
		rows, err = c.Exec(ctx, s.q.sweepKeys, micros(now), limit)
		return err
	})
	return int(rows), err
}

// completeKey holds the key until the end of the transaction, if it is still
// reserved under its token.
func (s *Store) completeKey(ctx context.Context, tx Conn, k *interlock.Idempotency) error {
	if k == nil {
		return nil
	}
	rows, err := tx.Exec(ctx, s.q.completeKey, k.Tenant, k.Actor, k.Key, k.Token, k.Machine, k.Instance, k.Seq, micros(k.Expires), string(k.Image), AnswerArg(k))
	if err != nil || rows == 0 {
		return stale(err, interlock.ErrKeyUsed)
	}
	return nil
}

// AnswerArg is the answer of a key as a parameter.
func AnswerArg(k *interlock.Idempotency) any {
	if k.Answer == nil {
		return nil
	}
	return string(k.Answer)
}

func (t *storeTx) Answer(ctx context.Context, k interlock.Idempotency, answer []byte) error {
	if t.failed != nil {
		return t.failed
	}
	k.Answer = answer
	if !storable(string(answer)) {
		return fmt.Errorf("the answer beside a key: it holds NUL or invalid UTF-8")
	}
	rows, err := t.tx.Exec(ctx, t.s.q.answerKey, k.Tenant, k.Actor, k.Key, k.Token, AnswerArg(&k))
	if err != nil || rows == 0 {
		return stale(err, interlock.ErrKeyUsed)
	}
	return nil
}
