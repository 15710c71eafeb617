package model

// protocol is what gates and database do, one field for each guard. The right
// one does all of it.
type protocol struct {
	actorVersion    bool // the commit repeats the version of the actor's row
	actorContent    bool // and a digest of what the decision saw of it
	cachedToo       bool // all that also where the decision rested on cached facts
	actorLock       bool // and keeps that row from changing until it is through: FOR SHARE
	revisionLock    bool // the same for the revision of the rules
	instanceVersion bool // the commit repeats the instance's version and state
	instanceContent bool // and a digest of what the decision saw of it
	head            bool // and the head of its history
	epoch           bool // and the epoch of the database
	secondLook      bool // a no on cached facts is said on the store's only
	tellsMove       bool // a state that changed under a decision is told, not decided on again
	answersAfter    bool // the caller's answer leaves after COMMIT
	settles         bool // after a lost connection the commit is made once more before anything is said
	looks           bool // and history is read
	keyInside       bool // the idempotency key is completed in the commit
	token           bool // by whom it is reserved for, and nobody else
	waits           bool // a change of roles or rules answers when it holds, however long the row is locked
	floors          bool // a revoke leaves a floor in the cache that refuses late fills, instead of deleting
}

func right() protocol {
	return protocol{
		actorVersion: true, actorContent: true, cachedToo: true, actorLock: true, revisionLock: true,
		instanceVersion: true, instanceContent: true, head: true, epoch: true,
		secondLook: true, tellsMove: true, answersAfter: true, settles: true, looks: true,
		keyInside: true, token: true, waits: true, floors: true,
	}
}

// wrong is a design that looks right, and the smallest world in which it isn't.
type wrong struct {
	name   string // of its story in testdata
	why    string
	weaken func(*protocol)
	in     world
}

// wrongs are the obvious designs, each one weakening of the right one.
func wrongs() []wrong {
	return []wrong{
		{"delete_on_revoke", "A revoke deletes the cache's entry, and the commit trusts what came from the cache. Nothing fails here.",
			func(p *protocol) { p.floors, p.cachedToo = false, false },
			world{again: true, manager: true, admin: []op{revoke}, redis: honest, calm: true, later: true}},
		{"version_without_content", "The commit repeats the version of the actor's row, not what was read under it.",
			func(p *protocol) { p.actorContent = false },
			world{redis: hostile}},
		{"facts_without_content", "The commit repeats the version of the instance, not what was read under it.",
			func(p *protocol) { p.instanceContent = false },
			world{manager: true, redis: hostile, unfit: true}},
		{"integer_versions", "Versions are all that the commit repeats; a restored backup gives them out again.",
			func(p *protocol) { p.actorContent, p.instanceContent, p.head, p.epoch = false, false, false, false },
			world{admin: []op{grant, edit}, restore: true}},
		{"no_epoch_no_head", "The commit repeats versions and contents, but nothing of the history before them.",
			func(p *protocol) { p.head, p.epoch = false, false },
			world{again: true, ben: true, manager: true, restore: true, calm: true}},
		{"exists_without_lock", "The commit asks whether the actor's row is as it was (EXISTS), and doesn't lock it.",
			func(p *protocol) { p.actorLock = false },
			world{manager: true, admin: []op{revoke}}},
		{"revision_not_locked", "The commit asks whether its revision is in force, and doesn't lock its row.",
			func(p *protocol) { p.revisionLock = false },
			world{manager: true, admin: []op{activate}}},
		{"an_error_means_no", "An error from the database is told as: nothing was changed.",
			func(p *protocol) { p.settles, p.looks = false, false },
			world{again: true, keyed: true, manager: true}},
		{"look_without_settling", "After a lost connection history is read once: what isn't there was not committed.",
			func(p *protocol) { p.settles = false },
			world{again: true, keyed: true, manager: true}},
		{"refusal_on_cached_facts", "A no on cached facts is told as it is.",
			func(p *protocol) { p.secondLook = false },
			world{admin: []op{grant}, redis: hostile}},
		{"silent_decision", "A commit that lost its race is decided again, whatever happened to the state.",
			func(p *protocol) { p.tellsMove = false },
			world{ben: true, manager: true}},
		{"answer_before_commit", "The answer leaves when everything is written, before COMMIT.",
			func(p *protocol) { p.answersAfter = false },
			world{manager: true}},
		{"key_outside", "The idempotency key is completed after the commit, in a transaction of its own.",
			func(p *protocol) { p.keyInside = false },
			world{again: true, keyed: true, manager: true}},
		{"lease_without_token", "A reservation of a key runs out; the commit doesn't look whose it is now.",
			func(p *protocol) { p.token = false },
			world{again: true, keyed: true, manager: true}},
		{"no_compare_and_set", "The commit writes the instance as it finds it.",
			func(p *protocol) { p.instanceVersion, p.instanceContent, p.head = false, false, false },
			world{ben: true, manager: true, calm: true}},
		{"revoke_does_not_wait", "A revoke that waits for a commit's lock is told as done meanwhile.",
			func(p *protocol) { p.waits = false },
			world{manager: true, admin: []op{revoke}}},
	}
}
