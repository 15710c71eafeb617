package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// raw sends bytes as they are: a client library would mend half of them.
func (w *world) raw(request string) answered {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.host()) //nolint:noctx // a test's own server
	require.NoError(w.t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(w.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, request)
	require.NoError(w.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(w.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	return decoded(w.t, resp, body)
}

func (w *world) host() string { return strings.TrimPrefix(w.url, "http://") }

// bad is one request that is refused. path "" is the events of the loan x.
type bad struct {
	name, method, path, body string
	headers                  string // lines beside Host, Authorization, Content-Type and Content-Length; "-Name" leaves one of these out
	status                   int
	code                     string
}

const events = "/v1/machines/loan/instances/x/events"

func (b bad) request(host string) string {
	var s strings.Builder
	path, method := b.path, b.method
	if path == "" {
		path = events
	}
	if method == "" {
		method = "POST"
	}
	fmt.Fprintf(&s, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, path, host)
	if !strings.Contains(b.headers, "-Authorization") {
		s.WriteString("Authorization: Bearer demo-erin\r\n")
	}
	if b.body != "" {
		if !strings.Contains(b.headers, "-Content-Type") {
			s.WriteString("Content-Type: application/json\r\n")
		}
		fmt.Fprintf(&s, "Content-Length: %d\r\n", len(b.body))
	}
	for line := range strings.SplitSeq(b.headers, "\n") {
		if line != "" && line[0] != '-' {
			s.WriteString(line + "\r\n")
		}
	}
	s.WriteString("\r\n" + b.body)
	return s.String()
}

func badRequests() []bad {
	ok := `{"event":"submit"}`
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	list := "/v1/machines/loan/instances"
	one := list + "/x"
	return append(badPaths(ok), []bad{
		// bodies
		{name: "no body", status: 415, code: "unsupported_media_type"},
		{name: "empty body", headers: "Content-Type: application/json\nContent-Length: 0", status: 400, code: "malformed"},
		{name: "blank body", body: "  ", status: 400, code: "malformed"},
		{name: "null", body: "null", status: 400, code: "malformed"},
		{name: "array", body: `[{"event":"submit"}]`, status: 400, code: "malformed"},
		{name: "string", body: `"submit"`, status: 400, code: "malformed"},
		{name: "number", body: "1", status: 400, code: "malformed"},
		{name: "cut off", body: `{"event":"submit"`, status: 400, code: "malformed"},
		{name: "single quotes", body: `{'event':'submit'}`, status: 400, code: "malformed"},
		{name: "comment", body: `{"event":"submit"/**/}`, status: 400, code: "malformed"},
		{name: "trailing comma", body: `{"event":"submit",}`, status: 400, code: "malformed"},
		{name: "trailing word", body: ok + " garbage", status: 400, code: "malformed"},
		{name: "second object", body: ok + ok, status: 400, code: "malformed"},
		{name: "byte order mark", body: "\ufeff" + ok, status: 400, code: "malformed"},
		{name: "duplicate member", body: `{"event":"submit","event":"approve"}`, status: 400, code: "malformed"},
		{name: "duplicate by escape", body: `{"event":"submit","\u0065vent":"approve"}`, status: 400, code: "malformed"},
		{name: "duplicate inside", body: `{"event":"submit","input":{"a":1,"a":2}}`, status: 400, code: "malformed"},
		{name: "upper case member", body: `{"EVENT":"submit"}`, status: 400, code: "malformed"},
		{name: "long s", body: `{"event":"submit","ver\u017fion":1}`, status: 400, code: "malformed"},
		{name: "unknown member", body: `{"event":"submit","x":1}`, status: 400, code: "malformed"},
		{name: "state set", body: `{"event":"submit","state":"approved"}`, status: 400, code: "malformed"},
		{name: "actor set", body: `{"event":"submit","actor":"mark"}`, status: 400, code: "malformed"},
		{name: "version set", body: `{"event":"submit","version":7}`, status: 400, code: "malformed"},
		{name: "tenant set", body: `{"event":"submit","tenant":"elsewhere"}`, status: 400, code: "malformed"},
		{name: "roles set", body: `{"event":"submit","roles":["manager"]}`, status: 400, code: "malformed"},
		{name: "facts set", body: `{"event":"submit","facts":{"amount":1}}`, status: 400, code: "malformed"},
		{name: "no event", body: `{}`, status: 400, code: "malformed"},
		{name: "event empty", body: `{"event":""}`, status: 400, code: "malformed"},
		{name: "event null", body: `{"event":null}`, status: 400, code: "malformed"},
		{name: "event a number", body: `{"event":1}`, status: 400, code: "malformed"},
		{name: "event a list", body: `{"event":["submit"]}`, status: 400, code: "malformed"},
		{name: "note a number", body: `{"event":"submit","note":1}`, status: 400, code: "malformed"},
		{name: "to an object", body: `{"event":"submit","to":{}}`, status: 400, code: "malformed"},
		{name: "input a list", body: `{"event":"submit","input":[]}`, status: 400, code: "malformed"},
		{name: "input a string", body: `{"event":"submit","input":"x"}`, status: 400, code: "malformed"},
		{name: "invalid UTF-8", body: "{\"event\":\"sub\xffmit\"}", status: 400, code: "malformed"},
		{name: "invalid UTF-8 name", body: "{\"event\":\"submit\",\"\xc3\":1}", status: 400, code: "malformed"},
		{name: "lone surrogate", body: `{"event":"\ud800"}`, status: 400, code: "malformed"},
		{name: "control character", body: "{\"event\":\"a\x01b\"}", status: 400, code: "malformed"},
		{name: "NaN", body: `{"event":"submit","input":{"a":NaN}}`, status: 400, code: "malformed"},
		{name: "leading zero", body: `{"event":"submit","input":{"a":01}}`, status: 400, code: "malformed"},
		{name: "too deep", body: `{"event":"submit","input":` + deep + `}`, status: 400, code: "malformed"},
		{name: "too large", body: `{"event":"` + strings.Repeat("a", 70000) + `"}`, status: 413, code: "too_large"},
		{name: "note too long", body: `{"event":"submit","note":"` + strings.Repeat("a", 5000) + `"}`, status: 422, code: "input_invalid"},
		{name: "input to an event without form", body: `{"event":"submit","input":{"amount":1}}`, status: 422, code: "input_invalid"},

		// media types
		{name: "no type", body: ok, headers: "-Content-Type", status: 415, code: "unsupported_media_type"},
		{name: "text", body: ok, headers: "-Content-Type\nContent-Type: text/plain", status: 415, code: "unsupported_media_type"},
		{name: "form", body: "event=submit", headers: "-Content-Type\nContent-Type: application/x-www-form-urlencoded", status: 415, code: "unsupported_media_type"},
		{name: "merge patch to events", body: ok, headers: "-Content-Type\nContent-Type: application/merge-patch+json", status: 415, code: "unsupported_media_type"},
		{name: "JSON patch to facts", method: "PATCH", path: one + "/facts", body: `{}`, headers: "-Content-Type\nContent-Type: application/json-patch+json", status: 415, code: "unsupported_media_type"},
		{name: "charset", body: ok, headers: "-Content-Type\nContent-Type: application/json; charset=utf-16", status: 415, code: "unsupported_media_type"},
		{name: "type that can't be read", body: ok, headers: "-Content-Type\nContent-Type: application/json;;=", status: 415, code: "unsupported_media_type"},
		{name: "two types", body: ok, headers: "Content-Type: application/json", status: 400, code: "malformed"},
		{name: "gzip", body: ok, headers: "Content-Encoding: gzip", status: 415, code: "unsupported_media_type"},

		// headers
		{name: "two authorizations", body: ok, headers: "Authorization: Bearer demo-mark", status: 400, code: "malformed"},
		{name: "nobody", body: ok, headers: "-Authorization", status: 401, code: "unauthenticated"},
		{name: "basic", body: ok, headers: "-Authorization\nAuthorization: Basic ZXJpbjp4", status: 401, code: "unauthenticated"},
		{name: "unknown user", body: ok, headers: "-Authorization\nAuthorization: Bearer demo-mallory", status: 401, code: "unauthenticated"},
		{name: "empty token", body: ok, headers: "-Authorization\nAuthorization: Bearer", status: 401, code: "unauthenticated"},
		{name: "user by header", body: ok, headers: "-Authorization\nX-User: mark\nX-Roles: manager", status: 401, code: "unauthenticated"},
		{name: "through a proxy", body: ok, headers: "X-Forwarded-For: 127.0.0.1", status: 401, code: "unauthenticated"},
		{name: "if-match without quotes", body: ok, headers: `If-Match: 1-00000000`, status: 400, code: "malformed"},
		{name: "if-match half quoted", body: ok, headers: `If-Match: "1`, status: 400, code: "malformed"},
		{name: "if-match empty", body: ok, headers: `If-Match:`, status: 400, code: "malformed"},
		{name: "if-match star in a list", body: ok, headers: `If-Match: *, "a"`, status: 400, code: "malformed"},
		{name: "if-match quoted twice", body: ok, headers: `If-Match: "a""b"`, status: 400, code: "malformed"},
		{name: "if-match, weak in small", body: ok, headers: `If-Match: w/"a"`, status: 400, code: "malformed"},
		{name: "if-match twice", body: ok, headers: "If-Match: \"a\"\nIf-Match: \"b\"", status: 400, code: "malformed"},
		{name: "if-match stale", body: ok, headers: `If-Match: "1-00000000"`, status: 412, code: "precondition_failed"},
		{name: "if-match weak", body: ok, headers: `If-Match: W/"a", "b"`, status: 412, code: "precondition_failed"},
		{name: "if-match of a creation", path: list, body: `{"facts":{"amount":1}}`, headers: "If-Match: *", status: 400, code: "malformed"},
		{name: "if-none-match of an event", body: ok, headers: `If-None-Match: *`, status: 400, code: "malformed"},
		{name: "if-none-match of a creation, with a tag", path: list, body: `{"facts":{"amount":1}}`, headers: `If-None-Match: "a"`, status: 400, code: "malformed"},
		{name: "if-modified-since", body: ok, headers: "If-Modified-Since: Sat, 01 Jan 2028 00:00:00 GMT", status: 400, code: "malformed"},
		{name: "if-unmodified-since", body: ok, headers: "If-Unmodified-Since: Sat, 01 Jan 2028 00:00:00 GMT", status: 400, code: "malformed"},
		{name: "empty key", body: ok, headers: `Idempotency-Key: ""`, status: 400, code: "malformed"},
		{name: "no key", body: ok, headers: `Idempotency-Key:`, status: 400, code: "malformed"},
		{name: "half a key", body: ok, headers: `Idempotency-Key: "k`, status: 400, code: "malformed"},
		{name: "key with a parameter", body: ok, headers: `Idempotency-Key: "k";a=1`, status: 400, code: "malformed"},
		{name: "list of keys", body: ok, headers: `Idempotency-Key: "k", "l"`, status: 400, code: "malformed"},
		{name: "key of two words", body: ok, headers: `Idempotency-Key: k l`, status: 400, code: "malformed"},
		{name: "key with an umlaut", body: ok, headers: "Idempotency-Key: \"\u00fc\"", status: 400, code: "malformed"},
		{name: "key with a bad escape", body: ok, headers: `Idempotency-Key: "a\n"`, status: 400, code: "malformed"},
		{name: "long key", body: ok, headers: `Idempotency-Key: "` + strings.Repeat("k", 256) + `"`, status: 400, code: "malformed"},
		{name: "two keys", body: ok, headers: "Idempotency-Key: \"k\"\nIdempotency-Key: \"k\"", status: 400, code: "malformed"},
		{name: "key where none is kept", path: "/v1/available", body: `{"instances":[]}`, headers: `Idempotency-Key: "k"`, status: 400, code: "malformed"},
		{name: "if-match where it isn't kept", method: "PUT", path: "/v1/actors/erin/roles/employee", headers: "If-Match: *", status: 400, code: "malformed"},
		{name: "accept HTML", method: "GET", path: one, headers: "Accept: text/html", status: 406, code: "not_acceptable"},
		{name: "accept nothing", method: "GET", path: one, headers: "Accept: application/json;q=0", status: 406, code: "not_acceptable"},
		{name: "accept all but JSON", method: "GET", path: one, headers: "Accept: application/json;q=0, */*", status: 406, code: "not_acceptable"},
		{name: "accept garbage", method: "GET", path: one, headers: "Accept: json", status: 406, code: "not_acceptable"},
		{name: "accept a bad weight", method: "GET", path: one, headers: "Accept: application/json;q=2", status: 406, code: "not_acceptable"},
		{name: "accept on a write", body: ok, headers: "Accept: image/png", status: 406, code: "not_acceptable"},
		{name: "accept a picture of the graph", method: "GET", path: "/v1/machines/loan/graph", headers: "Accept: image/svg+xml", status: 406, code: "not_acceptable"},

		// methods
		{name: "method override", method: "GET", path: events, headers: "X-HTTP-Method-Override: PUT\nIf-Match: x\nAccept: text/x", status: 406, code: "not_acceptable"},
		{name: "PUT an instance", method: "PUT", path: one, body: `{"state":"approved"}`, status: 405, code: "method_not_allowed"},
		{name: "PATCH an instance", method: "PATCH", path: one, body: `{"state":"approved"}`, status: 405, code: "method_not_allowed"},
		{name: "DELETE an instance", method: "DELETE", path: one, status: 405, code: "method_not_allowed"},
		{name: "POST to history", method: "POST", path: one + "/history", body: `{}`, status: 405, code: "method_not_allowed"},
		{name: "DELETE history", method: "DELETE", path: one + "/history", status: 405, code: "method_not_allowed"},
		{name: "GET the batch", method: "GET", path: "/v1/available", status: 405, code: "method_not_allowed"},
		{name: "OPTIONS", method: "OPTIONS", path: one, status: 405, code: "method_not_allowed"},
		{name: "TRACE", method: "TRACE", path: one, status: 405, code: "method_not_allowed"},
		{name: "unknown method", method: "STEAL", path: one, status: 405, code: "method_not_allowed"},
		{name: "method in lower case", method: "get", path: one, status: 405, code: "method_not_allowed"},

		// parameters
		{name: "unknown parameter", method: "GET", path: one + "?verbose=true", status: 400, code: "malformed"},
		{name: "parameter of elsewhere", method: "GET", path: one + "?limit=5", status: 400, code: "malformed"},
		{name: "parameter twice", method: "GET", path: one + "?events=true&events=true", status: 400, code: "malformed"},
		{name: "parameter in capitals", method: "GET", path: one + "?Events=true", status: 400, code: "malformed"},
		{name: "events=1", method: "GET", path: one + "?events=1", status: 400, code: "malformed"},
		{name: "events empty", method: "GET", path: one + "?events=", status: 400, code: "malformed"},
		{name: "denied=maybe", method: "GET", path: events + "?denied=maybe", status: 400, code: "malformed"},
		{name: "dry_run=yes commits nothing", path: events + "?dry_run=yes", body: ok, status: 400, code: "malformed"},
		{name: "dry-run misspelt commits nothing", path: events + "?dryrun=true", body: ok, status: 400, code: "malformed"},
		{name: "limit=0", method: "GET", path: list + "?limit=0", status: 400, code: "malformed"},
		{name: "limit=201", method: "GET", path: list + "?limit=201", status: 400, code: "malformed"},
		{name: "limit=-1", method: "GET", path: list + "?limit=-1", status: 400, code: "malformed"},
		{name: "limit=+5", method: "GET", path: list + "?limit=%2B5", status: 400, code: "malformed"},
		{name: "limit=05", method: "GET", path: list + "?limit=05", status: 400, code: "malformed"},
		{name: "limit=1e1", method: "GET", path: list + "?limit=1e1", status: 400, code: "malformed"},
		{name: "limit beyond numbers", method: "GET", path: list + "?limit=99999999999999999999", status: 400, code: "malformed"},
		{name: "state unknown", method: "GET", path: list + "?state=nowhere", status: 400, code: "malformed"},
		{name: "state empty", method: "GET", path: list + "?state=", status: 400, code: "malformed"},
		{name: "actor no id", method: "GET", path: list + "?actor=a%20b", status: 400, code: "malformed"},
		{name: "actor empty", method: "GET", path: list + "?actor=", status: 400, code: "malformed"},
		{name: "time without zone", method: "GET", path: list + "?updated_since=2026-01-01T00:00:00", status: 400, code: "malformed"},
		{name: "a date", method: "GET", path: list + "?updated_since=2026-01-01", status: 400, code: "malformed"},
		{name: "time that isn't", method: "GET", path: list + "?updated_since=2026-13-01T00:00:00Z", status: 400, code: "malformed"},
		{name: "cursor made up", method: "GET", path: list + "?cursor=eyJhIjoxfQ", status: 400, code: "malformed"},
		{name: "cursor not base64", method: "GET", path: list + "?cursor=!!", status: 400, code: "malformed"},
		{name: "bad escape", method: "GET", path: list + "?state=%zz", status: 400, code: "malformed"},
		{name: "semicolon", method: "GET", path: list + "?state=created;limit=5", status: 400, code: "malformed"},
		{name: "NUL in a parameter", method: "GET", path: one + "/explain?event=a%00b", status: 400, code: "malformed"},
		{name: "invalid UTF-8 in a parameter", method: "GET", path: one + "/explain?event=%ff", status: 400, code: "malformed"},
		{name: "explain without event", method: "GET", path: one + "/explain", status: 400, code: "malformed"},
		{name: "explain to nothing", method: "GET", path: one + "/explain?event=submit&to=", status: 400, code: "malformed"},
		{name: "graph as SVG", method: "GET", path: "/v1/machines/loan/graph?format=svg", status: 400, code: "malformed"},
		{name: "parameter on health", method: "GET", path: "/healthz?x=1", headers: "-Authorization", status: 400, code: "malformed"},
		{name: "body with GET", method: "GET", path: one, body: `{}`, status: 400, code: "malformed"},
		{name: "chunked body with GET", method: "GET", path: one, headers: "Transfer-Encoding: chunked", body: "", status: 400, code: "malformed"},

		// other routes' bodies
		{name: "create with a bad id", path: list, body: `{"id":"a/b","facts":{"amount":1}}`, status: 400, code: "id_invalid"},
		{name: "create with an empty id", path: list, body: `{"id":"","facts":{"amount":1}}`, status: 400, code: "id_invalid"},
		{name: "create with a state", path: list, body: `{"id":"n","state":"approved","facts":{"amount":1}}`, status: 400, code: "malformed"},
		{name: "create without facts", path: list, body: `{"id":"n"}`, status: 422, code: "facts_invalid"},
		{name: "create with undeclared NUL", path: list, body: `{"id":"a\u0000b","facts":{"amount":1}}`, status: 400, code: "id_invalid"},
		{name: "create in an unknown machine", path: "/v1/machines/none/instances", body: `{}`, status: 404, code: "not_found"},
		{name: "facts a list", method: "PATCH", path: one + "/facts", body: `[]`, status: 400, code: "malformed"},
		{name: "facts null", method: "PATCH", path: one + "/facts", body: `null`, status: 400, code: "malformed"},
		{name: "facts of a wrong type", method: "PATCH", path: one + "/facts", body: `{"amount":"many"}`, status: 422, code: "facts_invalid"},
		{name: "available without instances", path: "/v1/available", body: `{}`, status: 400, code: "malformed"},
		{name: "available null", path: "/v1/available", body: `{"instances":null}`, status: 400, code: "malformed"},
		{name: "available a bad id", path: "/v1/available", body: `{"instances":[{"machine":"loan","id":"a b"}]}`, status: 400, code: "id_invalid"},
		{name: "available without id", path: "/v1/available", body: `{"instances":[{"machine":"loan"}]}`, status: 400, code: "id_invalid"},
		{name: "available an unknown member", path: "/v1/available", body: `{"instances":[{"machine":"loan","id":"x","tenant":"t"}]}`, status: 400, code: "malformed"},
		{name: "available too many", path: "/v1/available", body: `{"instances":[` + strings.Repeat(`{"machine":"loan","id":"x"},`, 200) + `{"machine":"loan","id":"x"}]}`, status: 422, code: "input_invalid"},
		{name: "actor patch empty", method: "PATCH", path: "/v1/actors/erin", body: `{}`, status: 400, code: "malformed"},
		{name: "actor patch roles", method: "PATCH", path: "/v1/actors/erin", body: `{"roles":["manager"]}`, status: 400, code: "malformed"},
		{name: "actor patch active null", method: "PATCH", path: "/v1/actors/erin", body: `{"active":null}`, status: 400, code: "malformed"},
		{name: "actor patch active a string", method: "PATCH", path: "/v1/actors/erin", body: `{"active":"true"}`, status: 400, code: "malformed"},
		{name: "actor patch attrs a list", method: "PATCH", path: "/v1/actors/erin", body: `{"attrs":[]}`, status: 400, code: "malformed"},
		{name: "actor patch by nobody special", method: "PATCH", path: "/v1/actors/evan", body: `{"active":false}`, status: 403, code: "denied"},
		{name: "grant to oneself", method: "PUT", path: "/v1/actors/erin/roles/manager", status: 403, code: "denied"},
		{name: "grant with a body", method: "PUT", path: "/v1/actors/erin/roles/manager", body: `{}`, status: 400, code: "malformed"},
		{name: "scope that isn't", method: "PUT", path: "/v1/actors/evan/roles/manager?scope=world", status: 400, code: "malformed"},
		{name: "scope empty", method: "PUT", path: "/v1/actors/evan/roles/manager?scope=", status: 400, code: "malformed"},
		{name: "scope of an unknown machine", method: "PUT", path: "/v1/actors/evan/roles/manager?scope=machine:none", status: 400, code: "malformed"},
		{name: "scope of a bad id", method: "DELETE", path: "/v1/actors/evan/roles/manager?scope=instance:loan/a%20b", status: 400, code: "malformed"},
	}...)
}

func badPaths(ok string) []bad {
	list := "/v1/machines/loan/instances"
	var out []bad
	for name, path := range map[string]string{
		"encoded slash":          list + "/a%2Fb",
		"encoded slash, small":   list + "/a%2fb/events",
		"encoded backslash":      list + "/a%5cb",
		"backslash":              list + `/a\b`,
		"dot segment":            list + "/./x",
		"dot dot segment":        list + "/../instances/x",
		"encoded dot dot":        list + "/%2e%2e/instances/x",
		"half encoded dot dot":   list + "/.%2e/instances/x",
		"double slash":           "//v1/machines/loan",
		"double slash inside":    list + "//x",
		"trailing slash":         list + "/",
		"trailing slash deeper":  list + "/x/",
		"path parameter":         list + "/x;v=1",
		"NUL":                    list + "/a%00b",
		"newline":                list + "/a%0ab",
		"escape":                 list + "/%1b[31m",
		"DEL":                    list + "/a%7f",
		"invalid UTF-8":          list + "/a%ff",
		"overlong slash":         list + "/a%c0%afb",
		"no-break space":         list + "/a%c2%a0b",
		"right to left override": list + "/a%e2%80%aeb",
	} {
		out = append(out, bad{name: "path: " + name, method: "GET", path: path, status: 400, code: "malformed"})
	}
	for name, id := range map[string]string{
		"space": "a%20b", "plus": "+", "colon": "a:b", "leading dot": ".hidden", "leading dash": "-a", "percent": "a%25b",
		"homoglyph": "%d1%85", "too long": strings.Repeat("a", 129), "star": "*", "quote": "%27", "at": "a@b",
	} {
		out = append(out, bad{name: "id: " + name, path: list + "/" + id + "/events", body: ok, status: 400, code: "id_invalid"})
	}
	return append(out,
		bad{name: "no such address", method: "GET", path: "/v2/machines", status: 404, code: "not_found"},
		bad{name: "root", method: "GET", path: "/", status: 404, code: "not_found"},
		bad{name: "capitals", method: "GET", path: "/V1/machines", status: 404, code: "not_found"},
		bad{name: "encoded letter", method: "GET", path: "/v1/m%61chine", status: 404, code: "not_found"},
		bad{name: "metrics are elsewhere", method: "GET", path: "/metrics", status: 404, code: "not_found"},
		bad{name: "debugging is nowhere", method: "GET", path: "/debug/pprof", status: 404, code: "not_found"},
		bad{name: "rewritten address", method: "GET", path: "/nowhere", headers: "X-Original-URL: /v1/machines\nX-Rewrite-URL: /v1/machines", status: 404, code: "not_found"},
		bad{name: "star", method: "OPTIONS", path: "*", status: 400, code: "malformed"},
	)
}

func TestBadRequests(t *testing.T) {
	cases := badRequests()
	require.GreaterOrEqual(t, len(cases), 150)
	onEach(t, func(w *world) {
		w.loan("x", "1000")
		before := w.must(200, "erin", "GET", "/v1/machines/loan/instances/x/history", "").raw
		host := w.host()
		outer := w.t.(*testing.T)
		for _, tc := range cases {
			outer.Run(tc.name, func(t *testing.T) {
				w.t = t
				a := w.raw(tc.request(host))
				assert.Equal(t, tc.status, a.StatusCode, a.raw)
				assert.Equal(t, tc.code, a.code(), a.raw)
				assert.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
				assert.NotEmpty(t, a.Header.Get("X-Request-Id"))
				w.check.problem(t, bytes.TrimSpace([]byte(a.raw)))
				assert.Equal(t, tc.status == 405, a.Header.Get("Allow") != "", "Allow goes with 405")
				assert.Equal(t, tc.status == 401, a.Header.Get("WWW-Authenticate") != "", "a challenge goes with 401")
			})
		}
		w.t = outer
		assert.Equal(t, before, w.must(200, "erin", "GET", "/v1/machines/loan/instances/x/history", "").raw, "none of them left anything")
	})
}

func TestHeadIsNotAllowed(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	resp, err := http.Head(w.url + "/v1/machines") //nolint:noctx // a test's own server
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 405, resp.StatusCode)
	assert.Equal(t, "GET", resp.Header.Get("Allow"))
}
