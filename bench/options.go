package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/store/sqlite"
)

// quiet is where gates log.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

var deskActor = interlock.Actor{ID: "ann", Roles: []string{"manager"}}

// options compares the menu of a state with one decision an event, and with OPA
// asked once an event.
func options(ctx context.Context, b *bench) error {
	store, err := sqlite.Open(":memory:")
	if err != nil {
		return err
	}
	defer store.Close()
	g, err := deskGate(store, nil)
	if err != nil {
		return err
	}
	defer g.Close(ctx)
	ref := interlock.Ref{Machine: deskMachines[0], ID: "case-1"}
	if err := populate(ctx, g, []string{deskActor.ID}, ref.ID); err != nil {
		return err
	}
	menu, err := g.Available(ctx, deskActor, ref)
	if err != nil {
		return err
	}
	var events []string
	for _, o := range menu.Options {
		events = append(events, o.Event)
	}
	peer, err := opaEach(ctx, events)
	if err != nil {
		return err
	}
	policyAlone, err := compiledMenu(ctx, events)
	if err != nil {
		return err
	}
	b.section(fmt.Sprintf("All options of a state: %d events, facts as SQLite keeps them in memory", len(events)))
	results, err := race(b.scale, []contestant{
		{"interlock menu", func(n int) error {
			for range n {
				if _, err := g.Available(ctx, deskActor, ref); err != nil {
					return err
				}
			}
			return nil
		}},
		{fmt.Sprintf("interlock, %d decisions", len(events)), func(n int) error {
			for range n {
				for _, e := range events {
					if _, err := g.Fire(ctx, deskActor, interlock.Request{Machine: ref.Machine, ID: ref.ID, Event: e, DryRun: true}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
		peer,
		policyAlone,
	})
	if err != nil {
		return err
	}
	b.times(results)
	b.faster("all options of a state", results[0], results[1], atMost(1.2))
	b.faster("all options of a state", results[0], results[2], atLeast(15))
	b.faster("all options of a state, compiled", results[3], results[2], atLeast(15))
	return nil
}

// opaEach asks the denials once an event; graph, roles and facts it gets for nothing.
func opaEach(ctx context.Context, events []string) (contestant, error) {
	compiler, err := deskCompiler()
	if err != nil {
		return contestant{}, err
	}
	query, err := rego.New(rego.Query(denyOf(deskMachines[0])), rego.Compiler(compiler)).PrepareForEval(ctx)
	if err != nil {
		return contestant{}, err
	}
	var inputs []ast.Value
	for _, e := range events {
		r := samples()[0]
		r.event = e
		doc, err := document(r.input())
		if err != nil {
			return contestant{}, err
		}
		v, err := ast.InterfaceToValue(doc)
		if err != nil {
			return contestant{}, err
		}
		inputs = append(inputs, v)
	}
	return contestant{fmt.Sprintf("OPA, prepared, parsed input, %d times", len(events)), func(n int) error {
		for range n {
			for _, in := range inputs {
				if _, err := denials(query.Eval(ctx, rego.EvalParsedInput(in))); err != nil {
					return err
				}
			}
		}
		return nil
	}}, nil
}

// deskGate is a gate for the first of the desk's machines, by its named checks.
func deskGate(store interlock.Store, cache interlock.Cache) (*interlock.Gate, error) {
	m, err := deskMachine(deskMachines[0], deskChecks...)
	if err != nil {
		return nil, err
	}
	rego, err := deskFile("checks.rego", m.Name())
	if err != nil {
		return nil, err
	}
	return interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Policy: policies.Sources(map[string]string{"checks.rego": rego}),
		Store: store, Cache: cache, Logger: quiet()})
}

// populate makes actors with their attributes, and cases that wait for a decision.
func populate(ctx context.Context, g *interlock.Gate, actors []string, ids ...string) error {
	sample := samples()[0]
	system := interlock.SystemActor("", "setup")
	for _, a := range actors {
		if _, err := g.SetActor(ctx, system, a, sample.actor.attrs(), nil); err != nil {
			return fmt.Errorf("actor %s: %w", a, err)
		}
	}
	clerk := interlock.Actor{ID: "bob", Roles: []string{"director"}}
	if _, err := g.SetActor(ctx, system, clerk.ID, sample.actor.attrs(), nil); err != nil {
		return fmt.Errorf("actor %s: %w", clerk.ID, err)
	}
	for _, id := range ids {
		if _, err := g.Create(ctx, clerk, interlock.CreateRequest{Machine: deskMachines[0], ID: id, Facts: sample.facts()}); err != nil {
			return fmt.Errorf("case %s: %w", id, err)
		}
		if _, err := g.Fire(ctx, clerk, interlock.Request{Machine: deskMachines[0], ID: id, Event: "submit"}); err != nil {
			return fmt.Errorf("case %s: %w", id, err)
		}
	}
	return nil
}
