package wire_test

import (
	"slices"
	"strings"
)

// routes are all of the API's, and what each takes.
var routes = []struct {
	target  string
	methods []string
}{
	{"/v1/machines", []string{"GET"}}, {"/v1/machines/loan", []string{"GET"}}, {"/v1/machines/loan/graph", []string{"GET"}},
	{loans, []string{"GET", "POST"}}, {loan, []string{"GET"}}, {fire, []string{"GET", "POST"}}, {loan + "/facts", []string{"PATCH"}},
	{loan + "/history", []string{"GET"}}, {loan + "/explain", []string{"GET"}}, {"/v1/available", []string{"POST"}},
	{"/v1/actors/erin", []string{"GET", "PATCH"}}, {"/v1/actors/evan/roles/manager", []string{"PUT", "DELETE"}},
	{"/healthz", []string{"GET"}}, {"/readyz", []string{"GET"}}, {"/openapi.json", []string{"GET"}}, {"/docs", []string{"GET"}}, {"/problems/malformed", []string{"GET"}},
}

func methods() []bad {
	var out []bad
	for _, r := range routes {
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "STEAL", "get", "Post"} {
			if slices.Contains(r.methods, m) {
				continue
			}
			body := ""
			if m == "POST" || m == "PUT" || m == "PATCH" || m == "Post" {
				body = `{"event":"submit","state":"approved"}`
			}
			out = append(out, problem(m+" "+r.target, 405, "method_not_allowed", ask(m, r.target, body)))
		}
	}
	return out
}

