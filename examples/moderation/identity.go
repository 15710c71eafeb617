package main

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/middleware"
)

// ranks are the application's roles; each includes those before it.
var ranks = []string{"USER", "MODERATOR", "ADMIN", "SUPERUSER"}

// including are the roles that a rank includes, itself too; none for a rank that isn't one.
func including(rank string) []string { return ranks[:slices.Index(ranks, rank)+1] }

// directory holds the application's users. They are read from its own table
// once and kept: who may do what costs no query.
type directory struct {
	db    *sql.DB
	users sync.Map // id → rank
	reads atomic.Int64
}

var errNobody = errors.New("unknown user")

func (d *directory) rank(ctx context.Context, id string) (string, error) {
	if rank, ok := d.users.Load(id); ok {
		return rank.(string), nil
	}
	d.reads.Add(1)
	var rank string
	err := d.db.QueryRowContext(ctx, `SELECT role FROM users WHERE id = $1`, id).Scan(&rank)
	if errors.Is(err, sql.ErrNoRows) {
		return "", errNobody
	}
	if err == nil {
		d.users.Store(id, rank)
	}
	return rank, err
}

// forget makes the next request read the user again: to be called by whatever
// changes a role.
func (d *directory) forget(id string) { d.users.Delete(id) }

// actor says who asks: here by a header, in place of the application's session.
func (d *directory) actor(c *gin.Context) (interlock.Actor, error) {
	id := c.GetHeader("X-User")
	if id == "" {
		return interlock.Actor{}, errNobody
	}
	rank, err := d.rank(c.Request.Context(), id)
	switch {
	case errors.Is(err, errNobody):
		return interlock.Actor{}, err
	case err != nil: // can't tell: not the same as nobody
		return interlock.Actor{}, &middleware.Problem{Status: http.StatusServiceUnavailable, Code: "store_failed", Cause: err}
	}
	return interlock.Actor{ID: id, Roles: including(rank)}, nil
}

// needs guards a route of the application's own that only reads, behind Identify.
func needs(role string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if actor, _ := middleware.ActorFrom(c); !slices.Contains(actor.Roles, role) {
			middleware.WriteProblem(c, &middleware.Problem{Status: http.StatusForbidden, Code: "denied", Detail: "Needs role " + role})
		}
	}
}
