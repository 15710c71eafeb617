package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

// growth compares decisions and events of a small installation with those of
// one that has many rows, and of one with a large machine. One database after
// the other is filled and removed: ten million instances take some 10 GB.
func growth(ctx context.Context, b *bench) error {
	if err := b.growSQLite(ctx); err != nil {
		return fmt.Errorf("SQLite: %w", err)
	}
	if err := b.growPostgres(ctx); err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}

func (b *bench) growSQLite(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "interlock-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var chains [3]*chain
	for i, states := range []int{smallChain, b.scale.states, smallChain} {
		if chains[i], err = openSQLiteChain(ctx, filepath.Join(dir, fmt.Sprintf("%d.db", i)), states); err != nil {
			return err
		}
		defer chains[i].close()
	}
	small, large, many := chains[0], chains[1], chains[2]
	if err := b.grown(ctx, fmt.Sprintf("%d states, %d rules, SQLite", b.scale.states, b.scale.states), small, large, ""); err != nil {
		return err
	}
	return b.filled(ctx, "SQLite", small, many)
}

func (b *bench) growPostgres(ctx context.Context) error {
	var chains [2]*chain
	for i := range chains {
		c, err := openPostgresChain(ctx, smallChain)
		if err != nil {
			return err
		}
		chains[i] = c
		defer c.close()
	}
	return b.filled(ctx, "PostgreSQL", chains[0], chains[1])
}

const (
	smallChain = 10   // states and rules
	smallRows  = 1000 // instances, and actors
	touched    = 32   // instances that are asked about, and as many that are moved
)

// filled loads one desk with few rows and the other with many, and compares them.
func (b *bench) filled(ctx context.Context, kind string, small, many *chain) error {
	if _, err := small.load(ctx, bulk{instances: smallRows, actors: smallRows}, time.Minute); err != nil {
		return fmt.Errorf("load %s: %w", kind, err)
	}
	begun := time.Now()
	got, err := many.load(ctx, bulk{instances: b.instances, actors: b.instances / 10}, b.scale.loading)
	if err != nil {
		return fmt.Errorf("load %s: %w", kind, err)
	}
	what := fmt.Sprintf("%s instances, %s actors, %s", short(float64(got.instances)), short(float64(got.actors)), kind)
	note := ""
	if got.instances < b.instances {
		note = fmt.Sprintf("%d of %d instances were loaded in the time that a run has for it", got.instances, b.instances)
	}
	fmt.Fprintf(b.out, "\n%s loaded in %s\n", what, time.Since(begun).Round(time.Second))
	return b.grown(ctx, what, small, many, note)
}

// grown compares two desks, one client each.
func (b *bench) grown(ctx context.Context, what string, small, large *chain, note string) error {
	b.section("Growth: " + what)
	for _, c := range []struct {
		name string
		op   func(*chain) func(context.Context, int) error
	}{
		{"decision", func(c *chain) func(context.Context, int) error { return c.decide }},
		{"event", func(c *chain) func(context.Context, int) error { return c.fire }},
	} {
		results, err := contend(ctx, b.scale, 1, []loader{closedLoop(c.name+", large", c.op(large)), closedLoop(c.name+", small", c.op(small))})
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		b.rates(results)
		ours, peer := result{name: "large", rounds: results[0].p50}, result{name: "small", rounds: results[1].p50}
		b.faster(fmt.Sprintf("growth, %s: %s", c.name, what), ours, peer, atMost(1.3))
		b.note(note)
	}
	return nil
}

// chain is a gate for a machine whose states stand in a row, each step with a rule of its own.
type chain struct {
	gate   *interlock.Gate
	states int
	asked  []interlock.Ref
	moved  []interlock.Ref
	at     []int // in which state those are
	turn   int
	insert func(ctx context.Context, table string, from, to int) error
	closes []func() error
}

