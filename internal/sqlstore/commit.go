package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/interlock-go/interlock"
)

const checkStoreSQL = `SELECT 1 FROM il.store WHERE epoch = $1 FOR_SHARE`

// It tells whether time can't end what it says.
const checkRevisionSQL = `SELECT CASE status WHEN 'active' THEN 1 ELSE 0 END FROM il.revision WHERE machine = $1 AND id = $2
	AND (status = 'active' OR status = 'accepting' AND until_us > NOW_US) FOR_SHARE`

const insertInstanceSQL = `INSERT INTO il.instance (tenant, machine, id, state, version, facts, entered, did, actors, last,
	created_by, created_at, since, updated_at, head, content_digest)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
	ON CONFLICT (tenant, machine, id) DO NOTHING`

const updateInstanceSQL = `UPDATE il.instance SET state = $4, version = $5, facts = $6, entered = $7, did = $8, actors = $9, last = $10,
	created_by = $11, created_at = $12, since = $13, updated_at = $14, head = $15, content_digest = $16
	WHERE tenant = $1 AND machine = $2 AND id = $3 AND version = $17 AND state = $18 AND content_digest = $19 AND head = $20`

const anyAdminSQL = `SELECT 1 FROM il.actor WHERE tenant = $1 AND admin AND active LIMIT 1`

// tenantOf is the commit's tenant; every actor of it belongs there.
func tenantOf(c *interlock.Commit) string {
	if c.Instance != nil {
		return c.Instance.Next.Tenant
	}
	return c.Actor.Next.Tenant
}

func recordOf(c *interlock.Commit) *interlock.Record {
	if c.Instance != nil {
		return &c.Instance.Record
	}
	return &c.Actor.Record
}

// Check refuses a commit that can't be meant.
func Check(c *interlock.Commit) error {
	if (c.Instance == nil) == (c.Actor == nil) {
		return errors.New("commit: want exactly one of Instance and Actor")
	}
	if c.Instance != nil && c.Revision.Machine == "" && !ofHistory(c) {
		return errors.New("commit: an instance changes under a revision: Revision.Machine is missing")
	}
	if c.Instance != nil && c.Revision.Machine != "" && c.Revision.Machine != c.Instance.Next.Machine {
		return fmt.Errorf("commit: revision of machine %q for an instance of %q", c.Revision.Machine, c.Instance.Next.Machine)
	}
	if c.APIKey != nil && (c.Actor == nil || c.APIKey.Tenant != c.Actor.Next.Tenant) {
		return errors.New("commit: a key is stored with the change of its own actor")
	}
	if c.Bound != nil && c.Instance == nil {
		return errors.New("commit: Bound without Instance")
	}
	tenant := tenantOf(c)
	if c.Instance != nil {
		n, rec := &c.Instance.Next, &c.Instance.Record
		if n.Version != c.Instance.PrevVersion+1 || !recordIs(rec, n.Tenant, n.Machine, n.ID, n.Version) {
			return fmt.Errorf("commit: %s/%s: version %d after %d with the record %s/%s, row %d", n.Machine, n.ID, n.Version, c.Instance.PrevVersion, rec.Machine, rec.Instance, rec.Seq)
		}
	}
	for _, a := range actorChanges(c) {
		n, rec := &a.Next, &a.Record
		if n.Version != a.PrevVersion+1 || !recordIs(rec, n.Tenant, interlock.ActorMachine, n.ID, n.Version) {
			return fmt.Errorf("commit: actor %s: version %d after %d with the record %s/%s, row %d", n.ID, n.Version, a.PrevVersion, rec.Machine, rec.Instance, rec.Seq)
		}
	}
	texts := []string{c.Epoch, c.Revision.ID, tenant, c.ByKey}
	if c.Instance != nil {
		n := &c.Instance.Next
		texts = append(append(texts, n.ID, n.Machine, n.State, n.CreatedBy), recordTexts(&c.Instance.Record)...)
	}
	for _, a := range actorChanges(c) {
		texts = append(append(texts, a.Next.ID, a.Next.Person), recordTexts(&a.Record)...)
	}
	if c.Bound != nil {
		texts = append(texts, c.Bound.To)
	}
	for i, a := range c.Actors {
		if i > 0 && c.Actors[i-1].ID >= a.ID {
			return fmt.Errorf("commit: actors must be sorted by id, each once: %q stands before %q", c.Actors[i-1].ID, a.ID)
		}
		if a.Change != nil && (a.Change.Next.Tenant != tenant || a.Change.Next.ID != a.ID || a.Change.PrevVersion != a.Version) {
			return fmt.Errorf("commit: the change of actor %q is of another actor or version", a.ID)
		}
		texts = append(texts, a.ID)
	}
	if k := c.Idempotency; k != nil {
		if c.Instance == nil || k.Tenant != tenant || !recordIs(&c.Instance.Record, k.Tenant, k.Machine, k.Instance, k.Seq) || k.Token == "" {
			return errors.New("commit: an idempotency key is completed by its own transition, under the token that it was reserved with")
		}
		texts = append(texts, k.Actor, k.Key, k.Token, string(k.Image), string(k.Answer))
	}
	if k := c.APIKey; k != nil {
		texts = append(texts, k.ID, k.Name, k.CreatedBy, k.RevokedBy)
	}
	if !storable(texts...) {
		return errors.New("commit: a text holds NUL or invalid UTF-8")
	}
	return nil
}

