// Package model explores, step by step and in every order, what the protocol of
// a commit allows: gates that decide on what a cache or the database told them,
// the database's locks, an administrator, a cache that lies, crashes, lost
// answers, restored backups. Every reachable state of a small world is visited;
// none may break a promise. Weaken the protocol in one place, and the same
// exploration finds the shortest story that goes wrong: the stories stand in
// testdata, one a weakness.
//
// The world: mark asks for `approve`, which leads from every state to paid and
// needs a role that he may have or not; with an idempotency key, if the world
// says so, and again when no answer comes. ben asks for `hold`, which leads from
// new and paid to held and needs nothing. Each request has a gate of its own. An
// administrator grants, revokes, edits mark's row, or activates a revision.
//
// What each step stands for (the SQL is PostgreSQL's, READ COMMITTED; on SQLite
// the steps of a transaction come one after the other, which is one of the
// orders that are explored):
//
//	reserves the key                Gate.reserve, reserveKeySQL: with a lease, and a token of its own
//	reads and decides               Gate.facts (Store.Load is one query, one snapshot) and Gate.decide
//	reads again                     the next look of Gate.run: fresh, so that a no on cached facts isn't said
//	it was … when asked             Gate.moved
//	sends the commit                Gate.commit, on a context of its own: it goes on without the caller
//	locks mark's row                a of beginSingle (store/postgres/commit.go), checkActorSQL: version, content_digest, FOR SHARE
//	locks the revision              r and s of beginSingle, checkRevisionSQL and checkStoreSQL: status and epoch, FOR SHARE
//	writes instance, history, key   u, h, k of the statement; updateInstanceSQL: version, state, content_digest, head; the key by its token, completeKeySQL
//	COMMIT                          the end of the statement's transaction; what waited for its locks goes on
//	loses the connection            *UnknownOutcome
//	makes the commit again          Gate.resolve with Gate.again: the same change, under the same predicates
//	looks into history              the end of Gate.again: it is there, or the other can't come through any more
//	the administrator …             Gate.change with applyActor, Store.register for an activation: they wait for the row's share locks
//	Redis …                         store/rediscache: putScript, floorScript; a hostile one answers whatever it likes
//
// A digest is modelled as the content itself, the head of a chain as the list of
// its transitions: neither collides. Left out: time. The age limit of a decision
// guards what isn't a row, the clock that a rule reads and the claims of a token,
// and no promise of this model needs it; how long a menu may be old is bounded by
// the entries' expiry, of which nothing that commits depends.
package model
