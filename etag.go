package interlock

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// etagBytes is how many bytes of a hash or digest stand in a tag.
const etagBytes = 4

// ETag is the strong entity tag of an instance (RFC 9110, 8.8.3) that the gate
// has answered with: "epoch-version-head", head being the first four bytes of
// the newest row's hash. Facts that stand in columns of a bound table change
// without a row of history; the tag of such an instance has four bytes of their
// digest, too. "" for a bound row that no commit has touched yet.
func (g *Gate) ETag(i Instance) string {
	if i.Version == 0 || len(i.Head) < etagBytes {
		return ""
	}
	bound, _ := g.bound.Load(i.Machine)
	return etag(*g.epoch.Load(), i, bound == true)
}

func etag(epoch string, i Instance, bound bool) string {
	tag := append(append(make([]byte, 0, 64), '"'), epoch...)
	tag = strconv.AppendInt(append(tag, '-'), i.Version, 10)
	tag = hex.AppendEncode(append(tag, '-'), i.Head[:etagBytes])
	if bound {
		sum := sha256.Sum256(canonicalJSON(i.Facts))
		tag = hex.AppendEncode(append(tag, '-'), sum[:etagBytes])
	}
	return string(append(tag, '"'))
}

// namesVersion tells whether the request is for certain versions only.
func (q *question) namesVersion() bool {
	return len(q.ifMatch) > 0 && !slices.Contains(q.ifMatch, "*")
}

// precondition asks If-Match, by strong comparison, as soon as the actor is
// known to see the instance: what was meant for another version isn't looked at
// further. It is asked of the facts that the decision rests on, whose version and
// head the commit then repeats, so nothing comes in between.
func (d *decider) precondition() *Refusal {
	if !d.q.namesVersion() || d.q.op != opFire && d.q.op != opFacts {
		return nil
	}
	inst := d.f.inst
	if inst.Version > 0 && len(inst.Head) >= etagBytes && slices.Contains(d.q.ifMatch, etag(d.f.epoch, *inst, d.f.isBound)) {
		return nil
	}
	return &Refusal{Stage: StageConflict, Code: "precondition_failed", Instance: inst,
		Message: fmt.Sprintf("If-Match names another version: it is %s now, version %d", inst.State, inst.Version)}
}

// demanded refuses what would be done without naming the version that it is
// meant for, where the machine demands that: "*" names none. A dry run does nothing.
func (d *decider) demanded() *Refusal {
	if !d.f.m.IfMatch() || d.q.namesVersion() || d.q.dryRun && d.q.rehearsal == nil || d.q.op != opFire && d.q.op != opFacts {
		return nil
	}
	return &Refusal{Stage: StageInput, Code: "precondition_required",
		Message: "this machine demands If-Match with a version: read the instance, and send the ETag of that answer as If-Match with the same request"}
}

// exists is what a creation is told whose id is taken.
func (q *question) exists() *Refusal {
	if q.mustBeNew {
		return &Refusal{Stage: StageConflict, Code: "precondition_failed", Message: "an instance of this id exists, which If-None-Match rules out"}
	}
	return &Refusal{Stage: StageConflict, Code: "exists", Message: "an instance of this id exists"}
}
