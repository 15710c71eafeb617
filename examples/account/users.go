package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"strings"

	"github.com/interlock-go/interlock"
)

// user is what a read answers, and what every action answers after it.
type user struct {
	ID     string `json:"id"`
	Email  string `json:"email"`
	Name   string `json:"name"`
	Role   string `json:"role"`
	Status string `json:"status"`
}

const userColumns = `id, coalesce(email, ''), name, role, status`

func (u *user) scan(row interface{ Scan(...any) error }) error {
	return row.Scan(&u.ID, &u.Email, &u.Name, &u.Role, &u.Status)
}

// queries is a database or a transaction.
type queries interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}

// readUser returns sql.ErrNoRows where there is none.
func readUser(ctx context.Context, q queries, id string) (u user, err error) {
	err = u.scan(q.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
	return u, err
}

// listUsers is one of the application's own queries: it reads the status
// column as it always did.
func (a *app) listUsers(ctx context.Context, status string) ([]user, error) {
	rows, err := a.db.QueryContext(ctx, `SELECT `+userColumns+` FROM users WHERE $1 = '' OR status = $1 ORDER BY id`, status)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	users := []user{}
	for rows.Next() {
		var u user
		if err := u.scan(rows); err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, rows.Err()
}

// create makes the account and its instance in one transaction: there is never
// one without the other.
func (a *app) create(ctx context.Context, by interlock.Actor, u user) (user, error) {
	if u.ID == "" {
		u.ID = strings.ToLower(rand.Text())
	}
	req := interlock.CreateRequest{Machine: "account", ID: u.ID}
	_, v, err := interlock.CreateWith(ctx, a.gate, by, req, func(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
		// Where the id is taken, the gate itself says so after this.
		_, err := tx.ExecContext(ctx, `
			INSERT INTO users (id, email, name, role, status) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			t.Instance, normalEmail(u.Email), u.Name, u.Role, t.To)
		if err != nil {
			return nil, err
		}
		made, err := readUser(ctx, tx, t.Instance)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, errTaken // by somebody with another id
		}
		return made, err
	})
	if err != nil {
		return user{}, err
	}
	return v.(user), nil
}

// inviteByEmail invites whoever has this e-mail address. Somebody who was
// invited before stays the same user, with the new name and a new letter.
func (a *app) inviteByEmail(ctx context.Context, by interlock.Actor, u user) (user, error) {
	known, err := a.byEmail(ctx, u.Email)
	if errors.Is(err, sql.ErrNoRows) {
		if known, err = a.create(ctx, by, u); err != nil {
			if faster, err2 := a.byEmail(ctx, u.Email); err2 == nil { // somebody else made it meanwhile
				known, err = faster, nil
			}
		}
	}
	if err != nil {
		return user{}, err
	}
	req := interlock.Request{Machine: "account", ID: known.ID, Event: "invite"}
	_, v, err := interlock.Do(ctx, a.gate, by, req, func(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
		if u.Name != "" {
			if _, err := tx.ExecContext(ctx, `UPDATE users SET name = $1 WHERE id = $2`, u.Name, t.Instance); err != nil {
				return nil, err
			}
		}
		return effect(ctx, tx, t)
	})
	if err != nil {
		return user{}, err
	}
	return v.(user), nil
}

// setPassword is for the person alone: whoever was invited, before accepting,
// and whoever is active. A password is no business of the gate's: what a request
// gives to the gate, history keeps.
func (a *app) setPassword(ctx context.Context, by interlock.Actor, id, password string) error {
	if by.ID != id {
		return errNotYours
	}
	if len(password) < 8 {
		return errPassword
	}
	hash, err := hashPassword(password, a.rounds)
	if err != nil {
		return err
	}
	_, err = a.db.exec(ctx, `UPDATE users SET password_hash = $1 WHERE id = $2 AND status IN ('invited', 'active')`, hash, id)
	return err
}

func (a *app) byEmail(ctx context.Context, email string) (u user, err error) {
	err = u.scan(a.db.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE email = $1`, normalEmail(email)))
	return u, err
}

func normalEmail(email string) string { return strings.ToLower(strings.TrimSpace(email)) }
