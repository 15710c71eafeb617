package middleware

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type sample struct {
	Event string         `json:"event"`
	Count int            `json:"count"`
	Input map[string]any `json:"input"`
}

// post is a context with a body, as a handler sees it.
func post(t testing.TB, body string, headers ...string) (*gin.Context, *httptest.ResponseRecorder) {
	t.Helper()
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.Request = httptest.NewRequest("POST", "/loans/7/actions", strings.NewReader(body))
	c.Request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		c.Request.Header.Add(headers[i], headers[i+1])
	}
	return c, w
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 31) + "1" + strings.Repeat("}", 31)
	for name, test := range map[string]struct {
		body    string
		headers []string
		status  int
		says    string // in the answer
	}{
		"empty":                {"", nil, 400, "empty"},
		"blank":                {" \n", nil, 400, "blank"},
		"null":                 {"null", nil, 400, "got null"},
		"array":                {"[]", nil, 400, "got an array"},
		"no JSON":              {"event=approve", nil, 400, "not JSON"},
		"cut":                  {`{"event":"a"`, nil, 400, "not JSON"},
		"repeated member":      {`{"event":"a","event":"b"}`, nil, 400, `"/event","message":"stands twice`},
		"repeated, escaped":    {`{"event":"a","\u0065vent":"b"}`, nil, 400, "stands twice"},
		"repeated inside":      {`{"event":"a","input":{"x":1,"x":2}}`, nil, 400, `"/input/x","message":"stands twice`},
		"upper case":           {`{"EVENT":"a"}`, nil, 400, `"/EVENT","message":"no such member`},
		"long s":               {`{"ver\u017fion":"a"}`, nil, 400, "no such member"},
		"unknown":              {`{"event":"a","state":"approved"}`, nil, 400, `"/state","message":"no such member`},
		"trailing word":        {`{"event":"a"} garbage`, nil, 400, "more after the object, at byte 13"},
		"trailing object":      {`{"event":"a"}{}`, nil, 400, "more after the object"},
		"invalid UTF-8":        {"{\"event\":\"\xff\"}", nil, 400, "not JSON"},
		"lone surrogate":       {`{"event":"\ud800"}`, nil, 400, "not JSON"},
		"wrong type":           {`{"event":5}`, nil, 400, `"/event","message":"is a number; want a string`},
		"fraction":             {`{"count":1.5}`, nil, 400, "/count"},
		"input no object":      {`{"input":[]}`, nil, 400, "is an array; want an object"},
		"too deep":             {`{"input":{"a":` + deep + `}}`, nil, 400, "deeper than 32"},
		"too deep in brackets": {`{"input":{"a":` + strings.Repeat("[", 5000), nil, 400, "deeper than 32"},
		"too large":            {`{"event":"` + strings.Repeat("a", 64<<10) + `"}`, nil, 413, "65536 bytes"},
		"form":                 {`{}`, []string{"Content-Type", "text/plain"}, 415, "one Content-Type"},
		"gzip":                 {`{}`, []string{"Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		"identity encoding":    {`{}`, []string{"Content-Encoding", "identity"}, 415, "Content-Encoding"},
	} {
		t.Run(name, func(t *testing.T) {
			c, w := post(t, test.body, test.headers...)
			var v sample
			err := DecodeJSON(c, &v)
			require.Error(t, err)
			var p *Problem
			require.True(t, errors.As(err, &p))
			WriteProblem(c, err)
			assert.Equal(t, test.status, w.Code)
			assert.Contains(t, w.Body.String(), test.says)
			assert.NotContains(t, w.Body.String(), "Go ", "the decoder's own words")
		})
	}
}

func TestDecodeMediaTypes(t *testing.T) {
	for mediaType, ok := range map[string]bool{
		"application/json":                  true,
		"Application/JSON; charset=UTF-8":   true,
		"application/merge-patch+json":      true,
		"application/json; charset=utf-7":   false,
		"application/x-www-form-urlencoded": false,
		"text/json":                         false,
		"":                                  false,
		"application/json, text/plain":      false,
	} {
		c, _ := post(t, "{}")
		c.Request.Header.Set("Content-Type", mediaType)
		var v sample
		assert.Equal(t, ok, DecodeJSON(c, &v) == nil, mediaType)
	}
}

func TestDecodeKeepsNumbers(t *testing.T) {
	c, _ := post(t, `{"event":"a","input":{"n":9007199254740993,"list":[1.10,{"e":1e400}],"s":"x","b":true,"z":null}}`)
	var v sample
	require.NoError(t, DecodeJSON(c, &v))
	assert.Equal(t, map[string]any{
		"n": json.Number("9007199254740993"), "list": []any{json.Number("1.10"), map[string]any{"e": json.Number("1e400")}},
		"s": "x", "b": true, "z": nil,
	}, v.Input)
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"event":"a","input":{"n":1e9}}`, `{"event":"a","event":"b"}`, "[]", "{\"a\":\"\xff\"}", `{"input":{"a":[[[]]]}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, _ := post(t, body)
		var v sample
		if err := DecodeJSON(c, &v); err != nil {
			var p *Problem
			if !errors.As(err, &p) || p.Cause != nil {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		// What is taken must be plain JSON to everybody else, too, with the same meaning.
		var other struct {
			Event string         `json:"event"`
			Count int            `json:"count"`
			Input map[string]any `json:"input"`
		}
		dec := json.NewDecoder(strings.NewReader(body))
		dec.UseNumber()
		dec.DisallowUnknownFields()
		if err := dec.Decode(&other); err != nil {
			t.Fatalf("%q taken here, refused there: %v", body, err)
		}
		assert.Equal(t, other, struct {
			Event string         `json:"event"`
			Count int            `json:"count"`
			Input map[string]any `json:"input"`
		}(v))
	})
}
