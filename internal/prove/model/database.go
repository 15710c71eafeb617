package model

// transaction lists what the database can do next for one of a request's commits.
func (x *explored) transaction(i, j int) {
	t := x.asks[i].tx[j]
	switch t {
	case none, done, gone:
		return
	case sent:
		if !x.actorLock || !x.adminHolds(grant, revoke, edit) {
			x.check(i, j, actorHeld, x.actorHolds(i), x.actorWords(i), "finds mark's row changed")
		}
	case actorHeld:
		if !x.revisionLock || !x.adminHolds(activate) {
			f := x.asks[i].facts
			holds := (f.revision == 2 || !x.db.retired) && (!x.epoch || f.epoch == x.db.epoch)
			words := "finds the revision in force"
			if x.revisionLock {
				words = "locks the revision, which is in force"
			}
			x.check(i, j, rulesHeld, holds, words, "finds the revision or the epoch changed")
		}
	case rulesHeld:
		if !x.written() {
			x.check(i, j, wrote, x.instanceHolds(i), "writes instance, history, key", "finds the instance, or the key, changed")
		}
	case wrote:
		x.commit(i, j)
	}
	if at := x.asks[i].at; at != waiting && at != waitAgain || at == waitAgain && j == 0 {
		next := x.state
		next.asks[i].tx[j] = gone
		x.step(next, "", "the database ends what %s left behind", gateOf(i))
	}
}

func (x *explored) check(i, j int, to phase, holds bool, yes, no string) {
	next, words := x.state, yes
	next.asks[i].tx[j] = to
	if !holds {
		next.asks[i].tx[j], words = gone, no
	}
	x.step(next, "", "the database, for %s: %s", txOf(i, j), words)
}

func (x *explored) actorHolds(i int) bool {
	if i == ben {
		return true // the system, of whom nothing is stored
	}
	saw, is := x.asks[i].facts.actor, x.db.actor
	if x.asks[i].facts.cached && !x.cachedToo {
		return true
	}
	if x.actorVersion && saw.version != is.version {
		return false
	}
	return !x.actorContent || saw == is
}

func (x *explored) instanceHolds(i int) bool {
	f := x.asks[i].facts
	saw, is := f.instance, x.db.instance
	if x.instanceVersion && (saw.version != is.version || saw.in != is.in) {
		return false
	}
	if x.instanceContent && f.fit == x.unfit {
		return false
	}
	if x.head && saw.head != is.head {
		return false
	}
	if !x.keyed || i == ben || !x.keyInside || !x.token {
		return true
	}
	return x.db.key.status == reserved && int(x.db.key.ask) == i
}

// written tells that somebody holds the row of the instance.
func (x *explored) written() bool {
	for i := range x.asks {
		for _, t := range x.asks[i].tx {
			if t == wrote {
				return true
			}
		}
	}
	return false
}

// keyHeld tells that a commit which completes the key holds its row.
func (x *explored) keyHeld() bool {
	for i := range ben {
		for _, t := range x.asks[i].tx {
			if t == wrote {
				return x.keyed
			}
		}
	}
	return false
}

// shared tells that a commit keeps others from changing the actor's row, or the revision's.
func (x *explored) shared(o op) bool {
	for i := range x.asks {
		for _, t := range x.asks[i].tx {
			switch {
			case t != actorHeld && t != rulesHeld && t != wrote:
			case o == activate && x.revisionLock && t != actorHeld, o != activate && x.actorLock && i != ben:
				return true
			}
		}
	}
	return false
}

// commit makes it durable, and is where most promises are kept or broken.
func (x *explored) commit(i, j int) {
	f := x.asks[i].facts
	to := paid
	if i == ben {
		to = held
	}
	next := x.state
	next.asks[i].tx[j] = done
	next.db.instance = x.db.instance.with(i, to)
	next.committedBy |= bit(i)
	if x.keyed && x.keyInside && i != ben {
		next.db.key = key{status: completed, ask: uint8(i)}
	}
	x.step(next, x.breaks(i, f), "the database, for %s: COMMIT", txOf(i, j))
}