// ofHistory tells commits that change nothing but what is kept of the past.
func ofHistory(c *interlock.Commit) bool { return c.Erase != nil || c.Archive != nil }

func recordIs(r *interlock.Record, tenant, machine, id string, seq int64) bool {
	return r.Tenant == tenant && r.Machine == machine && r.Instance == id && r.Seq == seq
}

func recordTexts(r *interlock.Record) []string {
	return []string{r.ID, r.Event, r.From, r.To, r.Actor, r.Person, r.OnBehalfOf, r.OnBehalfOfPerson, r.Revision, r.Note}
}

// actorChanges are all actors that the commit writes.
func actorChanges(c *interlock.Commit) []*interlock.ActorChange {
	var out []*interlock.ActorChange
	for _, a := range c.Actors {
		if a.Change != nil {
			out = append(out, a.Change)
		}
	}
	if c.Actor != nil {
		out = append(out, c.Actor)
	}
	return out
}

// Apply checks every predicate and writes, within tx; the caller rolls back on
// an error. The order of locks is the same everywhere: actors by id, store and
// revision, the idempotency key, instance, the application's row. History and what
// goes with it, which nobody else waits for, is written last, or with the instance
// where that is one statement.
func (s *Store) Apply(ctx context.Context, tx Conn, c *interlock.Commit) error {
	if s.d.AtOnce != nil {
		if err := Check(c); err != nil {
			return err
		}
		done, err := s.d.AtOnce(ctx, tx, c)
		switch {
		case err != nil:
			return err
		case done:
			return s.applyBound(ctx, tx, c)
		}
	}
	e, err := EncodeCommit(c)
	if err != nil {
		return err
	}
	return s.ApplyEncoded(ctx, tx, e)
}

// ApplyEncoded is Apply.
func (s *Store) ApplyEncoded(ctx context.Context, tx Conn, c *Encoded) error {
	held := heldBy(tx)
	if w, ok := tx.(Watcher); ok {
		if err := w.Applies(c.Commit); err != nil {
			return err
		}
	}
	if c.writesActors() {
		held.Forget()
		held = nil
	}
	if err := s.applyActors(ctx, tx, c.Commit, held); err != nil {
		return err
	}
	if err := s.checkKey(ctx, tx, c.Commit); err != nil {
		return err
	}
	if err := s.checkRules(ctx, tx, c.Commit, held); err != nil {
		return err
	}
	if c.Instance != nil {
		if err := s.completeKey(ctx, tx, c.Idempotency); err != nil {
			return err
		}
		if err := s.applyInstance(ctx, tx, c); err != nil {
			return err
		}
		if err := s.applyBound(ctx, tx, c.Commit); err != nil {
			return err
		}
		if c.Bound != nil {
			held.Forget() // a trigger of the application's may have changed anything
		}
	}
	if c.KeepAdmin {
		if found, err := exists(ctx, tx, s.q.anyAdmin, tenantOf(c.Commit)); err != nil || !found {
			return stale(err, interlock.ErrLastAdmin)
		}
	}
	if err := s.applyAPIKey(ctx, tx, c.APIKey); err != nil {
		return err
	}
	if err := s.appendRows(ctx, tx, c); err != nil {
		return err
	}
	if err := s.erase(ctx, tx, c.Commit); err != nil {
		return err
	}
	return s.archive(ctx, tx, c.Commit)
}

