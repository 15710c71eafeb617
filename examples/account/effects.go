package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"

	"github.com/interlock-go/interlock"
)

// fire passes the gate from within the application.
func (a *app) fire(ctx context.Context, by interlock.Actor, id, event string) error {
	_, _, err := interlock.Do(ctx, a.gate, by, interlock.Request{Machine: "account", ID: id, Event: event}, effect)
	return err
}

// effect is what an event changes besides the status, inside the gate's
// transaction: when it fails, the status isn't changed either. It answers the
// user as a read does.
func effect(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
	var err error
	switch t.Event {
	case "invite":
		err = invite(ctx, tx, t)
	case "activate":
		err = activate(ctx, tx, t)
	case "lock":
		err = lock(ctx, tx, t)
	case "unlock":
		_, err = tx.ExecContext(ctx, `UPDATE users SET password_disabled = false, failed_logins = 0 WHERE id = $1`, t.Instance)
	case "deactivate":
		err = disable(ctx, tx, t)
	case "delete":
		err = erase(ctx, tx, t)
	default:
		err = fmt.Errorf("event %s: the application doesn't say what it changes", t.Event)
	}
	if err != nil {
		return nil, err
	}
	return readUser(ctx, tx, t.Instance)
}

// invite makes a new invitation; the one before is worth nothing any more.
func invite(ctx context.Context, tx *sql.Tx, t interlock.Transition) error {
	token := rand.Text()
	if _, err := tx.ExecContext(ctx, `UPDATE users SET invitation_hash = $1 WHERE id = $2`, hashToken(token), t.Instance); err != nil {
		return err
	}
	u, err := readUser(ctx, tx, t.Instance)
	if err != nil {
		return err
	}
	return leave(ctx, tx, message{t.ID, u.Email, fmt.Sprintf("Welcome, %s. Your invitation: %s", u.Name, token)})
}

func activate(ctx context.Context, tx *sql.Tx, t interlock.Transition) error {
	done, err := tx.ExecContext(ctx, `
		UPDATE users SET password_disabled = false, failed_logins = 0, invitation_hash = '' WHERE id = $1 AND password_hash <> ''`, t.Instance)
	if err != nil {
		return err
	}
	rows, err := done.RowsAffected()
	if err == nil && rows == 0 {
		err = errNoPassword
	}
	return err
}

func lock(ctx context.Context, tx *sql.Tx, t interlock.Transition) error {
	if err := disable(ctx, tx, t); err != nil {
		return err
	}
	return leave(ctx, tx, message{t.ID, administrators, fmt.Sprintf("account %s was locked after too many wrong passwords", t.Instance)})
}

// disable ends every way in.
func disable(ctx context.Context, tx *sql.Tx, t interlock.Transition) error {
	if _, err := tx.ExecContext(ctx, `UPDATE users SET password_disabled = true WHERE id = $1`, t.Instance); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1`, t.Instance)
	return err
}

// erase keeps the row, for history speaks of it, and nothing of the person.
func erase(ctx context.Context, tx *sql.Tx, t interlock.Transition) error {
	if err := disable(ctx, tx, t); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE users SET email = NULL, name = '', password_hash = '', invitation_hash = '' WHERE id = $1`, t.Instance)
	return err
}
