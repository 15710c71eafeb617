package main

import (
	"embed"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
	"github.com/interlock-go/interlock/policies"
)

//go:embed machines/*.yaml policies/*.rego
var definitions embed.FS

// app is the application: its own tables and users, and the gate through which
// every change of a status goes.
type app struct {
	db     *database
	users  *directory
	gate   *interlock.Gate
	memory *memory
	states states
	http.Handler
}

// newApp mounts everything. rules is nil for the embedded policies.
func newApp(db *database, rules interlock.Policy) (*app, error) {
	machines, err := fsm.LoadFS(definitions, "machines")
	if err != nil {
		return nil, err
	}
	if rules == nil {
		rules = policies.FS(definitions, "policies")
	}
	memory := newMemory()
	gate, err := interlock.New(interlock.Config{Machines: machines, Policy: rules, Store: db.store, Cache: memory})
	if err != nil {
		return nil, err
	}
	a := &app{db: db, users: &directory{db: db.read}, gate: gate, memory: memory, states: states{gate}}
	return a, a.routes()
}

func (a *app) routes() error {
	r := gin.New()
	r.Use(gin.Recovery())
	il := middleware.New(a.gate, middleware.Config{Actor: a.users.actor})
	for _, k := range kinds {
		m := moderated{a, k}
		r.GET("/"+k.path, il.Identify(), needs("MODERATOR"), m.list)
		r.POST("/"+k.path, il.Identify(), m.create)

		one := il.Group(r.Group("/"+k.path+"/:id"), k.machine)
		one.GET("", m.get)
		one.GET("/actions", il.Available())
		if k.publishes {
			one.POST("/actions", middleware.Do(il, "", m.apply))
		} else {
			one.POST("/actions", il.Fire())
		}
		one.GET("/can/:state", m.can)
		one.GET("/history", m.history)
	}
	r.GET("/states/:machine", a.showStates)
	r.GET("/catalogue", a.catalogue)
	a.Handler = r
	return il.Validate(r.Routes()...)
}

// showStates is the display data of a machine's states.
func (a *app) showStates(c *gin.Context) {
	all, ok := a.states.of(c.Param("machine"))
	if !ok {
		middleware.WriteProblem(c, &middleware.Problem{Status: http.StatusNotFound, Code: "not_found"})
		return
	}
	c.JSON(http.StatusOK, gin.H{"states": all})
}

// catalogue is what was published: names of parks and rides, addresses of photos.
func (a *app) catalogue(c *gin.Context) {
	body := gin.H{}
	for _, part := range []struct{ name, query string }{
		{"parks", `SELECT name FROM parks ORDER BY name`},
		{"rides", `SELECT name FROM rides ORDER BY name`},
		{"photos", `SELECT url FROM photos ORDER BY url`},
	} {
		list, err := a.db.texts(c.Request.Context(), part.query)
		if err != nil {
			middleware.WriteProblem(c, err)
			return
		}
		body[part.name] = list
	}
	c.JSON(http.StatusOK, body)
}
