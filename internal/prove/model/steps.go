package model

import "fmt"

// model is a protocol in a world: a System.
type model struct {
	protocol
	world
}

func (m model) First() state {
	return state{
		db:         database{actor: m.firstActor(), instance: instance{version: 1, in: fresh}, epoch: 1},
		wasManager: m.manager,
	}
}

func (m model) firstActor() actor { return actor{version: 1, manager: m.manager} }

func (m model) Steps(s state, say bool, visit func(string, state, string)) {
	x := explored{model: m, state: s, talks: say, visit: visit}
	for i := range s.asks {
		if i == again && !m.again || i == ben && !m.ben {
			continue
		}
		x.gate(i)
		for j := range x.asks[i].tx {
			x.transaction(i, j)
		}
		x.cachePut(i)
	}
	x.administrator()
	x.restoring()
}

// explored is one state whose steps are being listed.
type explored struct {
	model
	state
	talks bool
	visit func(string, state, string)
}

// step tells one; words are put together only for a reader.
func (x *explored) step(next state, broken, words string, parts ...any) {
	if !x.talks {
		x.visit("", next, broken)
		return
	}
	x.visit(fmt.Sprintf(words, parts...), next, broken)
}

// move is a step that changes nothing but where a gate is.
func (x *explored) move(i int, to position, words string, parts ...any) {
	next := x.state
	next.asks[i].at = to
	x.step(next, "", words, parts...)
}

// gate lists what the gate of a request can do.
func (x *explored) gate(i int) {
	a := &x.asks[i]
	switch a.at {
	case unasked:
		x.begin(i)
		return
	case asked:
		x.reserve(i)
	case ready:
		x.readCache(i)
		x.readDatabase(i)
	case rereading:
		x.readDatabase(i)
	case decided:
		next := x.state
		next.asks[i].at, next.asks[i].tx[0] = waiting, sent
		x.step(next, "", "%s sends the commit", gateOf(i))
	case waiting, waitAgain:
		x.await(i)
	case lost:
		x.resolve(i)
	case committed:
		x.answerYes(i, i, "")
	case keyToWrite:
		next := x.state
		next.db.key = key{status: completed, ask: uint8(i)}
		next.asks[i].at = committed
		x.step(next, "", "%s completes the key, in a transaction of its own", gateOf(i))
	case replaying:
		x.answerYes(i, int(x.db.key.ask), ", as the key says")
	case refusing:
		x.answerNo(i)
	case over, dead:
		return
	}
	if x.crash && !x.crashed {
		next := x.state
		next.asks[i].at, next.crashed = dead, true
		x.step(next, "", "%s crashes", gateOf(i))
	}
}

// begin: mark asks, and asks again whenever he has no answer yet; ben asks.
func (x *explored) begin(i int) {
	if i == again && (x.asks[mark].at == unasked || x.acked&bit(mark) != 0 || x.deniedDone&bit(mark) != 0) {
		return
	}
	if i == again && x.later && int(x.op) < len(x.admin) {
		return
	}
	next := x.state
	next.asks[i].at, next.asks[i].knew = ready, x.granted
	if x.keyed && i != ben {
		next.asks[i].at = asked
	}
	x.step(next, "", "%s", [...]string{"mark asks gate 1 to approve", "mark has no answer, and asks gate 2 to approve", "ben asks gate 3 to hold"}[i])
}

// reserve is one statement: the key is free, or its lease has run out, or it is answered for.
func (x *explored) reserve(i int) {
	k := x.db.key
	switch {
	case x.keyHeld() && x.keyInside: // another commit has the row: wait
	case k.status == completed:
		x.move(i, replaying, "%s finds the key completed by gate %d", gateOf(i), k.ask+1)
	case k.status == reserved && !k.lapsed && int(k.ask) != i:
		next := x.state
		next.asks[i].at, next.asks[i].no = refusing, busy
		x.step(next, "", "%s finds the key reserved", gateOf(i))
	default:
		next := x.state
		next.db.key, next.asks[i].at = key{status: reserved, ask: uint8(i)}, ready
		x.step(next, "", "%s reserves the key", gateOf(i))
	}
	if k.status == reserved && !k.lapsed && int(k.ask) != i {
		next := x.state
		next.db.key.lapsed = true
		x.step(next, "", "the lease of gate %d on the key runs out", k.ask+1)
	}
}

// readDatabase is one query: one snapshot of both rows.
func (x *explored) readDatabase(i int) {
	f := facts{actor: x.db.actor, instance: x.db.instance, fit: !x.unfit, epoch: x.db.epoch}
	for revision := uint8(1); revision <= 2; revision++ {
		if revision == 2 && !x.db.retired {
			continue
		}
		f.revision = revision // a gate may not have heard of the second yet
		next := x.state
		if x.redis == honest && i != ben {
			next.asks[i].put = entry{there: true, actor: f.actor, epoch: f.epoch}
		}
		x.decide(i, next, f, "the database")
	}
}

// readCache: an honest cache answers with what it keeps; a hostile one with
// every version there ever was, with any content.
func (x *explored) readCache(i int) {
	f := facts{actor: x.db.actor, instance: x.db.instance, fit: !x.unfit, cached: true, epoch: x.db.epoch, revision: 1}
	switch {
	case x.redis == honest && x.cache.there && i != ben:
		f.actor, f.epoch = x.cache.actor, x.cache.epoch
		x.decide(i, x.state, f, "Redis")
	case x.redis == hostile:
		x.anything(f, func(f facts) { x.decide(i, x.state, f, "Redis") })
	}
}

