//go:build data

package data

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
)

// decisions execute the rows that other libraries answer differently, as
// Interlock decides them; docs/behaviours.md gives the reasons.
var decisions = map[string]func(*testing.T, behaviour) error{
	"sm-first-match-wins":     runRefusedDefinition,
	"tr-second-candidate":     runRefusedDefinition,
	"tr-may-unknown-target":   decideDeclaredOnly,
	"st-guard-chooses-target": decidePolicyChooses,
	"dj-target-by-argument":   decideCallerChooses,
	"tr-condition-raises":     decideConditionFails,
	"sm-eval-refused":         decideNoSystemCalls,
	"sm-conflicting-from":     decideOneOrigin,
	"st-cycle-in-hierarchy":   decideNoCycle,
	"lf-set-state":            play, // by an override that the machine declares
	"tr-ignore-invalid":       decideAlwaysRefused,
	"dj-on-error-state":       decideNoErrorState,
	"st-concurrent-fire":      decideParallel,
	"lf-in-transition":        decideWhileOpen,
}

// decideDeclaredOnly: a target that isn't declared is no state that can't be
// reached, but an error of the definition.
func decideDeclaredOnly(t *testing.T, row behaviour) error {
	t.Helper()
	row.Machine.States = []string{row.Machine.Initial}
	return runRefusedDefinition(t, row)
}

// decidePolicyChooses: one edge with several targets, of which the policy's
// `target` picks one; where it picks none, none is taken.
func decidePolicyChooses(t *testing.T, row behaviour) error {
	t.Helper()
	if err := runRefusedDefinition(t, row); err != nil {
		return err
	}
	for _, tt := range []struct{ target, want string }{{"C", "C"}, {"A", "A"}, {"", "B"}, {"Z", "B"}} {
		rules := newScripted()
		rules.want = tt.target
		g, err := targets(t, rules)
		if err != nil {
			return err
		}
		_, err = g.Fire(t.Context(), ann, interlock.Request{Machine: "row", ID: instanceID, Event: "X"})
		if at := stateOf(t, g); at != tt.want || (err == nil) != (tt.want != "B") {
			return fmt.Errorf("target %q: state %s, %w", tt.target, at, err)
		}
	}
	return nil
}

// decideCallerChooses: the request names the target; none, or one that isn't
// declared, is refused.
func decideCallerChooses(t *testing.T, row behaviour) error {
	t.Helper()
	if err := runRefusedDefinition(t, row); err != nil {
		return err
	}
	for _, tt := range []struct {
		to, want string
		refusal  *interlock.Refusal
	}{
		{"C", "C", nil},
		{"", "B", &interlock.Refusal{Stage: interlock.StageInput, Code: "target_required"}},
		{"B", "B", &interlock.Refusal{Stage: interlock.StageGraph, Code: "undeclared_target"}},
	} {
		g, err := targets(t, newScripted())
		if err != nil {
			return err
		}
		_, err = g.Fire(t.Context(), ann, interlock.Request{Machine: "row", ID: instanceID, Event: "X", To: tt.to})
		if at := stateOf(t, g); at != tt.want || tt.refusal != nil && !errors.Is(err, tt.refusal) {
			return fmt.Errorf("to %q: state %s, %w", tt.to, at, err)
		}
	}
	return nil
}

func targets(t *testing.T, rules *scripted) (*interlock.Gate, error) {
	t.Helper()
	return gateOf(t, `
machine: row
initial: B
states: {A: {}, B: {}, C: {}}
create: {requires: [anyone]}
read: {requires: [anyone]}
events: {X: {from: B, to: [A, C], requires: [anyone]}}
`, rules)
}

