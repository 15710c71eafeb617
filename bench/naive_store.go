package main

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5/pgxpool"
)

// naiveSQLite writes on one connection: with a pool of several its transactions
// would wait for SQLite's lock, and be several times slower.
type naiveSQLite struct{ db *sql.DB }

func newNaiveSQLite(ctx context.Context, path string, ids []string) (*naiveSQLite, error) {
	db, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	s := &naiveSQLite{db}
	if _, err := db.ExecContext(ctx, naiveTables); err != nil {
		return s, err
	}
	for _, id := range ids {
		if _, err := db.ExecContext(ctx, naiveRow, id, "submitted"); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *naiveSQLite) move(ctx context.Context, m transition) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var state string
	var version int64
	if err := tx.QueryRowContext(ctx, naiveRead, m.id).Scan(&state, &version); err != nil {
		return err
	}
	if state != m.from || version != m.version {
		return errMoved
	}
	history, outbox := m.rows()
	if _, err := tx.ExecContext(ctx, naiveMove, m.id, m.to); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, naiveHistory, history...); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, naiveOutbox, outbox...); err != nil {
		return err
	}
	return tx.Commit()
}

type naivePostgres struct{ pool *pgxpool.Pool }

func newNaivePostgres(ctx context.Context, pool *pgxpool.Pool, ids []string) (*naivePostgres, error) {
	s := &naivePostgres{pool}
	if _, err := pool.Exec(ctx, naiveTables); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, err := pool.Exec(ctx, naiveRow, id, "submitted"); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *naivePostgres) move(ctx context.Context, m transition) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	var state string
	var version int64
	if err := tx.QueryRow(ctx, naiveRead+" FOR UPDATE", m.id).Scan(&state, &version); err != nil {
		return err
	}
	if state != m.from || version != m.version {
		return errMoved
	}
	history, outbox := m.rows()
	if _, err := tx.Exec(ctx, naiveMove, m.id, m.to); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, naiveHistory, history...); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, naiveOutbox, outbox...); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
