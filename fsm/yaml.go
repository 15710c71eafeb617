package fsm

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode"
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
	if !checkText(r, source) {
		return nil
	}
	tokens := lexer.Tokenize(source)
	if !checkShape(r, tokens) {
		return nil
	}
	if tokens.InvalidToken() == nil && !checkComplete(r, tokens, source) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
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

// unseen are line separators, marks of byte order and of writing direction:
// what a reviewer sees would not be what is read.
const unseen = "\u2028\u2029\ufeff\ufffe\uffff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

// checkText refuses what is no text: invalid UTF-8 and control characters, and
// tabs but in and before comments, since the library drops them from words.
func checkText(r *report, source string) bool {
	for number, text := range strings.Split(source, "\n") {
		column, comment, blank, word := 1, false, true, -1 // word: where the next one begins
		for i, c := range text {
			at := place{number + 1, column}
			if c == '\t' && i > word {
				word = len(text) - len(strings.TrimLeft(text[i:], " \t"))
			}
			switch {
			case c == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
				r.errorf(at, "not_text", "this byte is not valid UTF-8; save the file as UTF-8")
				return false
			case c == '\t' && !comment && word < len(text) && text[word] != '#':
				r.errorf(at, "tab", "a tab stands here; use spaces, or write \\t in a text in double quotes")
				return false
			case c != '\t' && (unicode.IsControl(c) || strings.ContainsRune(unseen, c)):
				r.errorf(at, "not_text", "the control character %U can't stand here; write it as an escape in double quotes", c)
				return false
			}
			comment = comment || c == '#' && blank
			blank = c == ' ' || c == '\t'
			column++
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
			if text := t.unsplit(item); text != nil {
				list.list = append(list.list, text)
				continue
			}
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
		if pair.Start != nil && pair.Start.Type == token.MappingValueType && pair.Start.Position.Line != key.at.line {
			t.errorf(key.at, "yaml_syntax", "the colon that belongs to %s stands on another line; write both on one", quote(key.text))
			continue
		}
		if adjacent(pair) {
			t.errorf(key.at, "yaml_syntax", "put a space after the colon that follows %s; other YAML readers take this for one text", quote(key.text))
			continue
		}
		value := t.convert(pair.Value)
		if value.kind == nullNode {
			value.at = key.at // an empty value has no place of its own
		}
		m.fields = append(m.fields, field{key, value})
	}
	return m
}

// unsplit undoes what the library does to an entry like interlock:admin of a
// list in braces: it reads {interlock: admin} where YAML 1.2 has a text.
func (t *tree) unsplit(item ast.Node) *node {
	m, ok := item.(*ast.MappingNode)
	if !ok || len(m.Values) != 1 || m.GetToken().Type == token.MappingStartType || !adjacent(m.Values[0]) {
		return nil
	}
	key, ok := m.Values[0].Key.(*ast.StringNode)
	value, scalar := m.Values[0].Value.(ast.ScalarNode)
	if !ok || !scalar {
		return nil
	}
	return &node{kind: stringNode, at: placeOf(key.GetToken()), text: key.Value + ":" + value.GetToken().Value, plain: true}
}

// adjacent reports whether key:value stand together without a space, neither in
// quotes nor brackets.
func adjacent(pair *ast.MappingValueNode) bool {
	value, ok := pair.Value.(ast.ScalarNode)
	if !ok || value.GetToken() == nil || pair.Start == nil || pair.Start.Type != token.MappingValueType || quotedToken(pair.Key.GetToken()) {
		return false
	}
	colon, at := placeOf(pair.Start), placeOf(value.GetToken())
	return value.GetToken().Type != token.ImplicitNullType && colon.line == at.line && at.column == colon.column+1
}

func quotedToken(tk *token.Token) bool {
	return tk != nil && (tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType)
}

func (t *tree) convertKey(key ast.MapKeyNode) *node {
	at := placeOf(key.GetToken())
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
	case t.aliased > maxAliased: // said already
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
	plain := !quotedToken(n.GetToken())
	switch n := n.(type) {
	case *ast.StringNode:
		if plain && numberLike.MatchString(n.Value) {
			return t.number(at, n.Value) // the library takes 1e6 and very large numbers for texts
		}
		return &node{kind: stringNode, at: at, text: n.Value, plain: plain}
	case *ast.LiteralNode:
		return &node{kind: stringNode, at: at, text: n.Value.Value}
	case *ast.BoolNode:
		return &node{kind: boolNode, at: at, text: strconv.FormatBool(n.Value), plain: true}
	case *ast.NullNode:
		return &node{kind: nullNode, at: at, plain: true}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return t.number(at, n.GetToken().Value)
	default:
		t.errorf(at, "yaml_syntax", "this YAML (%s) is not part of the format", n.Type())
	}
	return &node{kind: nullNode, at: at}
}

var numberLike = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$`)

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?$`)

// number takes what JSON and every YAML reader agree upon: 010 is eight to
// some and ten to others.
func (t *tree) number(at place, text string) *node {
	if !jsonNumber.MatchString(text) {
		t.errorf(at, "number", "the number %s is read differently by different programs; write it as JSON does (10, -2.5, 1e6), or as a text in quotes", quote(text))
	}
	return &node{kind: numberNode, at: at, text: text, plain: true}
}
