package sqlstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/interlock-go/interlock"
)

const checkActorSQL = `SELECT 1 FROM il.actor WHERE tenant = $1 AND id = $2 AND active AND version = $3 AND content_digest = $4 FOR_SHARE`

const noActorSQL = `SELECT 1 FROM il.actor WHERE tenant = $1 AND id = $2`

const insertActorSQL = `INSERT INTO il.actor (tenant, id, person, active, attrs, grants, version, head, content_digest, admin)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
	ON CONFLICT (tenant, id) DO NOTHING`

const updateActorSQL = `UPDATE il.actor SET person = $3, active = $4, attrs = $5, grants = $6, version = $7, head = $8, content_digest = $9, admin = $10
	WHERE tenant = $1 AND id = $2 AND version = $11 AND content_digest = $12 AND head = $13`

// applyActors checks the actors that the decision saw and writes those that
// change, all in one order.
func (s *Store) applyActors(ctx context.Context, tx Conn, c *interlock.Commit, held *Held) error {
	tenant := tenantOf(c)
	if c.KeepAdmin {
		// Two administrators who each remove the other would each see one left.
		if err := s.lockText(ctx, tx, s.d.LockTx, "admins of "+tenant); err != nil {
			return err
		}
	}
	checks := c.Actors
	if a := c.Actor; a != nil {
		checks = slices.Clone(checks)
		i, found := slices.BinarySearchFunc(checks, a.Next.ID, func(k interlock.ActorCheck, id string) int {
			switch {
			case k.ID < id:
				return -1
			case k.ID > id:
				return 1
			}
			return 0
		})
		switch {
		case !found:
			checks = slices.Insert(checks, i, interlock.ActorCheck{ID: a.Next.ID, Version: a.PrevVersion, Digest: a.PrevDigest, Change: a})
		case checks[i].Change != nil:
			return fmt.Errorf("commit: actor %q is changed twice", a.Next.ID)
		case checks[i].Version != a.PrevVersion || !bytes.Equal(checks[i].Digest, a.PrevDigest):
			return interlock.ErrStale
		default:
			checks[i].Change = a
		}
	}
	for i := range checks {
		if err := s.applyActor(ctx, tx, tenant, &checks[i], held); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) applyActor(ctx context.Context, tx Conn, tenant string, k *interlock.ActorCheck, held *Held) error {
	switch {
	case k.Change != nil:
		if k.Change.PrevVersion > 0 && !bytes.Equal(k.Digest, k.Change.PrevDigest) {
			return interlock.ErrStale
		}
		return s.putActor(ctx, tx, k.Change)
	case k.Version > 0 && held.hasActor(tenant, k):
		return nil
	case k.Version > 0:
		found, err := exists(ctx, tx, s.q.checkActor, tenant, k.ID, k.Version, bytesOf(k.Digest))
		if err != nil || !found {
			return stale(err, interlock.ErrStale)
		}
		held.holdActor(tenant, k)
		return nil
	default:
		// No row can be locked: who makes one takes the same lock alone.
		if err := s.lockText(ctx, tx, s.d.LockTxShared, "actor "+tenant+" "+k.ID); err != nil {
			return err
		}
		found, err := exists(ctx, tx, s.q.noActor, tenant, k.ID)
		if err != nil || found {
			return stale(err, interlock.ErrStale)
		}
		return nil
	}
}

func (s *Store) lockText(ctx context.Context, tx Conn, query, text string) error {
	if query == "" {
		return nil
	}
	_, err := tx.Exec(ctx, query, text)
	return err
}

func (s *Store) putActor(ctx context.Context, tx Conn, a *interlock.ActorChange) error {
	n := &a.Next
	attrs, err := encodeMap(n.Attrs)
	if err != nil {
		return fmt.Errorf("attributes of actor %s: %w", n.ID, err)
	}
	grants := n.Grants
	if grants == nil {
		grants = []interlock.Grant{}
	}
	held, err := Encode(grants)
	if err != nil {
		return fmt.Errorf("grants of actor %s: %w", n.ID, err)
	}
	admin := slices.ContainsFunc(grants, func(g interlock.Grant) bool {
		return g.Role == interlock.AdminRole && g.Scope == interlock.Scope{}
	})
	args := []any{n.Tenant, n.ID, n.Person, n.Active, attrs, held, n.Version, bytesOf(n.Head), bytesOf(a.NextDigest), admin}
	query := s.q.insertActor
	if a.PrevVersion > 0 {
		query = s.q.updateActor
		args = append(args, a.PrevVersion, bytesOf(a.PrevDigest), bytesOf(a.PrevHead))
	} else if err := s.lockText(ctx, tx, s.d.LockTx, "actor "+n.Tenant+" "+n.ID); err != nil {
		return err
	}
	rows, err := tx.Exec(ctx, query, args...)
	if err != nil || rows == 0 {
		return stale(err, interlock.ErrStale)
	}
	return nil
}
