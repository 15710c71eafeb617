package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
)

// whoIs knows two credentials: the session of an active user, and the
// invitation of an invited one, which is good for accepting it and brings no role.
func (a *app) whoIs(c *gin.Context) (interlock.Actor, error) {
	token, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
	if !ok || token == "" {
		return interlock.Actor{}, nil
	}
	var id, role string
	err := a.db.QueryRowContext(c.Request.Context(), `
		SELECT u.id, u.role FROM users u JOIN sessions s ON s.user_id = u.id WHERE s.token_hash = $1 AND u.status = 'active'
		UNION ALL
		SELECT id, '' FROM users WHERE invitation_hash = $1 AND status = 'invited'`, hashToken(token)).Scan(&id, &role)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return interlock.Actor{}, nil
	case err != nil:
		return interlock.Actor{}, err
	case role == "":
		return interlock.Actor{ID: id}, nil
	}
	return interlock.Actor{ID: id, Roles: []string{role}}, nil
}

// login returns a session's token, or "" for whatever is wrong: who guesses
// learns nothing from the answer.
func (a *app) login(ctx context.Context, email, password string) (string, error) {
	var id, hash, status string
	var disabled bool
	err := a.db.QueryRowContext(ctx, `SELECT id, password_hash, password_disabled, status FROM users WHERE email = $1`,
		normalEmail(email)).Scan(&id, &hash, &disabled, &status)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !checkPassword(hash, password) {
		return "", a.wrongPassword(ctx, id)
	}
	if disabled || status != "active" {
		return "", nil
	}
	token := rand.Text()
	// The state is asked once more where the session is made: the account may
	// have been locked meanwhile.
	made, err := a.db.exec(ctx, `
		INSERT INTO sessions (token_hash, user_id) SELECT $1, id FROM users WHERE id = $2 AND status = 'active' AND NOT password_disabled`,
		hashToken(token), id)
	if err != nil {
		return "", err
	}
	if made == 0 {
		return "", nil
	}
	_, err = a.db.exec(ctx, `UPDATE users SET failed_logins = 0 WHERE id = $1 AND failed_logins > 0 AND status = 'active'`, id)
	return token, err
}

// wrongPassword counts, then asks the gate to lock. How many are too many is
// for the policy to say; its refusal is the usual answer.
func (a *app) wrongPassword(ctx context.Context, id string) error {
	counted, err := a.db.exec(ctx, `UPDATE users SET failed_logins = failed_logins + 1 WHERE id = $1 AND status = 'active'`, id)
	if err != nil || counted == 0 {
		return err
	}
	err = a.fire(ctx, interlock.SystemActor("", "login"), id, "lock")
	var no *interlock.Refusal
	if errors.As(err, &no) && no.Stage != interlock.StageUnavailable {
		return nil
	}
	return err
}
