package interlock

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/interlock-go/interlock/fsm"
)

// candidate is one (event, target) put before the policy.
type candidate struct {
	event    string
	from, to string
	stay     bool
	override bool
	requires []string
	checks   []string
	meta     map[string]any
	target   bool      // ask the policy's `target`
	edge     *fsm.Edge // nil: it is none

	// What the caller may still give: then conditions that read it are open.
	formOpen, noteOpen bool
}

// judgement is what policy says of a candidate. The zero value is a no.
type judgement struct {
	c          candidate
	allowed    bool
	reasons    []Reason
	needForm   bool // open: a condition that reads the form doesn't hold yet
	needNote   bool
	target     string
	asked      bool     // target is what the policy said for a person
	split      bool     // it said different targets for the persons: nobody is meant
	refusal    *Refusal // the policy can't tell
	ungranted  []Reason // titles of the grants that don't hold
	openTarget bool     // `target` reads what is open
}

// meant takes what the policy's `target` names for one person.
func (j *judgement) meant(target string) {
	j.split = j.split || j.asked && j.target != target
	if j.asked, j.target = true, target; j.split {
		j.target = ""
	}
}

// elsewhere tells that the policy means another target than this candidate's.
func (j *judgement) elsewhere() bool {
	return j.split || j.target != "" && j.target != j.c.to
}

func (j *judgement) deny(why Reason) {
	j.allowed = false
	j.reasons = append(j.reasons, why)
}

func (d *decider) edge(event *fsm.Event, e *fsm.Edge, target bool) candidate {
	m := d.f.m
	meta := map[string]any(event.Meta)
	switch {
	case len(meta) == 0 && len(e.Meta) == 0:
		meta = noMeta
	case len(meta) == 0:
		meta = e.Meta
	case len(e.Meta) > 0:
		meta = maps.Clone(meta)
		maps.Copy(meta, e.Meta)
	}
	return candidate{event: event.Name, from: m.State(e.From).Name, to: m.State(e.To).Name, stay: e.Stay,
		override: e.Override, requires: e.Requires, checks: e.Checks, meta: meta, target: target, edge: e}
}

// noMeta is nobody's to write to, as all metadata.
var noMeta = map[string]any{}

func (d *decider) access(event string, a fsm.Access, state string) candidate {
	return candidate{event: event, from: state, to: state, requires: a.Requires, checks: a.Checks, meta: noMeta}
}

// judge is the only place where a yes is made: one of `requires` holds, and
// every check is true, and nothing denies, with each person that the act is
// ascribed to, and nothing failed. All reasons are gathered.
func (d *decider) judge(ctx context.Context, c candidate) judgement {
	j := judgement{c: c}
	held, grants := d.holds(c.requires)
	if len(grants) > 0 && held {
		grants = nil // a role suffices
	}
	name := d.f.m.Name()
	deny := d.f.snap.defines(name, "deny")
	if len(c.checks) == 0 && len(grants) == 0 && !deny && !c.target {
		j.conclude(d, held)
		return j
	}
	if d.f.snap.rules == nil {
		j.refusal = unavailable("policy_failed", "there is no policy to ask", nil)
		return j
	}
	if why := d.misfit(); why != nil {
		j.deny(*why)
		return j
	}
	final, open := d.parts(c, grants, deny)
	granted := len(grants) == 0
	for _, person := range d.q.persons() {
		g, ok := d.askBoth(ctx, &j, c, person, final, open)
		if !ok {
			return j
		}
		if len(grants) > 0 {
			// Every person has to be granted.
			granted = g && (granted || person == d.q.actor.Person)
		}
	}
	if len(grants) > 0 {
		held = granted
	}
	j.conclude(d, held)
	return j
}

// holds looks at roles and kinds; grants are the conditions that may still grant.
func (d *decider) holds(requires []string) (held bool, grants []string) {
	for _, r := range requires {
		switch {
		case strings.HasPrefix(r, "$"):
			grants = append(grants, r[1:])
		case r == fsm.Anyone:
			held = true
		case r == fsm.System:
			held = held || d.q.actor.Kind == System
		default:
			held = held || slices.Contains(d.roles, r)
		}
	}
	return held, grants
}

