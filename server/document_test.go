package server

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Generators of clients take an object without members for one that can have none.
func TestObjectsOfTheDocumentCanBeTyped(t *testing.T) {
	doc, err := parseDocument()
	require.NoError(t, err)
	seen := 0
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case []any:
			for _, one := range v {
				walk(at+"/-", one)
			}
		case map[string]any:
			types, _ := v["type"].([]any)
			if v["type"] == "object" || slices.Contains(types, any("object")) {
				seen++
				require.True(t, v["properties"] != nil || v["additionalProperties"] != nil, "%s says neither properties nor additionalProperties", at)
			}
			for name, one := range v {
				walk(at+"/"+name, one)
			}
		}
	}
	walk("", doc.base)
	require.Greater(t, seen, 30)
}

func TestTheDocumentListsTheCodesOfProblems(t *testing.T) {
	doc, err := parseDocument()
	require.NoError(t, err)
	rendered, err := doc.withMachines(nil)
	require.NoError(t, err)
	for _, code := range []string{"denied", "illegal_event", "outcome_unknown", "not_acceptable"} {
		require.Contains(t, string(rendered), `"`+code+`"`)
	}
}
