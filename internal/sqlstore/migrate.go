package sqlstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Migration is one numbered file of SQL.
type Migration struct {
	Version int
	Name    string
	SQL     string
}

// Migrations reads files named 0001_name.sql; the numbers run from 1 without a gap.
func Migrations(fsys fs.FS) ([]Migration, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []Migration
	for i, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %04d", name, i+1)
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		out = append(out, Migration{Version: version, Name: strings.TrimSuffix(name, ".sql"), SQL: string(text)})
	}
	return out, nil
}

const schemaVersionSQL = `SELECT coalesce(max(version), 0) FROM il.schema_version`

const addVersionSQL = `INSERT INTO il.schema_version (version, name, applied_us) VALUES ($1, $2, NOW_US)`

const putEpochSQL = `INSERT INTO il.store (one, epoch) VALUES (1, $1) ON CONFLICT (one) DO NOTHING`

// Migrate brings the schema up to date in one transaction. setup makes what
// must be there before the first migration: the table schema_version, a lock.
func (s *Store) Migrate(ctx context.Context, list []Migration, setup string) error {
	return s.db.InTx(ctx, func(tx Tx) error {
		if err := s.lockText(ctx, tx, s.d.LockSchema, "schema of "+s.d.Prefix); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.d.expand(setup)); err != nil {
			return fmt.Errorf("schema: %w", err)
		}
		have, err := s.version(ctx, tx, list)
		if err != nil {
			return err
		}
		for _, m := range list[have:] {
			if _, err := tx.Exec(ctx, s.d.expand(m.SQL)); err != nil {
				return fmt.Errorf("migration %s: %w", m.Name, err)
			}
			if _, err := tx.Exec(ctx, s.d.expand(addVersionSQL), m.Version, m.Name); err != nil {
				return fmt.Errorf("migration %s: %w", m.Name, err)
			}
		}
		if _, err := tx.Exec(ctx, s.d.expand(putEpochSQL), rand.Text()); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, s.d.expand(firstEpochSQL))
		return err
	})
}

func (s *Store) version(ctx context.Context, c Conn, list []Migration) (int, error) {
	var have int
	if _, err := one(ctx, c, s.d.expand(schemaVersionSQL), nil, &have); err != nil {
		return 0, fmt.Errorf("schema version: %w", err)
	}
	if have > len(list) {
		return 0, fmt.Errorf("the schema has version %d, this program knows %d: use a newer program", have, len(list))
	}
	return have, nil
}

// Verify tells whether the schema is up to date, changing nothing.
func (s *Store) Verify(ctx context.Context, list []Migration) error {
	have, err := s.version(ctx, s.db, list)
	if err == nil && have < len(list) {
		err = fmt.Errorf("the schema has version %d, this program wants %d: migrate it first", have, len(list))
	}
	return err
}

// CheckBindings reads the columns of every bound table, so that a wrong name
// is an error at start.
func (s *Store) CheckBindings(ctx context.Context) error {
	for machine := range s.bindings.known {
		if _, err := s.binding(ctx, s.db, machine); err != nil {
			return err
		}
	}
	return nil
}
