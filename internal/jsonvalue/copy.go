package jsonvalue

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Copy is what would be read again if m were written: maps and lists of its own,
// numbers as json.Number. ok is false where encoding/json has to do it.
func Copy(m map[string]any) (out map[string]any, ok bool) { return copyObject(m, 0) }

func copyObject(m map[string]any, depth int) (map[string]any, bool) {
	if depth >= maxDepth {
		return nil, false
	}
	out := make(map[string]any, len(m))
	for name, v := range m {
		own, ok := copyValue(v, depth+1)
		if !ok || !utf8.ValidString(name) {
			return nil, false
		}
		out[name] = own
	}
	return out, true
}

func copyValue(v any, depth int) (any, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case string:
		return v, utf8.ValidString(v)
	case bool:
		return v, true
	case json.Number:
		end, ok := number(string(v), 0)
		return v, ok && end == len(v)
	case int:
		return json.Number(strconv.Itoa(v)), true
	case map[string]any:
		if v == nil {
			return nil, true
		}
		return copyObject(v, depth)
	case []any:
		if v == nil {
			return nil, true
		}
		return copyArray(v, depth)
	}
	return nil, false
}

func copyArray(list []any, depth int) ([]any, bool) {
	if depth >= maxDepth {
		return nil, false
	}
	out := make([]any, len(list))
	for i, v := range list {
		own, ok := copyValue(v, depth+1)
		if !ok {
			return nil, false
		}
		out[i] = own
	}
	return out, true
}