func (c *chain) close() error {
	var errs []error
	for i := len(c.closes) - 1; i >= 0; i-- {
		errs = append(errs, c.closes[i]())
	}
	return errors.Join(errs...)
}

func openSQLiteChain(ctx context.Context, path string, states int) (*chain, error) {
	store, err := sqlite.Open(path)
	if err != nil {
		return nil, err
	}
	c := &chain{states: states, insert: bulkSQLite(store), closes: []func() error{store.Close}}
	if err := c.open(ctx, store); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func openPostgresChain(ctx context.Context, states int) (*chain, error) {
	d, err := newDatabase(ctx)
	if err != nil {
		return nil, err
	}
	c := &chain{states: states, insert: bulkPostgres(d.pool), closes: []func() error{d.close}}
	if err := c.open(ctx, postgres.New(d.pool)); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

var chainActor = interlock.Actor{ID: "actor-0000500-ann", Roles: []string{"clerk"}}

// open makes the gate and the instances that are touched; they stand among those
// that are loaded.
func (c *chain) open(ctx context.Context, store interlock.Store) error {
	m, rego, err := chainOf(c.states)
	if err != nil {
		return err
	}
	c.gate, err = interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Policy: policies.Sources(map[string]string{"chain.rego": rego}),
		Store: store, Logger: quiet(), StartTimeout: 5 * time.Minute})
	if err != nil {
		return err
	}
	c.closes = append(c.closes, func() error { return c.gate.Close(context.WithoutCancel(ctx)) })
	for i := range 2 * touched {
		ref := interlock.Ref{Machine: "chain", ID: fmt.Sprintf("case-%08d-x", i*15)}
		if _, err := c.gate.Create(ctx, chainActor, interlock.CreateRequest{Machine: "chain", ID: ref.ID, Facts: map[string]any{"amount": c.states}}); err != nil {
			return err
		}
		if i%2 == 0 {
			c.asked = append(c.asked, ref)
		} else {
			c.moved, c.at = append(c.moved, ref), append(c.at, 0)
		}
	}
	return nil
}

func (c *chain) decide(ctx context.Context, _ int) error {
	c.turn++
	ref := c.asked[c.turn%touched]
	_, err := c.gate.Fire(ctx, chainActor, interlock.Request{Machine: ref.Machine, ID: ref.ID, Event: "advance", DryRun: true})
	return err
}

func (c *chain) fire(ctx context.Context, _ int) error {
	c.turn++
	i := c.turn % touched
	event := "advance"
	if c.at[i] == c.states-1 {
		event = "restart"
	}
	_, err := c.gate.Fire(ctx, chainActor, interlock.Request{Machine: "chain", ID: c.moved[i].ID, Event: event})
	c.at[i] = (c.at[i] + 1) % c.states
	return err
}

// chainOf is the machine and its policy.
func chainOf(states int) (*fsm.Machine, string, error) {
	var yaml, rego strings.Builder
	yaml.WriteString(`machine: chain
initial: s0
facts: {schema: {type: object, properties: {amount: {type: integer}}, required: [amount]}}
create: {requires: [clerk]}
read: {requires: [clerk]}
states:
`)
	rego.WriteString("package interlock.machine.chain\n")
	for i := range states {
		fmt.Fprintf(&yaml, "  s%d: {}\n", i)
		fmt.Fprintf(&rego, "\n# METADATA\n# title: The amount is below %d\nrule_%d if input.instance.facts.amount >= %d\n", i, i, i)
	}
	yaml.WriteString("events:\n  advance:\n    transitions:\n")
	for i := range states - 1 {
		fmt.Fprintf(&yaml, "      - {from: s%d, to: s%d, requires: [clerk], checks: [rule_%d]}\n", i, i+1, i)
	}
	fmt.Fprintf(&yaml, "  restart: {from: s%d, to: s0, requires: [clerk], checks: [rule_%d]}\n", states-1, states-1)
	m, err := fsm.Parse("chain.yaml", []byte(yaml.String()))
	return m, rego.String(), err
}
