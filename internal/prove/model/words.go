package model

import "fmt"

func gateOf(i int) string { return [...]string{"gate 1", "gate 2", "gate 3"}[i] }

func txOf(i, j int) string {
	if j == 1 {
		return gateOf(i) + "'s second try"
	}
	return gateOf(i)
}

func (a actor) String() string {
	role := "no manager"
	if a.manager {
		role = "a manager"
	}
	return fmt.Sprintf("mark is %s (version %d)", role, a.version)
}

// told speaks of the limit only where somebody could be wrong about it.
func (m model) told(f facts) string {
	limit := ""
	switch {
	case !f.fit:
		limit = ", over the limit"
	case m.unfit:
		limit = ", within the limit"
	}
	return fmt.Sprintf("%s, the instance is %s (version %d)%s", f.actor, f.instance.in, f.instance.version, limit)
}

func (p place) String() string { return [...]string{"nowhere", "new", "held", "paid"}[p] }

func (a answer) String() string {
	return [...]string{"you may not", "it has changed since you asked", "busy, ask again", "nothing was changed", "it can't be told whether it was done"}[a]
}

func (o op) does() string {
	return [...]string{"grants mark the role", "revokes mark's role", "edits an attribute of mark's", "activates revision 2, and retires 1"}[o]
}

func (x *explored) actorWords(i int) string {
	switch {
	case i == ben:
		return "has no row of an actor to lock"
	case x.asks[i].facts.cached && !x.cachedToo:
		return "doesn't look at mark's row"
	case !x.actorLock:
		return "finds mark's row as decided"
	}
	return "locks mark's row, which is as decided"
}
