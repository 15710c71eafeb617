package fsm

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// nodeKind is the JSON type of a node.
type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	listNode
	mapNode
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "a map"}[k]
}

// place is a line and column, both from 1.
type place struct{ line, column int }

func (p place) before(q place) bool {
	return p.line < q.line || p.line == q.line && p.column < q.column
}

// node is one value of a definition file with its place: the YAML library's
// tree without anchors, tags and styles, so that nothing later can depend on
// how a value was spelt.
type node struct {
	kind   nodeKind
	at     place
	text   string // string and number: the value; bool: true or false
	plain  bool   // a scalar without quotes
	list   []*node
	fields []field
}

// field is one entry of a map, in declared order; its key is a scalar.
type field struct{ key, value *node }

// get returns the value of a key, nil when it isn't there.
func (n *node) get(key string) *node {
	for _, f := range n.fields {
		if f.key.text == key {
			return f.value
		}
	}
	return nil
}

// describe names a value in a sentence: `the number 3`, `"x"`, `a list`.
func (n *node) describe() string {
	switch n.kind {
	case stringNode:
		return quote(n.text)
	case numberNode:
		return "the number " + n.text
	case boolNode:
		return "the boolean " + n.text
	case listNode:
		if len(n.list) == 0 {
			return "an empty list"
		}
		return "a list"
	default:
		return n.kind.String()
	}
}

// value turns a node into a JSON-like value: string, bool, json.Number, nil,
// []any, map[string]any.
func (n *node) value() any {
	switch n.kind {
	case boolNode:
		return n.text == "true"
	case numberNode:
		return json.Number(n.text)
	case stringNode:
		return n.text
	case listNode:
		list := make([]any, len(n.list))
		for i, item := range n.list {
			list[i] = item.value()
		}
		return list
	case mapNode:
		m := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			m[f.key.text] = f.value.value()
		}
		return m
	default:
		return nil
	}
}

// find follows JSON Pointer tokens as far as they lead and returns the place
// there; for a map's entry that is the place of its key.
func (n *node) find(tokens []string) place {
	at, _ := n.follow(tokens)
	return at
}

// has reports whether the tokens lead to a value.
func (n *node) has(tokens []string) bool {
	_, all := n.follow(tokens)
	return all
}

func (n *node) follow(tokens []string) (at place, all bool) {
	at = n.at
	for _, token := range tokens {
		next := (*node)(nil)
		switch n.kind {
		case listNode:
			if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(n.list) {
				next = n.list[i]
				at = next.at
			}
		case mapNode:
			for _, f := range n.fields {
				if f.key.text == token {
					next, at = f.value, f.key.at
				}
			}
		}
		if next == nil {
			return at, false
		}
		n = next
	}
	return at, true
}

// quote puts a text of the file into a sentence, shortened and without
// anything that a terminal would act upon.
func quote(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
