package main

import (
	"context"
	"database/sql"
)

// administrators are told by this name.
const administrators = "administrators"

type message struct{ transition, to, text string }

// leave writes a message into the transition that it is about: either both are
// there, or neither.
func leave(ctx context.Context, tx *sql.Tx, m message) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO messages (transition, recipient, message) VALUES ($1, $2, $3)`, m.transition, m.to, m.text)
	return err
}

// send sends what waits. What can't be marked as sent is sent again rather than
// never; an invitation isn't kept once it was sent.
func (a *app) send(ctx context.Context) error {
	waiting, err := a.messages(ctx, `SELECT transition, recipient, message FROM messages WHERE NOT sent ORDER BY transition`)
	if err != nil {
		return err
	}
	for _, m := range waiting {
		a.tell(m.to, m.text)
		_, err := a.db.exec(ctx, `
			UPDATE messages SET sent = true, message = CASE WHEN recipient = $2 THEN message ELSE '' END WHERE transition = $1`,
			m.transition, administrators)
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) messages(ctx context.Context, query string, args ...any) ([]message, error) {
	rows, err := a.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []message
	for rows.Next() {
		var m message
		if err := rows.Scan(&m.transition, &m.to, &m.text); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}
