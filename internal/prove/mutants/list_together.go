package main

const (
	batchStatement = "store/postgres/batch.go"
	batchQueue     = "store/postgres/group.go"

	batchTests = "TestConformance/pgx/together/(predicates|one|rows)"
	sinceTest  = "TestBatchSeesWhatChangedSinceItBegan"
)

// together are the predicates and locks of a batch, and what keeps its commits apart.
func together() []mutant {
	batch := func(name, takes, old, changed string) mutant {
		return onPostgres(mutant{name: "batch: " + name, takes: takes, edits: one(batchStatement, old, changed)}, batchTests)
	}
	// The conditions on the instance stand where it is locked and where it is written.
	instance := func(name, locked, lockedChanged, written, writtenChanged string) mutant {
		return onPostgres(mutant{name: "batch: instance's " + name, takes: "as shared",
			edits: one(batchStatement, locked, lockedChanged).and(batchStatement, written, writtenChanged)}, batchTests)
	}
	lock := func(name, takes, old, changed string) mutant {
		return onPostgres(mutant{name: "lock: " + name + ", batch", takes: takes, edits: one(batchStatement, old, changed)}, sinceTest)
	}
	queue := func(name, takes, old, changed, run string) mutant {
		return onPostgres(mutant{name: "batch: " + name, takes: takes, edits: one(batchQueue, old, changed)}, run)
	}
	return []mutant{
		batch("actor's version", "as shared", `AND a.version = c.version AND`, `AND`),
		batch("actor's digest", "as shared", `AND a.content_digest = c.digest`, ``),
		batch("actor is active", "as shared", `AND a.active AND`, `AND`),
		batch("actor's tenant", "an actor of another tenant stands for nobody here", `a.tenant = c.tenant AND a.id`, `a.id`),
		batch("every actor", "a commit needs every actor's row, not some", `w.n NOT IN (SELECT n FROM a WHERE yes IS NULL)`, `(w.n NOT IN (SELECT n FROM a) OR w.n IN (SELECT n FROM a WHERE yes))`),
		batch("revision's status", "as shared", `AND (r.status = 'active' OR r.status = 'accepting' AND r.until_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)`, ``),
		batch("revision's grace", "as shared", `AND r.until_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)`, `)`),
		batch("own revision", "a commit isn't allowed by the rules of another in its batch", `WHERE r.machine = w.machine AND r.id = w.rules)`, `WHERE r.machine = w.machine)`),
		batch("store's epoch", "as shared", `AND w.epoch = (SELECT epoch FROM s)`, `AND EXISTS (SELECT 1 FROM s)`),
		batch("API key", "nothing commits by a key that was revoked", `AND y.revoked_us = 0`, ``),
		batch("API key's tenant", "a key of another tenant stands for nobody here", `WHERE y.tenant = w.tenant AND y.id = w.api_key`, `WHERE y.id = w.api_key`),
		batch("key's token", "as in the single statement", `AND y.token = k.token AND`, `AND`),
		batch("key is reserved", "a key that was completed isn't completed again", `AND y.seq = 0`, ``),
		batch("every key", "a commit needs the key that it was asked under", `AND w.n NOT IN (SELECT n FROM i WHERE yes IS NULL)`, ``),
		batch("key is completed", "a commit under a key leaves the key used", `FROM u WHERE u.keyed AND`, `FROM u WHERE false AND`),
		instance("version", `AND x.version = p.prev_version AND`, `AND`, `AND x.version = l.prev_version AND`, `AND`),
		instance("state", `AND x.state = p.prev_state AND`, `AND`, `AND x.state = l.prev_state AND`, `AND`),
		instance("digest", `AND x.content_digest = p.prev_digest AND`, `AND`, `AND x.content_digest = l.prev_digest AND`, `AND`),
		instance("head", `AND x.head = p.prev_head
`, `
`, `AND x.head = l.prev_head
`, `
`),
		lock("actor", "a role that was revoked since the statement began is no role", `FOR SHARE OF a SKIP LOCKED`, ``),
		lock("revision", "rules that were retired since the statement began allow nothing", `FOR SHARE OF r SKIP LOCKED`, ``),
		lock("store", "what was decided on a store that was restored since commits nothing", `FOR SHARE SKIP LOCKED)`, `)`),
		lock("key", "a key that was used since the statement began isn't used again", `FOR UPDATE OF y SKIP LOCKED`, ``),
		queue("one of a key", "of two commits under one key in a batch one is written", `instances[instance] || keys[key] ||`, `instances[instance] ||`, batchTests),
		queue("an error is nobody else's", "what fails a batch isn't told to all of it", `p.alone = err != nil || !written[i]`, `p.err, p.alone = err, err == nil && !written[i]`, "TestBatchErrorIsNobodyElses"),
		queue("a conflict is nobody else's", "a commit that misses doesn't count as written", `p.alone = err != nil || !written[i]`, `p.alone = err != nil || i < 0 && !written[i]`, batchTests),
		queue("unknown to each", "a lost answer leaves every outcome of the batch unknown", `p.err = &interlock.UnknownOutcome{Err: unknown.Err}`, `p.err = unknown.Err`, "TestCutBatch"),
		queue("left after it was sent", "who leaves a statement that was sent isn't told that nothing was written", `return &interlock.UnknownOutcome{Err: ctx.Err()}`, `return ctx.Err()`, "TestLeftAfterItWasSent"),
	}
}
