package fsm

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func schemaOf(t *testing.T, text string) *Schema {
	t.Helper()
	m, err := Parse("m.yaml", []byte("machine: m\ninitial: a\nfacts: {schema: "+text+"}\nstates: {a: {}, b: {}}\nevents: {go: {from: a, to: b, requires: [anyone]}}\n"))
	require.NoError(t, err)
	return m.FactsSchema()
}

// What fits at once fits by the library, too; and what people write fits at once.
func TestPlainSchemasSayWhatTheLibraryDoes(t *testing.T) {
	plainSchema := schemaOf(t, `{type: object, title: T, required: [s], properties: {s: {type: string}, i: {type: integer, minimum: -5, maximum: 10}, n: {type: number}, b: {type: boolean, title: B}, l: {type: array, items: {type: integer}}, closed: {type: string}}}`)
	closed := schemaOf(t, `{type: object, additionalProperties: false, properties: {i: {type: integer}, s: {type: string}}}`)
	require.NotNil(t, plainSchema.plain)
	require.NotNil(t, closed.plain)
	scalars := []any{nil, true, "x", "", json.Number("5"), json.Number("-5"), json.Number("-6"), json.Number("11"), json.Number("5.0"), json.Number("1e2"), json.Number("0.5"),
		json.Number("-0"), json.Number("123456789012345678901234567890"), json.Number("99999999999999999999999999999999999999999"), 5, 0.5, map[string]any{}}
	values := rapid.OneOf(rapid.SampledFrom(scalars), rapid.Map(rapid.SliceOfN(rapid.SampledFrom(scalars), 0, 3), func(l []any) any { return l }))
	fitted := 0
	rapid.Check(t, func(rt *rapid.T) {
		v := rapid.MapOfN(rapid.SampledFrom([]string{"s", "i", "n", "b", "l", "other"}), values, 0, 4).Draw(rt, "value")
		for _, s := range []*Schema{plainSchema, closed} {
			if !s.plain.fits(v) {
				continue
			}
			fitted++
			slow := *s
			slow.plain = nil
			if wrong := slow.Check(v); len(wrong) > 0 {
				rt.Fatalf("%v fits at once, and doesn't: %v", v, wrong)
			}
		}
	})
	require.Positive(t, fitted)
	require.True(t, plainSchema.plain.fits(map[string]any{"s": "x", "i": json.Number("10"), "n": json.Number("7"), "b": false, "l": []any{json.Number("1")}}))
	require.False(t, plainSchema.plain.fits(map[string]any{"i": json.Number("1")}), "s is required")
}

func TestSchemasThatSayMoreAreTheLibrarys(t *testing.T) {
	for _, member := range []string{
		`{type: string, maxLength: 3}`, `{type: string, format: date}`, `{type: string, enum: [a, b]}`, `{type: string, pattern: a}`,
		`{type: integer, multipleOf: 2}`, `{type: integer, minimum: 0.5}`, `{type: integer, exclusiveMinimum: 0}`, `{type: number, maximum: 3}`, `{type: [string, boolean]}`,
		`{type: array, items: {type: string}, maxItems: 2}`, `{type: array}`, `{type: array, items: {type: array, items: {type: string}}}`, `{type: object}`, `{const: 1}`,
	} {
		require.Nil(t, schemaOf(t, fmt.Sprintf(`{type: object, properties: {a: %s}}`, member)).plain, member)
	}
	for _, rest := range []string{`minProperties: 1`, `additionalProperties: {type: string}`, `dependentRequired: {a: [b]}`, `not: {required: [a]}`, `patternProperties: {a: {type: string}}`} {
		require.Nil(t, schemaOf(t, fmt.Sprintf(`{type: object, properties: {a: {type: string}, b: {type: string}}, %s}`, rest)).plain, rest)
	}
}
