// Package sqlite keeps the truth in one SQLite file: one host, one writing
// process, no service beside it.
//
//	store, err := sqlite.Open("interlock.db", sqlite.Table("loan", "loans", "id", "status", "amount"))
//
// One connection writes (WAL, synchronous=FULL: what was acknowledged survives
// a loss of power), others read; one puts the log into the file beside them. The application shares both: [Store.Write] for
// its own transactions, [Store.DB] for its queries, and *sql.Tx in a handler of
// interlock.Do. Our tables begin with interlock_.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// shared is sqlstore.Store under a name that isn't exported from here.
type shared = sqlstore.Store

// Store is an interlock.Store on SQLite. Make it with [Open].
type Store struct {
	*shared
	reader      *sql.DB
	statements  *statements  // of the reader
	writer      *writer      // nil when read-only
	checkpoints *checkpoints // nil when read-only
	lock        *os.File
	folder      string // of ":memory:", removed by Close
	commits     group
	copies      *copies // nil: none are kept
	bindings    map[string]bool
	witness     string // "": none
	readOnly    bool
}

var _ interlock.Store = (*Store)(nil)

// Option changes what Open makes.
type Option func(*options)

type options struct {
	bindings []interlock.Binding
	readOnly bool
	witness  string
	memory   int
}

// Table binds a machine to a table of the application's in the same file: its
// state column is compared and set in the commit's transaction, its fact
// columns are facts. The table may be "name" or "schema.name"; its rows belong
// to interlock.DefaultTenant.
func Table(machine, table, id, state string, facts ...string) Option {
	return TableOf(interlock.Binding{Machine: machine, Table: table, ID: id, State: state, Facts: facts})
}

// TableOf is [Table] for any binding, such as one with a column of the tenant.
func TableOf(b interlock.Binding) Option {
	return func(o *options) { o.bindings = append(o.bindings, b) }
}

// Witness is the file in which this process remembers what it last left in the
// database, so that Migrate refuses one that was put back to an earlier time.
// Without it that is PATH.witness, beside the database: name one elsewhere if
// backups are of the whole folder, since a witness that is put back along with
// the database finds nothing.
func Witness(file string) Option {
	return func(o *options) { o.witness = file }
}

// Memory bounds the facts that are kept in memory, ready to be decided on, in
// bytes: [DefaultMemory] without it, 0 for none. They are never older than the
// file, unless something other than the gate changes our tables: then up to a second.
func Memory(bytes int) Option {
	return func(o *options) { o.memory = max(bytes, 0) }
}

// ReadOnly opens the file beside a process that writes it. Every write fails.
func ReadOnly() Option {
	return func(o *options) { o.readOnly = true }
}

// Open opens or creates the file; ":memory:" is a database of its own that ends
// with Close (in the temporary folder: SQLite's own databases in memory let
// nobody read while somebody writes). It is an error when another process writes the file, when it lies
// on a network file system, or when a binding isn't made of names. The schema is
// made by [Store.Migrate], which interlock.New calls.
//
// The commit and rollback hooks of the connection that writes are the store's.
func Open(path string, opts ...Option) (*Store, error) {
	o := options{memory: DefaultMemory}
	for _, opt := range opts {
		opt(&o)
	}
	s := &Store{readOnly: o.readOnly, witness: o.witness, bindings: map[string]bool{}}
	for _, b := range o.bindings {
		s.bindings[b.Machine] = true
	}
	if o.memory > 0 && !o.readOnly { // beside another process nobody tells of its changes
		s.copies = newCopies(o.memory)
	}
	if err := s.open(path); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite %s: %w", path, err), s.Close())
	}
	core, err := sqlstore.New(s.database(), dialect(), o.bindings)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite %s: %w", path, err), s.Close())
	}
	core.WitnessIn(s.witness)
	s.shared = core
	s.commits.store = s
	return s, nil
}

func (s *Store) open(path string) (err error) {
	target := url.URL{Scheme: "file"}
	memory := path == ":memory:"
	switch {
	case path == "":
		return errors.New("the path is missing; :memory: keeps nothing")
	case memory && s.readOnly:
		return errors.New("a database in memory has no other writer: ReadOnly makes no sense")
	case memory:
		if s.folder, err = os.MkdirTemp("", "interlock-"); err != nil {
			return err
		}
		path = filepath.Join(s.folder, "memory.db")
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if s.readOnly {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	} else if s.lock, err = lockFile(path); err != nil {
		return err
	}
	target.Path = filepath.ToSlash(path)
	if !s.readOnly {
		// First of all: it makes the file a WAL.
		db, err := openConnections(dsn(target, memory, writes), func(pages int) { s.checkpoints.wrote(pages) })
		if err != nil {
			return err
		}
		db.SetMaxOpenConns(1)
		s.writer = newWriter(db)
		if err := db.Ping(); err != nil {
			return err
		}
		beside, err := openConnections(dsn(target, memory, checks), func(int) {})
		if err != nil {
			return err
		}
		s.checkpoints = newCheckpoints(beside, s.writer) // connects when there is something to copy
		if s.witness == "" && !memory {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				path = real // beside the lock, whatever the file is called
			}
			s.witness = path + ".witness"
		}
	}
	mode := reads
	if s.readOnly {
		mode = readsOnly
	}
	if s.reader, err = sql.Open("sqlite", dsn(target, memory, mode)); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(max(4, 2*runtime.NumCPU()))
	s.reader.SetMaxIdleConns(max(4, 2*runtime.NumCPU())) // one that is closed loses its statements
	s.statements = newStatements(s.reader)
	return s.reader.Ping()
}

