package fsm

import (
	"slices"
	"strings"
)

// JSON Schema ignores what it doesn't know, so that a misspelt `minimun` would
// check nothing. These are the words of draft 2020-12 that a definition may
// use; any other is an error.
var (
	schemaWords = []string{
		"type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
		"maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains",
		"maxProperties", "minProperties", "required", "dependentRequired", "format",
		"title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples",
		"$ref", "$anchor", "$comment", "$schema",
	}
	schemaOne  = []string{"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
	schemaList = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	schemaMap  = []string{"properties", "patternProperties", "$defs", "dependentSchemas"}

	schemaTypes   = []string{"array", "boolean", "integer", "null", "number", "object", "string"}
	schemaFormats = []string{
		"date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uri-reference",
		"uri-template", "uuid", "json-pointer", "relative-json-pointer", "regex",
	}
)

const schemaDraft = "https://json-schema.org/draft/2020-12/schema"

// schemaLint reports words that JSON Schema would ignore.
func (c *compiler) schemaLint(n, root *node) {
	if n.kind != mapNode {
		return // true, false, or a wrong type, which the library reports
	}
	for _, f := range n.fields {
		word := f.key.text
		switch {
		case slices.Contains(schemaOne, word):
			c.schemaLint(f.value, root)
		case slices.Contains(schemaList, word):
			for _, item := range f.value.list {
				c.schemaLint(item, root)
			}
		case slices.Contains(schemaMap, word):
			for _, entry := range f.value.fields {
				c.schemaLint(entry.value, root)
			}
		case slices.Contains(schemaWords, word):
			c.schemaValue(n, root, f)
		case !extension(word):
			all := slices.Concat(schemaWords, schemaOne, schemaList, schemaMap)
			c.errorf(f.key.at, "schema", "%s is no word of JSON Schema (draft 2020-12)%s", quote(word), suggest(word, all))
		}
	}
}

// schemaValue judges the values that the library lets pass.
func (c *compiler) schemaValue(schema, root *node, f field) {
	switch f.key.text {
	case "format":
		if f.value.kind == stringNode && !slices.Contains(schemaFormats, f.value.text) {
			c.errorf(f.value.at, "schema", "the format %s is not known and would check nothing (a hint for forms is written x-format)%s", quote(f.value.text), suggest(f.value.text, schemaFormats))
		}
	case "type":
		types := f.value.list
		if f.value.kind != listNode {
			types = []*node{f.value}
		}
		for _, t := range types {
			if t.kind != stringNode || !slices.Contains(schemaTypes, t.text) {
				c.errorf(t.at, "schema", "the type is one of %s, not %s%s", listed(schemaTypes), t.describe(), suggest(t.text, schemaTypes))
			}
		}
	case "$ref":
		switch target, local := strings.CutPrefix(f.value.text, "#"); {
		case f.value.kind != stringNode:
		case !local:
			c.errorf(f.value.at, "schema", "the reference %s leads out of the file; nothing is loaded from elsewhere, so write the schema under `$defs` and refer to #/$defs/NAME", quote(f.value.text))
		case strings.HasPrefix(target, "/") && !root.has(pointerTokens(target)):
			c.errorf(f.value.at, "schema", "the reference %s leads to nothing; a schema under `$defs` is referred to as #/$defs/NAME", quote(f.value.text))
		}
	case "$schema":
		if f.value.text != schemaDraft {
			c.errorf(f.value.at, "schema", "schemas are of draft 2020-12 here; leave `$schema` out")
		}
	case "required":
		properties := schema.get("properties")
		if properties == nil || schema.get("patternProperties") != nil {
			return
		}
		for _, name := range f.value.list {
			if name.kind == stringNode && properties.get(name.text) == nil {
				c.warn(name.at, FindingUnknownRequired, "%s is required and not described under `properties`%s", quote(name.text), suggest(name.text, fieldNames(properties)))
			}
		}
	}
}

func fieldNames(n *node) []string {
	names := make([]string, len(n.fields))
	for i, f := range n.fields {
		names[i] = f.key.text
	}
	return names
}