// stale is err, or what it means that no row was found.
func stale(err, meaning error) error {
	if err != nil {
		return err
	}
	return meaning
}

func exists(ctx context.Context, c Conn, query string, args ...any) (bool, error) {
	var x int64
	return one(ctx, c, query, args, &x)
}

// checkRules holds the epoch and the revision until the end of the transaction.
func (s *Store) checkRules(ctx context.Context, tx Conn, c *interlock.Commit, held *Held) error {
	if c.Revision.Machine != "" && !held.hasRules(c.Revision) {
		var active int64
		found, err := one(ctx, tx, s.q.checkRevision, []any{c.Revision.Machine, c.Revision.ID}, &active)
		if err != nil || !found {
			return stale(err, interlock.ErrStale)
		}
		if active == 1 {
			held.holdRules(c.Revision)
		}
	}
	if held.hasEpoch(c.Epoch) {
		return nil
	}
	found, err := exists(ctx, tx, s.q.checkStore, c.Epoch)
	if err != nil || !found {
		return stale(err, interlock.ErrStale)
	}
	held.holdEpoch(c.Epoch)
	return nil
}

// InstanceArgs are the parameters of insertInstance and, up to there, of updateInstance.
func InstanceArgs(ch *interlock.InstanceChange) ([]any, error) {
	n := &ch.Next
	actors := n.Actors
	if actors == nil {
		actors = []string{}
	}
	var text [5]string
	var errs [5]error
	text[0], errs[0] = encodeMap(n.Facts)
	text[1], errs[1] = encodeSets(n.Entered)
	text[2], errs[2] = encodeSets(n.Did)
	text[3], errs[3] = Encode(actors)
	text[4], errs[4] = encodeLast(n.Last)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("instance %s/%s: %w", n.Machine, n.ID, err)
	}
	return []any{n.Tenant, n.Machine, n.ID, n.State, n.Version, text[0], text[1], text[2], text[3], text[4],
		n.CreatedBy, micros(n.CreatedAt), micros(n.Since), micros(n.UpdatedAt), bytesOf(n.Head), bytesOf(ch.NextDigest)}, nil
}

func (s *Store) applyInstance(ctx context.Context, tx Conn, c *Encoded) error {
	if c.instanceErr != nil {
		return c.instanceErr
	}
	query, none := s.q.insertInstance, interlock.ErrExists
	if c.Instance.PrevVersion > 0 {
		query, none = s.q.updateInstance, interlock.ErrStale
	}
	rows, err := tx.Exec(ctx, query, c.instance...)
	if err != nil || rows == 0 {
		return stale(err, none)
	}
	return nil
}

func (s *Store) applyBound(ctx context.Context, tx Conn, c *interlock.Commit) error {
	n := &c.Instance.Next
	b, err := s.binding(ctx, tx, n.Machine)
	switch {
	case err != nil:
		return err
	case b == nil && c.Bound == nil, c.Bound == nil && ofHistory(c):
		return nil
	case b == nil:
		return fmt.Errorf("commit: Bound for machine %s, which isn't bound to a table", n.Machine)
	case c.Bound == nil:
		return fmt.Errorf("commit: machine %s is bound to table %s: Bound is missing", n.Machine, b.Table)
	}
	row, err := s.boundRow(ctx, tx, b, n.Tenant, n.ID)
	switch {
	case err != nil:
		return err
	case row == nil:
		return interlock.ErrNoRow
	case row.State != c.Bound.From:
		return interlock.ErrStale
	case c.Bound.Facts != nil && !sameJSON(row.Facts, c.Bound.Facts):
		return interlock.ErrStale
	case c.Bound.To == c.Bound.From:
		return nil
	}
	rows, err := tx.Exec(ctx, b.update, n.ID, n.Tenant, c.Bound.To)
	if err != nil {
		return fmt.Errorf("set %s of table %s: %w", b.State, b.Table, err)
	}
	if rows != 1 {
		return fmt.Errorf("set %s of table %s: %d rows have the id %s; it must be unique", b.State, b.Table, rows, n.ID)
	}
	return nil
}