type mode int

const (
	writes mode = iota
	reads
	readsOnly
	checks // checkpoints
)

func dsn(target url.URL, memory bool, m mode) string {
	q := url.Values{
		"_pragma":      {"busy_timeout(5000)", "foreign_keys(1)", "recursive_triggers(1)", "cache_size(-16000)"},
		"_dqs":         {"0"}, // "x" is a name, never a text
		"_time_format": {"sqlite"},
	}
	synchronous := "synchronous(full)"
	if memory {
		synchronous = "synchronous(off)"
	}
	switch m {
	case writes:
		q.Set("_txlock", "immediate")
		// Changes stay in the writer's memory until the commit, so that readers never wait for a handler.
		q["_pragma"] = append(q["_pragma"], "journal_mode(wal)", "cache_spill(0)", synchronous,
			fmt.Sprintf("wal_autocheckpoint(%d)", checkpointNet), fmt.Sprintf("journal_size_limit(%d)", logKept))
	case checks:
		// In the writer's turn it waits for nobody. It syncs as the writer does: before the log begins anew, the file.
		q["_pragma"] = []string{"busy_timeout(0)", "query_only(1)", synchronous}
	case reads:
		q["_pragma"] = append(q["_pragma"], "query_only(1)")
	case readsOnly:
		q.Set("mode", "ro")
		q["_pragma"] = append(q["_pragma"], "query_only(1)")
	}
	target.RawQuery = q.Encode()
	return target.String()
}

// Migrate makes or updates the schema and checks the bound tables. A schema of
// a newer program is refused; a database that was put back to an earlier time
// is a *interlock.RewoundError: see [Witness] and [Store.BumpEpoch]. Read-only,
// it only looks at the schema and the tables.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.schema(ctx)
	if err == nil {
		err = s.CheckBindings(ctx)
	}
	if err == nil && !s.readOnly {
		err = s.Begin(ctx)
	}
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

func (s *Store) schema(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	list, err := sqlstore.Migrations(dir)
	if err != nil {
		return err
	}
	if s.readOnly {
		return s.shared.Verify(ctx, list)
	}
	return s.shared.Migrate(ctx, list, setupSQL)
}

// BumpEpoch begins a new epoch, after the operator put a backup back: nothing
// that was decided, or that stands in a cache, under a former one counts any
// more, and Migrate refuses the database no longer. The reason is kept.
func (s *Store) BumpEpoch(ctx context.Context, reason string) (interlock.Epoch, error) {
	if err := s.schema(ctx); err != nil {
		return interlock.Epoch{}, fmt.Errorf("sqlite: %w", err)
	}
	e, err := s.shared.BumpEpoch(ctx, reason)
	s.copies.restart()
	if err != nil {
		return e, fmt.Errorf("sqlite: %w", err)
	}
	return e, nil
}

const setupSQL = `CREATE TABLE IF NOT EXISTS il.schema_version (
	version    INTEGER PRIMARY KEY,
	name       TEXT NOT NULL,
	applied_us INTEGER NOT NULL
) STRICT`

// DB is the pool of readers, for the application's own queries. It can't write.
func (s *Store) DB() *sql.DB { return s.reader }

// Write runs the application's own change on the one writer: committed when fn
// returns nil, else rolled back. It waits its turn; fn must not call the store.
func (s *Store) Write(ctx context.Context, fn func(*sql.Tx) error) error {
	return s.database().InTx(ctx, func(tx sqlstore.Tx) error { return fn(tx.Handle().(*sql.Tx)) })
}

// Close ends all connections and lets go of the lock file, when the transaction
// that is being written has ended. What waits its turn gets an error.
func (s *Store) Close() error {
	var errs []error
	if s.checkpoints != nil {
		s.checkpoints.stop() // it may have the turn
	}
	if s.writer != nil {
		_ = s.writer.wait(context.Background()) // which nothing ends
		defer s.writer.end()
	}
	if s.checkpoints != nil {
		errs = append(errs, s.checkpoints.close())
	}
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if s.folder != "" {
		errs = append(errs, os.RemoveAll(s.folder))
	}
	return errors.Join(errs...)
}
