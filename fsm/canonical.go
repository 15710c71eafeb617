package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"unicode"
)

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	key   string
	value any
}

func (o *object) add(key string, value any) { *o = append(*o, member{key, value}) }

// addList leaves empty lists out.
func (o *object) addList(key string, list []string) {
	if len(list) > 0 {
		o.add(key, list)
	}
}

// addMeta adds metadata in the order of its keys.
func (o *object) addMeta(meta Metadata) {
	for _, key := range sortedKeys(meta) {
		o.add(key, meta[key])
	}
}

// revise writes the canonical definition and hashes it.
//
// Order counts where it shows: states, events and several targets. Elsewhere
// it doesn't, and neither does the form in which a transition was written.
func (c *compiler) revise() {
	c.def.canonical = appendJSON(nil, c.canonical())
	if len(c.def.canonical) > MaxSize {
		c.errorf(c.decl.name.at, "too_large", "the definition written out is larger than 1 MiB; split the machine")
	}
	sum := sha256.Sum256(c.def.canonical)
	c.def.revision = hex.EncodeToString(sum[:])
}

// canonical is the definition in the long form, itself a valid definition.
func (c *compiler) canonical() object {
	decl := c.decl
	o := object{{"machine", decl.name.name}, {"initial", decl.initial.name}}
	o.addMeta(decl.meta)
	if decl.rolesGiven {
		roles := map[string]any{}
		for _, r := range decl.roles {
			roles[r.name] = sortedNames(r.includes)
		}
		o.add("roles", roles)
	}
	if decl.factsSchema != nil {
		facts := object{{"schema", c.def.facts.raw}}
		if decl.factsEdit != nil {
			facts.add("edit", canonicalAccess(decl.factsEdit))
		}
		o.add("facts", facts)
	}
	if decl.attrsSchema != nil {
		o.add("attrs", object{{"schema", c.def.attrs.raw}})
	}
	for _, a := range []struct {
		key  string
		decl *accessDecl
	}{{"create", decl.create}, {"read", decl.read}, {"explain", decl.explain}} {
		if a.decl != nil {
			o.add(a.key, canonicalAccess(a.decl))
		}
	}
	if decl.ifMatch {
		o.add("if_match", "required")
	}
	o.addList("checks", sortedNames(decl.checks))
	var states, events object
	for _, s := range decl.states {
		states.add(s.name, canonicalState(s))
	}
	for i, e := range decl.events {
		events.add(e.name, c.canonicalEvent(&e, c.def.events[i].Input))
	}
	o.add("states", states)
	o.add("events", events)
	return o
}

func canonicalState(s stateDecl) object {
	o := object{}
	if s.final {
		o.add("final", true)
	}
	if s.closed {
		o.add("closed", true)
	}
	o.addList("entry", sortedNames(s.entry))
	o.addMeta(s.meta)
	return o
}

func canonicalAccess(a *accessDecl) object {
	o := object{}
	o.addList("requires", sortedNames(a.requires))
	o.addList("checks", sortedNames(a.checks))
	if a.states.any || len(a.states.states) > 0 {
		o.add("states", canonicalOrigin(a.states))
	}
	return o
}

func canonicalOrigin(from origin) any {
	if !from.any {
		return sortedNames(from.states)
	}
	o := object{{"any", true}}
	o.addList("except", sortedNames(from.except))
	return o
}

func (c *compiler) canonicalEvent(e *eventDecl, input *Schema) object {
	o := object{}
	if e.note != NoteOptional {
		o.add("note", string(e.note))
	}
	if e.override {
		o.add("override", true)
	}
	if input != nil {
		o.add("input", input.raw)
	}
	o.addList("checks", sortedNames(e.checks))
	o.addMeta(e.meta)
	transitions := make([]json.RawMessage, len(e.transitions))
	for i, t := range e.transitions {
		edge := object{{"from", canonicalOrigin(t.from)}}
		if t.stay {
			edge.add("stay", true)
		} else {
			edge.addList("to", refNames(t.to))
		}
		edge.addList("requires", sortedNames(t.requires))
		edge.addList("checks", sortedNames(t.checks))
		edge.addMeta(t.meta)
		transitions[i] = appendJSON(nil, edge)
	}
	// The order of transitions has no meaning; their text orders them.
	slices.SortFunc(transitions, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	o.add("transitions", transitions)
	return o
}

func sortedNames(refs []ref) []string { return slices.Sorted(slices.Values(refNames(refs))) }

// appendJSON writes one form of a JSON-like value: no spaces, maps sorted by
// key, nothing in strings that isn't printable.
func appendJSON(b []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		if v {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case string:
		return appendString(b, v)
	case json.Number:
		return append(b, v...)
	case json.RawMessage:
		return append(b, v...)
	case []string:
		return appendList(b, v)
	case []json.RawMessage:
		return appendList(b, v)
	case []any:
		return appendList(b, v)
	case map[string]any:
		o := object{}
		o.addMeta(v)
		return appendJSON(b, o)
	case Metadata:
		return appendJSON(b, map[string]any(v))
	case object:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, m.key), ':')
			b = appendJSON(b, m.value)
		}
		return append(b, '}')
	default:
		return append(b, "null"...)
	}
}

func appendList[T any](b []byte, list []T) []byte {
	b = append(b, '[')
	for i, item := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, item)
	}
	return append(b, ']')
}

func appendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c == '\n':
			b = append(b, '\\', 'n')
		case c <= 0xffff && !unicode.IsPrint(c):
			b = append(b, '\\', 'u', digits[c>>12&15], digits[c>>8&15], digits[c>>4&15], digits[c&15])
		default:
			b = append(b, string(c)...)
		}
	}
	return append(b, '"')
}