// anything calls read with whatever a hostile cache could answer.
func (x *explored) anything(f facts, read func(facts)) {
	for f.epoch = 1; f.epoch <= x.db.epoch; f.epoch++ {
		for version := uint8(1); version <= x.db.actor.version; version++ {
			for _, manager := range []bool{false, true} {
				f.actor = actor{version, manager, x.db.actor.edited}
				for back := range x.db.instance.version {
					f.instance = x.db.instance.before(back)
					for _, f.instance.in = range []place{fresh, held, paid} {
						for _, f.fit = range []bool{false, true} {
							read(f)
						}
					}
				}
			}
		}
	}
}

// before is the instance as it was some versions ago.
func (h instance) before(back uint8) instance {
	for ; back > 0; back-- {
		h.version, h.head = h.version-1, h.head>>4
		switch h.head & 0xf {
		case 0:
			h.in = fresh
		case uint16(ben) + 1:
			h.in = held
		default:
			h.in = paid
		}
	}
	return h
}

// decide is the gate's one function: the graph, the role, the facts.
func (x *explored) decide(i int, next state, f facts, source string) {
	a := &next.asks[i]
	a.facts = f
	yes := f.instance.in != held // ben's hold
	if i != ben {
		yes = f.actor.manager && f.fit
	}
	read := func(what string) string {
		if !x.talks {
			return ""
		}
		return fmt.Sprintf("%s reads from %s: %s, and %s", gateOf(i), source, x.told(f), what)
	}
	switch {
	case x.tellsMove && a.seen != nowhere && a.seen != f.instance.in:
		a.at, a.no = refusing, moved
		x.step(next, "", "%s", read("it was "+a.seen.String()+" when asked"))
	case yes:
		a.at = decided
		x.step(next, "", "%s", read("decides: yes"))
	case f.cached && x.secondLook:
		a.at = rereading
		x.step(next, "", "%s", read("a no is only said on the database's"))
	default:
		a.at, a.no = refusing, denied
		x.step(next, "", "%s", read("decides: no"))
	}
}

// await: the commit's end, or the connection's.
func (x *explored) await(i int) {
	a := &x.asks[i]
	j := 0
	if a.at == waitAgain {
		j = 1
	}
	switch a.tx[j] {
	case done:
		to := committed
		if x.keyed && !x.keyInside && i != ben {
			to = keyToWrite
		}
		x.move(i, to, "%s learns that it is committed", gateOf(i))
	case gone:
		if j == 0 {
			x.again(i)
		} else {
			x.look(i)
		}
	case wrote:
		if !x.answersAfter && x.acked&bit(i) == 0 {
			x.answerYes(i, i, ", before COMMIT")
		}
	}
	if x.calm {
		return
	}
	if j == 0 {
		x.move(i, lost, "%s loses the connection to the database", gateOf(i))
		return
	}
	next := x.state
	next.asks[i].at, next.asks[i].no = refusing, unknown
	x.step(next, "", "%s loses the connection again", gateOf(i))
}

// again: a predicate failed. The next look is at the database, or the gate gives up.
func (x *explored) again(i int) {
	next := x.state
	a := &next.asks[i]
	if !a.facts.cached {
		a.seen = a.facts.instance.in
	}
	a.at, a.tx[0] = rereading, none
	if x.keyed && x.token && i != ben && (x.db.key.status != reserved || int(x.db.key.ask) != i) {
		a.at = asked
	}
	x.step(next, "", "%s learns that what it decided on has changed", gateOf(i))
	next = x.state
	next.asks[i].at, next.asks[i].no = refusing, busy
	x.step(next, "", "%s gives up after as many looks as it may", gateOf(i))
}

// resolve says what is done about an unknown outcome.
func (x *explored) resolve(i int) {
	switch {
	case x.settles:
		next := x.state
		next.asks[i].at, next.asks[i].tx[1] = waitAgain, sent
		x.step(next, "", "%s makes the commit once more, on a new connection", gateOf(i))
	case x.looks:
		x.look(i)
	default:
		next := x.state
		next.asks[i].at, next.asks[i].no = refusing, unchanged
		x.step(next, "", "%s takes the error for a no", gateOf(i))
	}
}

func (x *explored) look(i int) {
	if x.committedBy&bit(i) != 0 {
		x.move(i, committed, "%s looks into history: it is there", gateOf(i))
		return
	}
	next := x.state
	next.asks[i].at, next.asks[i].no = refusing, unchanged
	x.step(next, "", "%s looks into history: it is not there", gateOf(i))
}

// answerYes tells the caller that a transition is committed; or the answer is lost.
func (x *explored) answerYes(i, of int, how string) {
	next := x.state
	if next.asks[i].at != waiting { // answered before COMMIT: the gate goes on
		next.asks[i].at = over
	}
	next.acked |= bit(of) | bit(i)
	broken := ""
	if x.committedBy&bit(of) == 0 {
		broken = "acknowledged, and not committed"
	}
	x.step(next, broken, "%s answers: done%s", gateOf(i), how)
	if next.asks[i].at == over && !x.calm {
		x.move(i, over, "the answer of %s is lost", gateOf(i))
	}
}

// answerNo tells why not. The key is given back, unless something may still be committed under it.
func (x *explored) answerNo(i int) {
	a := x.asks[i]
	next := x.state
	next.asks[i].at = over
	broken := ""
	if a.no == denied || a.no == moved || a.no == unchanged {
		next.deniedDone |= bit(i)
		if x.committedBy&bit(i) != 0 {
			broken = "told that nothing was changed, and it is committed"
		}
	}
	if k := x.db.key; a.no != unknown && i != ben && k.status == reserved && int(k.ask) == i && !x.keyHeld() {
		next.db.key = key{}
	}
	if a.no == denied && a.knew && x.db.actor.manager && !x.unfit && i != ben && broken == "" {
		broken = "refused for want of a role that had been granted before he asked"
	}
	x.step(next, broken, "%s answers: %s", gateOf(i), a.no)
}
