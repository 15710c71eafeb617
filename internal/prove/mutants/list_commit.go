package main

// The commit stands three times: in statements that SQLite and PostgreSQL share,
// and, on PostgreSQL, in a single one and in one for a batch. Each predicate is
// taken away from each.
const (
	sharedActors    = "internal/sqlstore/actors.go"
	sharedCommit    = "internal/sqlstore/commit.go"
	singleStatement = "store/postgres/commit.go"

	predicateTests = "TestConformance/sqlite_memory/commit/predicates"
	singleTests    = "TestConformance/pgx/commit/predicates"
)

func predicates() []mutant {
	shared := func(name, takes, file, old, changed string) mutant {
		return onSQLite(mutant{name: "shared: " + name, takes: takes, edits: one(file, old, changed)}, predicateTests)
	}
	single := func(name, takes, old, changed string) mutant {
		return onPostgres(mutant{name: "single: " + name, takes: takes, edits: one(singleStatement, old, changed)}, singleTests)
	}
	return []mutant{
		shared("actor's version", "a commit is refused when the actor's row has changed since", sharedActors,
			`active AND version = $3 AND content_digest = $4 FOR_SHARE`, `active AND CAST($3 AS BIGINT) > 0 AND content_digest = $4 FOR_SHARE`),
		shared("actor's digest", "a commit is refused when the decision saw another content of the actor", sharedActors,
			`version = $3 AND content_digest = $4 FOR_SHARE`, `version = $3 AND length($4) > 0 FOR_SHARE`),
		shared("actor is active", "a commit is refused when the actor's row was switched off, by whomever", sharedActors,
			`WHERE tenant = $1 AND id = $2 AND active AND`, `WHERE tenant = $1 AND id = $2 AND`),
		shared("changed actor's version", "one change of an actor doesn't undo another", sharedActors,
			`AND version = $11 AND content_digest = $12`, `AND CAST($11 AS BIGINT) > 0 AND content_digest = $12`),
		shared("changed actor's digest", "an actor's change is refused when it was made on other content", sharedActors,
			`AND content_digest = $12 AND head = $13`, `AND length($12) > 0 AND head = $13`),
		shared("revision's status", "a commit is refused under rules that were retired", sharedCommit,
			`AND (status = 'active' OR status = 'accepting' AND until_us > NOW_US) FOR_SHARE`, `FOR_SHARE`),
		shared("revision's grace", "former rules stop committing when their time is over", sharedCommit,
			`OR status = 'accepting' AND until_us > NOW_US)`, `OR status = 'accepting')`),
		shared("store's epoch", "a decision on a store that was restored since commits nothing", sharedCommit,
			`WHERE epoch = $1 FOR_SHARE`, `WHERE CAST($1 AS TEXT) <> '' FOR_SHARE`),
		shared("instance's version", "a commit is refused when the instance has changed since", sharedCommit,
			`AND version = $17 AND state = $18`, `AND CAST($17 AS BIGINT) > 0 AND state = $18`),
		shared("instance's state", "a commit is refused when the instance is in another state", sharedCommit,
			`AND state = $18 AND content_digest`, `AND CAST($18 AS TEXT) <> '' AND content_digest`),
		shared("instance's digest", "a commit is refused when the decision saw another content of the instance", sharedCommit,
			`AND content_digest = $19 AND head = $20`, `AND length($19) > 0 AND head = $20`),
		shared("instance's head", "a commit is refused when its history isn't the one that it continues", sharedCommit,
			`content_digest = $19 AND head = $20`, `content_digest = $19 AND length($20) > 0`),
		shared("bound state", "a commit is refused when the application's column says another state", sharedCommit,
			`case row.State != c.Bound.From:`, `case false:`),
		shared("bound facts", "a commit is refused when the application's fact columns have changed since", sharedCommit,
			`case c.Bound.Facts != nil && !sameJSON(row.Facts, c.Bound.Facts):`, `case false:`),
		shared("last administrator", "the last administrator of a tenant stays", sharedCommit,
			`if c.KeepAdmin {
		if found`, `if false {
		if found`).by("TestConformance/sqlite_memory/commit/last_administrator"),

		single("actor's version", "as shared", `AND a.version = w.version AND`, `AND`),
		single("actor's digest", "as shared", `AND a.content_digest = w.digest`, ``),
		single("actor is active", "as shared", `WHERE a.tenant = $1 AND a.active AND`, `WHERE a.tenant = $1 AND`),
		single("actors are counted", "a commit needs every actor's row, not some", `(SELECT count(*) FROM a) = cardinality(CAST($19 AS text[]))`, `true`),
		single("revision's status", "as shared", `AND (status = 'active' OR status = 'accepting' AND until_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) FOR SHARE`, `FOR SHARE`),
		single("revision's grace", "as shared", `OR status = 'accepting' AND until_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) FOR SHARE`, `OR status = 'accepting') FOR SHARE`),
		single("store's epoch", "as shared", `WHERE epoch = $17 AND`, `WHERE CAST($17 AS text) <> '' AND`),
		single("instance's version", "as shared", `AND version = $51 AND`, `AND CAST($51 AS bigint) > 0 AND`),
		single("instance's state", "as shared", `AND state = $52 AND`, `AND CAST($52 AS text) <> '' AND`),
		single("instance's digest", "as shared", `AND content_digest = $53 AND`, `AND length(CAST($53 AS bytea)) > 0 AND`),
		single("instance's head", "as shared", `AND head = $54
`, `AND length(CAST($54 AS bytea)) > 0
`),
		single("what it can't say", "what the single statement doesn't write goes by the shared ones", `|| c.Erase != nil || c.Archive != nil {`, `{`).by("TestEveryFieldOfACommit"),
		single("what it isn't sent", "all that a commit holds is sent", `if c.ByKey != "" {`, `if c.ByKey == "" && false {`).by("TestEveryFieldOfACommit"),
	}
}

