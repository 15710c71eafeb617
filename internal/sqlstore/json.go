package sqlstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/jsonvalue"
)

var errUTF8 = errors.New("a text is not valid UTF-8")

// Encode is the one JSON form of a value: keys sorted, nothing escaped for
// HTML, no white space. A nil map or slice is "null". Invalid UTF-8 is an
// error, for what is read again would be another text.
func Encode(v any) (string, error) {
	if b, ok := jsonvalue.Append(make([]byte, 0, 256), v, jsonvalue.Plain); ok {
		return whole(b)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return whole(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// replaced tells whether encoding/json put an escaped U+FFFD in place of bytes
// that no text is; a true U+FFFD stands there as itself.
func replaced(text string) bool {
	for {
		i := strings.Index(text, `\ufffd`)
		if i < 0 {
			return false
		}
		slashes := len(text[:i]) - len(strings.TrimRight(text[:i], `\`))
		if slashes%2 == 0 {
			return true
		}
		text = text[i+1:]
	}
}

// encodeMap is Encode with {} for a nil map.
func encodeMap[V any](m map[string]V) (string, error) {
	if m == nil {
		return "{}", nil
	}
	return Encode(m)
}

// encodeSets is encodeMap of sets of texts.
func encodeSets(m map[string][]string) (string, error) {
	b := append(make([]byte, 0, 256), '{')
	var few [16]string
	for i, name := range jsonvalue.Names(few[:0], m) {
		if m[name] == nil {
			return encodeMap(m)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonvalue.AppendString(b, name, jsonvalue.Plain), ':')
		b = jsonvalue.AppendStrings(b, m[name], jsonvalue.Plain)
	}
	return whole(append(b, '}'))
}

// encodeLast is encodeMap of the newest occurrences.
func encodeLast(m map[string]interlock.Last) (string, error) {
	b := append(make([]byte, 0, 256), '{')
	var few [16]string
	for i, event := range jsonvalue.Names(few[:0], m) {
		l := m[event]
		if y := l.At.Year(); y < 0 || y > 9999 || l.At.Location() != time.UTC {
			return encodeMap(m)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonvalue.AppendString(b, event, jsonvalue.Plain), `:{"person":`...)
		b = append(jsonvalue.AppendString(b, l.Person, jsonvalue.Plain), `,"at":"`...)
		b = append(l.At.AppendFormat(b, time.RFC3339Nano), `","count":`...)
		b = append(strconv.AppendInt(b, l.Count, 10), '}')
	}
	return whole(append(b, '}'))
}

func whole(b []byte) (string, error) {
	text := string(b)
	if replaced(text) {
		return "", errUTF8
	}
	return text, nil
}

// Decode reads one JSON value; numbers in an any become json.Number.
func Decode(s string, v any) error {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("data after the JSON value")
	}
	return nil
}

// micros is how times are stored; cut, since the gate's times are whole µs.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// storable tells whether both databases keep s as it is: PostgreSQL refuses
// NUL and invalid UTF-8, SQLite would keep them.
func storable(ss ...string) bool {
	for _, s := range ss {
		if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
			return false
		}
	}
	return true
}

// clean makes s storable, for what is kept only to be looked at.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// bytesOf is b, never NULL.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// sameJSON compares JSON values; numbers by value, exactly.
func sameJSON(a, b any) bool {
	x, err := Encode(a)
	if err != nil {
		return false
	}
	y, err := Encode(b)
	if err != nil {
		return false
	}
	if x == y {
		return true
	}
	var u, v any
	return Decode(x, &u) == nil && Decode(y, &v) == nil && sameValue(u, v)
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			w, ok := b[k]
			if !ok || !sameValue(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || sameNumber(string(a), string(b)))
	}
	return a == b
}

// sameNumber is exact. A long exponent would make a huge integer of a short
// text: such numbers are the same only when their texts are.
func sameNumber(a, b string) bool {
	if longExponent(a) || longExponent(b) {
		return false
	}
	x, ok := new(big.Rat).SetString(a)
	if !ok {
		return false
	}
	y, ok := new(big.Rat).SetString(b)
	return ok && x.Cmp(y) == 0
}

func longExponent(s string) bool {
	i := strings.IndexAny(s, "eE")
	return i >= 0 && len(s)-i > 5
}
