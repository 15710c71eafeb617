package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
)

// Config says how the gate is mounted. Actor is required.
type Config struct {
	// Actor says who asks, from the host's own login. An error, and an actor
	// without an ID, are answered 401; a [*Problem] or [*interlock.Refusal] as it
	// says. It is asked once a request.
	Actor func(*gin.Context) (interlock.Actor, error)

	// Represent makes the body that answers an event or a creation, so that it is just what the
	// application's own read returns; nil, or a nil value: the instance. It is
	// asked after the commit: on its error the instance is the answer, since what
	// happened has happened, and the error goes to the log.
	Represent func(*gin.Context, interlock.Instance) (any, error)

	// ErrorHandler may give another body for a problem; nil keeps it. The status
	// stays, and so does the refusal.
	ErrorHandler func(c *gin.Context, p *Problem, err error) any

	// Skipper: true means that the group doesn't ask who it is and that Check
	// doesn't ask the gate, for GET, HEAD and OPTIONS only. Other methods, and
	// handlers of the gate that need an actor, are never skipped.
	Skipper func(*gin.Context) bool

	Logger  *slog.Logger // nil: slog.Default()
	Param   string       // route parameter that holds the instance's id; "": "id"
	MaxBody int64        // of a request's body in bytes; 0: 64 KiB

	// ProblemBase precedes a problem's code in its type; "": "/problems/". Nothing
	// is served there unless the application does: with pages of its own made of
	// [Problems], or by the handler of package server, which has them. Or give the
	// address of pages elsewhere, such as "https://docs.example/problems/".
	ProblemBase string
}

// Interlock is a gate mounted in a Gin application. Make it with [New]; all
// routes are to be declared before the first request.
type Interlock struct {
	gate     *interlock.Gate
	cfg      Config
	settings *settings
	broken   error   // of the Config: every route answers 500
	own      uintptr // what a handler of ours is recognised by

	mu     sync.Mutex
	wrong  []error
	routes map[route]bool
	firing []firing
	bases  []string
}

type route struct{ method, path string }

type (
	actorKey struct{} // interlock.Actor in the request's context
	probeKey struct{} // *spec in the gin context: say what you are, don't serve
)

// New mounts the gate. It never fails: what is wrong is told by
// [Interlock.Validate], and until that is mended the routes concerned refuse.
func New(gate *interlock.Gate, cfg Config) *Interlock {
	il := &Interlock{gate: gate, cfg: cfg, routes: map[route]bool{}}
	if cfg.Param == "" {
		il.cfg.Param = "id"
	}
	il.settings = &settings{problemBase: cfg.ProblemBase, maxBody: cfg.MaxBody, logger: cfg.Logger, errorHandler: cfg.ErrorHandler}
	if gate != nil {
		il.settings.etag = gate.ETag
	}
	if cfg.ProblemBase == "" {
		il.settings.problemBase = defaultBase
	}
	if cfg.MaxBody <= 0 {
		il.settings.maxBody = defaultMaxBody
	}
	if gate == nil {
		il.broken = errors.New("middleware.New: the gate is nil; give the one from interlock.New")
	}
	if cfg.Actor == nil {
		il.broken = errors.Join(il.broken, errors.New("middleware.Config.Actor is nil; give a function that says who asks"))
	}
	il.own = codeOf(il.handler(spec{}, nil))
	return il
}

// Validate returns everything that is wrong with the mount, nil when nothing is;
// call it before the application runs. With the engine's routes it also finds
// those below a group that were declared past it:
//
//	if err := il.Validate(r.Routes()...); err != nil {
//		log.Fatal(err)
//	}
func (il *Interlock) Validate(routes ...gin.RouteInfo) error {
	il.mu.Lock()
	defer il.mu.Unlock()
	wrong := append([]error{il.broken}, il.wrong...)
	wrong = append(wrong, il.walksAround()...)
	for _, r := range routes {
		if safe(r.Method) || il.routes[route{r.Method, r.Path}] {
			continue
		}
		for _, base := range il.bases {
			if base != "/" && below(r.Path, base) {
				wrong = append(wrong, fmt.Errorf("%s %s: declared past its group, so nobody asks the gate; declare it with the Group, with Ungated if it changes no state", r.Method, r.Path))
				break
			}
		}
	}
	return errors.Join(wrong...)
}

// Identify asks who it is for routes outside of a [Group], and answers 401 to nobody.
func (il *Interlock) Identify() gin.HandlerFunc {
	return func(c *gin.Context) { il.enter(c, nil) }
}

