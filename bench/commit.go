package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

// commit compares what is durably written in a second, below everything else.
func commit(ctx context.Context, b *bench) error {
	if err := commitSQLite(ctx, b); err != nil {
		return fmt.Errorf("SQLite: %w", err)
	}
	if err := commitPostgres(ctx, b); err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}

// committing is a loader over cases that exist: each client takes its own.
func committing(name string, writers []*caseWriter, write func(context.Context, *interlock.Commit) error) loader {
	return closedLoop(name, func(ctx context.Context, client int) error { return write(ctx, writers[client].next()) })
}

func commitSQLite(ctx context.Context, b *bench) error {
	dir, err := os.MkdirTemp("", "interlock-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(filepath.Join(dir, "ours.db"))
	if err != nil {
		return err
	}
	defer store.Close()
	writers, err := openCases(ctx, store, b.scale.most())
	if err != nil {
		return err
	}
	peer, peers, err := openEachSQLite(ctx, filepath.Join(dir, "peer.db"), b.scale.most())
	if err != nil {
		return err
	}
	defer peer.db.Close()
	return b.crowds(ctx, "SQLite", []loader{
		committing("interlock, SQLite", writers, store.Commit),
		committing("a transaction each, SQLite", peers, peer.commit),
	}, func(clients int, results []result) {
		if clients >= 64 {
			b.more("SQLite commits, "+clientsOf(clients), results[0], results[1], atLeast(7))
		}
	})
}

func clientsOf(n int) string {
	if n == 1 {
		return "1 client"
	}
	return strconv.Itoa(n) + " clients"
}

// crowds measures with more and more clients.
func (b *bench) crowds(ctx context.Context, what string, list []loader, judge func(clients int, results []result)) error {
	for _, clients := range b.scale.crowds {
		b.section(what + ": durable commits of one transition, " + clientsOf(clients))
		results, err := contend(ctx, b.scale, clients, list)
		if err != nil {
			return err
		}
		b.rates(results)
		judge(clients, results)
	}
	return nil
}

// eachSQLite writes every commit in a transaction of its own, by statements that
// are parsed once, on the one connection that SQLite lets write: with several
// they would wait for its lock.
type eachSQLite struct {
	db         *sql.DB
	statements []statement
	prepared   []*sql.Stmt // closed with db
}

func openEachSQLite(ctx context.Context, path string, clients int) (*eachSQLite, []*caseWriter, error) {
	store, err := sqlite.Open(path) // the same schema
	if err != nil {
		return nil, nil, err
	}
	writers, err := openCases(ctx, store, clients)
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, nil, err
	}
	db, err := openSQLite(path)
	if err != nil {
		return nil, nil, err
	}
	e := &eachSQLite{db: db}
	for _, s := range fourStatements {
		bound := bind(s, "interlock_", false)
		stmt, err := db.PrepareContext(ctx, bound.sql) //nolint:sqlclosecheck // it is used until the database is closed, which closes it
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		e.statements, e.prepared = append(e.statements, bound), append(e.prepared, stmt)
	}
	return e, writers, nil
}

// openSQLite is a pool of one connection that writes as durably as the store does.
func openSQLite(path string) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)", "cache_size(-16000)", "recursive_triggers(1)"}}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func (e *eachSQLite) commit(ctx context.Context, c *interlock.Commit) error {
	values, err := writeValues(c)
	if err != nil {
		return err
	}
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i := range e.statements {
		n, err := e.execute(ctx, tx, i, values)
		if err != nil {
			return err
		}
		if n != 1 {
			return fmt.Errorf("%d rows were updated", n)
		}
	}
	return tx.Commit()
}

// execute runs one of the statements: each of them writes one row.
func (e *eachSQLite) execute(ctx context.Context, tx *sql.Tx, i int, values []any) (int64, error) {
	stmt := tx.StmtContext(ctx, e.prepared[i])
	defer stmt.Close()
	done, err := stmt.ExecContext(ctx, e.statements[i].pick(values)...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

func commitPostgres(ctx context.Context, b *bench) error {
	d, err := newDatabase(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	ours, most := postgres.New(d.pool), b.scale.most()
	writers, err := openCases(ctx, ours, most)
	if err != nil {
		return err
	}
	const prefix = `"peers".`
	peers, err := openCases(ctx, postgres.New(d.pool, postgres.Schema("peers")), 2*most)
	if err != nil {
		return err
	}
	pool, err := d.newPool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	single := &onePostgres{pool: pool, statement: bind(singleStatement, prefix, true)}
	four := &fourPostgres{pool: pool}
	for _, s := range fourStatements {
		four.statements = append(four.statements, bind(s, prefix, true))
	}
	top, err := newCeiling(d, prefix, peers[0])
	if err != nil {
		return err
	}
	defer top.close()
	return b.crowds(ctx, "PostgreSQL", []loader{
		committing("interlock, PostgreSQL", writers, ours.Commit),
		committing("one statement, PostgreSQL", peers[:most], single.commit),
		committing("four statements, PostgreSQL", peers[most:], four.commit),
		{"pgbench, the one statement", top.run},
	}, func(clients int, results []result) {
		if clients == most {
			b.more("PostgreSQL commits, "+clientsOf(clients), results[0], results[1], atLeast(3.5))
		}
		b.more("PostgreSQL commits, "+clientsOf(clients), results[0], results[3], atLeast(0.8))
	})
}

type onePostgres struct {
	pool      *pgxpool.Pool
	statement statement
}

func (p *onePostgres) commit(ctx context.Context, c *interlock.Commit) error {
	values, err := writeValues(c)
	if err != nil {
		return err
	}
	var n int
	if err := p.pool.QueryRow(ctx, p.statement.sql, p.statement.pick(values)...).Scan(&n); err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("%d rows were updated", n)
	}
	return nil
}

type fourPostgres struct {
	pool       *pgxpool.Pool
	statements []statement
}

func (p *fourPostgres) commit(ctx context.Context, c *interlock.Commit) error {
	values, err := writeValues(c)
	if err != nil {
		return err
	}
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	for i, s := range p.statements {
		done, err := tx.Exec(ctx, s.sql, s.pick(values)...)
		if err != nil {
			return err
		}
		if i == 0 && done.RowsAffected() != 1 {
			return fmt.Errorf("%d rows were updated", done.RowsAffected())
		}
	}
	return tx.Commit(ctx)
}
