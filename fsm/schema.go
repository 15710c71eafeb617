package fsm

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Schema is a compiled JSON Schema (draft 2020-12, `format` is asserted). It
// loads nothing from files or the network.
type Schema struct {
	raw      json.RawMessage
	props    []string
	compiled *jsonschema.Schema
	plain    *plain // nil: it says more
}

// JSON is the schema as canonical JSON, nobody's to change.
func (s *Schema) JSON() json.RawMessage { return s.raw }

// Properties are the names of the declared top-level properties, sorted.
func (s *Schema) Properties() []string { return s.props }

// FieldError is one value that doesn't fit, with an RFC 6901 JSON Pointer to it.
type FieldError struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// Check returns what doesn't fit of a decoded JSON value (numbers as
// json.Number), sorted by pointer; nil when all fits. A required member that is
// missing is reported at its own pointer. A nil Schema takes nothing but an
// empty object.
func (s *Schema) Check(value any) []FieldError {
	if s == nil {
		return checkNothing(value)
	}
	if s.plain.fits(value) {
		return nil
	}
	if faults := checkNumbers(nil, value); len(faults) > 0 {
		return sortFields(faults)
	}
	err := s.compiled.Validate(value)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []FieldError{{"", "can't be checked: " + err.Error()}}
	}
	return sortFields(fieldErrors(nil, invalid))
}

func sortFields(faults []FieldError) []FieldError {
	slices.SortFunc(faults, func(a, b FieldError) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(faults)
}

// schemas compiles facts, attrs and the events' inputs.
func (c *compiler) schemas() {
	c.def.facts = c.schema(c.decl.factsSchema, "facts")
	c.def.attrs = c.schema(c.decl.attrsSchema, "attrs")
	for i, e := range c.decl.events {
		c.def.events[i].Input = c.schema(e.input, "input")
	}
}

// schema compiles one; nil when n is nil or wrong.
func (c *compiler) schema(n *node, what string) *Schema {
	if n == nil {
		return nil
	}
	if n.kind != mapNode {
		c.errorf(n.at, "schema", "the schema of `%s` is a map ({type: object, properties: {…}}), not %s", what, n.describe())
		return nil
	}
	if t := n.get("type"); t == nil || t.kind != stringNode || t.text != "object" {
		c.errorf(n.at, "schema", "the schema of `%s` describes an object; say `type: object`", what)
		return nil
	}
	before := len(c.findings)
	if c.schemaLint(n, n); len(c.findings) > before {
		return nil
	}
	const address = "interlock:schema"
	value := n.value()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(address, value); err != nil {
		c.errorf(n.at, "schema", "the schema of `%s` is not a JSON Schema: %s", what, firstLine(err))
		return nil
	}
	compiled, err := compiler.Compile(address)
	if err != nil {
		c.schemaError(n, what, err)
		return nil
	}
	s := &Schema{raw: appendJSON(nil, value), compiled: compiled, plain: plainOf(value)}
	if p := n.get("properties"); p != nil {
		for _, f := range p.fields {
			s.props = append(s.props, f.key.text)
		}
		slices.Sort(s.props)
	}
	return s
}

// schemaError puts the library's error at the place that it is about.
func (c *compiler) schemaError(n *node, what string, err error) {
	if unfit, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		err = unfit.Err
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		c.errorf(n.at, "schema", "the schema of `%s` is not a JSON Schema: %s", what, firstLine(err))
		return
	}
	for _, leaf := range leaves(nil, invalid) {
		c.errorf(n.find(leaf.InstanceLocation), "schema", "this is not JSON Schema: `%s` %s", last(leaf.InstanceLocation, what), message(leaf.ErrorKind))
	}
}

func last(tokens []string, otherwise string) string {
	if len(tokens) == 0 {
		return otherwise
	}
	return tokens[len(tokens)-1]
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// noLoader refuses everything: a schema stands whole in the definition.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("nothing is loaded from %s; write the schema here, under $defs", url)
}

// leaves are the errors at the ends of the tree; alternatives stay together.
func leaves(all []*jsonschema.ValidationError, e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains, *kind.PropertyNames:
		return append(all, e)
	}
	if len(e.Causes) == 0 {
		return append(all, e)
	}
	for _, cause := range e.Causes {
		all = leaves(all, cause)
	}
	return all
}

func fieldErrors(all []FieldError, e *jsonschema.ValidationError) []FieldError {
	for _, leaf := range leaves(nil, e) {
		at := pointer(leaf.InstanceLocation)
		switch k := leaf.ErrorKind.(type) {
		case *kind.Required:
			for _, name := range k.Missing {
				all = append(all, FieldError{at + pointer([]string{name}), "is required"})
			}
		case *kind.DependentRequired:
			for _, name := range k.Missing {
				all = append(all, FieldError{at + pointer([]string{name}), "is required beside " + quote(k.Prop)})
			}
		case *kind.AdditionalProperties:
			for _, name := range k.Properties {
				all = append(all, FieldError{at + pointer([]string{name}), "is not known here"})
			}
		default:
			all = append(all, FieldError{at, message(leaf.ErrorKind)})
		}
	}
	return all
}

// pointerTokens splits an RFC 6901 JSON Pointer.
func pointerTokens(s string) []string {
	tokens := strings.Split(strings.TrimPrefix(s, "/"), "/")
	for i, token := range tokens {
		tokens[i] = unescapePointer.Replace(token)
	}
	return tokens
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

func pointer(tokens []string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteString("/" + escapePointer.Replace(token))
	}
	return b.String()
}
