package main

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
)

//go:embed desk
var desk embed.FS

// reason is one rule that refuses.
type reason struct{ code, message string }

// verdict is what an engine says: allowed when nothing refuses.
type verdict struct {
	allowed bool
	reasons []reason
}

// engine evaluates the one policy. prepare makes everything that the engine can
// have ready before a request comes and, where the engine's row says so, its
// input too; what it returns is timed.
type engine struct {
	name    string
	yesOnly bool // it can't give the reasons
	prepare func(r request) (func() (verdict, error), error)
}

// The engines that targets are set against.
const (
	oursCommit  = "interlock, for a commit"
	oursDraft   = "interlock, draft"
	opaParsed   = "OPA, prepared, parsed input"
	cedarReady  = "cedar-go, input ready"
	celReady    = "cel-go, input ready"
	handWritten = "hand-written Go"
)

// engines are all that are compared. One more is one more line.
func engines(ctx context.Context) ([]engine, error) {
	makers := []func(context.Context) ([]engine, error){oursEngines, compiledEngines, opaEngines, cedarEngines, celEngines, casbinEngines, handEngines}
	var all []engine
	for _, make := range makers {
		list, err := make(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// agree asks every engine every request and compares what they say.
func agree(all []engine, requests []request) error {
	for i, r := range requests {
		var first verdict
		for k, e := range all {
			ask, err := e.prepare(r)
			if err != nil {
				return fmt.Errorf("%s: request %d: %w", e.name, i, err)
			}
			v, err := ask()
			if err != nil {
				return fmt.Errorf("%s: request %d: %w", e.name, i, err)
			}
			v.sort()
			switch {
			case k == 0:
				first = v
			case v.allowed != first.allowed, !e.yesOnly && !slices.Equal(v.reasons, first.reasons):
				return fmt.Errorf("request %d (%+v): %s says %v %v, %s says %v %v", i, r, all[0].name, first.allowed, first.reasons, e.name, v.allowed, v.reasons)
			}
		}
	}
	return nil
}

func (v *verdict) sort() {
	slices.SortFunc(v.reasons, func(a, b reason) int {
		return cmp.Or(strings.Compare(a.code, b.code), strings.Compare(a.message, b.message))
	})
}

// deskFile is a file of the desk for one machine.
func deskFile(name, machine string) (string, error) {
	b, err := desk.ReadFile("desk/" + name)
	return strings.ReplaceAll(string(b), "NAME", machine), err
}

// deskChecks are the rules' names, in the order of the files.
var deskChecks = []string{"open_case", "own_region", "within_limit", "trained", "four_eyes", "payer_is_another",
	"risk_cleared", "director_signs", "recent_expense", "supplier_allowed", "legal_signed", "refund_explained"}

// deskMachine compiles a machine of the desk, whose events ask the checks or, without them, only for denials.
func deskMachine(name string, checks ...string) (*fsm.Machine, error) {
	text, err := deskFile("machine.yaml", name)
	if err != nil {
		return nil, err
	}
	text = strings.ReplaceAll(text, "CHECKS", "checks: ["+strings.Join(checks, ", ")+"]")
	return fsm.Parse(name+".yaml", []byte(text))
}

// deskRules compiles the policy for all machines by the gate's own means.
func deskRules(ctx context.Context, file string, checks ...string) (interlock.Rules, error) {
	sources := map[string]string{}
	var machines []*fsm.Machine
	for _, name := range deskMachines {
		m, err := deskMachine(name, checks...)
		if err != nil {
			return nil, err
		}
		machines = append(machines, m)
		if sources[name+".rego"], err = deskFile(file, name); err != nil {
			return nil, err
		}
	}
	return policies.Sources(sources).Compile(ctx, machines)
}

// oursEngines are the gate's policies: by the same denials as OPA's, and by the
// named checks that machines ask for; as drafts, on which no commit rests, and as
// commits need them. The input is what the gate has in hand: the instance is
// translated for the evaluator once, all else every time.
func oursEngines(ctx context.Context) ([]engine, error) {
	deny, err := deskRules(ctx, "deny.rego")
	if err != nil {
		return nil, err
	}
	checks, err := deskRules(ctx, "checks.rego", deskChecks...)
	if err != nil {
		return nil, err
	}
	ours := func(name string, rules interlock.Rules, q interlock.Query) engine {
		return engine{name: name, prepare: func(r request) (func() (verdict, error), error) {
			q := q
			q.Input = r.input()
			return func() (verdict, error) {
				said, err := rules.Decide(ctx, &q)
				if err != nil {
					return verdict{}, err
				}
				v := verdict{allowed: len(said.Deny) == 0 && len(said.Passed) == len(q.Checks)}
				for _, why := range [][]interlock.Reason{said.Deny, said.Failed} {
					for _, w := range why {
						v.reasons = append(v.reasons, reason{w.Code, w.Message})
					}
				}
				return v, nil
			}, nil
		}}
	}
	return []engine{
		ours(oursDraft, deny, interlock.Query{Deny: true, Draft: true}),
		ours(oursCommit, deny, interlock.Query{Deny: true}),
		ours("interlock, draft, by named checks", checks, interlock.Query{Checks: deskChecks, Draft: true}),
		ours("interlock, for a commit, by named checks", checks, interlock.Query{Checks: deskChecks}),
	}, nil
}
