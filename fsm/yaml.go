package fsm

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML reads exactly one YAML document into nodes; nil after it reported
// an error. What two readers could understand differently is refused: tags,
// merge keys, directives, numbers that JSON doesn't know, repeated keys.
func parseYAML(r *report, source string) (root *node) {
	defer func() {
		// The YAML library is known to panic on malformed input.
		if cause := recover(); cause != nil {
			r.errorf(place{1, 1}, "yaml_syntax", "this isn't readable as YAML (%v)", cause)
			root = nil
		}
	}()
	if !checkText(r, source) || !checkDepth(r, source) {
		return nil
	}
	file, err := parser.ParseBytes([]byte(source), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		reportSyntax(r, err)
		return nil
	}
	var body ast.Node
	for i, doc := range file.Docs {
		if i > 0 {
			at := place{1, 1}
			if doc.Start != nil {
				at = placeOf(doc.Start)
			} else if doc.Body != nil {
				at = placeOf(doc.Body.GetToken())
			}
			r.errorf(at, "second_document", "a second document begins here; a file holds one machine, so put this one into a file of its own")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		r.errorf(place{1, 1}, "empty", "the file is empty; a machine needs `machine`, `initial`, `states` and `events`")
		return nil
	}
	t := tree{report: r, anchors: map[string]*node{}}
	root = t.convert(body)
	if r.failed() {
		return nil
	}
	return root
}

// checkText refuses what is no text: invalid UTF-8 and control characters.
func checkText(r *report, source string) bool {
	line, column := 1, 1
	for i, c := range source {
		switch {
		case c == '\n':
			line, column = line+1, 0
		case c == utf8.RuneError && !strings.HasPrefix(source[i:], string(utf8.RuneError)):
			r.errorf(place{line, column}, "not_text", "this byte is not valid UTF-8; save the file as UTF-8")
			return false
		case c < ' ' && c != '\t':
			r.errorf(place{line, column}, "not_text", "the control character %U can't stand here; write it as an escape in double quotes", c)
			return false
		}
		column++
	}
	return true
}

// checkDepth bounds the nesting before the parser, which recurses, sees it.
func checkDepth(r *report, source string) bool {
	depth, line, run := 0, 0, 0
	for _, t := range lexer.Tokenize(source) {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType, token.MappingValueType:
			if t.Position.Line != line {
				line, run = t.Position.Line, 0
			}
			if depth <= 0 {
				run++
			}
		}
		if depth > maxDepth || run > maxDepth {
			r.errorf(placeOf(t), "too_deep", "lists and maps are nested more than %d deep here", maxDepth)
			return false
		}
	}
	return true
}

