package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/wire"
	"github.com/interlock-go/interlock/middleware"
)

// The codes of problems that this package answers with besides the gate's.
const (
	codeMalformed   = "malformed"
	codeNotFound    = "not_found"
	codeMethod      = "method_not_allowed"
	codeAccept      = "not_acceptable"
	codeMediaType   = "unsupported_media_type"
	codeInternal    = "internal"
	codeBusy        = "busy"
	codeInvalid     = "input_invalid"
	codeNobody      = "unauthenticated"
	codeNoKeys      = "keys_unavailable"
	retryAfterDrain = "5"
	retryAfterKeys  = "30"
)

type badPathKey struct{}

// serveHTTP refuses a path that could be read in two ways before any route is
// looked for (CWE-436): the engine then sees none of it.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		// net/http has dropped a Content-Length that stood beside it. A proxy that went
		// by the length sees another end: nothing behind is read (RFC 9112, 6.1).
		w.Header().Set("Connection", "close")
	}
	if why := badPath(r); why != "" {
		r = r.WithContext(context.WithValue(r.Context(), badPathKey{}, why))
		r.URL = &url.URL{Path: "/"}
	}
	s.engine.ServeHTTP(w, r)
}

func badPath(r *http.Request) string {
	path := r.URL.Path
	if r.URL.RawPath == "" && r.URL.Scheme == "" && r.URL.Host == "" && r.URL.User == nil && ordinary(path) {
		return ""
	}
	raw := r.URL.EscapedPath()
	lower := strings.ToLower(raw)
	switch {
	case !strings.HasPrefix(path, "/") || r.URL.Host != "" && r.URL.Scheme == "":
		return "The path must begin with a slash."
	case r.URL.Scheme != "" && r.URL.Scheme != "http" && r.URL.Scheme != "https", r.URL.User != nil:
		return "The address must be of http or https, without a user's name in it."
	case strings.Contains(lower, "%2f"), strings.Contains(lower, "%5c"), strings.ContainsRune(path, '\\'):
		return "The path has an encoded slash or a backslash."
	case strings.Contains(path, "//"), len(path) > 1 && strings.HasSuffix(path, "/"):
		return "The path has an empty segment."
	case strings.ContainsRune(path, ';'):
		return "The path has a parameter segment."
	case !utf8.ValidString(path):
		return "The path is not UTF-8."
	case strings.IndexFunc(path, func(c rune) bool { return unicode.IsControl(c) || !unicode.IsPrint(c) }) >= 0:
		return "The path has a control character."
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "The path has a dot segment."
		}
	}
	return ""
}

// ordinary tells that a path is made of segments of letters, digits, _ and -.
func ordinary(path string) bool {
	before := byte(0)
	for i := range len(path) {
		c := path[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
			if i == 0 {
				return false
			}
		case c != '/' || before == '/':
			return false
		}
		before = c
	}
	return before != 0 && before != '/'
}

// headers are on every answer. Nothing here is for a cache, a frame or a guess.
func (s *Server) headers(c *gin.Context) {
	id := requestID(c.Request)
	h := c.Writer.Header()
	wire.SetHeaders(h, "X-Request-Id", id,
		"Cache-Control", "no-store",
		"X-Content-Type-Options", "nosniff",
		"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'",
		"Cross-Origin-Opener-Policy", "same-origin",
		"Cross-Origin-Resource-Policy", "same-origin",
		"Referrer-Policy", "no-referrer")
	c.Next()
}

// requestID is the caller's where it is a plain word, else a new one: it goes
// into logs and, as input.request.id, to policies.
func requestID(r *http.Request) string {
	if given := r.Header["X-Request-Id"]; len(given) == 1 && plainWord(given[0]) {
		return given[0]
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, since Go 1.24
	return hex.EncodeToString(b[:])
}

func plainWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._~-", c) >= 0) {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 128
}

// recover answers a panic with a problem and keeps its stack for the log. A
// runtime.Goexit passes through, and so does http.ErrAbortHandler.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(cause)
		}
		s.metrics.panicked()
		s.log.LogAttrs(c.Request.Context(), slog.LevelError, "panic in a handler", slog.String("route", c.FullPath()),
			slog.String("request_id", c.Writer.Header().Get("X-Request-Id")), slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler) // an answer that was begun must not look whole
		}
		middleware.WriteProblem(c, &middleware.Problem{Code: codeInternal})
	}()
	c.Next()
}

// admit turns requests away while the server drains, and those that could be
// read in two ways.
func (s *Server) admit(c *gin.Context) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	route := c.FullPath()
	health := route == "/healthz" || route == "/readyz"
	if s.draining.Load() && !health {
		c.Header("Connection", "close")
		c.Header("Retry-After", retryAfterDrain)
		middleware.WriteProblem(c, &middleware.Problem{Code: codeBusy, Stage: interlock.StageUnavailable, Detail: "The server is about to stop; nothing was done."})
		return
	}
	if !health {
		if !s.places.enter(c.Request.Context()) {
			c.Header("Retry-After", retryAfterBusy)
			middleware.WriteProblem(c, &middleware.Problem{Code: codeBusy, Stage: interlock.StageUnavailable, Detail: "Too many requests are being worked on; nothing was done."})
			return
		}
		defer s.places.leave()
	}
	if why, bad := c.Request.Context().Value(badPathKey{}).(string); bad {
		c.Writer.Header().Del("Allow")
		middleware.WriteProblem(c, &middleware.Problem{Code: codeMalformed, Detail: why})
		return
	}
	if route != "" {
		if err := plain(c.Request, route); err != nil {
			middleware.WriteProblem(c, err)
			return
		}
	}
	c.Next()
}

func (s *Server) noRoute(c *gin.Context) {
	middleware.WriteProblem(c, &middleware.Problem{Code: codeNotFound, Detail: "There is no such address."})
}

// noMethod finds the Allow header already set by the engine (RFC 9110, 15.5.6).
func (s *Server) noMethod(c *gin.Context) {
	middleware.WriteProblem(c, &middleware.Problem{Code: codeMethod})
}

// observe counts every answer by route, never by path.
func (s *Server) observe(c *gin.Context) {
	began := time.Now()
	defer func() { s.metrics.answered(c.Request.Method, c.FullPath(), c.Writer.Status(), time.Since(began)) }()
	c.Next()
}
