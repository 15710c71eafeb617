package server

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/middleware"
)

// Config makes a [Server]. Gate is required, and Identity or Headers.
//
// The API fires events by [interlock.Gate.Fire]: it knows no handlers, neither those of
// [interlock.Do] nor those of [middleware.Do] on the same gate, and commits such an
// event without them. Where an event has one, nobody who reaches the API may fire
// it: let its `requires` name a role that the application alone vouches for.
type Config struct {
	Gate *interlock.Gate

	// Identity tells who asks. ErrNoCredentials and other errors are 401, a
	// *interlock.Refusal is answered as it says (an identity provider that is
	// down: unavailable). An actor of the kind system is refused: no caller from
	// outside is the system.
	Identity func(*http.Request) (interlock.Actor, error)

	// Headers also believes a proxy that has proved who it is; nil: no header.
	Headers *HeaderConfig

	// APIKeys also takes the gate's API keys (`Authorization: Bearer il_…`), and has
	// the addresses that add, list and revoke them. Its store must be an
	// interlock.APIKeyStore.
	APIKeys bool

	// Ready are asked by /readyz, each for at most 2 s, all of them at most once a
	// second. What they ask for shouldn't be a place among the requests' own, such
	// as a connection of the pool: readiness answers under full load, too.
	Ready   []Check
	Metrics *Metrics     // nil: nothing is counted
	Logger  *slog.Logger // nil: slog.Default()

	// Overload: so many requests are worked on at once (0: 256), so many more wait
	// (0: 256, negative: none), each for at most WaitLimit (0: 1 s); others are
	// answered 503 `busy` with Retry-After. /healthz and /readyz need no place.
	MaxInFlight, MaxWaiting int
	WaitLimit               time.Duration

	DrainTimeout time.Duration // that requests get to finish when the server stops; 0: 10 s

	// CursorKey seals the cursors of pages; 32 bytes or more. nil: a random one,
	// so that cursors end with the process. Servers behind one balancer need the same.
	CursorKey []byte

	// Checkpoints are the signed notes of history, oldest first, for GET
	// /v1/audit/checkpoints; nil: there are none.
	Checkpoints func(context.Context) ([]string, error)
}

// Check is one part that must work for the server to be ready. Its error is
// logged, never told.
type Check struct {
	Name string
	Ask  func(context.Context) error
}

// Server answers the HTTP API. Make it with [New]. It is safe for concurrent use.
type Server struct {
	gate     *interlock.Gate
	identity func(*http.Request) (interlock.Actor, error)
	proxies  *headerIdentity // nil: none
	apiKeys  bool
	ready    []Check
	metrics  *Metrics
	log      *slog.Logger
	cursors  cipher.AEAD
	document *document
	engine   *gin.Engine

	checkpoints func(context.Context) ([]string, error)

	probed   probe
	places   *admission
	limits   limits
	draining atomic.Bool
	inFlight atomic.Int64
}

// New makes a server; an error says what the Config lacks.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Gate == nil:
		return nil, errors.New("server: Config.Gate is missing")
	case cfg.Identity == nil && cfg.Headers == nil:
		return nil, errors.New("server: Config.Identity is missing: say who asks, for instance with server.OpenTokens")
	}
	for i, check := range cfg.Ready {
		if check.Name == "" || check.Ask == nil {
			return nil, fmt.Errorf("server: Config.Ready[%d] needs a Name and a function Ask", i)
		}
	}
	proxies, err := newHeaderIdentity(cfg.Headers)
	if err != nil {
		return nil, fmt.Errorf("server: Config.Headers: %w", err)
	}
	cursors, err := sealer(cfg.CursorKey)
	if err != nil {
		return nil, fmt.Errorf("server: Config.CursorKey: %w", err)
	}
	doc, err := parseDocument()
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s := &Server{
		gate: cfg.Gate, identity: cfg.Identity, proxies: proxies, apiKeys: cfg.APIKeys, ready: cfg.Ready, metrics: cfg.Metrics,
		log: cfg.Logger, cursors: cursors, document: doc, checkpoints: cfg.Checkpoints,
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.places, s.limits = newAdmission(cfg.MaxInFlight, cfg.MaxWaiting, cfg.WaitLimit), standardLimits
	if cfg.DrainTimeout > 0 {
		s.limits.drain = cfg.DrainTimeout
	}
	if s.metrics != nil {
		s.metrics.Know(cfg.Gate)
	}
	s.engine = s.routes()
	return s, nil
}

// Handler answers every route. [Server.Serve] adds the time-outs and limits that
// a listener needs; who mounts the handler elsewhere sets them there.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

func (s *Server) routes() *gin.Engine {
	e := gin.New()
	e.UseRawPath = true
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	e.HandleMethodNotAllowed = true
	e.ContextWithFallback = false
	e.ForwardedByClientIP = false
	e.Use(s.observe, s.headers, s.recover, s.admit)
	e.NoRoute(s.noRoute)
	e.NoMethod(s.noMethod)

	e.GET("/healthz", s.open(s.health))
	e.GET("/readyz", s.open(s.readiness))
	e.GET("/openapi.json", s.open(s.openAPI))
	e.GET("/docs", s.open(s.docs))
	e.GET("/problems/:code", s.open(s.problemPage))

	il := middleware.New(s.gate, middleware.Config{Actor: s.identify, Logger: s.log})
	v1 := e.Group("/v1", il.Identify())
	v1.GET("/machines", s.as(s.listMachines))
	v1.GET("/machines/:machine", s.as(s.getMachine))
	v1.GET("/machines/:machine/graph", s.as(s.drawMachine))
	v1.GET("/machines/:machine/instances", s.as(s.listInstances))
	v1.POST("/machines/:machine/instances", s.as(s.createInstance))
	v1.GET("/machines/:machine/instances/:id", s.as(s.getInstance))
	v1.GET("/machines/:machine/instances/:id/events", s.as(s.listEvents))
	v1.POST("/machines/:machine/instances/:id/events", s.as(s.fireEvent))
	v1.PATCH("/machines/:machine/instances/:id/facts", s.as(s.editFacts))
	v1.GET("/machines/:machine/instances/:id/history", s.as(s.getHistory))
	v1.GET("/machines/:machine/instances/:id/explain", s.as(s.explain))
	v1.POST("/available", s.as(s.listAvailable))
	v1.GET("/actors/:id", s.as(s.getActor))
	v1.PATCH("/actors/:id", s.as(s.patchActor))
	v1.PUT("/actors/:id/roles/:role", s.as(s.grantRole))
	v1.DELETE("/actors/:id/roles/:role", s.as(s.revokeRole))
	if s.apiKeys {
		v1.GET("/keys", s.as(s.listKeys))
		v1.POST("/keys", s.as(s.addKey))
		v1.DELETE("/keys/:id", s.as(s.revokeKey))
	}
	v1.GET("/audit", s.as(s.audit))
	v1.GET("/audit/checkpoints", s.as(s.listCheckpoints))
	v1.POST("/audit/erasures", s.as(s.erase))
	return e
}
