package middleware

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
)

const (
	defaultBase    = "/problems/"
	defaultMaxBody = 64 << 10
)

// settings are what answers need to know of the Config; they travel in the gin
// context with the visit, so that WriteProblem and DecodeJSON serve any handler.
type settings struct {
	problemBase  string
	maxBody      int64
	logger       *slog.Logger                    // nil: slog.Default() at the time
	etag         func(interlock.Instance) string // nil: no gate
	errorHandler func(*gin.Context, *Problem, error) any
}

var defaults = settings{problemBase: defaultBase, maxBody: defaultMaxBody}

// visit is one request as the gate's handlers know it. It stands in the gin context,
// and is the request's context once it is known who asks.
type visit struct {
	context.Context // of the request, before
	settings        *settings
	group           *Group // nil outside of one
	actor           interlock.Actor
	known           bool       // who asks
	tracing         sync.Mutex // a copy of the gin context, on another goroutine, shares the visit
	trace           string
}

type visitKey struct{}

// Value tells who asks, beside what the request's context tells.
func (v *visit) Value(key any) any {
	if _, ok := key.(actorKey); ok && v.known {
		return v.actor
	}
	return v.Context.Value(key)
}

// visitOf is nil before the first of our handlers.
func visitOf(c *gin.Context) *visit {
	got, _ := c.Get(visitKey{})
	v, _ := got.(*visit)
	return v
}

// visiting begins the visit, or goes on with it under these settings.
func visiting(c *gin.Context, s *settings) *visit {
	v := visitOf(c)
	if v == nil {
		v = &visit{}
		c.Set(visitKey{}, v)
	}
	v.settings = s
	return v
}

func settingsOf(c *gin.Context) *settings {
	if v := visitOf(c); v != nil {
		return v.settings
	}
	return &defaults
}

func (s *settings) log() *slog.Logger {
	if s.logger != nil {
		return s.logger
	}
	return slog.Default()
}

// traceID is the request's id, in this order: the trace of a W3C traceparent,
// the X-Request-ID of the answer (an outer handler's) or of the request, a random one.
func traceID(c *gin.Context) string {
	v := visitOf(c)
	if v == nil {
		v = visiting(c, &defaults)
	}
	v.tracing.Lock()
	defer v.tracing.Unlock()
	if v.trace == "" {
		v.trace = newTrace(c)
	}
	return v.trace
}

func newTrace(c *gin.Context) string {
	id := givenTrace(c)
	if id == "" {
		var b [16]byte
		var text [32]byte
		_, _ = rand.Read(b[:]) // never fails, since Go 1.24
		hex.Encode(text[:], b[:])
		id = string(text[:])
	}
	return id
}

func givenTrace(c *gin.Context) string {
	if c.Request == nil {
		return ""
	}
	h := c.Request.Header
	// version "-" trace "-" parent "-" flags; https://www.w3.org/TR/trace-context/
	if given := first(h["Traceparent"]); strings.Count(given, "-") >= 3 {
		trace := strings.Split(given, "-")[1]
		if len(trace) == 32 && strings.Trim(trace, "0123456789abcdef") == "" && strings.Trim(trace, "0") != "" {
			return trace
		}
	}
	for _, id := range [...]string{first(c.Writer.Header()["X-Request-Id"]), first(h["X-Request-Id"])} {
		if 0 < len(id) && len(id) <= 128 && strings.IndexFunc(id, notPlain) < 0 {
			return id
		}
	}
	return ""
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func notPlain(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("._~:/+=-", r)
}