func gateOf(t *testing.T, text string, rules interlock.Policy) (*interlock.Gate, error) {
	t.Helper()
	m, err := fsm.Parse("row.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	g, err := interlock.New(interlock.Config{Logger: quiet, Machines: []*fsm.Machine{m}, Policy: rules, Store: openSQLite(t)})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	_, err = g.Create(t.Context(), ann, interlock.CreateRequest{Machine: m.Name(), ID: instanceID})
	return g, err
}

func stateOf(t *testing.T, g *interlock.Gate) string {
	t.Helper()
	it, err := g.Get(t.Context(), ann, interlock.Ref{Machine: "row", ID: instanceID})
	if err != nil {
		t.Error(err)
	}
	return it.State
}

// decideConditionFails: a condition that breaks is no "no" of the policy but
// "can't tell", which is a refusal too, and says so.
func decideConditionFails(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	event := row.Steps[0].Event
	if _, err := s.fire(t.Context(), ann, event); !errors.Is(err, &interlock.Refusal{Stage: interlock.StageUnavailable, Code: "policy_failed"}) {
		return fmt.Errorf("fired: %w", err)
	}
	if at, err := s.state(t.Context()); err != nil || at != row.Machine.Initial {
		return fmt.Errorf("state %s, %w", at, err)
	}
	if events, err := s.permitted(t.Context(), ann); err == nil && len(events) > 0 {
		return fmt.Errorf("offered %v", events)
	}
	return nil
}

// decideNoSystemCalls: rules that would look outside don't compile.
func decideNoSystemCalls(t *testing.T, _ behaviour) error {
	t.Helper()
	for _, call := range []string{`http.send({"method": "get", "url": "http://127.0.0.1/"}).status_code == 200`, `opa.runtime().env.HOME == "/"`, `time.now_ns() > 0`} {
		rules := policies.Sources(map[string]string{"row.rego": "package interlock.machine.row\n\nfine if " + call + "\n"})
		if _, err := one(t, ", requires: [anyone], checks: [fine]", rules); err == nil {
			return fmt.Errorf("%s was accepted", call)
		}
	}
	return nil
}

// decideOneOrigin: states and a wildcard with exceptions can't be mixed.
func decideOneOrigin(*testing.T, behaviour) error {
	for _, from := range []string{"{any: true, except: [a], states: [b]}", "{except: [a]}", "[a, {any: true}]"} {
		if err := refused(fmt.Sprintf("machine: row\ninitial: a\nstates: {a: {}, b: {}}\nevents: {go: {from: %s, to: b, requires: [anyone]}}\n", from)); err != nil {
			return err
		}
	}
	return refused("machine: row\ninitial: a\nstates: {a: {}, b: {}}\nevents: {go: {requires: [anyone], transitions: [{from: a, to: b}, {from: {any: true}, to: a}]}}\n")
}

// decideNoCycle: states have no hierarchy; what includes, roles, may not include itself.
func decideNoCycle(*testing.T, behaviour) error {
	return refused("machine: row\ninitial: a\nroles: {x: [y], y: [x]}\nstates: {a: {}, b: {}}\nevents: {go: {from: a, to: b, requires: [x]}}\n")
}

func refused(text string) error {
	_, err := fsm.Parse("row.yaml", []byte(text))
	var load *fsm.LoadError
	if !errors.As(err, &load) {
		return fmt.Errorf("loaded: %s", text)
	}
	return nil
}

// decideAlwaysRefused: there is no mode in which a refused event looks like a success.
func decideAlwaysRefused(t *testing.T, row behaviour) error {
	t.Helper()
	row.Steps = row.Steps[:1]
	return play(t, row)
}

// decideNoErrorState: a hook that fails vetoes; the instance stays where it is.
func decideNoErrorState(t *testing.T, row behaviour) error {
	t.Helper()
	row.Steps[0].Result, row.Steps[0].StateAfter = "denied:guard", row.Machine.Initial
	return runVeto(t, row)
}

// decideParallel: of many firings at once each commits once, or is told that
// something changed meanwhile or that the gate is busy; nothing is lost or doubled.
func decideParallel(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), func(cfg *interlock.Config) { cfg.Observer, cfg.Before, cfg.After = nil, nil, nil })
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	answers := make([]string, row.Steps[0].N)
	for i := range answers {
		wg.Go(func() {
			_, err := s.fire(context.Background(), interlock.Actor{ID: fmt.Sprintf("actor%d", i)}, row.Steps[0].Event)
			answers[i] = outcome(err)
			if err != nil && answers[i] != "denied:conflict" && !errors.Is(err, &interlock.Refusal{Stage: interlock.StageUnavailable, Code: "busy"}) {
				answers[i] = err.Error()
			}
		})
	}
	wg.Wait()
	count := map[string]int{}
	for _, a := range answers {
		count[a]++
	}
	t.Log(count)
	it, err := s.gate.Get(t.Context(), ann, s.ref())
	if err != nil || it.Version != int64(1+count["ok"]) {
		return fmt.Errorf("version %d after %d, %w", it.Version, count["ok"], err)
	}
	if count["ok"]+count["denied:conflict"]+count["error"] != len(answers) {
		return fmt.Errorf("answers: %v", count)
	}
	return nil
}

// decideWhileOpen: while a transaction of Do is open, others see the state that
// is committed, and are judged by it; after the commit the next event passes.
func decideWhileOpen(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), func(cfg *interlock.Config) { cfg.Before, cfg.After = nil, nil })
	if err != nil {
		return err
	}
	ctx := t.Context()
	req := interlock.Request{Machine: machineName, ID: instanceID, Event: "run"}
	_, _, err = interlock.Do(ctx, s.gate, ann, req, func(ctx context.Context, _ *sql.Tx, _ interlock.Transition) (any, error) {
		if _, err := s.fire(ctx, ann, "reset"); !sameOutcome("denied:graph", outcome(err)) {
			return nil, fmt.Errorf("fired meanwhile: %w", err)
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	if _, err := s.fire(ctx, ann, "reset"); err != nil {
		return err
	}
	return nil
}