// breaks names the promise that this commit breaks.
func (x *explored) breaks(i int, f facts) string {
	const marks = 1<<mark | 1<<again
	switch {
	case i != ben && x.revoked:
		return "committed on a role whose revoke had answered"
	case i != ben && !x.db.actor.manager && !x.wasManager:
		return "committed for somebody who never had the role"
	case i != ben && x.unfit:
		return "committed on facts that the instance never had"
	case f.revision == 1 && x.activated:
		return "committed under rules whose replacement had answered"
	case f.instance.in != x.db.instance.in:
		return "history says that it left " + f.instance.in.String() + ", and it stood in " + x.db.instance.in.String()
	case f.instance.head != x.db.instance.head:
		return "the new row of history follows one that isn't the last"
	case x.asks[i].seen != nowhere && x.asks[i].seen != x.db.instance.in:
		return "asked of " + x.asks[i].seen.String() + ", decided again and committed on " + x.db.instance.in.String()
	case x.keyed && i != ben && x.committedBy&marks != 0:
		return "applied twice under one key"
	case x.committedBy&bit(i) != 0:
		return "applied twice"
	case x.deniedDone&bit(i) != 0:
		return "told that nothing was changed, and it is committed after all"
	}
	return ""
}

// adminHolds tells that the administrator's uncommitted change holds the row.
func (x *explored) adminHolds(ops ...op) bool {
	if x.opAt != 1 {
		return false
	}
	for _, o := range ops {
		if x.admin[x.op] == o {
			return true
		}
	}
	return false
}

// administrator: change the row, COMMIT, tell the cache, answer.
func (x *explored) administrator() {
	if int(x.op) == len(x.admin) {
		return
	}
	o := x.admin[x.op]
	next := x.state
	switch x.opAt {
	case 0:
		if !x.shared(o) {
			next.opAt = 1
			x.step(next, "", "the administrator %s", o.does())
		}
	case 1:
		x.changed(o, &next)
		next.opAt = 2
		if x.redis == absent || x.redis == hostile || o == activate {
			next.opAt = 3
		}
		x.step(next, "", "the administrator's COMMIT")
	case 2:
		x.cacheTold(next)
	case 3:
		x.answered(o, &next)
		x.step(next, "", "the administrator is answered: done")
	}
	if x.opAt == 0 && !x.waits && !x.revoked && x.shared(o) {
		next := x.state
		next.revoked = o == revoke // it will be, when its turn comes
		x.step(next, "", "the administrator waits for mark's row, and is answered: done")
	}
}

func (x *explored) changed(o op, next *state) {
	switch o {
	case activate:
		next.db.retired = true
		return
	case edit:
		next.db.actor.edited = true
	case grant, revoke:
		next.db.actor.manager = o == grant
		next.wasManager = next.wasManager || o == grant
		next.revoked = next.revoked && o != grant
	}
	next.db.actor.version++
}

func (x *explored) answered(o op, next *state) {
	next.op, next.opAt = x.op+1, 0
	switch o {
	case grant:
		next.granted = true
	case revoke:
		next.granted, next.revoked = false, true
	case activate:
		next.activated = true
	case edit:
	}
}

// restoring puts back the backup of the beginning: what was running is gone, the
// gates go on with what they know, and the epoch is a new one. What was promised
// holds for the database as it is now.
func (x *explored) restoring() {
	if !x.restore || x.restored {
		return
	}
	next := x.state
	next.db = x.First().db
	next.db.epoch = x.db.epoch + 1
	next.restored = true
	next.acked, next.committedBy, next.deniedDone = 0, 0, 0
	next.wasManager, next.revoked, next.granted, next.activated = x.manager, false, false, false
	for i := range next.asks {
		a := &next.asks[i]
		for j, t := range a.tx {
			if t != none && t != done && t != gone {
				a.tx[j] = gone
			}
		}
		a.knew = false
		switch a.at {
		case waiting:
			a.at = lost
		case waitAgain:
			a.at, a.no = refusing, unknown
		}
		if x.asks[i].at == committed || x.asks[i].at == replaying {
			a.at = over // its caller learns of the restore by other ways
		}
	}
	if x.opAt == 1 {
		next.opAt = 0
	}
	if x.opAt > 1 {
		next.op, next.opAt = x.op+1, 0
	}
	x.step(next, "", "the backup of the beginning is restored")
}