func (m mutant) by(run string) mutant {
	m.run = run
	return m
}

func locks() []mutant {
	const epochWaits = "TestConformance/pgx/epoch/a_new_one_waits"
	lock := func(name, takes, file, old, changed string) mutant {
		return onPostgres(mutant{name: "lock: " + name, takes: takes, edits: one(file, old, changed)},
			"TestConformance/pgx/race/(revocation_waits|a_commit|an_absent|a_retired|two_admin)")
	}
	return []mutant{
		lock("actor, shared", "a revocation waits for the commits in flight that rest on the old role", sharedActors,
			`content_digest = $4 FOR_SHARE`, `content_digest = $4`),
		lock("actor, single", "as shared", singleStatement, `ORDER BY a.id FOR SHARE OF a)`, `ORDER BY a.id)`),
		lock("revision, shared", "retiring rules waits for the commits in flight under them", sharedCommit,
			`until_us > NOW_US) FOR_SHARE`, `until_us > NOW_US)`),
		lock("revision, single", "as shared", singleStatement, `* 1000000)::bigint) FOR SHARE)`, `* 1000000)::bigint))`),
		lock("store, shared", "a new epoch waits for the commits in flight that were decided before it", sharedCommit,
			`WHERE epoch = $1 FOR_SHARE`, `WHERE epoch = $1`).by(epochWaits),
		lock("store, single", "as shared", singleStatement, `AND (SELECT v FROM g) IS NOT NULL FOR SHARE),
i AS`, `AND (SELECT v FROM g) IS NOT NULL),
i AS`).by(epochWaits),
		lock("absent actor", "an actor's row doesn't appear under a commit that rests on its absence", sharedActors,
			`if err := s.lockText(ctx, tx, s.d.LockTxShared, "actor "+tenant+" "+k.ID); err != nil {`, `if err := ctx.Err(); err != nil {`),
		lock("administrators", "two administrators can't remove each other", sharedActors,
			`if c.KeepAdmin {`, `if false {`),
	}
}

