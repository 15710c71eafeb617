package interlock

import (
	"context"
	"fmt"
	"time"

	"github.com/interlock-go/interlock/internal/lent"
)

// Explanation is how a decision comes about now.
type Explanation struct {
	Allowed bool     `json:"allowed"`
	Refusal *Refusal `json:"-"` // nil when allowed
	Steps   []Step   `json:"steps"`
	Trace   []string `json:"trace,omitempty"`
}

// Step is one stage of the gate.
type Step struct {
	Stage    Stage          `json:"stage"`
	OK       bool           `json:"ok"`
	Message  string         `json:"message"`
	Detail   map[string]any `json:"detail,omitempty"`
	Duration time.Duration  `json:"duration_ns"`
}

// Explain tells how the gate would decide the event now for the actor: every
// stage with its time, what was asked and what came back; with trace, the
// policy's evaluation too (several times slower). It is for those who meet the
// machine's `explain` and may read the instance (others are told that there is
// none), and rests on the store's facts, never on cached ones.
func (g *Gate) Explain(ctx context.Context, actor Actor, req Request, trace bool) (Explanation, error) {
	ctx, _ = lent.Of(ctx)
	q, no := g.ask(opExplain, actor, Ref{req.Machine, req.ID})
	if no != nil {
		return Explanation{}, no
	}
	if no := q.fill(req.Event, req.To, req.Note, req.Input); no != nil {
		return Explanation{}, no
	}
	q.trace, q.dryRun = trace, true
	f, no := g.facts(ctx, q, g.snap.Load(), true)
	if no != nil {
		return Explanation{}, no
	}
	if no := g.mayExplain(ctx, f, q); no != nil {
		return Explanation{}, no
	}
	r := g.decide(ctx, f, q)
	g.observed(ctx, q, f, 1, r.refusal)
	return Explanation{Allowed: r.refusal == nil, Refusal: r.refusal, Steps: r.steps, Trace: r.trace}, nil
}

func (g *Gate) mayExplain(ctx context.Context, f *facts, q *question) *Refusal {
	asked := *q
	asked.op = opRead
	if r := g.decide(ctx, f, &asked); r.refusal != nil {
		return r.refusal
	}
	if q.actor.Kind == System {
		return nil
	}
	d := decider{g: g, f: f, q: &asked}
	d.roles = d.rolesOf(asked.actor)
	return d.may(ctx, d.access("$explain", f.m.Explain(), f.inst.State), fmt.Sprintf("see how decisions on %s come about", f.m.Name())).refusal
}
