package middleware

import (
	"net/http"
	"strings"
)

// Conditions are what a request's headers ask for besides its body.
type Conditions struct {
	IfMatch        []string // entity tags with their quotes, or "*"; nil: none
	IfNoneMatch    []string // the same
	IdempotencyKey string   // the characters of the key; "": none
}

// ReadConditions reads If-Match, If-None-Match (RFC 9110, 13.1) and
// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07: a String of RFC
// 9651 in quotes; a bare token is taken as well), each at most once. What can't
// be read is a [*Problem] with status 400, never taken for absent. Times as
// conditions of what isn't a GET or HEAD are refused: a second is too coarse.
func ReadConditions(r *http.Request) (Conditions, error) {
	var c Conditions
	h := r.Header
	for _, name := range [...]string{"If-Unmodified-Since", "If-Modified-Since"} {
		if len(h[name]) > 0 && !safe(r.Method) {
			return c, &Problem{Code: codeMalformed, Detail: name + " is not supported here, and would not hold; send If-Match with an ETag."}
		}
	}
	var err error
	if c.IfMatch, err = entityTags(h, "If-Match"); err != nil {
		return c, err
	}
	if c.IfNoneMatch, err = entityTags(h, "If-None-Match"); err != nil {
		return c, err
	}
	value, given, err := once(h, "Idempotency-Key")
	if err != nil || !given {
		return c, err
	}
	key, ok := parseKey(value)
	if !ok {
		return c, &Problem{Code: codeMalformed, Detail: `Idempotency-Key can't be read; want 1 to 255 characters of printable ASCII in quotes, such as "8e03978e-40d5-43dd-bc93-6894a57f9324".`}
	}
	c.IdempotencyKey = key
	return c, nil
}

func entityTags(h http.Header, name string) ([]string, error) {
	value, given, err := once(h, name)
	if err != nil || !given {
		return nil, err
	}
	tags, ok := parseTags(value)
	if !ok {
		return nil, &Problem{Code: codeMalformed, Detail: name + ` can't be read; want "*" without quotes, or entity tags in quotes as an ETag gave them, separated by commas.`}
	}
	return tags, nil
}

// once reads a header by its canonical name.
func once(h http.Header, name string) (value string, given bool, err error) {
	switch values := h[name]; len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", false, &Problem{Code: codeMalformed, Detail: name + " stands there more than once."}
}

// parseTags reads "*" or a list of entity tags (RFC 9110, 8.8.3); empty members
// of the list are passed over (5.6.1.2), an empty list is none.
func parseTags(s string) ([]string, bool) {
	s = strings.Trim(s, " \t")
	if s == "*" {
		return []string{"*"}, true
	}
	var tags []string
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return tags, len(tags) > 0
		}
		tag, rest, ok := cutTag(s)
		if !ok {
			return nil, false
		}
		tags = append(tags, tag)
		if s = strings.TrimLeft(rest, " \t"); s != "" && s[0] != ',' {
			return nil, false
		}
	}
}

func cutTag(s string) (tag, rest string, ok bool) {
	at := 0
	if strings.HasPrefix(s, "W/") {
		at = 2
	}
	if at >= len(s) || s[at] != '"' {
		return "", "", false
	}
	for i := at + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[:i+1], s[i+1:], true
		case c < 0x21 || c == 0x7f:
			return "", "", false
		}
	}
	return "", "", false
}

const maxKey = 255

// parseKey reads a String (RFC 9651, 4.2.5) or, as leniency, characters of a
// token (4.2.6); neither takes parameters here.
func parseKey(s string) (string, bool) {
	s = strings.Trim(s, " ")
	if !strings.HasPrefix(s, `"`) {
		for i := range len(s) {
			if !tokenChar(s[i]) {
				return "", false
			}
		}
		return s, 0 < len(s) && len(s) <= maxKey
	}
	var key strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			return key.String(), i == len(s)-1 && 0 < key.Len() && key.Len() <= maxKey
		case c == '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
			c = s[i]
		case c < 0x20 || c > 0x7e:
			return "", false
		}
		key.WriteByte(c)
	}
	return "", false
}

func tokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
}

// OfEvent refuses what doesn't fit a request that changes an instance.
func (c Conditions) OfEvent() error {
	if len(c.IfNoneMatch) > 0 {
		return &Problem{Code: codeMalformed, Detail: "If-None-Match is for creation; send If-Match with the ETag that you have seen."}
	}
	return nil
}

// OfCreation refuses what doesn't fit a request that makes an instance.
func (c Conditions) OfCreation() error {
	switch {
	case len(c.IfMatch) > 0:
		return &Problem{Code: codeMalformed, Detail: "There is nothing yet that If-Match could match; If-None-Match: * is for creation."}
	case len(c.IfNoneMatch) > 0 && c.IfNoneMatch[0] != "*":
		return &Problem{Code: codeMalformed, Detail: "Of a creation If-None-Match can only be *."}
	}
	return nil
}

// Unchanged tells whether If-None-Match names the tag, by weak comparison: a GET
// is then answered 304 (RFC 9110, 13.1.2).
func (c Conditions) Unchanged(tag string) bool {
	for _, t := range c.IfNoneMatch {
		if t == "*" || tag != "" && strings.TrimPrefix(t, "W/") == tag {
			return true
		}
	}
	return false
}
