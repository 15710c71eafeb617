package jsonvalue

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Reader reads JSON text from its beginning. Once a method answers no, all that
// was read is to be thrown away: others say what the text is. What it reads
// shares the text's memory. It answers no to whatever decoders differ on: a name
// that stands in an object twice, bytes that are no UTF-8, half of a surrogate pair.
type Reader struct {
	text  string
	at    int
	depth int // of objects and arrays that are open
}

// Read begins to read.
func Read(text string) *Reader { return &Reader{text: text} }

// End tells that there is nothing more but white space.
func (r *Reader) End() bool {
	r.space()
	return r.at == len(r.text)
}

// Object calls member for each name; member reads its value.
func (r *Reader) Object(member func(name string) bool) bool {
	if !r.take('{') || r.depth == maxDepth {
		return false
	}
	if r.take('}') {
		return true
	}
	for r.depth++; ; {
		name, ok := r.String()
		if !ok || !r.take(':') || !member(name) {
			return false
		}
		if !r.take(',') {
			r.depth--
			return r.take('}')
		}
	}
}

// Array calls element for each value; element reads it.
func (r *Reader) Array(element func() bool) bool {
	if !r.take('[') || r.depth == maxDepth {
		return false
	}
	if r.take(']') {
		return true
	}
	for r.depth++; ; {
		if !element() {
			return false
		}
		if !r.take(',') {
			r.depth--
			return r.take(']')
		}
	}
}

// Members reads an object.
func (r *Reader) Members() (map[string]any, bool) {
	m := map[string]any{}
	ok := r.Object(func(name string) bool {
		if _, twice := m[name]; twice {
			return false
		}
		v, ok := r.Value()
		m[name] = v
		return ok
	})
	return m, ok
}

// Strings reads an array of texts.
func (r *Reader) Strings() ([]string, bool) {
	list := []string{}
	ok := r.Array(func() bool {
		s, ok := r.String()
		list = append(list, s)
		return ok
	})
	return list, ok
}

// Sets reads an object of arrays of texts.
func (r *Reader) Sets() (map[string][]string, bool) {
	m := map[string][]string{}
	ok := r.Object(func(name string) (ok bool) {
		if _, twice := m[name]; twice {
			return false
		}
		m[name], ok = r.Strings()
		return ok
	})
	return m, ok
}

// Bool reads true or false.
func (r *Reader) Bool() (yes, ok bool) {
	r.space()
	if r.word("true") {
		return true, true
	}
	return false, r.word("false")
}

// Time reads a time as encoding/json writes one in UTC.
func (r *Reader) Time() (time.Time, bool) {
	s, ok := r.String()
	if !ok || len(s) == 0 || s[len(s)-1] != 'Z' {
		return time.Time{}, false
	}
	var t time.Time
	err := t.UnmarshalText([]byte(s)) // as strict as encoding/json
	return t, err == nil
}

// Int reads a whole number.
func (r *Reader) Int() (int64, bool) {
	r.space()
	begin := r.at
	end, ok := number(r.text, begin)
	if !ok {
		return 0, false
	}
	r.at = end
	n, err := strconv.ParseInt(r.text[begin:end], 10, 64)
	return n, err == nil
}

// String reads a text.
func (r *Reader) String() (string, bool) {
	if !r.take('"') {
		return "", false
	}
	begin := r.at
	for i := begin; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.at = i + 1
			return r.text[begin:i], true
		case c == '\\':
			return r.escaped(begin, i)
		case c < ' ':
			return "", false
		case c >= utf8.RuneSelf:
			char, size := utf8.DecodeRuneInString(r.text[i:])
			if char == utf8.RuneError && size == 1 {
				return "", false
			}
			i += size - 1
		}
	}
	return "", false
}

// escaped reads a text from begin whose first backslash stands at i.
func (r *Reader) escaped(begin, i int) (string, bool) {
	var b strings.Builder
	for i < len(r.text) {
		c := r.text[i]
		switch {
		case c == '"':
			b.WriteString(r.text[begin:i])
			r.at = i + 1
			return b.String(), true
		case c < ' ':
			return "", false
		case c >= utf8.RuneSelf:
			char, size := utf8.DecodeRuneInString(r.text[i:])
			if char == utf8.RuneError && size == 1 {
				return "", false
			}
			i += size
			continue
		case c != '\\':
			i++
			continue
		}
		b.WriteString(r.text[begin:i])
		char, size := unescape(r.text[i:])
		if size == 0 {
			return "", false
		}
		b.WriteRune(char)
		i += size
		begin = i
	}
	return "", false
}

// unescape reads the escape that s begins with; size is 0 where it can't.
func unescape(s string) (char rune, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		char, ok := unit(s)
		switch {
		case !ok || 0xdc00 <= char && char < 0xe000:
			return 0, 0
		case char < 0xd800 || char >= 0xe000:
			return char, 6
		}
		low, ok := unit(s[6:])
		if !ok || low < 0xdc00 || low >= 0xe000 {
			return 0, 0
		}
		return (char-0xd800)<<10 + (low - 0xdc00) + 0x10000, 12
	}
	return 0, 0
}

// unit reads \uXXXX.
func unit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var n rune
	for i := 2; i < 6; i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			n = n<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			n = n<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// Value reads any value.
func (r *Reader) Value() (any, bool) {
	r.space()
	if r.at == len(r.text) {
		return nil, false
	}
	switch r.text[r.at] {
	case '{':
		return r.Members()
	case '[':
		return r.list()
	case '"':
		return r.String()
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	case 'n':
		return nil, r.word("null")
	}
	begin := r.at
	end, ok := number(r.text, begin)
	r.at = end
	return json.Number(r.text[begin:end]), ok
}

func (r *Reader) list() ([]any, bool) {
	list := []any{}
	ok := r.Array(func() bool {
		v, ok := r.Value()
		list = append(list, v)
		return ok
	})
	return list, ok
}

func (r *Reader) word(w string) bool {
	if !strings.HasPrefix(r.text[r.at:], w) {
		return false
	}
	r.at += len(w)
	return true
}

func (r *Reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// take passes over white space and c, if that is what follows.
func (r *Reader) take(c byte) bool {
	r.space()
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}
