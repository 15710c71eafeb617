package policies

import (
	"strings"

	"github.com/interlock-go/interlock/fsm"
)

// encoder builds a machine's input as the engine's own values, without a trip
// through JSON: numbers stay exact. What is fixed is made once.
type encoder struct {
	states, did, last names             // whose keys instances have
	shapes            map[string]*shape // of the objects with fixed names

	// kinds are the declared scalar types of facts, attributes and form fields. The
	// gate has checked them against their schemas; here it is made sure of, since
	// null is less than every number.
	kinds map[string]map[string]string

	read []member // of the input, by the rules
}

// names are those of one object, with the place of each.
type names struct {
	list []string
	at   map[string]int
	size int // of an object of which nothing but the names is known, as build counts
}

func newNames(list []string) names {
	n := names{list: list, at: make(map[string]int, len(list))}
	for i, name := range list {
		n.at[name] = i
		n.size += len(name) + perValue
	}
	return n
}

// newEncoder is told what the rules read.
func newEncoder(m *fsm.Machine, read *reading) *encoder {
	e := &encoder{shapes: map[string]*shape{}, read: membersRead(read)}
	var states, events []string
	for _, s := range m.States() {
		states = append(states, s.Name)
	}
	for _, ev := range m.Events() {
		events = append(events, ev.Name)
	}
	e.states, e.did, e.last = newNames(read.history("entered", states)), newNames(read.history("did", events)), newNames(read.history("last", events))
	for name, fields := range map[string]string{
		"":           "machine event transition instance actor input note now request",
		"transition": "from to override metadata",
		"instance":   "id tenant state version facts created_by created_at since entered did actors last",
		"actor":      "id person kind roles attrs claims on_behalf_of",
		"now":        "rfc3339 ns",
		"request":    "id",
		"last":       "person at count",
	} {
		e.shapes[name] = newShape(strings.Fields(fields))
	}
	e.shapes["instance.entered"], e.shapes["instance.did"], e.shapes["instance.last"] = newShape(e.states.list), newShape(e.did.list), newShape(e.last.list)
	in := inputSchema(m)
	e.kinds = map[string]map[string]string{
		"instance.facts": scalars(in, "instance", "facts"),
		"actor.attrs":    scalars(in, "actor", "attrs"),
		"input":          scalars(in, "input"),
	}
	return e
}

// scalars are the properties of one scalar type of the object at the path.
func scalars(s schema, path ...string) map[string]string {
	for _, name := range path {
		props, _ := s["properties"].(schema)
		s, _ = props[name].(schema)
	}
	out := map[string]string{}
	props, _ := s["properties"].(schema)
	for name, v := range props {
		if one, ok := v.(schema); ok && scalar(one) != "" {
			out[name] = scalar(one)
		}
	}
	return out
}