// conclude says yes only where somebody may and nothing speaks against it. The
// reasons tell why not; that there are none is never what makes the yes.
func (j *judgement) conclude(d *decider, held bool) {
	who := held || j.granting(d)
	if !who {
		why := []Reason{{Code: "role_required", Message: requiresText(j.c.requires), Params: map[string]any{"any_of": slices.Clone(j.c.requires)}}}
		if len(j.ungranted) > 0 && len(j.ungranted) == len(j.c.requires) {
			why = nil // conditions alone: their titles say it better
		}
		j.reasons = slices.Concat(why, j.ungranted, j.reasons)
	}
	j.allowed = who && len(j.reasons) == 0
}

// granting tells whether a `$condition` may still grant, once the form or note is given.
func (j *judgement) granting(d *decider) bool {
	open := false
	for _, r := range j.c.requires {
		if g, ok := strings.CutPrefix(r, "$"); ok {
			form, note := d.f.snap.reads(d.f.m.Name(), g)
			if form && j.c.formOpen {
				j.needForm, open = true, true
			}
			if note && j.c.noteOpen {
				j.needNote, open = true, true
			}
		}
	}
	return open
}

func requiresText(requires []string) string {
	switch len(requires) {
	case 0:
		return "Nobody may do this"
	case 1:
		return "Needs " + requireText(requires[0])
	}
	parts := make([]string, len(requires))
	for i, r := range requires {
		parts[i] = requireText(r)
	}
	return "Needs one of: " + strings.Join(parts, ", ")
}

func requireText(r string) string {
	switch {
	case r == fsm.System:
		return "to be done by the system itself"
	case strings.HasPrefix(r, "$"):
		return "to be " + strings.ReplaceAll(r[1:], "_", " ")
	}
	return "role " + r
}

// batch is what one evaluation asks for.
type batch struct {
	checks, grants []string
	deny, target   bool
}

func (b batch) empty() bool { return len(b.checks) == 0 && len(b.grants) == 0 && !b.deny && !b.target }

// and is both parts of what split made of a candidate's.
func (b batch) and(open batch, c candidate) batch {
	grants := b.grants
	if len(open.grants) > 0 {
		grants = slices.Concat(b.grants, open.grants)
	}
	return batch{c.checks, grants, b.deny || open.deny, c.target}
}

// split parts the conditions that rest on what the caller may still give from
// the others, so that an error in one half doesn't decide the other.
func (d *decider) split(c candidate, grants []string, deny bool) (final, open batch) {
	if !c.formOpen && !c.noteOpen {
		return batch{c.checks, grants, deny, c.target}, batch{}
	}
	name := d.f.m.Name()
	isOpen := func(condition string) bool {
		form, note := d.f.snap.reads(name, condition)
		return form && c.formOpen || note && c.noteOpen
	}
	final.checks, open.checks = parted(c.checks, isOpen)
	final.grants, open.grants = parted(grants, isOpen)
	if deny {
		open.deny, final.deny = isOpen("deny"), !isOpen("deny")
	}
	if c.target {
		open.target, final.target = isOpen("target"), !isOpen("target")
	}
	return final, open
}

// parted keeps the order of both parts.
func parted(names []string, isOpen func(string) bool) (final, open []string) {
	for i, name := range names {
		switch {
		case isOpen(name):
			if open == nil {
				final = append(make([]string, 0, len(names)-1), names[:i]...)
			}
			open = append(open, name)
		case open != nil:
			final = append(final, name)
		}
	}
	if open == nil {
		return names, nil
	}
	return final, open
}

// askBoth asks for what is final and what is open, of a draft in one evaluation. An
// error in one mustn't decide the other: then each is asked for by itself. So is what
// is no draft: a no to what is open would leave unconfirmed what is final.
func (d *decider) askBoth(ctx context.Context, j *judgement, c candidate, person string, final, open batch) (granted, ok bool) {
	if !final.empty() && !open.empty() && d.draft(ctx, c) {
		if v, err := d.evaluate(ctx, c, person, final.and(open, c)); err == nil {
			granted = d.openVerdict(j, c, open, v, nil)
			if open.deny {
				v.Deny = nil
			}
			return d.finalVerdict(j, c, person, final, v) || granted, true
		}
	}
	if !final.empty() {
		v, err := d.evaluate(ctx, c, person, final)
		if err != nil {
			j.refusal = unavailable("policy_failed", "the policy could not decide", err)
			return false, false
		}
		granted = d.finalVerdict(j, c, person, final, v)
	}
	if !open.empty() {
		v, err := d.evaluate(ctx, c, person, open)
		granted = d.openVerdict(j, c, open, v, err) || granted
	}
	return granted, true
}

