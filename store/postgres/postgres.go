// Package postgres keeps the truth in PostgreSQL 14 or newer.
//
//	store := postgres.New(pool, postgres.Table("loan", "loans", "id", "status", "amount"))
//
// The pool is the application's: a handler of interlock.Do writes in the
// store's own transaction, as pgx.Tx ([New]) or *sql.Tx ([NewSQL]). Our tables
// live in a schema of their own, "interlock". A commit of a machine that isn't
// bound to a table is one statement, one round trip; steps that come while others
// are being written share the next one, up to 256, each under its own predicates
// and with its own answer. Others are one READ COMMITTED transaction under the
// same predicates. Statements that are shared take at most half of the pool's
// connections, and 4; commits that wait for a row that somebody holds, at most half.
//
// What was acknowledged survives a crash as far as the server's settings say:
// synchronous_commit must be on, and a fail-over without a synchronous standby
// may lose acknowledged commits.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// shared is sqlstore.Store under a name that isn't exported from here.
type shared = sqlstore.Store

// Store is an interlock.Store on PostgreSQL. Make it with [New] or [NewSQL].
// A mistake in its options is told by Migrate, which interlock.New calls, and
// by every other method.
type Store struct {
	*shared
	db        database
	schema    string
	noMigrate bool
	single    *single
	group     group
}

var _ interlock.Store = (*Store)(nil)

// Option changes what New makes.
type Option func(*options)

type options struct {
	bindings  []interlock.Binding
	schema    string
	noMigrate bool
	witness   string
}

// Table binds a machine to a table of the application's in the same database:
// its state column is compared and set in the commit's transaction, its fact
// columns are facts. The table may be "name", found by the search_path once,
// or "schema.name"; its rows belong to interlock.DefaultTenant. The id column
// may be text, an integer or a uuid; it must be unique.
func Table(machine, table, id, state string, facts ...string) Option {
	return TableOf(interlock.Binding{Machine: machine, Table: table, ID: id, State: state, Facts: facts})
}

// TableOf is [Table] for any binding, such as one with a column of the tenant.
func TableOf(b interlock.Binding) Option {
	return func(o *options) { o.bindings = append(o.bindings, b) }
}

// Schema names the schema of our tables; "interlock" without it. Each schema is
// a store of its own.
func Schema(name string) Option {
	return func(o *options) { o.schema = name }
}

// NoMigrate makes Migrate change nothing: it only checks that the schema is up
// to date, for a role that may not create tables.
func NoMigrate() Option {
	return func(o *options) { o.noMigrate = true }
}

// Witness is a file in which this process remembers what it last left in the
// database, so that Migrate refuses one that was put back to an earlier time.
// Each process has its own, and on a disk that outlives it. Without one, Migrate
// still refuses another server than the one before (its system identifier), and
// a standby that took over (its timeline), where the role may read those.
func Witness(file string) Option {
	return func(o *options) { o.witness = file }
}

// New makes a store on a pool, which stays the caller's to close. The
// transactions that it hands out are pgx.Tx.
func New(pool *pgxpool.Pool, opts ...Option) *Store {
	return build(&poolDatabase{pool: pool}, opts, refuse(pool.Config().ConnConfig.DefaultQueryExecMode))
}

// NewSQL makes a store on database/sql with the driver of pgx/v5/stdlib. The
// transactions that it hands out are *sql.Tx.
func NewSQL(db *sql.DB, opts ...Option) *Store {
	return build(&sqlDatabase{db: db}, opts, nil)
}

func build(db database, opts []Option, err error) *Store {
	o := options{schema: "interlock"}
	for _, opt := range opts {
		opt(&o)
	}
	if bad := sqlstore.CheckName(o.schema); bad != nil {
		err = fmt.Errorf("postgres: schema %w", bad)
		o.schema = "interlock"
	}
	core, bad := sqlstore.New(db, dialect(o.schema), o.bindings)
	if bad != nil {
		err = fmt.Errorf("postgres: %w", bad)
	}
	if err != nil {
		db = broken{err}
		core, _ = sqlstore.New(db, dialect(o.schema), nil)
	}
	core.WitnessIn(o.witness)
	s := &Store{shared: core, db: db, schema: o.schema, noMigrate: o.noMigrate}
	s.single = newSingle(o.schema, o.bindings)
	s.group.init(s, db.size())
	return s
}

// Migrate makes or updates the schema, one process at a time, and checks the
// bound tables. A schema of a newer program is refused; a database that isn't
// as it was left is a *interlock.RewoundError: see [Witness] and [Store.BumpEpoch].
func (s *Store) Migrate(ctx context.Context) error {
	err := s.migrate(ctx)
	if err == nil {
		err = s.CheckBindings(ctx)
	}
	if err == nil {
		err = s.Begin(ctx)
	}
	if err != nil {
		return fmt.Errorf("postgres, schema %s: %w", s.schema, err)
	}
	return nil
}

// BumpEpoch begins a new epoch, after the operator put a backup back, or promoted
// a standby that may lack commits: nothing that was decided, or that stands in a
// cache, under a former one counts any more, and Migrate refuses the database no
// longer. It waits for commits in flight. The reason is kept.
func (s *Store) BumpEpoch(ctx context.Context, reason string) (interlock.Epoch, error) {
	err := s.migrate(ctx)
	var e interlock.Epoch
	if err == nil {
		e, err = s.shared.BumpEpoch(ctx, reason)
	}
	if err != nil {
		return e, fmt.Errorf("postgres, schema %s: %w", s.schema, err)
	}
	return e, nil
}

func (s *Store) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	list, err := sqlstore.Migrations(dir)
	if err != nil {
		return err
	}
	if s.noMigrate {
		return s.shared.Verify(ctx, list)
	}
	return s.shared.Migrate(ctx, list, setupSQL(s.schema))
}

// setupSQL doesn't touch what is there: CREATE SCHEMA IF NOT EXISTS asks for
// the privilege even then.
func setupSQL(schema string) string {
	return `DO $$ BEGIN
	IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = '` + schema + `') THEN
		CREATE SCHEMA ` + sqlstore.Quote(schema) + `;
	END IF;
	IF to_regclass('` + sqlstore.Quote(schema) + `.schema_version') IS NULL THEN
		CREATE TABLE il.schema_version (
			version    INTEGER PRIMARY KEY,
			name       TEXT NOT NULL,
			applied_us BIGINT NOT NULL
		);
	END IF;
END $$`
}
