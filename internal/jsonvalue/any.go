package jsonvalue

import (
	"bytes"
	"encoding/json"
	"sync"
)

// AppendAny is Append that asks encoding/json where it has to. The error is its.
func AppendAny(dst []byte, v any, e Escape) ([]byte, error) {
	if out, ok := Append(dst, v, e); ok {
		return out, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(bool(e))
	if err := enc.Encode(v); err != nil {
		return dst, err
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), nil
}

// AppendRaw adds JSON text without white space; nil is null.
func AppendRaw(dst []byte, raw json.RawMessage, e Escape) ([]byte, error) {
	if raw == nil {
		return append(dst, "null"...), nil
	}
	if end, ok := tight(raw, 0, e, 0); ok && end == len(raw) {
		return append(dst, raw...), nil
	}
	return AppendAny(dst, raw, e)
}

// tight passes over the value at i, if it is written as it is to be: without white
// space, and with nothing that is still to be escaped.
func tight(s []byte, i int, e Escape, depth int) (end int, ok bool) {
	if i >= len(s) || depth > maxDepth {
		return i, false
	}
	switch c := s[i]; c {
	case '"':
		return tightString(s, i+1, e)
	case '{', '[':
		return tightList(s, i, e, depth)
	case 't':
		return tightWord(s, i, "true")
	case 'f':
		return tightWord(s, i, "false")
	case 'n':
		return tightWord(s, i, "null")
	}
	return number(s, i)
}

func tightWord(s []byte, i int, word string) (end int, ok bool) {
	end = i + len(word)
	return end, end <= len(s) && string(s[i:end]) == word
}

// tightList passes over an object or an array.
func tightList(s []byte, i int, e Escape, depth int) (end int, ok bool) {
	object := s[i] == '{'
	last := byte(']')
	if object {
		last = '}'
	}
	i++
	if i < len(s) && s[i] == last {
		return i + 1, true
	}
	for {
		if object {
			if i >= len(s) || s[i] != '"' {
				return i, false
			}
			if i, ok = tightString(s, i+1, e); !ok || i >= len(s) || s[i] != ':' {
				return i, false
			}
			i++
		}
		if i, ok = tight(s, i, e, depth+1); !ok || i >= len(s) {
			return i, false
		}
		switch s[i] {
		case ',':
			i++
		case last:
			return i + 1, true
		default:
			return i, false
		}
	}
}

// tightString passes over the rest of a text without escapes: others are rare.
func tightString(s []byte, i int, e Escape) (end int, ok bool) {
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1, true
		case c < ' ', c == '\\', c == 0xe2, e == HTML && (c == '<' || c == '>' || c == '&'): // U+2028 begins with E2
			return i, false
		}
	}
	return i, false
}

// mostKept is the largest buffer that is used again.
const mostKept = 64 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Borrowed calls use with an empty buffer, which is used again afterwards: what
// use appends to it must not be kept.
func Borrowed(use func(buffer []byte) (used []byte)) {
	b := buffers.Get().(*[]byte)
	if *b = use((*b)[:0])[:0]; cap(*b) <= mostKept {
		buffers.Put(b)
	}
}
