package wire_test

import (
	"fmt"
	"strings"
)

func requestLines() []bad {
	rest := "\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer demo-erin\r\n\r\n"
	var out []bad
	for name, line := range map[string]string{
		"empty": "", "a word": "GET", "no version at all": "GET /healthz", "no version": "GET /healthz ", "half a version": "GET /healthz HTTP",
		"version without minor": "GET /healthz HTTP/1", "version of two digits": "GET /healthz HTTP/1.10", "version in small letters": "GET /healthz http/1.1",
		"version of another protocol": "GET /healthz SIP/2.0", "something after the version": "GET /healthz HTTP/1.1 x", "two spaces": "GET  /healthz HTTP/1.1",
		"tabs": "GET\t/healthz\tHTTP/1.1", "space in the target": "GET /health z HTTP/1.1", "space first": " GET /healthz HTTP/1.1", "negative version": "GET /healthz HTTP/-1.1",
		"NUL in the method": "G\x00T /healthz HTTP/1.1", "at sign in the method": "G@T /healthz HTTP/1.1", "colon in the method": "GET: /healthz HTTP/1.1",
		"brackets": "(GET) /healthz HTTP/1.1", "umlaut in the method": "GÄT /healthz HTTP/1.1", "no method": " /healthz HTTP/1.1",
		"NUL in the target": "GET /a\x00b HTTP/1.1", "control character in the target": "GET /a\x01b HTTP/1.1", "DEL in the target": "GET /a\x7fb HTTP/1.1",
		"escape sequence": "GET /\x1b[31m HTTP/1.1", "relative target": "GET healthz HTTP/1.1", "only a query": "GET ?x=1 HTTP/1.1",
		"escape cut off": "GET /a%2 HTTP/1.1", "escape that isn't": "GET /a%zz HTTP/1.1", "absolute, bad port": "GET http://127.0.0.1:port/healthz HTTP/1.1",
		"absolute, bad escape": "GET http://127.0.0.1/%zz HTTP/1.1", "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "SSH": "SSH-2.0-OpenSSH_9.9",
		"Redis": "*1\r\n$4\r\nPING", "proxy protocol": "PROXY TCP4 10.0.0.1 10.0.0.2 1 2",
	} {
		out = append(out, stack(name, 400, line+rest))
	}
	for _, version := range []string{"HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"} {
		out = append(out, stack(version, 505, "GET /healthz "+version+rest))
	}
	return append(out,
		stack("bare CR", 400, "GET /healthz HTTP/1.1\rHost: 127.0.0.1\r\r\n\r\n"),
		malformed("preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		bad{name: "nothing", raw: "", cut: true},
		bad{name: "cut in the line", raw: "GET /hea", cut: true, status: 400},
		bad{name: "cut in the headers", raw: "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n", cut: true, status: 400},
	)
}

func headerLines() []bad {
	var out []bad
	for name, line := range map[string]string{
		"no colon": "garbage", "no name": ": value", "space before the colon": "X-A : 1", "tab before the colon": "X-A\t: 1", "space in the name": "X A: 1",
		"NUL in the name": "X\x00A: 1", "umlaut in the name": "X-Ä: 1", "slash in the name": "X/A: 1", "brackets in the name": "X(A): 1", "at sign in the name": "X@A: 1",
		"NUL in the value": "X-A: a\x00b", "bell in the value": "X-A: \x07", "DEL in the value": "X-A: a\x7f", "escape in the value": "X-A: \x1b[31m",
		"bare CR in the value": "X-A: a\rX-B: b", "second Host": "Host: 127.0.0.1", "second Host, other": "Host: elsewhere", "credentials, bare CR": "Authorization: Bearer demo-adam\rX: y",
	} {
		out = append(out, stack(name, 400, ask("GET", loan, "", line)))
	}
	for name, host := range map[string]string{
		"slash": "127.0.0.1/x", "space": "a b", "backslash": `a\b`, "NUL": "a\x00b", "quote": `"a"`, "umlaut": "ä.example", "angle": "<a>", "bracket": "a{b}",
	} {
		out = append(out, stack("Host with "+name, 400, ask("GET", loan, "", "-Host", "Host: "+host)))
	}
	return append(out,
		stack("no Host", 400, ask("GET", loan, "", "-Host")),
		stack("folded first line", 400, "GET "+loan+" HTTP/1.1\r\n X-A: 1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"),
		problem("folded media type", 415, "unsupported_media_type", ask("POST", fire, submit, "-Content-Type", "Content-Type: application/json;\r\n charset=utf-16")),
		problem("folded credentials", 401, "unauthenticated", ask("GET", loan, "", "-Authorization", "Authorization: Bearer demo-erin\r\n demo-adam")),
		stack("one line of 20 KiB", 431, ask("GET", loan, "", "X-A: "+long(20<<10))),
		stack("one line of 1 MiB", 431, ask("GET", loan, "", "X-A: "+long(1<<20))),
		stack("a name of 20 KiB", 431, ask("GET", loan, "", long(20<<10)+": 1")),
		stack("two thousand lines", 431, ask("GET", loan, "", strings.Repeat("X-A: 12345678\r\n", 2000)+"X-B: 1")),
		stack("a cookie of 30 KiB", 431, ask("GET", loan, "", "Cookie: a="+long(30<<10))),
		stack("a token of 40 KiB", 431, ask("GET", loan, "", "-Authorization", "Authorization: Bearer "+long(40<<10))),
		stack("a target of 21 KiB", 431, ask("GET", loan+"?x="+long(21<<10), "")),
		stack("a target of 1 MiB", 431, ask("GET", "/"+long(1<<20), "")),
		stack("an expectation that nobody has", 417, ask("POST", fire, submit, "Expect: 200-ok")),
		problem("a host that isn't this machine", 401, "unauthenticated", ask("GET", loan, "", "-Host", "Host: elsewhere.example")),
		problem("an empty host", 401, "unauthenticated", ask("GET", loan, "", "-Host", "Host:")),
		problem("HTTP/1.0 without a host", 401, "unauthenticated", "GET "+loan+" HTTP/1.0\r\nAuthorization: Bearer demo-erin\r\n\r\n"),
	)
}

// framings are requests whose end could be read in two ways. A second one,
// proper and behind it, must not be carried out.
func framings() []bad {
	behind := ask("POST", fire, submit)
	typed := func(lines ...string) string { // a firing whose length is said by the lines alone
		return ask("POST", fire, "", append([]string{"Content-Type: application/json"}, lines...)...)
	}
	var out []bad
	for name, value := range map[string]string{
		"negative": "-1", "signed": "+18", "hexadecimal": "0x12", "exponent": "1e1", "fraction": "18.0", "a list": "18, 18", "a list of two": "18, 19", "a word": "many",
		"two words": "18 18", "empty": "", "beyond 64 bits": "18446744073709551634", "beyond 63 bits": "9223372036854775808", "underscore": "1_8", "semicolon": "18;",
		"full-width digits": "１８",
	} {
		out = append(out, stack("length "+name, 400, typed("Content-Length: "+value)+submit+behind))
	}
	for name, value := range map[string]string{
		"unknown": "xchunked", "gzip": "gzip", "identity": "identity", "chunked twice": "chunked, chunked", "gzip, then chunked": "gzip, chunked", "chunked, then gzip": "chunked, gzip",
		"parameter": "chunked;q=1", "quoted": `"chunked"`, "empty": "", "comma": ",chunked", "vertical tab": "\u00a0chunked", "trailers": "trailers",
	} {
		out = append(out, stack("coding "+name, 501, typed("Transfer-Encoding: "+value)+chunk(submit)+"0\r\n\r\n"+behind))
	}
	for name, raw := range map[string]string{
		"length twice, different":       typed("Content-Length: 18", "Content-Length: 5") + submit,
		"length twice, shorter last":    typed("Content-Length: 200", "Content-Length: 18") + submit + behind,
		"length in the second of three": typed("Content-Length: 18", "Content-Length: 18", "Content-Length: 0") + submit,
		"coding with a space before":    typed("Transfer-Encoding : chunked") + chunk(submit) + "0\r\n\r\n",
		"coding by bare CR":             typed("X-A: 1\rTransfer-Encoding: chunked") + chunk(submit) + "0\r\n\r\n",
	} {
		out = append(out, stack(name, 400, raw))
	}
	for _, second := range []string{"chunked", "identity"} {
		out = append(out, stack("coding twice, "+second, 501, typed("Transfer-Encoding: chunked", "Transfer-Encoding: "+second)+chunk(submit)+"0\r\n\r\n"+behind))
	}
	// The length is what a proxy before may go by, the chunks are what counts.
	ends := "0\r\n\r\n"
	for name, raw := range map[string]string{
		"length and chunks, nothing in them":     chunked(ends, fmt.Sprintf("Content-Length: %d", len(ends)+len(behind))) + behind,
		"length 0 and chunks":                    chunked(chunk("{}")+ends, "Content-Length: 0") + behind,
		"length of less and chunks":              chunked(chunk("{}")+ends, "Content-Length: 4") + behind,
		"chunks, then a request, kept alive":     strings.ReplaceAll(chunked(chunk("{}")+ends), "Connection: close", "Connection: keep-alive") + behind,
		"length and chunks, kept alive":          strings.ReplaceAll(chunked(chunk("{}")+ends, "Content-Length: 4"), "Connection: close", "Connection: keep-alive") + behind,
		"chunk of a negative size":               chunked("-1\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk of a signed size":                 chunked("+12\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk of a size with 0x":                chunked("0x12\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk of a size that isn't":             chunked("zz\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk of a size beyond numbers":         chunked("fffffffffffffffff\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk without a size":                   chunked("\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk of a size with a space before":    chunked(" 12\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk ended by a bare LF":               chunked("12\n" + submit + "\r\n0\r\n\r\n"),
		"chunk whose data end by a bare LF":      chunked("12\r\n" + submit + "\n0\r\n\r\n"),
		"chunk whose data don't end":             chunked("12\r\n" + submit + "0\r\n\r\n"),
		"chunk longer than its size":             chunked("11\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk with a bare CR in its extension":  chunked("12;a=\rb\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk with an extension of 20 KiB":      chunked("12;" + long(20<<10) + "\r\n" + submit + "\r\n0\r\n\r\n"),
		"chunk of a body cut off inside":         chunked(chunk(`{"event":`) + ends),
		"chunk of nothing":                       chunked(ends),
		"chunks with a second object":            chunked(chunk(submit) + chunk(submit) + ends),
		"chunks with a trailer that can't be":    chunked(chunk(submit) + "0\r\nno colon\r\n\r\n"),
		"chunks with a trailer of a folded line": chunked(chunk(submit) + "0\r\n X: 1\r\n\r\n"),
		"length shorter than the body":           typed("Content-Length: 10") + submit + behind,
		"length 1":                               typed("Content-Length: 1") + submit + behind,
		"length 0":                               typed("Content-Length: 0") + submit + behind,
		"chunks in HTTP/1.0":                     strings.Replace(chunked(chunk(submit)+ends), "HTTP/1.1", "HTTP/1.0", 1) + behind,
		"chunks where there is no body":          ask("GET", loan, "", "Transfer-Encoding: chunked") + chunk(submit) + ends,
		"length where there is no body":          ask("GET", loan, "", "Content-Length: 18") + submit,
		"a request where there is no body":       ask("GET", loan, "", fmt.Sprintf("Content-Length: %d", len(behind))) + behind,
	} {
		out = append(out, malformed(name, raw))
	}
	tooLong := `{"event":"submit","note":"` + long(70000) + `"}`
	return append(out,
		problem("chunks beyond 64 KiB", 413, "too_large", chunked(chunk(tooLong)+ends)),
		problem("small chunks beyond 64 KiB", 413, "too_large", chunked(strings.Repeat(chunk(long(1000)), 70)+ends)),
		problem("length beyond 64 KiB", 413, "too_large", ask("POST", fire, tooLong)),
		problem("length beyond 64 KiB by one", 413, "too_large", ask("POST", fire, `{"event":"submit","note":"`+long(64<<10+1-len(`{"event":"submit","note":""}`))+`"}`)),
		problem("a length of 2 GiB and no body", 413, "too_large", typed("Content-Length: 2147483648")+submit),
		problem("a length of 8 EiB and no body", 413, "too_large", typed("Content-Length: 9223372036854775807")+submit),
		bad{name: "cut before the length is reached", raw: typed("Content-Length: 100") + submit, cut: true, status: 400, code: "malformed"},
		bad{name: "cut in a chunk", raw: chunked("12\r\n{\"event\""), cut: true, status: 400, code: "malformed"},
		bad{name: "cut before the last chunk", raw: chunked(chunk(submit)), cut: true, status: 400, code: "malformed"},
		bad{name: "cut before any chunk", raw: chunked(""), cut: true, status: 400, code: "malformed"},
	)
}
