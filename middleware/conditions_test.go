package middleware

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseKey(t *testing.T) {
	for in, want := range map[string]string{
		`"8e03978e-40d5-43dd-bc93-6894a57f9324"`: "8e03978e-40d5-43dd-bc93-6894a57f9324",
		`8e03978e-40d5-43dd-bc93-6894a57f9324`:   "8e03978e-40d5-43dd-bc93-6894a57f9324",
		`"a \"b\" \\ c"`:                         `a "b" \ c`,
		` "k" `:                                  "k",
		`a:b/c*`:                                 "a:b/c*",
		`" "`:                                    " ",
		`"` + strings.Repeat("k", 255) + `"`:     strings.Repeat("k", 255),
	} {
		key, ok := parseKey(in)
		require.True(t, ok, in)
		assert.Equal(t, want, key)
	}
	for _, in := range []string{"", `""`, `"`, `"a`, `a"`, `"a"b`, `"a"; p=1`, `"a", "b"`, `a b`, "\"\t\"", `"\a"`, `"a\`, "\"\x7f\"", `"é"`, "é", `(a)`,
		strings.Repeat("k", 256), `"` + strings.Repeat("k", 256) + `"`} {
		_, ok := parseKey(in)
		assert.False(t, ok, in)
	}
}

func TestParseTags(t *testing.T) {
	for in, want := range map[string][]string{
		`*`: {"*"}, ` * `: {"*"}, `"a"`: {`"a"`}, `"a","b"`: {`"a"`, `"b"`}, `"a" , W/"b"`: {`"a"`, `W/"b"`}, `, "a",, "b" ,`: {`"a"`, `"b"`},
		`"a,b"`: {`"a,b"`}, `""`: {`""`}, `"*"`: {`"*"`}, "\"\xe9\"": {"\"\xe9\""},
	} {
		tags, ok := parseTags(in)
		require.True(t, ok, in)
		assert.Equal(t, want, tags)
	}
	for _, in := range []string{"", " ", ",", `a`, `"a`, `a"`, `"a" "b"`, `"a"b`, `w/"a"`, `W/a`, `W/ "a"`, `"a b"`, `*,"a"`, `"a",*`, "\"\x7f\"", `'a'`} {
		_, ok := parseTags(in)
		assert.False(t, ok, in)
	}
}

func header(name string, values ...string) *http.Request {
	return &http.Request{Method: http.MethodPost, Header: http.Header{name: values}}
}

func TestReadConditions(t *testing.T) {
	for _, name := range []string{"If-Match", "If-None-Match", "Idempotency-Key"} {
		_, err := ReadConditions(header(name, `"a"`, `"a"`))
		require.ErrorContains(t, err, "more than once", name)
		_, err = ReadConditions(header(name, ``))
		require.Error(t, err, name)
		_, err = ReadConditions(header(name, `"a"`))
		require.NoError(t, err, name)
	}
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		r := header(name, "Sat, 01 Jan 2028 00:00:00 GMT")
		_, err := ReadConditions(r)
		require.ErrorContains(t, err, name)
		r.Method = http.MethodGet
		_, err = ReadConditions(r)
		require.NoError(t, err)
	}
	none, err := ReadConditions(header("X-Http-Method-Override", "DELETE"))
	require.NoError(t, err)
	assert.Equal(t, Conditions{}, none)
}

// The headers reach the gate through every handler of the middleware.
func TestConditionsOfTheMiddleware(t *testing.T) {
	a := mounted(t, nil)
	first := a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`, "Idempotency-Key", `"k"`)
	is(t, first, 200, "")
	tag := first.Header().Get("ETag")
	require.NotEmpty(t, tag)
	assert.Equal(t, tag, a.ask("GET", "/docs/d1/actions", "ann writer", "").Header().Get("Interlock-ETag"))
	is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`, "If-Match", tag), 200, "")
	again := a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`, "Idempotency-Key", `k`)
	assert.Equal(t, first.Body.String(), again.Body.String())
	for _, h := range []string{"ETag", "Interlock-Transition", "Interlock-Sequence", "Interlock-Revision"} {
		assert.Equal(t, first.Header().Get(h), again.Header().Get(h), h)
	}
	is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"route","to":"draft"}`, "Idempotency-Key", `k`), 422, "key_reused")
	stale := a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`, "If-Match", tag)
	is(t, stale, 412, "precondition_failed")
	assert.NotEqual(t, tag, stale.Header().Get("ETag"))
	is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`, "If-Match", stale.Header().Get("ETag")), 200, "")
}

func FuzzConditions(f *testing.F) {
	for _, s := range []string{`*`, `"a"`, `"a", W/"b"`, `W/"`, `"a"b`, `,,"",`, `"8e03978e"`, `"a\"b"`, `a:b`, `"k";p`, "\"\x80\"", `"\\"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if tags, ok := parseTags(s); ok {
			require.NotEmpty(t, tags)
			again, ok := parseTags(strings.Join(tags, ","))
			require.True(t, ok, "what was read can be read again")
			require.Equal(t, tags, again)
			for _, tag := range tags {
				require.True(t, tag == "*" && len(tags) == 1 || strings.HasSuffix(tag, `"`) && strings.HasPrefix(strings.TrimPrefix(tag, "W/"), `"`), tag)
			}
		}
		if key, ok := parseKey(s); ok {
			require.True(t, 0 < len(key) && len(key) <= 255)
			quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
			again, ok := parseKey(quoted)
			require.True(t, ok)
			require.Equal(t, key, again, "one key however it is written")
		}
	})
}