func (d *decider) evaluate(ctx context.Context, c candidate, person string, b batch) (Verdict, error) {
	ctx, cancel := withTimeout(ctx, d.g.cfg.PolicyTimeout)
	defer cancel()
	q := &Query{Input: d.policyInput(c, person), Checks: b.checks, Grants: b.grants,
		Deny: b.deny, Target: b.target, Trace: d.q.trace, Draft: d.draft(ctx, c)}
	if d.q.frame != nil {
		q.Held = &d.q.frame.held
	}
	v, err := d.f.snap.rules.Decide(ctx, q)
	d.trace = append(d.trace, v.Trace...)
	return v, err
}

// finalVerdict gathers in j what is said of a batch. What doesn't hold of it won't.
func (d *decider) finalVerdict(j *judgement, c candidate, person string, b batch, v Verdict) (granted bool) {
	d.tell(c, person, b, v)
	for _, name := range b.checks {
		if !slices.Contains(v.Passed, name) {
			j.reasons = withReason(j.reasons, failedReason(v, name))
		}
	}
	for _, why := range v.Failed {
		if slices.Contains(b.grants, why.Code) {
			j.ungranted = withReason(j.ungranted, why)
		}
	}
	for _, why := range v.Deny {
		j.reasons = withReason(j.reasons, why)
	}
	if b.target {
		j.meant(v.Target)
	}
	return grantedAny(b.grants, v)
}

// draft tells whether nothing but a menu or a dry run rests on what the policy
// says of the candidate. A dry run shows the instance: whether it may be seen is
// no draft. Neither is what was asked for strongly, since somebody goes by it.
func (d *decider) draft(ctx context.Context, c candidate) bool {
	switch {
	case IsStrong(ctx):
		return false
	case d.q.op == opMenu:
		return true
	}
	return d.q.op == opFire && d.q.dryRun && d.q.rehearsal == nil && c.event != "" && c.event[0] != '$'
}

func grantedAny(asked []string, v Verdict) bool {
	return slices.ContainsFunc(asked, func(g string) bool { return slices.Contains(v.Granted, g) })
}

// openVerdict marks as needed what doesn't hold of an open batch: nothing of it is
// final.
func (d *decider) openVerdict(j *judgement, c candidate, b batch, v Verdict, err error) (granted bool) {
	need := func(condition string) {
		form, note := d.f.snap.reads(d.f.m.Name(), condition)
		j.needForm = j.needForm || form && c.formOpen
		j.needNote = j.needNote || note && c.noteOpen
	}
	for _, name := range b.checks {
		if err != nil || !slices.Contains(v.Passed, name) {
			need(name)
		}
	}
	if b.deny && (err != nil || len(v.Deny) > 0) {
		need("deny")
	}
	if b.target {
		j.openTarget = true
		if err == nil {
			j.target = v.Target
		}
		need("target")
	}
	return err == nil && grantedAny(b.grants, v)
}

// withReason adds a reason once, however many persons it holds for.
func withReason(list []Reason, why Reason) []Reason {
	for _, r := range list {
		if r.Code == why.Code && r.Message == why.Message {
			return list
		}
	}
	return append(list, why)
}

func failedReason(v Verdict, name string) Reason {
	for _, why := range v.Failed {
		if why.Code == name {
			return why
		}
	}
	return Reason{Code: name, Message: "Condition " + name + " does not hold"}
}

// tell adds the policy's step to an explanation.
func (d *decider) tell(c candidate, person string, b batch, v Verdict) {
	if d.q.op != opExplain {
		return
	}
	d.step(StagePolicy, len(v.Deny) == 0 && len(v.Passed) == len(b.checks), fmt.Sprintf("%s to %s, as %s", c.event, c.to, person), map[string]any{
		"asked": slices.Clone(b.checks), "passed": v.Passed, "failed": v.Failed, "grants_asked": slices.Clone(b.grants), "granted": v.Granted, "deny": v.Deny, "target": v.Target,
	})
}
