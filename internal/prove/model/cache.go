package model

// cacheTold: the administrator's change reaches the cache, or doesn't.
func (x *explored) cacheTold(next state) {
	next.opAt = 3
	if !x.calm {
		x.step(next, "", "what the administrator sends to Redis is lost")
	}
	next.cache = entry{}
	if !x.floors {
		x.step(next, "", "Redis deletes the entry of mark's row")
		return
	}
	if x.cache.there && x.cache.epoch == x.db.epoch && x.cache.actor.version >= x.db.actor.version {
		next.cache = x.cache
	}
	next.cache.floor, next.cache.epoch = x.db.actor.version, x.db.epoch
	x.step(next, "", "Redis takes a floor of version %d for mark's row", x.db.actor.version)
}

// cachePut: what a gate has read arrives in the cache, sooner or later, or never.
func (x *explored) cachePut(i int) {
	put := x.asks[i].put
	if !put.there {
		return
	}
	next := x.state
	next.asks[i].put = entry{}
	if !x.calm {
		x.step(next, "", "what %s sends to Redis is lost", gateOf(i))
	}
	c := x.cache
	if x.floors && c.epoch == put.epoch && (put.actor.version < c.floor || c.there && put.actor.version <= c.actor.version) {
		x.step(next, "", "Redis refuses what %s read: it has newer", gateOf(i))
		return
	}
	next.cache = put
	if c.epoch == put.epoch {
		next.cache.floor = c.floor
	}
	x.step(next, "", "Redis keeps what %s read: %s", gateOf(i), put.actor)
}
