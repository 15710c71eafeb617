package fsm

import "slices"

// Reachable returns the states reachable from a state, itself included, sorted.
// Overrides count only when overrides is true.
func (m *Machine) Reachable(from StateID, overrides bool) []StateID {
	if uint(from) >= uint(len(m.def.states)) {
		return nil
	}
	via := m.search(from, overrides)
	var reached []StateID
	for id, edge := range via {
		if edge != unreached {
			reached = append(reached, StateID(id))
		}
	}
	return reached
}

// Path returns a shortest sequence of edges from one state to another, nil and
// false when there is none; empty and true when they are the same. Of several
// shortest ones it is the first in the order of [Machine.Edges].
func (m *Machine) Path(from, to StateID, overrides bool) ([]Edge, bool) {
	n := uint(len(m.def.states))
	if uint(from) >= n || uint(to) >= n {
		return nil, false
	}
	via := m.search(from, overrides)
	if via[to] == unreached {
		return nil, false
	}
	path := []Edge{}
	for state := to; state != from; {
		edge := m.def.edges[via[state]]
		path = append(path, edge)
		state = edge.From
	}
	slices.Reverse(path)
	return path, true
}

const (
	unreached = -1
	origins   = -2
)

// search goes breadth first and says by which edge each state was first
// reached: an index into edges, unreached, or origins for the first one.
func (m *Machine) search(from StateID, overrides bool) []int32 {
	via := make([]int32, len(m.def.states))
	for i := range via {
		via[i] = unreached
	}
	via[from] = origins
	queue := []StateID{from}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		for i := range m.leaving(state) {
			edge := &m.def.edges[i]
			if via[edge.To] == unreached && (overrides || !edge.Override) {
				via[edge.To] = i
				queue = append(queue, edge.To)
			}
		}
	}
	return via
}

// leaving yields the indices of a state's edges.
func (m *Machine) leaving(state StateID) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		for _, event := range m.def.legal[state] {
			s := m.def.spans[int(state)*len(m.def.events)+int(event)]
			for i := s.begin; i < s.end; i++ {
				if !yield(i) {
					return
				}
			}
		}
	}
}
