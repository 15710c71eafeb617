package wire_test

import (
	"fmt"
	"strings"
)

const (
	loans  = "/v1/machines/loan/instances"
	loan   = loans + "/x"
	fire   = loan + "/events"
	fill   = "/v1/machines/form/instances/f/events"
	submit = `{"event":"submit"}` // what would be committed, were it asked properly
)

// ask is a proper request by erin, with a length and a type where it has a body;
// lines stand beside its headers, and "-Name" leaves one of them out.
func ask(method, target, body string, lines ...string) string {
	has := func(name string) bool {
		for _, l := range lines {
			if l == "-"+name {
				return false
			}
		}
		return true
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s HTTP/1.1\r\n", method, target)
	for _, h := range [][2]string{{"Host", "127.0.0.1"}, {"Connection", "close"}, {"Authorization", "Bearer demo-erin"}} {
		if has(h[0]) {
			s.WriteString(h[0] + ": " + h[1] + "\r\n")
		}
	}
	if body != "" {
		if has("Content-Type") {
			s.WriteString("Content-Type: application/json\r\n")
		}
		if has("Content-Length") {
			fmt.Fprintf(&s, "Content-Length: %d\r\n", len(body))
		}
	}
	for _, l := range lines {
		if l != "" && l[0] != '-' {
			s.WriteString(l + "\r\n")
		}
	}
	return s.String() + "\r\n" + body
}

// chunked is a proper firing in chunks, but for what stands for the chunks.
func chunked(chunks string, lines ...string) string {
	head := ask("POST", fire, "", append([]string{"Content-Type: application/json", "Transfer-Encoding: chunked"}, lines...)...)
	return head + chunks
}

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

func long(n int) string { return strings.Repeat("a", n) }

// stack is refused by the HTTP stack before it is a request, problem by a handler.
func stack(name string, status int, raw string) bad { return bad{name: name, raw: raw, status: status} }

func problem(name string, status int, code, raw string) bad {
	return bad{name: name, raw: raw, status: status, code: code}
}

func malformed(name, raw string) bad { return problem(name, 400, "malformed", raw) }
