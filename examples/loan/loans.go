package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/interlock-go/interlock"
)

// loan is a row of the application's own table.
type loan struct {
	ID        string `json:"id"`
	Applicant string `json:"applicant"`
	Amount    int64  `json:"amount"`
	Status    string `json:"status"`
}

const loanColumns = `id, applicant, amount, status`

func (l *loan) scan(row interface{ Scan(...any) error }) error {
	return row.Scan(&l.ID, &l.Applicant, &l.Amount, &l.Status)
}

// queries is a database or a transaction.
type queries interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// readLoan returns sql.ErrNoRows where there is none.
func readLoan(ctx context.Context, q queries, id string) (l loan, err error) {
	err = l.scan(q.QueryRowContext(ctx, `SELECT `+loanColumns+` FROM loans WHERE id = $1`, id))
	return l, err
}

// listLoans is one of the application's own queries: it reads the status column
// as it always did.
func (a *app) listLoans(ctx context.Context, status string) ([]loan, error) {
	rows, err := a.db.QueryContext(ctx, `SELECT `+loanColumns+` FROM loans WHERE $1 = '' OR status = $1 ORDER BY id`, status)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	loans := []loan{}
	for rows.Next() {
		var l loan
		if err := l.scan(rows); err != nil {
			return nil, err
		}
		loans = append(loans, l)
	}
	return loans, rows.Err()
}

// application is what a body that opens a loan says besides the id.
type application struct {
	Applicant string `json:"applicant"`
	Amount    int64  `json:"amount"`
}

// insert writes the application's row, in the transaction that makes the
// instance. The amount is not given to the gate: it reads the column.
func insert(ctx context.Context, tx *sql.Tx, t interlock.Transition, in application) (any, error) {
	if in.Amount < 0 {
		return nil, errAmount
	}
	// Where the id is taken, the gate itself says so after this.
	if _, err := tx.ExecContext(ctx, `INSERT INTO loans (id, applicant, amount, status) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		t.Instance, in.Applicant, in.Amount, t.To); err != nil {
		return nil, err
	}
	return readLoan(ctx, tx, t.Instance)
}

// setAmount changes the amount in the states in which the machine lets facts be
// edited. The status stands in the statement, and the gate commits only on the
// amount that its decision saw: neither can slip past the other.
func (a *app) setAmount(ctx context.Context, by interlock.Actor, id string, amount int64) (l loan, err error) {
	if amount < 0 {
		return loan{}, errAmount
	}
	err = a.db.write(ctx, func(tx *sql.Tx) error {
		changed := false
		for _, state := range a.machine.FactsEdit().States {
			done, err := tx.ExecContext(ctx, `UPDATE loans SET amount = $1 WHERE id = $2 AND status = $3`,
				amount, id, a.machine.State(state).Name)
			if err != nil {
				return err
			}
			rows, err := done.RowsAffected()
			if err != nil {
				return err
			}
			changed = changed || rows == 1
		}
		if l, err = readLoan(ctx, tx, id); err != nil {
			return err
		}
		if !changed {
			return errLocked
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO amount_changes (loan, amount, changed_by, changed_at) VALUES ($1, $2, $3, $4)`,
			id, amount, by.ID, time.Now().UTC().Format(time.RFC3339Nano))
		return err
	})
	return l, err
}

// settle is what an event means for the application's own tables, in the
// event's own transaction: an approved loan is booked, whichever event approved
// it. It answers the loan as a read does.
func settle(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
	if t.To == "approved" {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO bookings (loan, amount, booked_by, transition) SELECT id, amount, $2, $3 FROM loans WHERE id = $1`,
			t.Instance, t.Person, t.ID); err != nil {
			return nil, err
		}
	}
	return readLoan(ctx, tx, t.Instance)
}
