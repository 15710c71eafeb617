package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// sketch is a random definition as plain data, interpreted naively below.
type sketch struct {
	final, closed []bool
	entry         [][]string
	checks        []string
	includes      [][]int // role → roles of a higher number, so that there is no cycle
	events        []sketchEvent
}

type sketchEvent struct {
	override    bool
	checks      []string
	requires    []string
	transitions []sketchTransition
}

type sketchTransition struct {
	wildcard         bool
	from, except, to []int // to empty: stay
	requires, checks []string
}

func subset[T any](t *rapid.T, name string, of []T, atLeast int) []T {
	if len(of) == 0 {
		return nil
	}
	order := rapid.Permutation(of).Draw(t, name)
	return order[:rapid.IntRange(min(atLeast, len(of)), len(of)).Draw(t, name+" size")]
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

var someChecks = []string{"c0", "c1", "c2", "c3"}

func drawSketch(t *rapid.T) sketch {
	n := rapid.IntRange(1, 7).Draw(t, "states")
	var s sketch
	for range n {
		s.final = append(s.final, rapid.IntRange(0, 3).Draw(t, "final") == 0)
		s.closed = append(s.closed, rapid.IntRange(0, 4).Draw(t, "closed") == 0)
		s.entry = append(s.entry, subset(t, "entry", someChecks, 0))
	}
	s.checks = subset(t, "checks", someChecks[:2], 0)
	roles := rapid.IntRange(1, 6).Draw(t, "roles")
	words := []string{Anyone, System, "$g"}
	for i := range roles {
		s.includes = append(s.includes, subset(t, "includes", upTo(roles)[i+1:], 0))
		words = append(words, fmt.Sprintf("r%d", i))
	}
	for range rapid.IntRange(0, 5).Draw(t, "events") {
		e := sketchEvent{override: rapid.Bool().Draw(t, "override"), checks: subset(t, "event checks", someChecks, 0), requires: subset(t, "event requires", words, 0)}
		free := []int{}
		for i := range n {
			if !s.closed[i] && (e.override || !s.final[i]) {
				free = append(free, i)
			}
		}
		claimed := []int{}
		for range rapid.IntRange(0, 3).Draw(t, "explicit") {
			tr := drawTransition(t, n, words)
			if tr.from = subset(t, "from", free, 1); len(tr.from) == 0 {
				break
			}
			free = slices.DeleteFunc(free, func(i int) bool { return slices.Contains(tr.from, i) })
			claimed = append(claimed, tr.from...)
			e.transitions = append(e.transitions, tr)
		}
		if len(e.transitions) == 0 || rapid.Bool().Draw(t, "wildcard") {
			tr := drawTransition(t, n, words)
			tr.wildcard = true
			tr.except = append(subset(t, "except", free, 0), claimed...)
			at := rapid.IntRange(0, len(e.transitions)).Draw(t, "wildcard at")
			e.transitions = slices.Insert(e.transitions, at, tr)
		}
		s.events = append(s.events, e)
	}
	return s
}

func drawTransition(t *rapid.T, states int, words []string) sketchTransition {
	return sketchTransition{to: subset(t, "to", upTo(states), 0), requires: subset(t, "requires", words, 0), checks: subset(t, "checks", someChecks, 0)}
}

func stateName(i int) string { return fmt.Sprintf("State-%d", i) }

func stateNames(ids []int) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = stateName(id)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// yaml writes the sketch down; compact chooses the short form where there is one.
func (s sketch) yaml(compact bool) string {
	var b strings.Builder
	list := func(key string, words []string) string {
		if len(words) == 0 {
			return ""
		}
		return ", " + key + ": [" + strings.Join(words, ", ") + "]"
	}
	fmt.Fprintf(&b, "machine: m\ninitial: %s\nchecks: [%s]\nroles:\n", stateName(0), strings.Join(s.checks, ", "))
	for i, includes := range s.includes {
		names := make([]string, len(includes))
		for j, r := range includes {
			names[j] = fmt.Sprintf("r%d", r)
		}
		fmt.Fprintf(&b, "  r%d: [%s]\n", i, strings.Join(names, ", "))
	}
	b.WriteString("states:\n")
	for i := range s.final {
		fmt.Fprintf(&b, "  %s: {final: %t, closed: %t%s}\n", stateName(i), s.final[i], s.closed[i], list("entry", s.entry[i]))
	}
	b.WriteString("events:")
	if len(s.events) == 0 {
		b.WriteString(" {}")
	}
	for i, e := range s.events {
		fmt.Fprintf(&b, "\n  e%d: {override: %t", i, e.override)
		texts := make([]string, len(e.transitions))
		for j, tr := range e.transitions {
			texts[j] = "from: " + stateNames(tr.from)
			if tr.wildcard {
				texts[j] = "from: {any: true, except: " + stateNames(tr.except) + "}"
			} else if compact && len(tr.from) == 1 {
				texts[j] = "from: " + stateName(tr.from[0])
			}
			if len(tr.to) == 0 {
				texts[j] += ", stay: true"
			} else {
				texts[j] += ", to: " + stateNames(tr.to)
			}
			texts[j] += list("requires", tr.requires) + list("checks", tr.checks)
		}
		if only := e.transitions[0]; compact && len(texts) == 1 && len(only.requires) > 0 && len(e.checks) == 0 && len(only.checks) == 0 {
			b.WriteString(", " + texts[0] + "}")
			continue
		}
		b.WriteString(list("requires", e.requires) + list("checks", e.checks) + ", transitions: [{" + strings.Join(texts, "}, {") + "}]}")
	}
	return b.String() + "\n"
}

// step interprets the sketch for one state and event, one line per edge.
func (s sketch) step(state, event int) []string {
	e := s.events[event]
	var edges []string
	for _, tr := range e.transitions {
		holds := slices.Contains(tr.from, state)
		if tr.wildcard {
			holds = !slices.Contains(tr.except, state)
		}
		if !holds || s.closed[state] || s.final[state] && !e.override {
			continue
		}
		requires := tr.requires
		if len(requires) == 0 {
			requires = e.requires
		}
		checks := slices.Concat(s.checks, e.checks, tr.checks)
		if len(tr.to) == 0 {
			edges = append(edges, line(state, true, e.override, requires, checks))
		}
		for _, to := range tr.to {
			edges = append(edges, line(to, false, e.override, requires, slices.Concat(checks, s.entry[to])))
		}
	}
	return edges
}

func line(to int, stay, override bool, requires, checks []string) string {
	var once []string
	for _, c := range checks {
		if !slices.Contains(once, c) {
			once = append(once, c)
		}
	}
	return fmt.Sprint(to, stay, override, requires, once)
}

// Whatever the definition, the tables say what reading it line by line says.
func TestStepAgreesWithTheDefinition(t *testing.T) {
	schema := formatOf(t)
	rapid.Check(t, func(t *rapid.T) {
		s := drawSketch(t)
		source := s.yaml(rapid.Bool().Draw(t, "compact"))
		m, err := Parse("random.yaml", []byte(source))
		require.NoError(t, err, source)
		count := 0
		for state := range s.final {
			var legal []EventID
			for event := range s.events {
				want := s.step(state, event)
				var got []string
				for _, e := range m.Step(StateID(state), EventID(event)) {
					require.Equal(t, StateID(state), e.From)
					require.Equal(t, EventID(event), e.Event)
					require.Positive(t, e.Source.Line)
					got = append(got, line(int(e.To), e.Stay, e.Override, e.Requires, e.Checks))
				}
				require.Equal(t, want, got, source)
				if count += len(got); len(got) > 0 {
					legal = append(legal, EventID(event))
				}
			}
			require.Equal(t, legal, m.Legal(StateID(state)))
		}
		require.Len(t, m.Edges(), count)

		again, err := Parse("random.yaml", []byte(s.yaml(false)))
		require.NoError(t, err)
		require.Equal(t, m.Revision(), again.Revision(), "the form doesn't matter")
		stored, err := Parse("stored.json", m.Source())
		require.NoError(t, err, string(m.Source()))
		require.Equal(t, m.Revision(), stored.Revision(), "what is stored reads back")
		require.NoError(t, schema.Validate(yamlValueOf(source)), source)
	})
}

func yamlValueOf(source string) any {
	return parseYAML(newReport("", []byte(source)), source).value()
}

func TestExpandIsAClosure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSketch(t)
		m, err := Parse("random.yaml", []byte(s.yaml(true)))
		require.NoError(t, err)
		words := []string{"stranger"}
		for i := range s.includes {
			words = append(words, fmt.Sprintf("r%d", i))
		}
		roles := subset(t, "roles", words, 0)
		all := m.Expand(roles)
		require.Equal(t, all, m.Expand(all), "idempotent")
		require.Subset(t, all, roles, "extensive")
		require.Subset(t, all, m.Expand(roles[:len(roles)/2]), "monotone")
		require.True(t, slices.IsSorted(all))
		for _, role := range all {
			var number int
			if _, err := fmt.Sscanf(role, "r%d", &number); err != nil {
				continue
			}
			for _, included := range s.includes[number] {
				require.Contains(t, all, fmt.Sprintf("r%d", included), "closed")
			}
		}
	})
}

// Paths are walks of the graph, lead where Reachable says, and none is longer
// than the distance that relaxing every edge gives.
func TestPathAgreesWithReachable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := Parse("random.yaml", []byte(drawSketch(t).yaml(true)))
		require.NoError(t, err)
		overrides := rapid.Bool().Draw(t, "overrides")
		n := len(m.States())
		for from := range StateID(n) {
			distance := map[StateID]int{from: 0}
			for range n {
				for _, e := range m.Edges() {
					d, ok := distance[e.From]
					if old, seen := distance[e.To]; ok && (overrides || !e.Override) && (!seen || old > d+1) {
						distance[e.To] = d + 1
					}
				}
			}
			reachable := m.Reachable(from, overrides)
			require.Len(t, reachable, len(distance))
			for to := range StateID(n) {
				path, ok := m.Path(from, to, overrides)
				require.Equal(t, slices.Contains(reachable, to), ok)
				if !ok {
					continue
				}
				require.Len(t, path, distance[to])
				at := from
				for _, e := range path {
					require.Equal(t, at, e.From)
					require.True(t, overrides || !e.Override)
					at = e.To
				}
				require.Equal(t, to, at)
			}
		}
	})
}
