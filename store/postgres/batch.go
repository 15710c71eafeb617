package postgres

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// The statement for several commits at once, whose rows come as arrays. It only
// says yes: a commit that it doesn't write is made again by itself, and learns
// there what stood against it.
//
// It waits for no row. One that somebody else holds is passed over, and its
// commit with it, so that nobody waits for somebody else's rows, and statements
// like this one can't deadlock; lock_timeout is for what isn't a row's lock.
//
// READ COMMITTED: every part sees the rows as they were when the statement
// began. A row that was changed since, and by a transaction that is still open,
// is passed over; by one that has ended, its newest version is locked and must
// hold the conditions of the same SELECT again. What is locked stays as it is
// until we commit. So for a, r and i: their rows hold now, not then. s has the
// epoch of the newest version, which is compared afterwards. l has locked the
// instances as they are now; u finds them as they were then, and PostgreSQL
// repeats its conditions on the newest version before it writes that. API keys
// are read unlocked, as in the single statement: whoever revokes one changes its
// actor's row, which a holds.
//
// Actors, rules and keys come before the instances, each in the order of its
// ids: the order of every commit. LATERAL makes the planner look for rows that
// are locked by their primary keys, NOT IN makes it compare by hashing, and from p
// on a row carries everything, so that nothing is joined by a loop in a loop.
const batchSQL = `WITH g AS MATERIALIZED (SELECT set_config('lock_timeout', '` + hastyWait + `', true) AS v),
w AS (SELECT * FROM unnest(COMMITS) WITH ORDINALITY AS w (COMMIT_NAMES, n)),
a AS MATERIALIZED (
	SELECT c.n, held.yes FROM unnest(CHECKS) AS c (CHECK_NAMES) LEFT JOIN LATERAL (
		SELECT true AS yes FROM il.actor a
		WHERE a.tenant = c.tenant AND a.id = c.id AND a.active AND a.version = c.version AND a.content_digest = c.digest
		FOR SHARE OF a SKIP LOCKED) held ON true
	WHERE (SELECT v FROM g) IS NOT NULL),
r AS MATERIALIZED (
	SELECT d.machine, d.id FROM unnest(RULES) AS d (RULE_NAMES) CROSS JOIN LATERAL (
		SELECT true AS yes FROM il.revision r WHERE r.machine = d.machine AND r.id = d.id
			AND (r.status = 'active' OR r.status = 'accepting' AND r.until_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
		FOR SHARE OF r SKIP LOCKED) held
	WHERE (SELECT count(*) FROM a) >= 0),
s AS MATERIALIZED (
	SELECT epoch FROM il.store WHERE (SELECT count(*) FROM r) >= 0 FOR SHARE SKIP LOCKED),
i AS MATERIALIZED (
	SELECT k.n, held.yes FROM unnest(KEYS) AS k (KEY_NAMES) LEFT JOIN LATERAL (
		SELECT true AS yes FROM il.idempotency y
		WHERE y.tenant = k.tenant AND y.actor = k.actor AND y.key = k.key AND y.token = k.token AND y.seq = 0
		FOR UPDATE OF y SKIP LOCKED) held ON true
	WHERE (SELECT count(*) FROM s) >= 0),
p AS MATERIALIZED (
	SELECT w.* FROM w
	WHERE w.n NOT IN (SELECT n FROM a WHERE yes IS NULL)
		AND EXISTS (SELECT 1 FROM r WHERE r.machine = w.machine AND r.id = w.rules)
		AND w.epoch = (SELECT epoch FROM s)
		AND w.n NOT IN (SELECT n FROM i WHERE yes IS NULL)
		AND (w.api_key = '' OR EXISTS (SELECT 1 FROM il.api_key y WHERE y.tenant = w.tenant AND y.id = w.api_key AND y.revoked_us = 0))
	ORDER BY w.n),
l AS MATERIALIZED (
	SELECT p.* FROM p CROSS JOIN LATERAL (
		SELECT true AS yes FROM il.instance x WHERE x.tenant = p.tenant AND x.machine = p.machine AND x.id = p.id
			AND x.version = p.prev_version AND x.state = p.prev_state AND x.content_digest = p.prev_digest AND x.head = p.prev_head
		FOR NO KEY UPDATE OF x SKIP LOCKED) held),
u AS (UPDATE il.instance x SET state = l.state, version = l.version, facts = l.facts, entered = l.entered, did = l.did, actors = l.actors, last = l.last,
	created_by = l.created_by, created_at = l.created_at, since = l.since, updated_at = l.updated_at, head = l.head, content_digest = l.digest
	FROM l WHERE x.tenant = l.tenant AND x.machine = l.machine AND x.id = l.id
		AND x.version = l.prev_version AND x.state = l.prev_state AND x.content_digest = l.prev_digest AND x.head = l.prev_head
	RETURNING l.*),
h AS (INSERT INTO il.history (tenant, machine, instance, seq, id, event, from_state, to_state, override,
	actor, person, on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts)
	SELECT tenant, machine, id, seq, record, event, from_state, to_state, override,
	actor, person, on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts FROM u),
t AS (INSERT INTO il.texts (tenant, machine, instance, seq, note, input, facts, salt)
	SELECT tenant, machine, id, seq, note, input, seen, salt FROM u WHERE has_texts),
k AS (UPDATE il.idempotency y SET machine = u.machine, instance = u.id, seq = u.key_seq, expires = u.key_expires, image = u.image,
	answer = CASE WHEN u.answered THEN u.answer END
	FROM u WHERE u.keyed AND y.tenant = u.tenant AND y.actor = u.key_actor AND y.key = u.key),
o AS (INSERT INTO il.outbox (id, tenant, machine, instance, seq, message)
	SELECT record, tenant, machine, id, seq, message FROM u WHERE messaged)
SELECT n FROM u`

