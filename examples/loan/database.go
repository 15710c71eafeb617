package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

//go:embed schema.sql
var schema string

// database is the application's own, with the gate's tables beside its own.
type database struct {
	*sql.DB // reads
	store   interlock.Store
	write   func(context.Context, func(*sql.Tx) error) error
	close   func() error
}

// openDatabase opens a postgres:// URL or a SQLite file, and makes the
// application's tables: the gate is bound to one of them.
func openDatabase(ctx context.Context, name string) (*database, error) {
	open := openSQLite
	if strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://") {
		open = openPostgres
	}
	db, err := open(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := db.exec(ctx, schema); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

func openSQLite(_ context.Context, path string) (*database, error) {
	store, err := sqlite.Open(path, sqlite.Table("loan", "loans", "id", "status", "amount"))
	if err != nil {
		return nil, err
	}
	return &database{DB: store.DB(), store: store, write: store.Write, close: store.Close}, nil
}

func openPostgres(ctx context.Context, url string) (*database, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	write := func(ctx context.Context, fn func(*sql.Tx) error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // after a commit it does nothing
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Commit()
	}
	store := postgres.NewSQL(db, postgres.Table("loan", "loans", "id", "status", "amount"))
	return &database{DB: db, store: store, write: write, close: db.Close}, nil
}

// exec is a transaction of one statement.
func (d *database) exec(ctx context.Context, query string, args ...any) error {
	return d.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}
