package main

import (
	"context"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// states answers the questions that pages ask about states.
type states struct{ gate *interlock.Gate }

// display is how a state is shown.
type display struct {
	Value string   `json:"value"`
	Title string   `json:"title"`
	Color string   `json:"color"`
	Icon  string   `json:"icon"`
	Final bool     `json:"final"`
	Next  []string `json:"next"` // by the graph alone
}

// of is the display data of all states of a machine, in their order.
func (s states) of(machine string) ([]display, bool) {
	m, ok := s.gate.Machine(machine)
	if !ok {
		return nil, false
	}
	all := make([]display, 0, len(m.States()))
	for _, st := range m.States() {
		all = append(all, show(m, &st))
	}
	return all, true
}

// display is that of one state.
func (s states) display(machine, state string) (display, bool) {
	m, ok := s.gate.Machine(machine)
	if !ok {
		return display{}, false
	}
	id, ok := m.StateByName(state)
	if !ok {
		return display{}, false
	}
	return show(m, m.State(id)), true
}

func show(m *fsm.Machine, st *fsm.State) display {
	text := func(key string) string { s, _ := st.Meta[key].(string); return s }
	d := display{Value: st.Name, Title: st.Title, Color: text("color"), Icon: text("x-icon"), Final: st.Final, Next: []string{}}
	for _, event := range m.Legal(st.ID) {
		for _, edge := range m.Step(st.ID, event) {
			d.Next = append(d.Next, m.State(edge.To).Name)
		}
	}
	return d
}

// final tells whether nothing leaves the state.
func (s states) final(machine, state string) bool {
	d, ok := s.display(machine, state)
	return ok && d.Final
}

// available are the states that the actor can move the instance to now.
func (s states) available(ctx context.Context, actor interlock.Actor, ref interlock.Ref) ([]string, error) {
	menu, err := s.gate.Available(ctx, actor, ref)
	if err != nil {
		return nil, err
	}
	list := []string{}
	for _, option := range menu.Options {
		for _, target := range option.To {
			if target.Allowed {
				list = append(list, target.State)
			}
		}
	}
	return list, nil
}

// can tells whether the actor can move the instance to the state now, and if
// the graph lets it but she may not, why.
func (s states) can(ctx context.Context, actor interlock.Actor, ref interlock.Ref, state string) (bool, []interlock.Reason, error) {
	menu, err := s.gate.Available(ctx, actor, ref)
	if err != nil {
		return false, nil, err
	}
	for _, option := range menu.Options {
		for _, target := range option.To {
			if target.State == state {
				return target.Allowed, target.Reasons, nil
			}
		}
	}
	return false, []interlock.Reason{{Code: "illegal_event", Message: "Nothing leads from " + menu.Instance.State + " to " + state}}, nil
}
