package fsm

import (
	"encoding/json"
	"slices"
	"strconv"
)

// plain is a schema that says no more than which scalars, or lists of them, an
// object's members are: what most say. It tells at once that a value fits, and
// nothing else: whatever it doesn't know is the library's to check.
type plain struct {
	members  map[string]plainValue
	required []string
}

type plainValue struct {
	kind     string // string, integer, number, boolean
	list     bool   // an array of these
	min, max *int64
}

// plainOf is nil for a schema that says more.
func plainOf(schema any) *plain {
	top, ok := schema.(map[string]any)
	if !ok || top["type"] != "object" {
		return nil
	}
	p := &plain{members: map[string]plainValue{}}
	for key, v := range top {
		switch key {
		case "type", "title", "description":
		case "additionalProperties":
			if _, ok := v.(bool); !ok {
				return nil
			}
		case "required":
			list, ok := v.([]any)
			for _, one := range list {
				name, is := one.(string)
				ok = ok && is
				p.required = append(p.required, name)
			}
			if !ok {
				return nil
			}
		case "properties":
			members, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			for name, member := range members {
				if p.members[name], ok = plainMember(member); !ok {
					return nil
				}
			}
		default:
			return nil
		}
	}
	return p
}

func plainMember(schema any) (v plainValue, ok bool) {
	member, ok := schema.(map[string]any)
	if !ok {
		return v, false
	}
	if member["type"] == "array" {
		if v, ok = plainMember(member["items"]); !ok || v.list {
			return v, false
		}
		v.list = true
		return v, only(member, "type", "items", "title", "description")
	}
	kind, _ := member["type"].(string)
	if !slices.Contains([]string{"string", "integer", "number", "boolean"}, kind) {
		return v, false
	}
	v.kind = kind
	if kind != "integer" {
		return v, only(member, "type", "title", "description")
	}
	for name, bound := range map[string]**int64{"minimum": &v.min, "maximum": &v.max} {
		if at, there := member[name]; there {
			n, ok := shortInteger(at)
			if !ok {
				return v, false
			}
			*bound = &n
		}
	}
	return v, only(member, "type", "minimum", "maximum", "title", "description")
}

func only(m map[string]any, names ...string) bool {
	for name := range m {
		if !slices.Contains(names, name) {
			return false
		}
	}
	return true
}

// shortInteger is a number that is written as an integer of at most 18 digits.
func shortInteger(v any) (int64, bool) {
	number, ok := v.(json.Number)
	if !ok || len(number) > 18 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(number), 10, 64)
	return n, err == nil && number[0] != '+'
}

// fits is true only if all is well.
func (p *plain) fits(value any) bool {
	members, ok := value.(map[string]any)
	if p == nil || !ok {
		return false
	}
	for name, v := range members {
		member, known := p.members[name]
		if !known || !member.fits(v) {
			return false
		}
	}
	for _, name := range p.required {
		if _, there := members[name]; !there {
			return false
		}
	}
	return true
}

func (m plainValue) fits(v any) bool {
	if !m.list {
		return m.one(v)
	}
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(item any) bool { return !m.one(item) })
}

func (m plainValue) one(v any) bool {
	switch m.kind {
	case "string":
		_, ok := v.(string)
		return ok
	case "boolean":
		_, ok := v.(bool)
		return ok
	}
	n, ok := shortInteger(v)
	return ok && (m.min == nil || n >= *m.min) && (m.max == nil || n <= *m.max)
}
