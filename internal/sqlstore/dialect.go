package sqlstore

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/interlock-go/interlock"
)

// Dialect is what differs between the databases.
type Dialect struct {
	Prefix string // before our tables' names: `interlock_`, or a quoted schema and a dot

	Now    string // the database's clock, µs since 1970, as an expression
	List   string // function that makes rows with a column value of a JSON array's texts
	Arrays string // the same for an array of arrays
	Share  string // suffix that locks rows against change until the transaction's end; "" when the writer is alone
	Update string // suffix that locks rows for a change
	Skip   string // suffix that locks rows for a change and passes over those that are locked
	Bytes  string // the collation that compares by bytes

	// Guards are the triggers that forbid changes of history, and GuardSQL finds
	// the one named $1 on the table $2 where it is there and does what $3 says.
	Guards   []Guard
	GuardSQL string

	// LockTx and LockTxShared take an advisory lock on the text $1 until the
	// transaction's end; "" when the writer is alone.
	LockTx, LockTxShared string
	// LockSchema is LockTx for who migrates: another's migration is waited for as long
	// as the context lets him.
	LockSchema string

	// Notify tells who listens, when the transaction commits, that $1 changed; "" where nobody can.
	Notify string

	// Bind reads the types of the binding's columns.
	Bind func(ctx context.Context, c Conn, b Binding) (Columns, error)
	// Server names the server and its line of descent, so that another one, or a
	// standby that took over, has another name; "" where it doesn't tell. nil: never.
	Server func(ctx context.Context, c Conn) (string, error)
	// AtOnce checks all predicates of a commit but those of the application's row,
	// and writes all but that row, by one statement. It is done or not: what it
	// can't say so it leaves alone: a commit with any field that it doesn't know,
	// too. It is asked before Watcher and Held are, which never hear of what it did:
	// no Conn of such a database may be a Watcher or Sharing. nil: nothing can be.
	AtOnce func(ctx context.Context, tx Conn, c *interlock.Commit) (done bool, err error)
	// Retry tells of errors after which the same transaction may succeed.
	Retry func(error) bool
}

// Guard is a trigger as the migrations make it.
type Guard struct {
	Name, Table string
	Text        string // all that it does, before it is expanded
}

// Made is what migrations say between two texts where they last say the first. They
// are part of the program: it panics where none does.
func Made(migrations fs.FS, from, to string) string {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err)
	}
	list, err := Migrations(dir)
	for i := len(list) - 1; err == nil && i >= 0; i-- {
		if at := strings.LastIndex(list[i].SQL, from); at >= 0 {
			if text, _, ok := strings.Cut(list[i].SQL[at+len(from):], to); ok {
				return text
			}
		}
	}
	panic(fmt.Sprintf("no migration says %q: %v", from, err))
}

// expand turns the shared text into the dialect's: `il.` before a table, and
// the words NOW_US, TEXTS(…), ARRAYS(…), FOR_SHARE, FOR_UPDATE,
// SKIP_LOCKED, COLLATE BYTES.
func (d *Dialect) expand(query string) string {
	return strings.NewReplacer(
		"il.", d.Prefix,
		"NOW_US", d.Now,
		"TEXTS($", d.List+"($",
		"ARRAYS($", d.Arrays+"($",
		"FOR_SHARE", d.Share,
		"FOR_UPDATE", d.Update,
		"SKIP_LOCKED", d.Skip,
		"COLLATE BYTES", "COLLATE "+d.Bytes,
	).Replace(query)
}
