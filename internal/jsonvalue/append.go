// Package jsonvalue writes and reads plain JSON values without reflection: objects
// are map[string]any, arrays []any, numbers json.Number. It does so exactly as
// encoding/json, which writes the bytes that are hashed and answered, or not at
// all: whatever is out of the ordinary is left to encoding/json, and every
// function tells whether it has done its work.
package jsonvalue

import (
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxDepth of objects and arrays is far less than where encoding/json looks for
// cycles, and what a request's body may have.
const maxDepth = 32

// Escape is what becomes of <, > and & in texts.
type Escape bool

const (
	HTML  Escape = true  // escaped, as json.Marshal does
	Plain Escape = false // left, as an Encoder does after SetEscapeHTML(false)
)

// Append adds v as encoding/json writes it: names sorted, no white space. ok is
// false where v holds what isn't a plain value, or isn't one of JSON; dst is then
// to be thrown away.
func Append(dst []byte, v any, e Escape) (out []byte, ok bool) { return appendValue(dst, v, e, 0) }

// AppendObject is Append of a map that may be nil, which is written as {}.
func AppendObject(dst []byte, m map[string]any, e Escape) (out []byte, ok bool) {
	if len(m) == 0 {
		return append(dst, "{}"...), true
	}
	return appendObject(dst, m, e, 0)
}

// AppendStrings adds a list of texts; nil is written as [].
func AppendStrings(dst []byte, list []string, e Escape) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s, e)
	}
	return append(dst, ']')
}

func appendValue(dst []byte, v any, e Escape, depth int) ([]byte, bool) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), true
	case string:
		return AppendString(dst, v, e), true
	case bool:
		return strconv.AppendBool(dst, v), true
	case json.Number:
		if end, ok := number(string(v), 0); !ok || end != len(v) {
			return dst, false
		}
		return append(dst, v...), true
	case map[string]any:
		if v == nil {
			return append(dst, "null"...), true
		}
		return appendObject(dst, v, e, depth)
	case []any:
		if v == nil {
			return append(dst, "null"...), true
		}
		return appendArray(dst, v, e, depth)
	case []string:
		if v == nil {
			return append(dst, "null"...), true
		}
		return AppendStrings(dst, v, e), true
	case int:
		return strconv.AppendInt(dst, int64(v), 10), true
	case int64:
		return strconv.AppendInt(dst, v, 10), true
	}
	return dst, false
}

func appendObject(dst []byte, m map[string]any, e Escape, depth int) ([]byte, bool) {
	if depth >= maxDepth {
		return dst, false
	}
	var few [16]string // most objects are small: their names need no memory of their own
	dst = append(dst, '{')
	for i, name := range Names(few[:0], m) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, name, e), ':')
		var ok bool
		if dst, ok = appendValue(dst, m[name], e, depth+1); !ok {
			return dst, false
		}
	}
	return append(dst, '}'), true
}

// Names adds the names of m in order. Given room on the stack it needs no memory.
func Names[V any](room []string, m map[string]V) []string {
	for name := range m {
		room = append(room, name)
	}
	slices.Sort(room)
	return room
}

func appendArray(dst []byte, list []any, e Escape, depth int) ([]byte, bool) {
	if depth >= maxDepth {
		return dst, false
	}
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		if dst, ok = appendValue(dst, v, e, depth+1); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), true
}

const hexDigits = "0123456789abcdef"

// AppendString adds s in quotes. Bytes that are no UTF-8 become \ufffd, and
// U+2028 and U+2029 are escaped, as encoding/json does.
func AppendString(dst []byte, s string, e Escape) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(append(dst, s[from:i]...), `\ufffd`...)
				from = i + size
			case r == '\u2028' || r == '\u2029':
				dst = append(append(dst, s[from:i]...), '\\', 'u', '2', '0', '2', hexDigits[r&0xf])
				from = i + size
			}
			i += size
			continue
		case c >= ' ' && c != '"' && c != '\\' && (e == Plain || c != '<' && c != '>' && c != '&'):
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// number finds the end of the number that begins at i (RFC 8259, 6).
func number[T string | []byte](s T, i int) (end int, ok bool) {
	if i < len(s) && s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
	case i < len(s) && '1' <= s[i] && s[i] <= '9':
		i = digits(s, i)
	default:
		return i, false
	}
	if i < len(s) && s[i] == '.' {
		begin := i + 1
		if i = digits(s, begin); i == begin {
			return i, false
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		begin := i
		if i = digits(s, begin); i == begin {
			return i, false
		}
	}
	return i, true
}

func digits[T string | []byte](s T, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}