// columns are the arrays that make one table of the statement.
type columns []struct{ name, kind string }

func columnsOf(list string) (all columns) {
	for _, c := range strings.Split(list, ",") {
		f := strings.Fields(c)
		all = append(all, struct{ name, kind string }{f[0], f[1]})
	}
	return all
}

// A row of each table, in the order of its values.
var (
	// The first are those of singleArgs.
	commitColumns = columnsOf(`tenant text, machine text, id text, state text, version bigint, facts text, entered text, did text, actors text, last text,
		created_by text, created_at bigint, since bigint, updated_at bigint, head bytea, digest bytea, epoch text, rules text,
		seq bigint, record text, event text, from_state text, to_state text, override boolean, actor text, person text,
		on_behalf_of text, on_behalf_of_person text, time_us bigint, revision text, hash bytea, prev bytea, bytes bytea, has_texts boolean,
		note text, input text, seen text, salt bytea,
		prev_version bigint, prev_state text, prev_digest bytea, prev_head bytea,
		keyed boolean, key_actor text, key text, key_seq bigint, key_expires bigint, image text, answered boolean, answer text,
		messaged boolean, message bytea, api_key text`)
	checkColumns = columnsOf(`n bigint, tenant text, id text, version bigint, digest bytea`)
	ruleColumns  = columnsOf(`machine text, id text`)
	keyColumns   = columnsOf(`n bigint, tenant text, actor text, key text, token text`)
)

// batchStatement is batchSQL with its parameters numbered, for a schema.
func batchStatement(schema string) string {
	next := 1
	table := func(name string, cols columns) []string {
		names, casts := make([]string, len(cols)), make([]string, len(cols))
		for i, c := range cols {
			names[i], casts[i] = c.name, "CAST($"+strconv.Itoa(next)+" AS "+c.kind+"[])"
			next++
		}
		return []string{strings.TrimSuffix(name, "S") + "_NAMES", strings.Join(names, ", "), name, strings.Join(casts, ", ")}
	}
	pairs := slices.Concat(table("COMMITS", commitColumns), table("CHECKS", checkColumns), table("RULES", ruleColumns), table("KEYS", keyColumns),
		[]string{"il.", sqlstore.Quote(schema) + "."})
	return strings.NewReplacer(pairs...).Replace(batchSQL)
}

// arrays turns rows into one array for each column. None holds NULL.
func (cols columns) arrays(rows [][]any) []any {
	out := make([]any, len(cols))
	for i, c := range cols {
		switch c.kind {
		case "bigint":
			out[i] = array[int64](rows, i)
		case "bytea":
			out[i] = array[[]byte](rows, i)
		case "boolean":
			out[i] = array[bool](rows, i)
		default:
			out[i] = array[string](rows, i)
		}
	}
	return out
}

func array[T any](rows [][]any, i int) []T {
	out := make([]T, len(rows))
	for n, row := range rows {
		out[n] = row[i].(T) // what singleArgs and batchArgs put there
	}
	return out
}

// batchArgs are the parameters of the statement for commits that are sorted by
// byInstance: the number of each, from 1, is its place.
func batchArgs(batch []*pending) []any {
	var commits, checks, rules, keys [][]any
	for i, p := range batch {
		n, c, tenant := int64(i+1), p.commit, p.args[0]
		k := c.Idempotency
		if k != nil {
			keys = append(keys, []any{n, tenant, k.Actor, k.Key, k.Token})
		} else {
			k = &interlock.Idempotency{}
		}
		commits = append(commits, slices.Concat(p.args[:18], p.args[21:41], p.args[50:], []any{
			c.Idempotency != nil, k.Actor, k.Key, k.Seq, k.Expires.UnixMicro(), string(k.Image), k.Answer != nil, string(k.Answer),
			c.Outbox != nil, notNil(c.Outbox), c.ByKey}))
		for _, a := range c.Actors {
			checks = append(checks, []any{n, tenant, a.ID, a.Version, notNil(a.Digest)})
		}
		if rule := []any{c.Revision.Machine, c.Revision.ID}; !slices.ContainsFunc(rules, func(r []any) bool { return slices.Equal(r, rule) }) {
			rules = append(rules, rule)
		}
	}
	slices.SortFunc(checks, byText(1, 2))
	slices.SortFunc(rules, byText(0, 1))
	slices.SortFunc(keys, byText(1, 2, 3))
	return slices.Concat(commitColumns.arrays(commits), checkColumns.arrays(checks), ruleColumns.arrays(rules), keyColumns.arrays(keys))
}

// byText orders rows by their texts at these places.
func byText(places ...int) func(a, b []any) int {
	return func(a, b []any) int {
		for _, i := range places {
			if d := cmp.Compare(a[i].(string), b[i].(string)); d != 0 {
				return d
			}
		}
		return 0
	}
}

// byInstance is the order in which instances are locked.
func byInstance(a, b *pending) int {
	x, y := &a.commit.Instance.Next, &b.commit.Instance.Next
	return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Machine, y.Machine), cmp.Compare(x.ID, y.ID))
}

// instanceOf and keyOf are what two commits of one batch may not share.
func instanceOf(c *interlock.Commit) [3]string {
	n := &c.Instance.Next
	return [3]string{n.Tenant, n.Machine, n.ID}
}

func keyOf(c *interlock.Commit) [3]string {
	if k := c.Idempotency; k != nil {
		return [3]string{k.Tenant, k.Actor, k.Key}
	}
	return [3]string{}
}
