package main

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
	"github.com/interlock-go/interlock/policies"
)

//go:embed account.yaml
var machineYAML []byte

//go:embed policies
var policyFiles embed.FS

// config makes an app.
type config struct {
	db       string                // a SQLite file, or a postgres:// URL
	patience time.Duration         // with one decision of the policy; 0 is the library's
	rounds   int                   // of hashing a password
	tell     func(to, text string) // sends a message to an address, or to "administrators"
}

// app is the user administration. It is an http.Handler; the caller closes it.
type app struct {
	http.Handler
	config
	db   *database
	gate *interlock.Gate
}

// newApp opens the database and mounts the gate on the application's own table.
func newApp(ctx context.Context, cfg config) (*app, error) {
	machine, err := fsm.Parse("account.yaml", machineYAML)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, cfg.db)
	if err != nil {
		return nil, err
	}
	a := &app{config: cfg, db: db}
	a.gate, err = interlock.New(interlock.Config{
		Machines:      []*fsm.Machine{machine},
		Policy:        policies.FS(policyFiles, "policies", policies.Timeout(cfg.patience)),
		PolicyTimeout: cfg.patience,
		Store:         db.store,
		After:         []func(context.Context, interlock.Transition){a.afterwards},
	})
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	if a.Handler, err = a.routes(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close ends the gate, then the database.
func (a *app) Close() error {
	return errors.Join(a.gate.Close(context.Background()), a.db.close())
}

// afterwards is told of each commit. It can change nothing any more: it sends
// what the transaction left to be sent.
func (a *app) afterwards(ctx context.Context, t interlock.Transition) {
	if err := a.send(context.WithoutCancel(ctx)); err != nil {
		slog.ErrorContext(ctx, "a message could not be sent; it is sent after the next change, or at the next start", "error", err)
	}
}

func (a *app) routes() (http.Handler, error) {
	il := middleware.New(a.gate, middleware.Config{Actor: a.whoIs})
	r := gin.New()
	r.Use(gin.Recovery())
	r.HandleMethodNotAllowed = true

	r.POST("/login", a.postLogin)
	staff := r.Group("", il.Identify())
	staff.POST("/users", a.postUser)
	staff.POST("/invitations", a.postInvitation)
	staff.GET("/users", admins, a.getUsers)
	staff.GET("/notices", admins, a.getNotices)

	accounts := il.Group(staff.Group("/users/:id"), "account") // knows its routes: one that could change an account past the gate is an error
	accounts.GET("", a.getUser)
	accounts.PUT("/password", il.Ungated("a password is no state"), a.putPassword)
	accounts.GET("/actions", il.Available())
	accounts.POST("/actions", middleware.Do(il, "", effect)) // the body names the event
	accounts.GET("/history", il.History())
	return r, il.Validate(r.Routes()...)
}