func headers() []bad {
	var out []bad
	// A header that somebody else's framework believes changes nothing here.
	for _, line := range []string{
		"X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST", "X-Original-URL: " + fire, "X-Rewrite-URL: " + fire, "X-Original-Method: POST", "X-Forwarded-Uri: " + fire, "X-Forwarded-Prefix: /v1",
		"X-Forwarded-Path: " + loan, "X-Forwarded-Host: 127.0.0.1", "X-Host: 127.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Method: POST", "Upgrade: h2c", "Upgrade: websocket\r\nConnection: upgrade", "Range: bytes=0-0", "TE: trailers",
	} {
		name, _, _ := strings.Cut(line, ":")
		out = append(out, problem("ignored: "+name+" "+line[len(name)+2:min(len(line), len(name)+8)], 404, "not_found", ask("GET", "/nowhere", "", line)))
	}
	for _, line := range []string{
		"X-User: adam", "X-User-Id: adam", "X-Remote-User: adam", "Remote-User: adam", "X-Forwarded-User: adam", "X-Forwarded-Email: adam@example.org", "X_User: adam", "X-Roles: manager", "X-Auth-Request-User: adam",
		"X-WEBAUTH-USER: adam", "X-Consumer-Username: adam", "X-Forwarded-Client-Cert: By=x", "Cookie: session=adam", "Proxy-Authorization: Bearer demo-adam", "X-Api-Key: adam",
	} {
		name, _, _ := strings.Cut(line, ":")
		out = append(out, problem("nobody by "+name, 401, "unauthenticated", ask("POST", fire, submit, "-Authorization", line)))
	}
	for name, value := range map[string]string{
		"none": "", "scheme alone": "Bearer", "scheme and space": "Bearer ", "two spaces": "Bearer  demo-erin", "tab": "Bearer\tdemo-erin", "two tokens": "Bearer demo-erin demo-adam", "a list": "Bearer demo-erin, Bearer demo-adam",
		"basic": "Basic ZXJpbjp4", "digest": `Digest username="erin"`, "no scheme": "demo-erin", "unknown": "Bearer demo-mallory", "capitals": "Bearer DEMO-ERIN", "prefix alone": "Bearer demo-", "a JWT of none": "Bearer eyJhbGciOiJub25lIn0.e30.",
		"12 KiB": "Bearer demo-" + long(12<<10), "homoglyph": "Bearer demo-еrin", "quoted": `Bearer "demo-erin"`, "NBSP": "Bearer\u00a0demo-erin",
	} {
		out = append(out, problem("credentials: "+name, 401, "unauthenticated", ask("POST", fire, submit, "-Authorization", "Authorization: "+value)))
	}
	for _, via := range []string{"X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-Ip: 127.0.0.1", "Via: 1.1 proxy"} {
		name, _, _ := strings.Cut(via, ":")
		out = append(out, problem("demo user through a proxy: "+name, 401, "unauthenticated", ask("POST", fire, submit, via)))
	}
	for name, lines := range map[string][]string{
		"two of the same credentials": {"Authorization: Bearer demo-erin"}, "two credentials": {"Authorization: Bearer demo-adam"}, "two credentials, the second empty": {"Authorization:"}, "two credentials in other letters": {"AUTHORIZATION: Bearer demo-adam"},
		"two types": {"Content-Type: application/json"}, "two types, the second other": {"Content-Type: text/plain"}, "two types in other letters": {"content-type: application/json"}, "two encodings": {"Content-Encoding: identity", "Content-Encoding: gzip"},
		"If-Match twice": {`If-Match: "a"`, `If-Match: "b"`}, "If-None-Match twice": {`If-None-Match: *`, `If-None-Match: "a"`}, "Idempotency-Key twice": {`Idempotency-Key: "a"`, `Idempotency-Key: "b"`}, "Idempotency-Key twice, the same": {`Idempotency-Key: "a"`, `Idempotency-Key: "a"`},
	} {
		out = append(out, malformed(name, ask("POST", fire, submit, lines...)))
	}
	for _, value := range []string{
		"", " ", "a", "0", "W/", `W/"`, `"`, `"a`, `a"`, `"a" "b"`, `"a";"b"`, `w/"a"`, `W/ "a"`, `"a"x`, `*, "a"`, `"a", *`, `**`, `"a b"`, "\"a\tb\"", `'a'`, `"a\"b"`, `("a")`, `"a",b`, `,`, `"*`,
	} {
		out = append(out, malformed("If-Match: "+value, ask("POST", fire, submit, "If-Match: "+value)))
	}
	for _, value := range []string{`"a"`, `W/"a"`, `"1-1-x"`, `"a", "b"`, `"*"`, `"` + long(1000) + `"`, `"é"`} {
		out = append(out, problem("If-Match of another: "+value, 412, "precondition_failed", ask("POST", fire, submit, "If-Match: "+value)))
	}
	for _, value := range []string{
		"", " ", `"`, `""`, `"a`, `a"`, `"a" "b"`, `"a", "b"`, `"a";p=1`, `a;p=1`, `a b`, `a,b`, `"a\b"`, `"a\"`, "\"a\tb\"", "\"é\"", "é", `'a b'`, `(a)`, `:YQ==:`, `@1`, `?1 ` + "x", `"` + long(256) + `"`, long(256), `a=b`, `{a}`, `<a>`, `[a]`, `a\b`, `"a"x`,
	} {
		out = append(out, malformed("Idempotency-Key: "+value, ask("POST", fire, submit, "Idempotency-Key: "+value)))
	}
	for name, value := range map[string]string{
		"text": "text/plain", "HTML": "text/html", "form": "application/x-www-form-urlencoded", "multipart": "multipart/form-data; boundary=x", "XML": "application/xml", "YAML": "application/yaml", "JSON by text": "text/json", "JSON lines": "application/x-ndjson", "JSON patch": "application/json-patch+json",
		"problem": "application/problem+json", "merge patch": "application/merge-patch+json", "any": "*/*", "a list": "application/json, text/plain", "UTF-16": "application/json; charset=utf-16", "Latin 1": "application/json; charset=iso-8859-1", "UTF-7": "application/json; charset=utf-7",
		"charset twice": "application/json; charset=utf-8; charset=utf-16", "empty": "", "garbage": "application/json;;=", "half": "application/", "space": "application / json", "NUL by escape": "application/json%00", "quoted": `"application/json"`, "suffix": "application/jsonx", "prefix": "xapplication/json",
	} {
		out = append(out, problem("type: "+name, 415, "unsupported_media_type", ask("POST", fire, submit, "-Content-Type", "Content-Type: "+value)))
	}
	for _, value := range []string{"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "identity", "gzip, gzip", "", "utf-8", "aes128gcm"} {
		out = append(out, problem("encoding: "+value, 415, "unsupported_media_type", ask("POST", fire, submit, "Content-Encoding: "+value)))
	}
	out = append(out,
		problem("encoding: gzip that is gzip", 415, "unsupported_media_type", ask("POST", fire, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", "Content-Encoding: gzip")),
		malformed("gzip without saying so", ask("POST", fire, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")),
		problem("type of nothing", 415, "unsupported_media_type", ask("POST", fire, submit, "-Content-Type")),
	)
	for name, value := range map[string]string{
		"HTML": "text/html", "picture": "image/png", "nothing": "application/json;q=0", "all but JSON": "application/json;q=0, */*", "garbage": "json", "bad weight": "application/json;q=2", "weight of a word": "application/json;q=much", "star and more": "*/json", "problem alone": "application/problem+json",
	} {
		out = append(out, problem("accept: "+name, 406, "not_acceptable", ask("GET", loan, "", "Accept: "+value)), problem("accept on a write: "+name, 406, "not_acceptable", ask("POST", fire, submit, "Accept: "+value)))
	}
	return out
}
