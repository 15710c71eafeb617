package fsm_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

func decode(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var value any
	require.NoError(t, d.Decode(&value))
	return value
}

// facts compiles a schema of facts.
func facts(t *testing.T, schema string) *fsm.Schema {
	t.Helper()
	return parse(t, "machine: m", "initial: a", "states: {a: {final: true}}", "events: {}", "facts: {schema: "+strings.ReplaceAll(schema, "\t", " ")+"}").FactsSchema()
}

func TestSchemaCheck(t *testing.T) {
	schema := facts(t, `{
		type: object, additionalProperties: false, required: [amount, due],
		properties: {
			amount: {type: integer, minimum: 0, maximum: 100, multipleOf: 5},
			due: {type: string, format: date},
			"a/b~c": {type: boolean},
			kind: {enum: [small, large]},
			code: {type: string, pattern: "^[A-Z]+$", minLength: 2, maxLength: 3},
			lines: {type: array, minItems: 1, maxItems: 2, uniqueItems: true, items: {$ref: "#/$defs/line"}},
			one: {oneOf: [{type: string}, {type: "null"}]},
			no: {not: {const: 1}}, nothing: false, factor: {exclusiveMinimum: 0, exclusiveMaximum: 1.5},
		},
		$defs: {line: {type: object, required: [text], dependentRequired: {text: [author]}}},
	}`)
	for _, c := range []struct{ value, want string }{
		{`{"amount": 5, "due": "2026-02-28"}`, ``},
		{`{}`, `/amount is required; /due is required`},
		{`[]`, ` must be an object, not a list`},
		{`null`, ` must be an object, not null`},
		{`{"amount": -3, "due": "2026-02-30"}`, `/amount must be a multiple of 5; /amount must be at least 0; /due must be of the format date`},
		{`{"amount": "5", "due": 1}`, `/amount must be a whole number, not a text; /due must be a text, not a number`},
		{`{"amount": null, "due": null}`, `/amount must be a whole number, not null; /due must be a text, not null`},
		{`{"amount": 105, "due": "2026-01-01", "more": 1}`, `/amount must be at most 100; /more is not known here`},
		{`{"amount": 5.0, "due": "2026-01-01", "a/b~c": 1}`, `/a~1b~0c must be true or false, not a number`},
		{`{"amount": 5, "due": "2026-01-01", "kind": "vast", "code": "abcd"}`, `/code must have at most 3 characters; /code must match the pattern ^[A-Z]+$; /kind must be one of "small", "large"`},
		{`{"amount": 5, "due": "2026-01-01", "lines": []}`, `/lines must have at least 1 entries`},
		{`{"amount": 5, "due": "2026-01-01", "lines": [{}, {"text": ""}]}`, `/lines/0/text is required; /lines/1/author is required beside "text"`},
		{`{"amount": 5, "due": "2026-01-01", "lines": [{"text":1,"author":1}, {"text":1,"author":1}]}`, `/lines must not repeat an entry (0 and 1 are equal)`},
		{`{"amount": 5, "due": "2026-01-01", "one": 1, "no": 1, "nothing": 1, "factor": 1.5}`, `/factor must be less than 1.5; /no is of a form that is excluded; /nothing must be absent; /one fits none of the alternatives`},
		{`{"amount": 1e999999999, "due": "2026-01-01"}`, `/amount must be a number of at most 40 digits and an exponent of at most 3`},
		{`{"amount": 5, "due": "2026-01-01", "lines": [{"text": 1e-1000, "author": 1}]}`, `/lines/0/text must be a number of at most 40 digits and an exponent of at most 3`},
	} {
		var got []string
		for _, f := range schema.Check(decode(t, c.value)) {
			got = append(got, f.Pointer+" "+f.Message)
		}
		require.Equal(t, c.want, strings.Join(got, "; "), c.value)
	}
}

// A schema that isn't there takes nothing.
func TestNilSchema(t *testing.T) {
	event := load(t, "loan").Event(0)
	require.Nil(t, event.Input)
	require.Empty(t, event.Input.Check(map[string]any{}))
	require.Empty(t, event.Input.Check(nil))
	require.Equal(t, []fsm.FieldError{{Pointer: "/a~1b", Message: "is not known here"}}, event.Input.Check(map[string]any{"a/b": 1}))
	require.NotEmpty(t, event.Input.Check("text"))
}

func TestSchemaJSON(t *testing.T) {
	schema := facts(t, `{type: object, properties: {b: {type: number, multipleOf: 0.010}, a: {title: "ä <\u2028>"}}}`)
	require.Equal(t, `{"properties":{"a":{"title":"ä <\u2028>"},"b":{"multipleOf":0.010,"type":"number"}},"type":"object"}`, string(schema.JSON()))
	require.Equal(t, []string{"a", "b"}, schema.Properties())
	require.True(t, bytes.Equal(schema.JSON(), facts(t, string(schema.JSON())).JSON()))
}

// Recursion in a schema is no trap.
func TestRecursiveSchema(t *testing.T) {
	tree := facts(t, `{type: object, properties: {child: {$ref: "#"}}}`)
	require.Empty(t, tree.Check(decode(t, `{"child": {"child": {}}}`)))
	require.Len(t, tree.Check(decode(t, `{"child": {"child": 1}}`)), 1)
	require.NotEmpty(t, facts(t, `{type: object, allOf: [{$ref: "#"}]}`).Check(decode(t, `{}`)), "a schema that asks itself fits nothing")
}