// ActorFrom returns who asks, behind [Interlock.Identify] or in a [Group]. ctx
// is a request's context or a *gin.Context.
func ActorFrom(ctx context.Context) (interlock.Actor, bool) {
	if c, ok := ctx.(*gin.Context); ok {
		if v := visitOf(c); v != nil {
			return v.actor, v.known
		}
		return interlock.Actor{}, false
	}
	a, ok := ctx.Value(actorKey{}).(interlock.Actor)
	return a, ok
}

// enter begins a request: settings for answers, the group, who asks.
func (il *Interlock) enter(c *gin.Context, g *Group) {
	v := visiting(c, il.settings)
	err := il.broken
	if g != nil {
		v.group = g
		err = errors.Join(err, g.broken)
	}
	if err != nil {
		WriteProblem(c, misconfigured(err))
		return
	}
	if !il.skips(c) {
		il.identify(c, v)
	}
}

func (il *Interlock) skips(c *gin.Context) bool {
	return il.cfg.Skipper != nil && safe(c.Request.Method) && il.cfg.Skipper(c)
}

// identify asks the host once a request. false: it has been answered.
func (il *Interlock) identify(c *gin.Context, v *visit) (interlock.Actor, bool) {
	if v.known {
		return v.actor, true
	}
	a, err := il.cfg.Actor(c)
	switch {
	case c.Writer.Written():
		c.Abort() // the host has answered itself
		return a, false
	case c.IsAborted() && err == nil:
		err = errors.New("Config.Actor aborted the request")
		fallthrough
	case err != nil:
		WriteProblem(c, nobody(err))
		return a, false
	case a.ID == "":
		WriteProblem(c, nobody(errors.New("Config.Actor gave an actor without an ID")))
		return a, false
	case a.Kind == interlock.System:
		// It passes rules that are meant for the host's own jobs.
		WriteProblem(c, nobody(errors.New("Config.Actor gave an actor of kind system, which no request may be")))
		return a, false
	}
	v.actor, v.known = a, true
	v.Context = c.Request.Context()
	if uncached(c.Request.Header) {
		v.Context = interlock.Strong(v.Context)
	}
	c.Request = c.Request.WithContext(v)
	return a, true
}

// uncached tells that the caller wants nothing that was kept (RFC 9111, 5.2.1.4
// and 5.2.1.1), as a browser does on a forced reload.
func uncached(h http.Header) bool {
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
			seconds, err := strconv.Atoi(strings.Trim(value, `"`))
			if name == "no-cache" || name == "max-age" && err == nil && seconds == 0 {
				return true
			}
		}
	}
	return false
}

func nobody(err error) error {
	var p *Problem
	var r *interlock.Refusal
	if errors.As(err, &p) || errors.As(err, &r) {
		return err
	}
	return &interlock.Refusal{Stage: interlock.StageIdentity, Code: "unauthenticated", Message: "The request doesn't say who asks, or not in a way that can be trusted.", Cause: err}
}

func misconfigured(err error) *Problem { return &Problem{Code: codeMisconfigured, Cause: err} }

// spec is what a handler of ours is.
type spec struct {
	il    *Interlock
	kind  kindOfHandler
	event string // "" when the request names it
	does  bool   // fires by Do
	why   string // of Gated and Ungated
	wrong error  // of its making
}

type kindOfHandler int

const (
	reads kindOfHandler = iota
	fires
	creates
	checks
	gated
	ungated
)

// handler makes every handler of ours from one function literal, by whose code a
// [Group] recognises them; inlined, the literal would be there several times.
//
//go:noinline
func (il *Interlock) handler(s spec, serve func(*gin.Context, *Group, interlock.Actor)) gin.HandlerFunc {
	s.il = il
	return func(c *gin.Context) {
		v := visitOf(c)
		if v == nil {
			if p, ok := c.Get(probeKey{}); ok {
				*p.(*spec) = s
				return
			}
		}
		if v == nil || v.group == nil || v.group.il != il {
			visiting(c, il.settings)
			WriteProblem(c, misconfigured(errors.Join(il.broken, fmt.Errorf("%s: a handler of the gate outside of a Group of the same Interlock", c.FullPath()))))
			return
		}
		if s.kind == gated || s.kind == ungated || s.kind == checks && il.skips(c) {
			return
		}
		if actor, ok := il.identify(c, v); ok {
			serve(c, v.group, actor)
		}
	}
}

func codeOf(h gin.HandlerFunc) uintptr { return reflect.ValueOf(h).Pointer() }

// specOf asks a handler what it is; only ours are asked.
func (il *Interlock) specOf(h gin.HandlerFunc) (spec, bool) {
	var s spec
	if h == nil || codeOf(h) != il.own {
		return s, false
	}
	c := &gin.Context{}
	c.Set(probeKey{}, &s)
	h(c)
	return s, true
}
