package jsonvalue

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// written is what encoding/json writes.
func written(t testing.TB, v any, e Escape) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(bool(e))
	require.NoError(t, enc.Encode(v))
	return strings.TrimSuffix(b.String(), "\n")
}

// decoded is what encoding/json reads.
func decoded(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err = d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, io.ErrUnexpectedEOF
	}
	return v, nil
}

func randomText(r *rand.Rand) string {
	parts := []string{"a", "Müller", `"`, `\`, "<b>&", "\u2028", "\u2029", "\ufffd", "\x00", "\x1f", "\x7f", "\b\f\n\r\t", "😀", "/", " ", "\xff", "\xe2\x80", `\ufffd`, `\u0041`}
	var b strings.Builder
	for range r.IntN(5) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

func randomValue(r *rand.Rand, depth int) any {
	kinds := 9
	if depth == 0 {
		kinds = 7
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return []any{json.Number("0"), json.Number("-0"), json.Number("12345678901234567890.50"), json.Number("1e-7"), json.Number("-1.5E+300")}[r.IntN(5)]
	case 3:
		return r.Int()
	case 4:
		return r.Int64() - r.Int64()
	case 5:
		return []string{randomText(r), randomText(r)}[:r.IntN(3)]
	case 6:
		return randomText(r)
	case 7:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = randomValue(r, depth-1)
		}
		return list
	}
	m := map[string]any{}
	for range r.IntN(30) / (3 - min(depth, 2)) {
		m[strings.ToValidUTF8(randomText(r), "?")] = randomValue(r, depth-1)
	}
	return m
}

// What is written is what encoding/json writes, and what is read of it is what
// encoding/json reads, which need not be asked.
func TestAsEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		v := randomValue(r, 3)
		for _, e := range []Escape{HTML, Plain} {
			want := written(t, v, e)
			got, ok := Append([]byte("before "), v, e)
			require.True(t, ok, want)
			require.Equal(t, "before "+want, string(got))
			read := Read(" \t\r\n" + want + " ")
			back, ok := read.Value()
			require.True(t, ok && read.End(), want)
			same, err := decoded(want)
			require.NoError(t, err)
			require.Equal(t, same, back)
		}
	}
}

// A copy is what is read of what was written, and shares nothing that can change.
func TestCopy(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	copied := 0
	for range 20000 {
		m, ok := randomValue(r, 3).(map[string]any)
		if !ok {
			continue
		}
		out, ok := Copy(m)
		if !ok {
			continue // lists of texts, or bytes that are no UTF-8
		}
		copied++
		want, err := decoded(written(t, m, Plain))
		require.NoError(t, err)
		require.Equal(t, want, any(out))
	}
	require.Greater(t, copied, 100)
	inner, list := map[string]any{"b": "c"}, []any{json.Number("1")}
	out, ok := Copy(map[string]any{"a": inner, "l": list, "i": 3, "n": nil, "m": map[string]any(nil), "s": []any(nil)})
	require.True(t, ok)
	inner["b"], list[0] = "changed", "changed"
	require.Equal(t, map[string]any{"a": map[string]any{"b": "c"}, "l": []any{json.Number("1")}, "i": json.Number("3"), "n": nil, "m": nil, "s": nil}, out)
	for name, v := range map[string]any{"float": 1.5, "number": json.Number("x"), "text": "\xff", "name": map[string]any{"\xff": 1}, "deep": nested(maxDepth), "struct": struct{}{}} {
		_, ok := Copy(map[string]any{"a": v})
		require.False(t, ok, name)
	}
}

func TestNil(t *testing.T) {
	for _, v := range []any{map[string]any(nil), []any(nil), []string(nil), nil} {
		got, ok := Append(nil, v, HTML)
		require.True(t, ok)
		require.Equal(t, "null", string(got), "%T", v)
	}
	got, ok := AppendObject(nil, nil, HTML)
	require.True(t, ok)
	require.Equal(t, "{}", string(got))
	require.Equal(t, "[]", string(AppendStrings(nil, nil, HTML)))
}

func nested(n int) any {
	var v any = map[string]any{}
	for range n {
		v = []any{v}
	}
	return v
}

// What isn't plain is left to encoding/json.
func TestLeft(t *testing.T) {
	cycle := map[string]any{}
	cycle["self"] = cycle
	for name, v := range map[string]any{
		"float": 1.5, "struct": struct{}{}, "no number": json.Number("1."), "no number either": json.Number("0x1"), "empty number": json.Number(""),
		"bytes": []byte("a"), "raw": json.RawMessage("1"), "own text": Escape(true), "cycle": cycle, "deep": nested(maxDepth),
		"within": map[string]any{"a": []any{map[string]any{"b": float32(1)}}},
	} {
		_, ok := Append(nil, v, HTML)
		require.False(t, ok, name)
	}
	for _, text := range []string{``, ` `, `{`, `[1`, `[1,]`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `nul`, `tru`, `01`, `1.`, `1e`, `-`, `+1`, `.5`, `"`, `"\x"`, `"\u12"`, "\"\n\"", "\"\xff\"", "\"\\n\xff\"",
		`"\ud800"`, `"\ud800\u0041"`, `"\udc00"`, `"\`, `1 2`, `{} {}`, `[1 2]`, `{"a":1,"a":1}`, `[{"a":1,"\u0061":2}]`, "\u00a01", strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)} {
		r := Read(text)
		_, ok := r.Value()
		require.False(t, ok && r.End(), text)
	}
}

func TestForms(t *testing.T) {
	r := Read(`{"list":["a","\u00fc"], "number":-12, "big":9223372036854775808}`)
	var list []string
	var n int64
	require.False(t, r.Object(func(name string) (ok bool) {
		switch name {
		case "list":
			list, ok = r.Strings()
		case "number":
			n, ok = r.Int()
		case "big":
			_, ok = r.Int()
		}
		return ok
	}), "a number that doesn't fit is no whole number")
	require.Equal(t, []string{"a", "ü"}, list)
	require.EqualValues(t, -12, n)
	m, ok := Read(` {"a":1,"b":[{}]}`).Members()
	require.True(t, ok)
	require.Equal(t, map[string]any{"a": json.Number("1"), "b": []any{map[string]any{}}}, m)
}

func FuzzAppendString(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		f.Add(randomText(r))
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, e := range []Escape{HTML, Plain} {
			require.Equal(t, written(t, s, e), string(AppendString(nil, s, e)))
		}
	})
}

// Whatever is read is JSON, and means what encoding/json says.
func FuzzRead(f *testing.F) {
	for _, text := range []string{`{"a":[1,-2.5e3,true,false,null,"x\u00fc\ud83d\ude00"]}`, `"\ud800"`, "\"\xff\"", ` [ ] `, `{"a":1,"a":{}}`, `01`, `1e+`, `"\/\b\f"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := Read(text)
		got, ok := r.Value()
		if !ok || !r.End() {
			return
		}
		want, err := decoded(text)
		require.NoError(t, err, text)
		require.True(t, reflect.DeepEqual(want, got), "%s: %v, want %v", text, got, want)
	})
}

func BenchmarkAppend(b *testing.B) {
	v := map[string]any{"amount": json.Number("1000"), "currency": "EUR", "applicant": map[string]any{"name": "Müller", "age": json.Number("41")}, "tags": []any{"a", "b"}}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Append(buf, v, Plain); !ok {
			b.Fatal()
		}
	}
}

func BenchmarkRead(b *testing.B) {
	const text = `{"amount":1000,"currency":"EUR","applicant":{"name":"Müller","age":41},"tags":["a","b"]}`
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Read(text).Members(); !ok {
			b.Fatal()
		}
	}
}
