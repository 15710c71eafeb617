package interlock

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/interlock-go/interlock/fsm"
)

// Drift is one id at which a table bound to a machine and history differ: the
// column was changed by hand, the row is gone, or the gate has never seen it.
// A store with bound tables has Drift(ctx, tenant, machine) iter.Seq2[Drift,
// error]: each page of it is one look at both.
type Drift struct {
	Ref
	Row     bool   `json:"row"`     // the table has a row
	Found   string `json:"found"`   // what its column says; "" is NULL, too
	Version int64  `json:"version"` // of the instance; 0: the row was never adopted
	State   string `json:"state"`   // what history says; "" where there is none
}

func (d Drift) String() string {
	switch {
	case !d.Row:
		return fmt.Sprintf("%s/%s: history says %q (version %d), the row is gone", d.Machine, d.ID, d.State, d.Version)
	case d.Version == 0:
		return fmt.Sprintf("%s/%s: the row says %q and was never adopted", d.Machine, d.ID, d.Found)
	}
	return fmt.Sprintf("%s/%s: history says %q (version %d), the row says %q", d.Machine, d.ID, d.State, d.Version, d.Found)
}

// Drift looks through the table bound to the machine, and yields every id at
// which it isn't as history says, in byte order; rows that were never adopted,
// too. It changes nothing. Only an administrator or the system may; it is of the
// administrator's own tenant. An error is the last thing that it yields, a
// *[Refusal]. Each id of which history knows is an alarm (Observation.Alarm
// "drift"). Columns that are facts have no history, so they never drift.
func (g *Gate) Drift(ctx context.Context, by Actor, machine string) iter.Seq2[Drift, error] {
	return func(yield func(Drift, error) bool) {
		all, no := g.drift(ctx, by, machine)
		if no != nil {
			yield(Drift{}, no)
			return
		}
		for d, err := range all {
			if err != nil {
				yield(Drift{}, unavailable("store_failed", "the store doesn't answer", err))
				return
			}
			if d.Version > 0 {
				g.observe(ctx, Observation{Op: "alarm", Machine: d.Machine, Alarm: "drift"})
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (g *Gate) drift(ctx context.Context, by Actor, machine string) (iter.Seq2[Drift, error], *Refusal) {
	q, no := g.ask(opRepair, by, Ref{Machine: machine})
	if no != nil {
		return nil, no
	}
	if _, _, no := g.admin(ctx, q); no != nil {
		return nil, no
	}
	m, ok := g.snap.Load().machines[machine]
	if !ok {
		return nil, notFound()
	}
	bound, ok := g.cfg.Store.(interface {
		Drift(ctx context.Context, tenant, machine string) iter.Seq2[Drift, error]
	})
	if !ok {
		return nil, unbound(m.Name())
	}
	return bound.Drift(ctx, q.actor.Tenant, m.Name()), nil
}

func unbound(machine string) *Refusal {
	msg := "machine " + machine + " isn't bound to a table of the application's"
	return &Refusal{Stage: StageInput, Code: "input_invalid", Message: msg, Fields: []fsm.FieldError{{Pointer: "/machine", Message: msg}}}
}

// Repair writes the state that history has back into the application's column,
// never the reverse, together with a row of history ($repair) that says what it
// found there and enters nobody. Only an administrator or the system may, and the
// note must say why. Nothing is done where the column says what history says: the
// Result then has no Transition. A row that is gone must be put back first; one
// that was never adopted is for [Gate.Backfill]. Config.Before isn't asked.
func (g *Gate) Repair(ctx context.Context, by Actor, ref Ref, note string) (Result, error) {
	return g.mend(ctx, by, ref, "$repair", note, func(f *facts, q *question) (ruling, *Refusal) {
		switch {
		case !f.adopted():
			return ruling{}, &Refusal{Stage: StageConflict, Code: "drift", Message: "history knows nothing of it: a backfill adopts a row as it is"}
		case f.bound == nil:
			return ruling{}, &Refusal{Stage: StageConflict, Code: "drift", Instance: f.inst.own(),
				Message: fmt.Sprintf("the application's row is gone: put it back in state %q", f.stored.State)}
		case f.bound.State == f.stored.State:
			return ruling{}, nil
		}
		return ruling{event: q.event, from: f.stored.State, to: f.stored.State, stay: true}, nil
	})
}

// Backfill adopts a row of the application's table that the gate has never seen,
// in the state in which it stands: the caller names it, and it must be a state
// of the machine. The row of history ($backfill) says what was found; nobody has
// entered the state, so conditions on who did aren't met by it. Only an
// administrator or the system may, and the note must say why. Config.Before
// isn't asked.
func (g *Gate) Backfill(ctx context.Context, by Actor, ref Ref, state, note string) (Result, error) {
	return g.mend(ctx, by, ref, "$backfill", note, func(f *facts, q *question) (ruling, *Refusal) {
		if _, ok := f.m.StateByName(state); !ok {
			msg := fmt.Sprintf("machine %s has no state %q", f.m.Name(), clip(state))
			return ruling{}, &Refusal{Stage: StageInput, Code: "input_invalid", Message: msg, Fields: []fsm.FieldError{{Pointer: "/state", Message: msg}}}
		}
		switch {
		case f.adopted():
			return ruling{}, &Refusal{Stage: StageConflict, Code: "exists", Instance: f.inst.own(), Message: "history knows it already"}
		case f.bound == nil:
			return ruling{}, notFound()
		case f.bound.State != state:
			return ruling{}, &Refusal{Stage: StageConflict, Code: "drift",
				Message: fmt.Sprintf("the application's row says %q, not %q", clip(f.bound.State), state)}
		}
		return ruling{event: q.event, from: state, to: state, stay: true}, nil
	})
}

// mend commits what an administrator does about a bound row, under the same
// predicates as an event; his own row stands in them, too.
func (g *Gate) mend(ctx context.Context, by Actor, ref Ref, event, note string, rule func(*facts, *question) (ruling, *Refusal)) (Result, error) {
	q, no := g.ask(opRepair, by, ref)
	if no == nil {
		no = q.fill(event, "", note, nil)
	}
	if no == nil && strings.TrimSpace(note) == "" {
		no = &Refusal{Stage: StageInput, Code: "note_required", Message: "say why, in the note", Fields: []fsm.FieldError{{Pointer: "/note", Message: "required: say why"}}}
	}
	if no != nil {
		return Result{}, no
	}
	for look := 1; look <= maxLooks; look++ {
		f, no := g.facts(ctx, q, g.snap.Load(), true)
		if no != nil {
			return g.refuse(ctx, q, nil, look, no)
		}
		if no = g.mayAdminister(q, f.actor(q.actor.Tenant, q.actor.ID)); no == nil && !f.isBound {
			no = unbound(f.m.Name())
		}
		var r ruling
		if no == nil {
			r, no = rule(f, q)
		}
		if no != nil {
			return g.refuse(ctx, q, f, look, no)
		}
		if r.event == "" {
			g.observed(ctx, q, f, look, nil)
			return Result{Instance: *f.inst.own()}, nil
		}
		q.form = map[string]any{"found": f.bound.State}
		c := g.commitFor(f, q, r)
		err := g.commit(ctx, c)
		switch {
		case err == nil:
			return q.answered(g.committed(ctx, f, q, c, look, true)), nil
		case errors.Is(err, ErrStale), errors.Is(err, ErrExists):
			continue // changed meanwhile: look again
		}
		out, err := g.failed(ctx, q, f, look, err)
		return out.res, err
	}
	return g.refuse(ctx, q, nil, maxLooks, g.exhausted(ctx, q, g.snap.Load()))
}
