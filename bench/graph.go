package main

import (
	"context"
	"fmt"

	looplab "github.com/looplab/fsm"
	"github.com/qmuntal/stateless"
)

// graph compares the question "where does this event lead from this state?".
func graph(ctx context.Context, b *bench) error {
	m, err := deskMachine(deskMachines[0])
	if err != nil {
		return err
	}
	from, _ := m.StateByName("submitted")
	event, _ := m.EventByName("approve")
	if len(m.Step(from, event)) != 1 {
		return fmt.Errorf("the desk's graph has %d edges for approve, not one", len(m.Step(from, event)))
	}
	var events looplab.Events
	free := stateless.NewStateMachine("submitted")
	for _, e := range m.Edges() {
		name, src, dst := m.Event(e.Event).Name, m.State(e.From).Name, m.State(e.To).Name
		events = append(events, looplab.EventDesc{Name: name, Src: []string{src}, Dst: dst})
		if src == dst {
			free.Configure(src).PermitReentry(name)
		} else {
			free.Configure(src).Permit(name, dst)
		}
	}
	reused := looplab.NewFSM("submitted", events, nil)
	edges := 0
	b.section("Graph: may this event leave this state, and where to?")
	results, err := race(b.scale, []contestant{
		{"interlock Step", func(n int) error {
			for range n {
				edges += len(m.Step(from, event))
			}
			return nil
		}},
		{"looplab/fsm Can, one machine an instance", func(n int) error {
			for range n {
				if !looplab.NewFSM("submitted", events, nil).Can("approve") {
					return fmt.Errorf("looplab/fsm says no")
				}
			}
			return nil
		}},
		{"looplab/fsm Can, one machine again and again", func(n int) error {
			for range n {
				if !reused.Can("approve") {
					return fmt.Errorf("looplab/fsm says no")
				}
			}
			return nil
		}},
		{"stateless CanFire", func(n int) error {
			for range n {
				if ok, err := free.CanFireCtx(ctx, "approve"); !ok || err != nil {
					return fmt.Errorf("stateless says no: %w", err)
				}
			}
			return nil
		}},
		{"stateless Fire", statelessFire(ctx, free)},
	})
	if err != nil {
		return err
	}
	if edges == 0 {
		return fmt.Errorf("no edge was found")
	}
	b.times(results)
	ours := results[0]
	b.within("graph step", "ns", ours, 5, atMost(1), fmt.Sprintf("%.0f allocations", ours.allocs))
	b.faster("graph step", ours, find(results, "stateless CanFire"), atLeast(20))
	b.faster("graph step", ours, find(results, "looplab/fsm Can, one machine again and again"), atLeast(1))
	return nil
}

// statelessFire goes to and fro: submitted, draft, submitted.
func statelessFire(ctx context.Context, m *stateless.StateMachine) func(int) error {
	return func(n int) error {
		for range (n + 1) / 2 {
			if err := m.FireCtx(ctx, "withdraw"); err != nil {
				return err
			}
			if err := m.FireCtx(ctx, "submit"); err != nil {
				return err
			}
		}
		return nil
	}
}
