package fsm

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// message says in a short clause what a value must be.
func message(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + strings.Join(typeNames(k.Want), " or ") + ", not " + typeName(k.Got)
	case *kind.Enum:
		return "must be one of " + values(k.Want)
	case *kind.Const:
		return "must be " + values([]any{k.Want})
	case *kind.Format:
		return "must be of the format " + k.Want
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d entries", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d entries", k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("must not repeat an entry (%d and %d are equal)", k.Duplicates[0], k.Duplicates[1])
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d members", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d members", k.Want)
	case *kind.AdditionalItems:
		return fmt.Sprintf("has %d entries too many", k.Count)
	default:
		return structural(k)
	}
}

// structural is for the kinds that are about a value's parts.
func structural(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Required:
		return "lacks " + quoted(k.Missing)
	case *kind.AdditionalProperties:
		return "has unknown members: " + quoted(k.Properties)
	case *kind.FalseSchema:
		return "must be absent"
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return "fits several of the alternatives, and must fit exactly one"
		}
		return "fits none of the alternatives"
	case *kind.AnyOf:
		return "fits none of the alternatives"
	case *kind.Not:
		return "is of a form that is excluded"
	case *kind.Contains, *kind.MinContains:
		return "lacks an entry that is asked for"
	case *kind.MaxContains:
		return "has too many entries of one kind"
	case *kind.PropertyNames:
		return "has a member of a forbidden name: " + quote(k.Property)
	default:
		return "doesn't fit (" + strings.Join(k.KeywordPath(), "/") + ")"
	}
}

func typeNames(types []string) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = typeName(t)
	}
	return names
}

func typeName(t string) string {
	switch t {
	case "null", "":
		return "null"
	case "boolean":
		return "true or false"
	case "integer":
		return "a whole number"
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "string":
		return "a text"
	default:
		return "a " + t
	}
}

func number(n *big.Rat) string {
	if n.IsInt() {
		return n.Num().String()
	}
	f, _ := n.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func values(list []any) string {
	texts := make([]string, len(list))
	for i, v := range list {
		text, err := json.Marshal(v)
		if err != nil {
			text = []byte("?")
		}
		texts[i] = string(text)
	}
	return strings.Join(texts, ", ")
}

func quoted(names []string) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = quote(name)
	}
	return strings.Join(texts, ", ")
}

// checkNumbers refuses numbers whose exact value would take long to compute
// with, before the validator does: 1e999999 is seven bytes.
func checkNumbers(path []string, value any) []FieldError {
	switch v := value.(type) {
	case json.Number:
		if !jsonNumber.MatchString(string(v)) {
			return []FieldError{{pointer(path), "must be a number of at most 40 digits and an exponent of at most 3"}}
		}
	case []any:
		var all []FieldError
		for i, item := range v {
			all = append(all, checkNumbers(append(path, strconv.Itoa(i)), item)...)
		}
		return all
	case map[string]any:
		var all []FieldError
		for key, item := range v {
			all = append(all, checkNumbers(append(path, key), item)...)
		}
		return all
	}
	return nil
}

// checkNothing is the check of a schema that isn't there.
func checkNothing(value any) []FieldError {
	members, ok := value.(map[string]any)
	if !ok && value != nil {
		return []FieldError{{"", "must be absent"}}
	}
	var all []FieldError
	for key := range members {
		all = append(all, FieldError{pointer([]string{key}), "is not known here"})
	}
	return sortFields(all)
}
