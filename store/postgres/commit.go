package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// How long a commit waits for a lock: patiently, or hastily where others would wait
// behind it.
const (
	patientWait = "2s"
	hastyWait   = "50ms"
)

// waiting bounds it for the transaction, a statement's own or that which it is in.
func waiting(limit string) string { return "set_config('lock_timeout', '" + limit + "', true)" }

// The parts of the single statement, which begins with g, its bound of waiting. Its
// conditions on actors, revision and epoch don't touch the instance, so they are
// asked, and their rows locked, before it: the order of locks of every commit.
const (
	beginSingle = `
a AS MATERIALIZED (
	SELECT a.id FROM il.actor a
	JOIN unnest(CAST($19 AS text[]), CAST($20 AS bigint[]), CAST($21 AS bytea[])) AS w (id, version, digest)
		ON a.id = w.id AND a.version = w.version AND a.content_digest = w.digest
	WHERE a.tenant = $1 AND a.active AND (SELECT v FROM g) IS NOT NULL
	ORDER BY a.id FOR SHARE OF a),
r AS MATERIALIZED (
	SELECT 1 FROM il.revision WHERE machine = $2 AND id = $18 AND (SELECT v FROM g) IS NOT NULL
		AND (status = 'active' OR status = 'accepting' AND until_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) FOR SHARE),
s AS MATERIALIZED (
	SELECT 1 FROM il.store WHERE epoch = $17 AND (SELECT v FROM g) IS NOT NULL FOR SHARE),
i AS MATERIALIZED (
	SELECT 1 FROM il.idempotency WHERE tenant = $1 AND actor = $42 AND key = $43 AND token = $44 AND seq = 0 AND (SELECT v FROM g) IS NOT NULL FOR UPDATE),
u AS (`

	singlePredicates = `(SELECT count(*) FROM a) = cardinality(CAST($19 AS text[]))
		AND EXISTS (SELECT 1 FROM r) AND EXISTS (SELECT 1 FROM s) AND (CAST($43 AS text) IS NULL OR EXISTS (SELECT 1 FROM i))
		AND (CAST($50 AS text) IS NULL OR EXISTS (SELECT 1 FROM il.api_key WHERE tenant = $1 AND id = $50 AND revoked_us = 0))`

	singleUpdate = `UPDATE il.instance SET state = $4, version = $5, facts = $6, entered = $7, did = $8, actors = $9, last = $10,
	created_by = $11, created_at = $12, since = $13, updated_at = $14, head = $15, content_digest = $16
	WHERE tenant = $1 AND machine = $2 AND id = $3 AND version = $51 AND state = $52 AND content_digest = $53 AND head = $54
		AND ` + singlePredicates + ` RETURNING 1`

	singleInsert = `INSERT INTO il.instance (tenant, machine, id, state, version, facts, entered, did, actors, last,
	created_by, created_at, since, updated_at, head, content_digest)
	SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16
	WHERE ` + singlePredicates + ` RETURNING 1`

	endSingle = `),
h AS (INSERT INTO il.history (tenant, machine, instance, seq, id, event, from_state, to_state, override,
	actor, person, on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts)
	SELECT $1, $2, $3, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37 FROM u),
t AS (INSERT INTO il.texts (tenant, machine, instance, seq, note, input, facts, salt)
	SELECT $1, $2, $3, $22, $38, $39, $40, $41 FROM u WHERE CAST($37 AS boolean)),
k AS (UPDATE il.idempotency y SET machine = $2, instance = $3, seq = $45, expires = $46, image = $47, answer = $48
	FROM u WHERE y.tenant = $1 AND y.actor = $42 AND y.key = $43),
o AS (INSERT INTO il.outbox (id, tenant, machine, instance, seq, message)
	SELECT $23, $1, $2, $3, $22, $49 FROM u WHERE CAST($49 AS bytea) IS NOT NULL)
SELECT (SELECT count(*) FROM u), CAST($43 AS text) IS NULL OR EXISTS (SELECT 1 FROM i)`
)

// single is the commit in one statement, for what it can say.
type single struct {
	update, insert string
	quick          string // the update, for who mustn't wait long
	schema         string
	bound          map[string]bool
}

func newSingle(schema string, bindings []interlock.Binding) *single {
	s := &single{schema: schema, bound: map[string]bool{}}
	s.update = singleStatement(schema, patientWait, singleUpdate)
	s.insert = singleStatement(schema, patientWait, singleInsert)
	s.quick = singleStatement(schema, hastyWait, singleUpdate)
	for _, b := range bindings {
		s.bound[b.Machine] = true
	}
	return s
}

func singleStatement(schema, limit, change string) string {
	query := "WITH g AS MATERIALIZED (SELECT " + waiting(limit) + " AS v)," + beginSingle + change + endSingle
	return strings.ReplaceAll(query, "il.", sqlstore.Quote(schema)+".")
}

// whole: there is no row of the application's beside what the statement says.
func (s *single) whole(c *interlock.Commit) bool {
	return s.fits(c) && c.Bound == nil && !s.bound[c.Instance.Next.Machine]
}

