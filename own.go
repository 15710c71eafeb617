package interlock

import "slices"

// Rows as they were read are shared by whoever decides on them, and are nobody's to
// change. What leaves the gate is the caller's own: it is copied on its way out.

// own shares nothing with i that a caller could change.
func (i *Instance) own() *Instance { return Facts{Instance: i}.Clone().Instance }

// own shares nothing with a that a caller could change.
func (a ActorRecord) own() ActorRecord { return Facts{Actors: []ActorRecord{a}}.Clone().Actors[0] }

// own shares nothing with t that a caller could change.
func (t Transition) own() Transition {
	t.Input, t.Facts = copyMap(t.Input), copyMap(t.Facts)
	t.Hash, t.Prev = slices.Clone(t.Hash), slices.Clone(t.Prev)
	return t
}

// answered is what the caller of a question gets.
func (q *question) answered(res Result) Result {
	if q.lent {
		return res
	}
	return Result{Instance: *res.Instance.own(), Transition: res.Transition.own(), Replayed: res.Replayed}
}

// shown is what the caller of a read gets.
func (q *question) shown(i *Instance) Instance {
	if q.lent {
		return *i
	}
	return *i.own()
}
