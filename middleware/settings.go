package middleware

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
)

const (
	defaultBase    = "/problems/"
	defaultMaxBody = 64 << 10
)

// settings are what answers need to know of the Config; they travel in the gin
// context, so that WriteProblem and DecodeJSON serve any handler.
type settings struct {
	problemBase  string
	maxBody      int64
	logger       *slog.Logger                    // nil: slog.Default() at the time
	etag         func(interlock.Instance) string // nil: no gate
	errorHandler func(*gin.Context, *Problem, error) any
}

var defaults = settings{problemBase: defaultBase, maxBody: defaultMaxBody}

type (
	settingsKey struct{}
	traceKey    struct{}
)

func settingsOf(c *gin.Context) *settings {
	if v, ok := c.Get(settingsKey{}); ok {
		return v.(*settings)
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
	if v, ok := c.Get(traceKey{}); ok {
		return v.(string)
	}
	id := givenTrace(c)
	if id == "" {
		var b [16]byte
		var text [32]byte
		_, _ = rand.Read(b[:]) // never fails, since Go 1.24
		hex.Encode(text[:], b[:])
		id = string(text[:])
	}
	c.Set(traceKey{}, id)
	return id
}

func givenTrace(c *gin.Context) string {
	if c.Request == nil {
		return ""
	}
	// version "-" trace "-" parent "-" flags; https://www.w3.org/TR/trace-context/
	if given := c.GetHeader("Traceparent"); strings.Count(given, "-") >= 3 {
		trace := strings.Split(given, "-")[1]
		if len(trace) == 32 && strings.Trim(trace, "0123456789abcdef") == "" && strings.Trim(trace, "0") != "" {
			return trace
		}
	}
	for _, id := range []string{c.Writer.Header().Get("X-Request-ID"), c.GetHeader("X-Request-ID")} {
		if 0 < len(id) && len(id) <= 128 && strings.IndexFunc(id, notPlain) < 0 {
			return id
		}
	}
	return ""
}

func notPlain(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("._~:/+=-", r)
}
