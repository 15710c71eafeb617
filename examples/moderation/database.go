package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

// database is the application's, shared with the gate's store.
type database struct {
	store interlock.Store
	read  *sql.DB
	write func(ctx context.Context, fn func(*sql.Tx) error) error // the application's own changes
	close func() error
}

// kind is something that is moderated: a table of the application's, bound to a machine.
type kind struct {
	path    string // in addresses
	machine string
	table   string
	owner   string   // column of the user who brought it; "" : none
	fields  []string // the other columns, given at creation

	publishes bool // an approved one becomes a park, a ride or a photo
}

var kinds = []kind{
	{"submissions", "edit-submission", "edit_submissions", "submitted_by", []string{"proposes", "name", "park"}, true},
	{"photos", "photo-submission", "photo_submissions", "submitted_by", []string{"park", "url"}, true},
	{"reports", "moderation-report", "moderation_reports", "reported_by", []string{"about", "reason"}, false},
	{"queue", "moderation-queue", "queue_items", "", []string{"about"}, false},
	{"bulk", "bulk-operation", "bulk_operations", "", []string{"action"}, false},
}

// schema is the application's. Nothing in it is the library's.
const schema = `
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, role TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS edit_submissions (id TEXT PRIMARY KEY, status TEXT NOT NULL DEFAULT 'PENDING',
	submitted_by TEXT NOT NULL, proposes TEXT NOT NULL, name TEXT NOT NULL, park TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS photo_submissions (id TEXT PRIMARY KEY, status TEXT NOT NULL DEFAULT 'PENDING',
	submitted_by TEXT NOT NULL, park TEXT NOT NULL, url TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS moderation_reports (id TEXT PRIMARY KEY, status TEXT NOT NULL DEFAULT 'PENDING',
	reported_by TEXT NOT NULL, about TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queue_items (id TEXT PRIMARY KEY, status TEXT NOT NULL DEFAULT 'PENDING', about TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bulk_operations (id TEXT PRIMARY KEY, status TEXT NOT NULL DEFAULT 'PENDING', action TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS parks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS rides (id TEXT PRIMARY KEY, name TEXT NOT NULL, park TEXT NOT NULL REFERENCES parks (name));
CREATE TABLE IF NOT EXISTS photos (id TEXT PRIMARY KEY, url TEXT NOT NULL, park TEXT NOT NULL REFERENCES parks (name))`

// facts are the columns that policies read.
func (k kind) facts() []string {
	if k.owner == "" {
		return nil
	}
	return []string{k.owner}
}

// open takes a PostgreSQL URL or the path of an SQLite file.
func open(ctx context.Context, name string) (*database, error) {
	opener := openSQLite
	if strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://") {
		opener = openPostgres
	}
	db, err := opener(name)
	if err != nil {
		return nil, err
	}
	if err := db.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

func openSQLite(path string) (*database, error) {
	var bound []sqlite.Option
	for _, k := range kinds {
		bound = append(bound, sqlite.Table(k.machine, k.table, "id", "status", k.facts()...))
	}
	store, err := sqlite.Open(path, bound...)
	if err != nil {
		return nil, err
	}
	return &database{store: store, read: store.DB(), write: store.Write, close: store.Close}, nil
}

func openPostgres(url string) (*database, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	var bound []postgres.Option
	for _, k := range kinds {
		bound = append(bound, postgres.Table(k.machine, k.table, "id", "status", k.facts()...))
	}
	write := func(ctx context.Context, fn func(*sql.Tx) error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	}
	return &database{store: postgres.NewSQL(db, bound...), read: db, write: write, close: db.Close}, nil
}

// prepare makes the tables and the users of the example.
func (db *database) prepare(ctx context.Context) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		for table := range strings.SplitSeq(schema, ";") {
			if _, err := tx.ExecContext(ctx, table); err != nil {
				return err
			}
		}
		for user, role := range map[string]string{"uma": "USER", "umberto": "USER", "mona": "MODERATOR", "adam": "ADMIN", "sue": "SUPERUSER"} {
			if _, err := tx.ExecContext(ctx, `INSERT INTO users (id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING`, user, role); err != nil {
				return err
			}
		}
		return nil
	})
}

// texts are the first column of a query.
func (db *database) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []string{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}