func stores() []mutant {
	return []mutant{
		onSQLite(mutant{name: "tenant of a load", takes: "an instance of another tenant isn't there",
			edits: one("internal/sqlstore/load.go", `ON i.tenant = $1 AND i.machine = $2 AND i.id = r.id
BOUND_JOIN
LEFT JOIN il.actor a ON a.tenant = $1 AND a.id IN (SELECT value FROM TEXTS($5))`, `ON i.machine = $2 AND i.id = r.id
BOUND_JOIN
LEFT JOIN il.actor a ON a.tenant = $1 AND a.id IN (SELECT value FROM TEXTS($5))`)}, "TestConformance/sqlite_memory/read/"),
		onSQLite(mutant{name: "tenant of an actor", takes: "an actor of another tenant lends nobody his roles",
			edits: one("internal/sqlstore/load.go", `LEFT JOIN il.actor a ON a.tenant = $1 AND a.id IN (SELECT value FROM TEXTS($5))`,
				`LEFT JOIN il.actor a ON a.id IN (SELECT value FROM TEXTS($5))`)}, "TestConformance/sqlite_memory/read/"),
		onSQLite(mutant{name: "tenant of a list", takes: "a list holds one tenant's instances",
			edits: one("internal/sqlstore/load.go", `WHERE i.tenant = $1 AND i.machine = $2 AND i.id > $3`, `WHERE CAST($1 AS TEXT) <> '' AND i.machine = $2 AND i.id > $3`)}, "TestConformance/sqlite_memory/read/"),
		onSQLite(mutant{name: "tenant of counts", takes: "counts are one tenant's",
			edits: one("internal/sqlstore/load.go", `FROM il.instance WHERE tenant = $1 AND machine = $2 GROUP BY state`, `FROM il.instance WHERE CAST($1 AS TEXT) <> '' AND machine = $2 GROUP BY state`)}, "TestConformance/sqlite_memory/read/"),
		onSQLite(mutant{name: "tenant of history", takes: "history is told to its own tenant",
			edits: one("internal/sqlstore/history.go", `WHERE h.tenant = $1 AND h.machine = $2 AND h.instance = $3 AND h.seq > $4`,
				`WHERE CAST($1 AS TEXT) <> '' AND h.machine = $2 AND h.instance = $3 AND h.seq > $4`)}, "TestConformance/sqlite_memory/(read|history)/"),
		onSQLite(mutant{name: "history without its row", takes: "nothing moves without a row of history",
			edits: one("internal/sqlstore/encoded.go", `	e.records = append(e.records, encodeRecord(recordOf(c)))
`, ``)}, "TestConformance/sqlite_memory/commit/"),
		onSQLite(mutant{name: "idempotency outside the transaction", takes: "a key is completed by the very commit that it stands for",
			edits: one(sharedCommit, `if err := s.completeKey(ctx, tx, c.Idempotency); err != nil {`, `k := c.Idempotency
		go func() {
			_ = s.db.Write(context.WithoutCancel(ctx), func(own Conn) error { return s.completeKey(ctx, own, k) })
		}()
		if err := ctx.Err(); err != nil {`)}, predicateTests),
		onPostgres(mutant{name: "idempotency, single: completed", takes: "a commit under a key leaves the key used",
			edits: one(singleStatement, `FROM u WHERE y.tenant = $1 AND`, `FROM u WHERE false AND y.tenant = $1 AND`)}, "TestConformance/pgx/key/"),
		onPostgres(mutant{name: "idempotency, single: token", takes: "a commit whose lease ran out doesn't complete somebody else's key",
			edits: one(singleStatement, `AND key = $43 AND token = $44 AND seq = 0`, `AND key = $43 AND CAST($44 AS text) <> '' AND seq = 0`)}, "TestConformance/pgx/(key|commit/predicates)"),
		onSQLite(mutant{name: "idempotency: token", takes: "as in the single statement",
			edits: one("internal/sqlstore/keys.go", `AND key = $3 AND token = $4 AND seq = 0`+"`"+`

const answerKeySQL`, `AND key = $3 AND CAST($4 AS TEXT) <> '' AND seq = 0`+"`"+`

const answerKeySQL`)}, "TestConformance/sqlite_memory/(key|commit/predicates)"),
		onSQLite(mutant{name: "mark of a restored store", takes: "a store that lacks the mark that was left in it isn't opened",
			edits: one("internal/sqlstore/epoch.go", `	if err != nil || found {
		return err
	}
	all, err`, `	if err != nil || !found {
		return err
	}
	all, err`)}, "TestRestore|TestWitness"),
		onSQLite(mutant{name: "reserved once", takes: "of many who reserve a key one gets it",
			edits: one("internal/sqlstore/keys.go", `ELSE k.lease_us <= NOW_US END`, `ELSE true END`)}, "TestConformance/sqlite_memory/key"),
	}
}
