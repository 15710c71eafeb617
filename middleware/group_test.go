package middleware

import (
	"context"
	"database/sql"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

func TestRoutesThatNeverPassTheGate(t *testing.T) {
	reached := false
	write := func(c *gin.Context) { reached = true; c.Status(200) }
	noop := func(context.Context, *sql.Tx, interlock.Transition) (any, error) { reached = true; return nil, nil }
	for name, test := range map[string]struct {
		declare func(a *app, g *Group)
		method  string
		path    string
		says    string
	}{
		"POST without a gate":   {func(_ *app, g *Group) { g.POST("/x", write) }, "POST", "/docs/d1/x", "POST /docs/:id/x: it may change something"},
		"PUT without a gate":    {func(_ *app, g *Group) { g.PUT("/x", write) }, "PUT", "/docs/d1/x", "PUT /docs/:id/x"},
		"PATCH without a gate":  {func(_ *app, g *Group) { g.PATCH("/x", write) }, "PATCH", "/docs/d1/x", "PATCH /docs/:id/x"},
		"DELETE without a gate": {func(_ *app, g *Group) { g.DELETE("", write) }, "DELETE", "/docs/d1", "DELETE /docs/:id:"},
		"other method":          {func(_ *app, g *Group) { g.Handle("PURGE", "/x", write) }, "PURGE", "/docs/d1/x", "PURGE /docs/:id/x"},
		"in a part":             {func(_ *app, g *Group) { g.Group("/sub").POST("/x", write) }, "POST", "/docs/d1/sub/x", "POST /docs/:id/sub/x"},
		"only reads":            {func(a *app, g *Group) { g.POST("/x", a.il.Available(), write) }, "POST", "/docs/d1/x", "never passes the gate"},
		"wrapped":               {func(a *app, g *Group) { h := a.il.Fire(); g.POST("/x", func(c *gin.Context) { h(c) }) }, "POST", "/docs/d1/x", "never passes the gate"},
		"no handler":            {func(_ *app, g *Group) { g.POST("/x") }, "POST", "/docs/d1/x", "a handler is missing"},
		"nil handler":           {func(_ *app, g *Group) { g.POST("/x", nil) }, "POST", "/docs/d1/x", "a handler is missing"},
		"no reason":             {func(a *app, g *Group) { g.POST("/x", a.il.Ungated(" "), write) }, "POST", "/docs/d1/x", "Gated and Ungated take the reason"},
		"no reason of its own":  {func(a *app, g *Group) { g.POST("/x", a.il.Gated(""), write) }, "POST", "/docs/d1/x", "Gated and Ungated take the reason"},
		"unknown event":         {func(a *app, g *Group) { g.POST("/x", a.il.FireEvent("explode")) }, "POST", "/docs/d1/x", `no event "explode"; it has send, touch, finish, route`},
		"unknown event of Do":   {func(a *app, g *Group) { g.POST("/x", Do(a.il, "Send", noop)) }, "POST", "/docs/d1/x", `no event "Send"`},
		"check with a note":     {func(a *app, g *Group) { g.PUT("/x", a.il.Check("finish"), write) }, "PUT", "/docs/d1/x", "takes a note"},
		"check of nothing":      {func(a *app, g *Group) { g.PUT("/x", write, a.il.Check("touch")) }, "PUT", "/docs/d1/x", "nothing follows it"},
		"fired by GET":          {func(a *app, g *Group) { g.GET("/x", a.il.FireEvent("send")) }, "GET", "/docs/d1/x", "use POST"},
		"done by HEAD":          {func(a *app, g *Group) { g.HEAD("/x", Do(a.il, "send", noop)) }, "HEAD", "/docs/d1/x", "use POST"},
		"created by GET":        {func(a *app, g *Group) { g.GET("/x", a.il.Create()) }, "GET", "/docs/d1/x", "use POST"},
		"body of a creation": {func(a *app, g *Group) {
			g.POST("/x", CreateWith(a.il, func(context.Context, *sql.Tx, interlock.Transition, string) (any, error) {
				reached = true
				return nil, nil
			}))
		}, "POST", "/docs/d1/x", "a string can't take; give a struct or a map"},
		"another's handler": {func(a *app, g *Group) { g.POST("/x", New(a.gate, Config{Actor: whoIs}).Fire()) }, "POST", "/docs/d1/x", "another Interlock"},
	} {
		t.Run(name, func(t *testing.T) {
			reached = false
			a := newApp(t, nil)
			g := a.il.Group(a.router.Group("/docs/:id"), "doc")
			test.declare(a, g)
			require.ErrorContains(t, a.il.Validate(), test.says)
			w := a.ask(test.method, test.path, "ann boss", "")
			assert.Equal(t, 500, w.Code)
			assert.Contains(t, w.Body.String(), `"code":"misconfigured"`)
			assert.NotContains(t, w.Body.String(), "gate;", "why stands in the log")
			assert.Contains(t, a.log.String(), "misconfigured")
			assert.False(t, reached)
			assert.Equal(t, "draft", a.state())
		})
	}
}

func TestMisconfigured(t *testing.T) {
	for name, test := range map[string]struct {
		build func(a *app) *Interlock
		says  string
	}{
		"no gate":  {func(*app) *Interlock { return New(nil, Config{Actor: whoIs}) }, "the gate is nil"},
		"no actor": {func(a *app) *Interlock { return New(a.gate, Config{}) }, "Config.Actor is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			il := test.build(a)
			docs := il.Group(a.router.Group("/docs/:id"), "doc")
			docs.POST("/send", il.FireEvent("send"))
			docs.GET("", func(c *gin.Context) { t.Error("reached") })
			a.router.GET("/me", il.Identify(), func(c *gin.Context) { t.Error("reached") })
			a.router.GET("/alone/:id", il.Available())
			require.ErrorContains(t, il.Validate(), test.says)
			is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 500, "misconfigured")
			is(t, a.ask("GET", "/docs/d1", "ann writer", ""), 500, "misconfigured")
			is(t, a.ask("GET", "/me", "ann writer", ""), 500, "misconfigured")
			is(t, a.ask("GET", "/alone/d1", "ann writer", ""), 500, "misconfigured")
		})
	}

	a := newApp(t, nil)
	docs := a.il.Group(a.router.Group("/docs/:id"), "dok")
	docs.POST("/send", a.il.FireEvent("send"))
	require.ErrorContains(t, a.il.Validate(), `no machine "dok"; it has doc`)
	is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 500, "misconfigured")

	// Hidden in a handler of the application's.
	a = newApp(t, nil)
	docs = a.il.Group(a.router.Group("/docs/:id"), "doc")
	other := New(a.gate, Config{Actor: func(*gin.Context) (interlock.Actor, error) {
		return interlock.Actor{ID: "any", Roles: []string{"boss"}}, nil
	}}).FireEvent("send")
	docs.POST("/send", a.il.Check("send"), func(c *gin.Context) { other(c) })
	require.NoError(t, a.il.Validate())
	is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 500, "misconfigured")
	assert.Equal(t, "draft", a.state())

	a = newApp(t, nil)
	docs = a.il.Group(a.router.Group("/docs/:doc"), "doc")
	docs.POST("/send", a.il.FireEvent("send"))
	require.ErrorContains(t, a.il.Validate(), "no :id in the path")
	is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 500, "misconfigured")
}

// TestRoutesPastTheGroup: one declared on the router itself is found when the
// engine's routes are given.
func TestRoutesPastTheGroup(t *testing.T) {
	a := newApp(t, nil)
	docs := a.il.Group(a.router.Group("/docs/:id"), "doc")
	docs.POST("/send", a.il.FireEvent("send"))
	a.router.GET("/docs/:id", func(c *gin.Context) { c.Status(200) })
	a.router.POST("/login", func(c *gin.Context) { c.Status(200) })
	a.router.POST("/docs", func(c *gin.Context) { c.Status(200) })
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	a.router.POST("/docs/:id/approve", func(c *gin.Context) { c.Status(200) })
	require.NoError(t, a.il.Validate())
	require.EqualError(t, a.il.Validate(a.router.Routes()...),
		"POST /docs/:id/approve: declared past its group, so nobody asks the gate; declare it with the Group, with Ungated if it changes no state")
}