// fits: only an instance changes, under actors that exist. An absent actor has
// no row to lock, texts are erased row by row, rows leave after their $archive has
// come, and the last administrator is counted after the change. What a commit may
// hold is either refused here or sent by singleArgs and batchArgs.
func (s *single) fits(c *interlock.Commit) bool {
	if c.Instance == nil || c.Actor != nil || c.APIKey != nil || c.KeepAdmin || c.Erase != nil || c.Archive != nil {
		return false
	}
	for _, a := range c.Actors {
		if a.Change != nil || a.Version == 0 {
			return false
		}
	}
	return true
}

// Commit writes, if all predicates hold; see interlock.Store. A change of an
// instance that comes while others are being written goes together with those
// that wait like it; a conflict, or an error, is the matter of its own commit alone.
// A context that ends while the commit waits its turn takes it out. An error that
// came after the server may have committed is an *interlock.UnknownOutcome; every
// other one says that certainly nothing was written. Deadlock, serialization
// failure and lock timeout (2 s) are tried three times.
func (s *Store) Commit(ctx context.Context, c *interlock.Commit) error {
	if err := errors.Join(ctx.Err(), sqlstore.Check(c)); err != nil {
		return err
	}
	if !s.single.whole(c) {
		return s.shared.Commit(ctx, c)
	}
	if c.Instance.PrevVersion > 0 {
		return s.group.commit(ctx, c)
	}
	args, err := singleArgs(c)
	if err != nil {
		return err
	}
	err = s.Retry(ctx, func() error { return s.commitSingle(ctx, s.single.insert, args) })
	return s.single.meaning(err)
}

// meaning: two who make the same instance meet at its key.
func (s *single) meaning(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" && pg.SchemaName == s.schema && pg.ConstraintName == "instance_pkey" {
		return interlock.ErrExists
	}
	return err
}

// within is the statement in a transaction that may have more to do. It is
// sqlstore.Dialect's AtOnce.
func (s *single) within(ctx context.Context, tx sqlstore.Conn, c *interlock.Commit) (done bool, err error) {
	if !s.fits(c) {
		return false, nil
	}
	args, err := singleArgs(c)
	if err != nil {
		return false, err
	}
	query := s.insert
	if c.Instance.PrevVersion > 0 {
		query = s.update
	}
	no, err := askSingle(ctx, tx, query, args)
	if err != nil {
		return false, s.meaning(err)
	}
	return no == nil, no
}

func (s *Store) commitSingle(ctx context.Context, query string, args []any) error {
	return s.db.onConn(ctx, func(conn sqlstore.Conn) error { return s.sendSingle(ctx, conn, query, args) })
}

func (s *Store) sendSingle(ctx context.Context, conn sqlstore.Conn, query string, args []any) error {
	no, err := askSingle(ctx, conn, query, args)
	if err != nil {
		return outcome(err)
	}
	return no
}

// askSingle runs the statement: no is why it wrote nothing, though it was run.
func askSingle(ctx context.Context, conn sqlstore.Conn, query string, args []any) (no, err error) {
	var n int64
	var ours bool // the key, where there is one
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(&n, &ours)
	}
	rows.Close()
	err = errors.Join(rows.Err(), err)
	switch {
	case err != nil || n > 0:
		return nil, err
	case !ours:
		return interlock.ErrKeyUsed, nil
	}
	return interlock.ErrStale, nil
}

func notNil(b []byte) []byte { return append([]byte{}, b...) }

// singleArgs are $1 to $50 and, of a change, $51 to $54.
func singleArgs(c *interlock.Commit) ([]any, error) {
	args, err := sqlstore.InstanceArgs(c.Instance)
	if err != nil {
		return nil, err
	}
	ids, versions, digests := []string{}, []int64{}, [][]byte{}
	for _, a := range c.Actors {
		ids, versions, digests = append(ids, a.ID), append(versions, a.Version), append(digests, notNil(a.Digest))
	}
	args = append(args, c.Epoch, c.Revision.ID, ids, versions, digests)
	rec := &c.Instance.Record
	args = append(args, sqlstore.RecordArgs(rec)[3:]...) // tenant, machine and instance are the instance's
	note, input, facts, salt, err := sqlstore.TextArgs(rec)
	if err != nil {
		return nil, err
	}
	args = append(args, note, input, facts, salt)
	if k := c.Idempotency; k != nil {
		args = append(args, k.Actor, k.Key, k.Token, k.Seq, k.Expires.UnixMicro(), string(k.Image), sqlstore.AnswerArg(k))
	} else {
		args = append(args, nil, nil, nil, nil, nil, nil, nil)
	}
	var outbox, key any
	if c.Outbox != nil {
		outbox = c.Outbox
	}
	if c.ByKey != "" {
		key = c.ByKey
	}
	args = append(args, outbox, key)
	if ch := c.Instance; ch.PrevVersion > 0 {
		args = append(args, ch.PrevVersion, ch.PrevState, notNil(ch.PrevDigest), notNil(ch.PrevHead))
	}
	return args, nil
}
