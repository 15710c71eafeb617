package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/http"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/middleware"
)

// apply is what belongs to an event besides the new status, in the transaction
// that commits it.
func (m moderated) apply(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
	switch {
	case t.To != "APPROVED":
		return nil, nil
	case m.machine == "photo-submission":
		return m.publishPhoto(ctx, tx, t)
	}
	return m.publishEdit(ctx, tx, t)
}

// publishEdit makes the park or ride that a submission proposes. Where it can't
// be made, the submission isn't approved.
func (m moderated) publishEdit(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
	var proposes, name, park string
	err := tx.QueryRowContext(ctx, `SELECT proposes, name, park FROM edit_submissions WHERE id = $1`, t.Instance).Scan(&proposes, &name, &park)
	if err != nil {
		return nil, err
	}
	switch proposes {
	case "park":
		if exists, err := parkExists(ctx, tx, name); err != nil || exists {
			return nil, cmp.Or(err, conflict("there is a park %q already", name))
		}
		return nil, publish(ctx, tx, t, `INSERT INTO parks (id, name) VALUES ($1, $2)`, name)
	case "ride":
		if exists, err := parkExists(ctx, tx, park); err != nil || !exists {
			return nil, cmp.Or(err, conflict("there is no park %q", park))
		}
		return nil, publish(ctx, tx, t, `INSERT INTO rides (id, name, park) VALUES ($1, $2, $3)`, name, park)
	}
	return nil, conflict("nobody knows how to make a %q", proposes)
}

func (m moderated) publishPhoto(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
	var url, park string
	err := tx.QueryRowContext(ctx, `SELECT url, park FROM photo_submissions WHERE id = $1`, t.Instance).Scan(&url, &park)
	if err != nil {
		return nil, err
	}
	if exists, err := parkExists(ctx, tx, park); err != nil || !exists {
		return nil, cmp.Or(err, conflict("there is no park %q", park))
	}
	return nil, publish(ctx, tx, t, `INSERT INTO photos (id, url, park) VALUES ($1, $2, $3)`, url, park)
}

// publish inserts what was proposed, under the submission's id.
func publish(ctx context.Context, tx *sql.Tx, t interlock.Transition, query string, values ...any) error {
	_, err := tx.ExecContext(ctx, query, append([]any{t.Instance}, values...)...)
	return err
}

func parkExists(ctx context.Context, tx *sql.Tx, park string) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM parks WHERE name = $1`, park).Scan(&n)
	return n > 0, err
}

func conflict(format string, args ...any) error {
	return &middleware.Problem{Status: http.StatusConflict, Code: "cannot_publish", Title: "What it proposes can't be made", Detail: fmt.Sprintf(format, args...)}
}
