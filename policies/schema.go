package policies

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/interlock-go/interlock/fsm"
)

// schema is the part of JSON Schema that the engine's type checker understands.
type schema = map[string]any

// InputSchema is the JSON Schema of `input` for a machine's policy: what the
// compiler checks references against, and what editors and `opa check --schema`
// complete and check. Declared states are the keys of entered, declared events
// those of did and last; facts, attrs and the form have their declared
// properties. References into schemas are resolved; what the type checker can't
// express is left open.
func InputSchema(m *fsm.Machine) json.RawMessage {
	doc := inputSchema(m)
	doc["$schema"] = "http://json-schema.org/draft-07/schema#"
	doc["title"] = "Input of the policy of " + m.Name()
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil // maps of strings, lists and numbers always encode
	}
	return out
}

func inputSchema(m *fsm.Machine) schema {
	text, flag, number := typed("string"), typed("boolean"), typed("integer")
	people := listOf(text)
	entered, did, last := schema{}, schema{}, schema{}
	for _, s := range m.States() {
		entered[s.Name] = people
	}
	for _, e := range m.Events() {
		did[e.Name] = people
		last[e.Name] = closed(schema{"person": text, "at": text, "count": number})
	}
	return closed(schema{
		"machine": text,
		"event":   text,
		"transition": closed(schema{
			"from": text, "to": text, "override": flag, "metadata": typed("object"),
		}),
		"instance": closed(schema{
			"id": text, "tenant": text, "state": text, "version": number,
			"facts": declared(m.FactsSchema()), "created_by": text, "created_at": text, "since": text,
			"entered": closed(entered), "did": closed(did), "actors": people, "last": closed(last),
		}),
		"actor": closed(schema{
			"id": text, "person": text, "kind": text, "roles": people,
			"attrs": declared(m.AttrsSchema()), "claims": typed("object"), "on_behalf_of": text,
		}),
		"input":   form(m),
		"note":    text,
		"now":     closed(schema{"rfc3339": text, "ns": number}),
		"request": closed(schema{"id": text}),
	})
}

// form is every event's fields together: one policy serves them all.
func form(m *fsm.Machine) schema {
	kinds := map[string][]any{}
	for _, e := range m.Events() {
		props, _ := declared(e.Input)["properties"].(schema)
		for _, name := range slices.Sorted(maps.Keys(props)) {
			if !slices.ContainsFunc(kinds[name], func(k any) bool { return equalJSON(k, props[name]) }) {
				kinds[name] = append(kinds[name], props[name])
			}
		}
	}
	props := schema{}
	for name, list := range kinds {
		props[name] = anyOf(list)
	}
	return closed(props)
}

func typed(name string) schema  { return schema{"type": name} }
func listOf(item schema) schema { return schema{"type": "array", "items": item} }
func closed(props schema) schema {
	return schema{"type": "object", "properties": props, "additionalProperties": false}
}
func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}
func anyOf(list []any) schema {
	if len(list) == 1 {
		if s, ok := list[0].(schema); ok {
			return s
		}
	}
	return schema{"anyOf": list}
}

// declared is the closed object of a definition's schema; nil declares nothing.
func declared(s *fsm.Schema) schema {
	if s == nil {
		return closed(schema{})
	}
	var root schema
	dec := json.NewDecoder(bytes.NewReader(s.JSON()))
	dec.UseNumber()
	if dec.Decode(&root) != nil {
		return closed(schema{})
	}
	c := converter{root: root}
	props := schema{}
	c.gather(root, props, 0)
	return closed(props)
}

// converter turns any JSON Schema into types; it opens up ({}) where it doesn't understand.
type converter struct{ root schema }

const maxSchemaDepth = 12

func (c converter) convert(v any, depth int) schema {
	s, ok := v.(schema)
	if !ok || depth > maxSchemaDepth {
		return schema{}
	}
	if ref, ok := s["$ref"].(string); ok {
		return c.convert(c.resolve(ref), depth+1)
	}
	for _, word := range []string{"anyOf", "oneOf"} {
		if list, ok := s[word].([]any); ok && s["type"] == nil {
			return c.union(list, depth)
		}
	}
	switch t := s["type"].(type) {
	case []any:
		var list []any
		for _, one := range t {
			alt := maps.Clone(s)
			alt["type"] = one
			list = append(list, alt)
		}
		return c.union(list, depth)
	case string:
		return c.ofType(t, s, depth)
	}
	if list, ok := s["enum"].([]any); ok {
		return ofValues(list)
	}
	if one, ok := s["const"]; ok {
		return ofValues([]any{one})
	}
	if s["properties"] != nil {
		return c.ofType("object", s, depth)
	}
	return schema{}
}

func (c converter) ofType(name string, s schema, depth int) schema {
	switch name {
	case "object":
		_, loose := s["additionalProperties"].(schema)
		props := schema{}
		c.gather(s, props, depth)
		if loose || s["patternProperties"] != nil || len(props) == 0 {
			return typed("object")
		}
		return closed(props)
	case "array":
		if items, ok := s["items"].(schema); ok && s["prefixItems"] == nil {
			return listOf(c.convert(items, depth+1))
		}
		return typed("array")
	case "string", "boolean", "integer", "number", "null":
		return typed(name)
	}
	return schema{}
}

// gather collects an object's properties, those of its allOf, anyOf and oneOf too.
func (c converter) gather(s schema, into schema, depth int) {
	if depth > maxSchemaDepth {
		return
	}
	if ref, ok := s["$ref"].(string); ok {
		if t, ok := c.resolve(ref).(schema); ok {
			c.gather(t, into, depth+1)
		}
	}
	props, _ := s["properties"].(schema)
	for name, v := range props {
		into[name] = c.convert(v, depth+1)
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := s[word].([]any)
		for _, v := range list {
			if t, ok := v.(schema); ok {
				more := schema{}
				c.gather(t, more, depth+1)
				for name, v := range more {
					if _, ok := into[name]; !ok {
						into[name] = v
					}
				}
			}
		}
	}
}

func (c converter) union(list []any, depth int) schema {
	var out []any
	for _, v := range list {
		t := c.convert(v, depth+1)
		if len(t) == 0 {
			return schema{} // one open alternative opens all
		}
		if !slices.ContainsFunc(out, func(o any) bool { return equalJSON(o, t) }) {
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return schema{}
	}
	return anyOf(out)
}

// resolve follows a local reference (RFC 6901); others stay open.
func (c converter) resolve(ref string) any {
	pointer, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	var at any = c.root
	for _, part := range strings.Split(pointer, "/") {
		object, ok := at.(schema)
		if !ok {
			return nil
		}
		at = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return at
}

func ofValues(list []any) schema {
	var kinds []any
	for _, v := range list {
		var t schema
		switch v.(type) {
		case string:
			t = typed("string")
		case bool:
			t = typed("boolean")
		case json.Number, float64:
			t = typed("number")
		case nil:
			t = typed("null")
		default:
			return schema{}
		}
		if !slices.ContainsFunc(kinds, func(k any) bool { return equalJSON(k, t) }) {
			kinds = append(kinds, t)
		}
	}
	if len(kinds) == 0 {
		return schema{}
	}
	return anyOf(kinds)
}
