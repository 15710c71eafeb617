package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock/fsm"
)

// Group declares the routes of one machine, and knows them: one that may change
// something (any method but GET, HEAD and OPTIONS) without a handler of the gate
// in its chain is an error of [Interlock.Validate], and answers 500. Each
// request of the group is asked who it is.
type Group struct {
	il      *Interlock
	rg      *gin.RouterGroup
	machine string
	broken  error
}

// Group mounts the machine, by name or slug, under a router group. The group's
// own handlers (the host's login, say) run first.
func (il *Interlock) Group(rg *gin.RouterGroup, machine string) *Group {
	g := &Group{il: il, machine: machine}
	if il.gate != nil {
		if m, ok := il.gate.Machine(machine); ok {
			g.machine = m.Name()
		} else {
			var names []string
			for _, m := range il.gate.Machines() {
				names = append(names, m.Name())
			}
			g.broken = fmt.Errorf("group %s: the gate has no machine %q; it has %s", rg.BasePath(), machine, strings.Join(names, ", "))
		}
	}
	g.rg = rg.Group("", func(c *gin.Context) { il.enter(c, g) })
	il.mu.Lock()
	defer il.mu.Unlock()
	il.bases = append(il.bases, g.rg.BasePath())
	if g.broken != nil {
		il.wrong = append(il.wrong, g.broken)
	}
	return g
}

// Group is a part of the group, with a path and handlers of its own.
func (g *Group) Group(relative string, handlers ...gin.HandlerFunc) *Group {
	return &Group{il: g.il, rg: g.rg.Group(relative, handlers...), machine: g.machine, broken: g.broken}
}

// Use adds handlers to the routes declared from now on.
func (g *Group) Use(handlers ...gin.HandlerFunc) { g.rg.Use(handlers...) }

// GET declares a route that reads.
func (g *Group) GET(relative string, handlers ...gin.HandlerFunc) {
	g.Handle(http.MethodGet, relative, handlers...)
}

// HEAD declares a route that reads.
func (g *Group) HEAD(relative string, handlers ...gin.HandlerFunc) {
	g.Handle(http.MethodHead, relative, handlers...)
}

// POST declares a route that passes the gate.
func (g *Group) POST(relative string, handlers ...gin.HandlerFunc) {
	g.Handle(http.MethodPost, relative, handlers...)
}

// PUT declares a route that passes the gate.
func (g *Group) PUT(relative string, handlers ...gin.HandlerFunc) {
	g.Handle(http.MethodPut, relative, handlers...)
}

// PATCH declares a route that passes the gate.
func (g *Group) PATCH(relative string, handlers ...gin.HandlerFunc) {
	g.Handle(http.MethodPatch, relative, handlers...)
}

// DELETE declares a route that passes the gate.
func (g *Group) DELETE(relative string, handlers ...gin.HandlerFunc) {
	g.Handle(http.MethodDelete, relative, handlers...)
}

// Handle declares a route of any method.
func (g *Group) Handle(method, relative string, handlers ...gin.HandlerFunc) {
	full := g.path(relative)
	if err := g.check(method, full, handlers); err != nil {
		err = fmt.Errorf("%s %s: %w", method, full, err)
		g.il.mu.Lock()
		g.il.wrong = append(g.il.wrong, err)
		g.il.mu.Unlock()
		handlers = []gin.HandlerFunc{func(c *gin.Context) { WriteProblem(c, misconfigured(err)) }}
	}
	g.il.mu.Lock()
	g.il.routes[route{method, full}] = true
	g.il.mu.Unlock()
	g.rg.Handle(method, relative, handlers...)
}

// path joins as Gin does.
func (g *Group) path(relative string) string {
	if relative == "" {
		return g.rg.BasePath()
	}
	full := path.Join(g.rg.BasePath(), relative)
	if strings.HasSuffix(relative, "/") && full != "/" {
		full += "/"
	}
	return full
}

// check looks at a route's whole chain, the group's handlers included.
func (g *Group) check(method, full string, handlers []gin.HandlerFunc) error {
	if len(handlers) == 0 || slices.ContainsFunc(handlers, func(h gin.HandlerFunc) bool { return h == nil }) {
		return errors.New("a handler is missing")
	}
	chain := append(slices.Clip(g.rg.Handlers), handlers...)
	passes := false
	var wrong []error
	for i, h := range chain {
		s, ours := g.il.specOf(h)
		if !ours {
			continue
		}
		passes = passes || s.kind != reads
		if s.kind == fires && s.il == g.il {
			g.il.mu.Lock()
			g.il.firing = append(g.il.firing, firing{g.machine, s.event, s.does, method + " " + full})
			g.il.mu.Unlock()
		}
		wrong = append(wrong, g.checkHandler(s, method, full, i == len(chain)-1))
	}
	if !safe(method) && !passes {
		wrong = append(wrong, errors.New("it may change something and never passes the gate; "+
			"add Fire, FireEvent, Do, Create or Check, Gated where the handler asks the gate itself, or Ungated with the reason"))
	}
	return errors.Join(wrong...)
}

func (g *Group) checkHandler(s spec, method, full string, last bool) error {
	if s.il != g.il {
		return errors.New("a handler of another Interlock")
	}
	if s.wrong != nil {
		return s.wrong
	}
	if s.kind == gated || s.kind == ungated {
		if strings.TrimSpace(s.why) == "" {
			return errors.New("Gated and Ungated take the reason")
		}
		return nil
	}
	var wrong []error
	if s.kind == creates {
		if safe(method) {
			return errors.New("nothing is created by a method that only reads; use POST")
		}
		return nil
	}
	if !slices.Contains(strings.Split(full, "/"), ":"+g.il.cfg.Param) {
		wrong = append(wrong, fmt.Errorf("no :%s in the path, which instance is it about? (Config.Param)", g.il.cfg.Param))
	}
	if s.kind == fires && safe(method) {
		wrong = append(wrong, errors.New("an event is never fired by a method that only reads; use POST"))
	}
	if s.kind == checks && last {
		wrong = append(wrong, errors.New("Check comes before what it guards, and nothing follows it"))
	}
	return errors.Join(append(wrong, g.checkEvent(s))...)
}

func (g *Group) checkEvent(s spec) error {
	if s.event == "" || g.il.gate == nil {
		return nil
	}
	m, ok := g.il.gate.Machine(g.machine)
	if !ok {
		return nil // said once, by the group
	}
	id, ok := m.EventByName(s.event)
	if !ok {
		var names []string
		for _, e := range m.Events() {
			names = append(names, e.Name)
		}
		return fmt.Errorf("machine %s has no event %q; it has %s", g.machine, s.event, strings.Join(names, ", "))
	}
	if s.kind == checks && m.Event(id).Note == fsm.NoteRequired {
		return fmt.Errorf("event %s takes a note, which Check can't give and would always refuse; use Do", s.event)
	}
	return nil
}

// safe tells the methods that change nothing (RFC 9110, 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || method == http.MethodTrace
}

func below(full, base string) bool {
	base = strings.TrimSuffix(base, "/")
	return full == base || strings.HasPrefix(full, base+"/")
}