// reportSyntax turns the library's syntax error into ours.
func reportSyntax(r *report, err error) {
	var syntax interface {
		error
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &syntax) && syntax.GetToken() != nil {
		r.errorf(placeOf(syntax.GetToken()), "yaml_syntax", "this isn't readable as YAML: %s", syntax.GetMessage())
		return
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	r.errorf(place{1, 1}, "yaml_syntax", "this isn't readable as YAML: %s", message)
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{max(t.Position.Line, 1), max(t.Position.Column, 1)}
}

// tree converts the library's nodes.
type tree struct {
	*report
	anchors map[string]*node // nil value: still being read
	aliased int
	depth   int
}

func (t *tree) convert(n ast.Node) *node {
	t.depth++
	defer func() { t.depth-- }()
	if t.depth > 4*maxDepth {
		t.errorf(placeOf(n.GetToken()), "too_deep", "lists and maps are nested more than %d deep here", maxDepth)
		return &node{kind: nullNode, at: place{1, 1}}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return t.convertMap(placeOf(n.GetToken()), n.Values)
	case *ast.MappingValueNode:
		return t.convertMap(placeOf(n.GetToken()), []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		list := &node{kind: listNode, at: placeOf(n.GetToken())}
		for _, item := range n.Values {
			list.list = append(list.list, t.convert(item))
		}
		return list
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		t.anchors[name] = nil
		value := t.convert(n.Value)
		t.anchors[name] = value
		return value
	case *ast.AliasNode:
		return t.alias(n)
	case nil:
		return &node{kind: nullNode, at: place{1, 1}}
	default:
		return t.convertScalar(n)
	}
}

func (t *tree) convertMap(at place, values []*ast.MappingValueNode) *node {
	m := &node{kind: mapNode, at: at}
	seen := make(map[string]place, len(values))
	for _, pair := range values {
		key := t.convertKey(pair.Key)
		if key == nil {
			continue
		}
		if len(m.fields) == 0 && key.at.before(m.at) {
			m.at = key.at
		}
		if first, twice := seen[key.text]; twice {
			t.errorf(key.at, "duplicate_key", "the key %s stands here twice, first on line %d; keep one of them", quote(key.text), first.line)
			continue
		}
		seen[key.text] = key.at
		value := t.convert(pair.Value)
		if value.kind == nullNode {
			value.at = key.at // an empty value has no place of its own
		}
		m.fields = append(m.fields, field{key, value})
	}
	return m
}

func (t *tree) convertKey(key ast.MapKeyNode) *node {
	at := placeOf(key.GetToken())
	switch key.(type) {
	case *ast.MergeKeyNode:
		t.errorf(at, "merge_key", "merge keys (<<) are not part of the format; write the entries out, or repeat a whole value by an alias")
		return nil
	case *ast.MappingKeyNode:
		t.errorf(at, "complex_key", "keys that begin with `?` are not part of the format; write `key: value`")
		return nil
	}
	before := len(t.findings) + t.dropped
	n := t.convert(key)
	if len(t.findings)+t.dropped > before {
		return nil
	}
	if n.kind == listNode || n.kind == mapNode {
		t.errorf(at, "complex_key", "%s can't be a key; a key is a text", n.kind)
		return nil
	}
	return n
}

// alias repeats the anchored value, within the budget.
func (t *tree) alias(n *ast.AliasNode) *node {
	at, name := placeOf(n.GetToken()), n.Value.GetToken().Value
	value, known := t.anchors[name]
	switch {
	case !known:
		t.errorf(at, "unknown_alias", "no anchor &%s stands above this alias", name)
	case value == nil:
		t.errorf(at, "recursive_alias", "the alias *%s stands inside the value that it repeats", name)
	default:
		if t.aliased += value.count(maxAliased); t.aliased <= maxAliased {
			return value
		}
		t.errorf(at, "too_many_aliases", "aliases repeat more than %d values in this file; write less by alias", maxAliased)
	}
	return &node{kind: nullNode, at: at}
}

// count is how many nodes a value holds, or something above most.
func (n *node) count(most int) int {
	total := 1
	for _, item := range n.list {
		if total > most {
			return total
		}
		total += item.count(most - total)
	}
	for _, f := range n.fields {
		if total > most {
			return total
		}
		total += 1 + f.value.count(most-total)
	}
	return total
}

func (t *tree) convertScalar(n ast.Node) *node {
	at := placeOf(n.GetToken())
	plain := n.GetToken() != nil && n.GetToken().Type != token.SingleQuoteType && n.GetToken().Type != token.DoubleQuoteType
	switch n := n.(type) {
	case *ast.StringNode:
		return &node{kind: stringNode, at: at, text: n.Value, plain: plain}
	case *ast.LiteralNode:
		return &node{kind: stringNode, at: at, text: n.Value.Value}
	case *ast.BoolNode:
		return &node{kind: boolNode, at: at, text: strconv.FormatBool(n.Value), plain: true}
	case *ast.NullNode:
		return &node{kind: nullNode, at: at, plain: true}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return t.number(at, n.GetToken().Value)
	case *ast.TagNode:
		t.errorf(at, "tag", "tags (%s) are not part of the format; write a text in quotes and a number without", n.GetToken().Value)
	case *ast.DirectiveNode:
		t.errorf(at, "directive", "directives (%%) are not part of the format; leave the line out")
	default:
		t.errorf(at, "yaml_syntax", "this YAML (%s) is not part of the format", n.Type())
	}
	return &node{kind: nullNode, at: at}
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?$`)

// number takes what JSON and every YAML reader agree upon: 010 is eight to
// some and ten to others.
func (t *tree) number(at place, text string) *node {
	if !jsonNumber.MatchString(text) {
		t.errorf(at, "number", "the number %s is read differently by different programs; write it as JSON does (10, -2.5, 1e6), or as a text in quotes", quote(text))
	}
	return &node{kind: numberNode, at: at, text: text, plain: true}
}
