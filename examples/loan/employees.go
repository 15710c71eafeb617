package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
)

// employee is a row of the application's own users.
type employee struct {
	id, person, role string
	limit            int64
	token            string // only to add one
}

// team is whom the demo knows. erin2 is a second account of the same human.
var team = []employee{
	{"erin", "erin", "employee", 50_000, "erin"},
	{"erin2", "erin", "employee", 50_000, "erin2"},
	{"evan", "evan", "employee", 50_000, "evan"},
	{"mark", "mark", "manager", 500_000, "mark"},
}

// seed makes the demo's team where there is nobody yet.
func (a *app) seed(ctx context.Context) error {
	var n int
	if err := a.db.QueryRowContext(ctx, `SELECT count(*) FROM employees`).Scan(&n); err != nil || n > 0 {
		return err
	}
	for _, e := range team {
		if err := a.addEmployee(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// addEmployee keeps the account and tells the gate its limit.
func (a *app) addEmployee(ctx context.Context, e employee) error {
	// A token is random, so a plain hash will do; a password needs a slow one.
	err := a.db.exec(ctx, `
		INSERT INTO employees (id, person, role, credit_limit, token_hash) VALUES ($1, $2, $3, $4, $5)`,
		e.id, e.person, e.role, e.limit, hash(e.token))
	if err != nil {
		return err
	}
	return a.setLimit(ctx, e.id, e.limit)
}

// setLimit tells the gate what an employee may approve. An attribute is read by
// policies and held fast by the commit: once this has returned, nothing is
// approved any more by the limit before.
func (a *app) setLimit(ctx context.Context, id string, limit int64) error {
	if err := a.db.exec(ctx, `UPDATE employees SET credit_limit = $1 WHERE id = $2`, limit, id); err != nil {
		return err
	}
	_, err := a.gate.SetActor(ctx, interlock.SystemActor("", "lending-desk"), id, map[string]any{"limit": limit}, nil)
	return err
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// whoIs says who asks, by the application's own users. Roles come from there on
// every request: who is no manager any more overrides nothing any more.
func (a *app) whoIs(c *gin.Context) (interlock.Actor, error) {
	id, token, ok := c.Request.BasicAuth()
	if !ok {
		return interlock.Actor{}, nil
	}
	var person, role, want string
	err := a.db.QueryRowContext(c.Request.Context(),
		`SELECT person, role, token_hash FROM employees WHERE id = $1`, id).Scan(&person, &role, &want)
	if errors.Is(err, sql.ErrNoRows) {
		return interlock.Actor{}, nil
	}
	if err != nil {
		return interlock.Actor{}, err
	}
	if subtle.ConstantTimeCompare([]byte(hash(token)), []byte(want)) != 1 {
		return interlock.Actor{}, nil
	}
	return interlock.Actor{ID: id, Person: person, Roles: []string{role}}, nil
}
