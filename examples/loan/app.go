package main

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
	"github.com/interlock-go/interlock/policies"
)

//go:embed loan.yaml
var machineYAML []byte

//go:embed policies
var policyFiles embed.FS

// config makes an app.
type config struct {
	db       string        // a SQLite file, or a postgres:// URL
	patience time.Duration // with one decision of the policy; 0 is the library's
}

// app is the lending desk. It is an http.Handler; the caller closes it.
type app struct {
	http.Handler
	db      *database
	machine *fsm.Machine
	gate    *interlock.Gate
}

// newApp opens the database and mounts the gate on the application's own table.
func newApp(ctx context.Context, cfg config) (*app, error) {
	machine, err := fsm.Parse("loan.yaml", machineYAML)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, cfg.db)
	if err != nil {
		return nil, err
	}
	gate, err := interlock.New(interlock.Config{
		Machines:      []*fsm.Machine{machine},
		Policy:        policies.FS(policyFiles, "policies", policies.Timeout(cfg.patience)),
		PolicyTimeout: cfg.patience,
		Store:         db.store,
	})
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	a := &app{db: db, machine: machine, gate: gate}
	if a.Handler, err = a.routes(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close ends the gate, then the database.
func (a *app) Close() error {
	return errors.Join(a.gate.Close(context.Background()), a.db.close())
}

func (a *app) routes() (http.Handler, error) {
	il := middleware.New(a.gate, middleware.Config{Actor: a.whoIs})
	r := gin.New()
	r.Use(gin.Recovery())
	r.HandleMethodNotAllowed = true

	desk := il.Group(r.Group("/loans"), "loan") // knows its routes: one that could change a loan past the gate is an error
	desk.GET("", a.list)
	desk.POST("", middleware.CreateWith(il, insert)) // the caller gives it its number

	loans := desk.Group("/:id")
	loans.GET("", a.read)
	loans.PATCH("", il.Ungated("the amount is the desk's own column, and no state"), a.edit)
	loans.GET("/actions", il.Available())
	loans.POST("/actions", middleware.Do(il, "", settle)) // the body names the event
	loans.GET("/history", il.History())
	loans.GET("/form", a.showForm)
	loans.POST("/form", il.Gated("its answer is a page"), a.submitForm)

	// A browser sends the desk's credentials along with whatever page asks it to.
	return http.NewCrossOriginProtection().Handler(r), il.Validate(r.Routes()...)
}
