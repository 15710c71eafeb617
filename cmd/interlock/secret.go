package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

const redacted = "[redacted]"

// secret is a value that never shows itself: not in logs, not in errors, in no
// verb of fmt, not as JSON or YAML. string(s) is the way to it.
type secret string

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format is String for every verb: %#v and %x look into strings otherwise.
func (s secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// GoString, LogValue and MarshalText are String, too.
func (s secret) GoString() string             { return s.String() }
func (s secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil } //nolint:unparam // encoding.TextMarshaler's signature

// parts are the texts in it that must not be seen: for a URL, its password
// alone and as it is written there.
func (s secret) parts() []string {
	all := []string{string(s)}
	u, err := url.Parse(string(s))
	if err == nil && u.User != nil {
		if password, ok := u.User.Password(); ok {
			all = append(all, password)
		}
	}
	if _, rest, ok := strings.Cut(string(s), "://"); ok {
		if user, _, ok := strings.Cut(rest, "@"); ok {
			_, raw, _ := strings.Cut(user, ":")
			all = append(all, raw)
		}
	}
	return all
}

// hidden tells that there is something to hide in it: an address alone isn't.
func (s secret) hidden() bool {
	if !strings.Contains(string(s), "://") {
		return s != ""
	}
	u, err := url.Parse(string(s))
	if err != nil {
		return true
	}
	_, password := u.User.Password()
	return password || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// redacting is the last resort: what drivers and libraries say passes through
// it, and the texts that must not be seen don't.
func redacting(w io.Writer, secrets ...secret) io.Writer {
	const least = 4 // shorter ones would cut words in two and hide nothing
	var pairs []string
	for _, s := range secrets {
		for _, part := range s.parts() {
			if len(part) < least {
				continue
			}
			escaped := strings.Trim(fmt.Sprintf("%q", part), `"`)
			pairs = append(pairs, part, redacted, escaped, redacted, url.QueryEscape(part), redacted)
		}
	}
	if pairs == nil {
		return w
	}
	return &redactor{w, strings.NewReplacer(pairs...)}
}

type redactor struct {
	w       io.Writer
	replace *strings.Replacer
}

func (r *redactor) Write(p []byte) (int, error) {
	if _, err := r.replace.WriteString(r.w, string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
