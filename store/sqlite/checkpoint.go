package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite writes changes to a log beside the file (PATH-wal), and copies them into
// the file when the log is long: a checkpoint. Its own is part of a commit, and all
// others wait while thousands of pages are read, written and synced. Here they are
// copied beside the writer, and in its turn only what was written meanwhile: SQLite
// begins the log anew when all of it is copied and nobody reads it any more, which
// beside a busy writer never happens. It also syncs the file only after a pass behind
// which nothing was written; so a pass has the turn while it copies the little that is
// left, and gives it back when it takes longer, for then it syncs. Nothing rests on
// that guess: what is copied, in which order it is synced, and what is kept for those
// who read older states, is SQLite's matter (https://www.sqlite.org/wal.html).

const (
	// checkpointAfter is how many pages are written to the log (16 MiB) between two
	// checkpoints. A page that changed often is copied once.
	checkpointAfter = 4000

	// checkpointNet is SQLite's own checkpoint, in the commit that fills so many pages
	// (256 MiB): what bounds the log should ours fail.
	checkpointNet = 1 << 16

	// logKept is how many bytes of the log's file stay when it begins anew: after a
	// long reader it may be as large as the disk.
	logKept = 64 << 20

	// besides and turns are how many passes a run has beside the writer and in its turn;
	// of that each but the last has no more than turnLimit.
	besides, turns = 4, 4
	turnLimit      = 4 * time.Millisecond
)

// checkpoints copies the log into the file, in one goroutine at most, which lives
// as long as there is something to copy.
type checkpoints struct {
	db      *sql.DB // one connection
	writer  *writer
	after   int64 // checkpointAfter; tests have less
	written atomic.Int64
	due     atomic.Int64 // at how many written
	busy    atomic.Bool
	run     func() // beside; tests run it when they like

	ctx   context.Context // ended by close
	stop  context.CancelFunc
	ended sync.WaitGroup // Add and Wait are of whoever has the writer's turn

	mu     sync.Mutex
	failed error
}

func newCheckpoints(db *sql.DB, w *writer) *checkpoints {
	db.SetMaxOpenConns(1)
	c := &checkpoints{db: db, writer: w}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.run = func() { c.ended.Go(c.checkpoint) }
	c.set(checkpointAfter)
	return c
}

func (c *checkpoints) set(after int64) {
	c.after = after
	c.due.Store(c.written.Load() + after)
}

// wrote counts what a commit wrote to the log, in the writer's turn.
func (c *checkpoints) wrote(pages int) {
	if c == nil || c.written.Add(int64(pages)) < c.due.Load() || c.ctx.Err() != nil || !c.busy.CompareAndSwap(false, true) {
		return
	}
	c.run()
}

// close ends what runs; the caller has the writer's turn, or nobody has begun.
func (c *checkpoints) close() error {
	c.stop()
	c.ended.Wait()
	return c.db.Close()
}

// passed is what one pass of SQLite's found, in pages.
type passed struct {
	log, copied int64
	locked      bool // by another program
}

func (p passed) left() int64 { return p.log - p.copied }

// checkpoint is one run.
func (c *checkpoints) checkpoint() {
	defer c.busy.Store(false)
	p, err := c.copy()
	next := c.after
	switch {
	case c.ctx.Err() != nil:
		return
	case err != nil:
		err = fmt.Errorf("the log beside the file can't be put into it, and grows: %w", err)
	case p.locked || p.left() > 0:
		// Who reads an older state needs what is behind it. That may take as long as he likes.
		next = c.after / 8
		if p.log >= 8*c.after {
			err = fmt.Errorf("the log beside the file grows, %d pages: somebody reads a state of %d pages ago (a backup, a transaction that was forgotten)", p.log, p.left())
		}
	case p.log >= 2*c.after:
		next = c.after / 8 // it didn't begin anew the last time: look sooner whether it has now
	}
	c.mu.Lock()
	c.failed = err
	c.mu.Unlock()
	c.due.Store(c.written.Load() + next)
}

// copy copies beside the writer until little is left, and that in its turn.
func (c *checkpoints) copy() (p passed, err error) {
	little := c.after / 32
	for range besides {
		before := c.written.Load()
		if p, err = c.pass(); err != nil || p.locked {
			return p, err
		}
		if p.left()+c.written.Load()-before <= little {
			break
		}
	}
	for n := range turns {
		if p.left() > little { // a reader's: the writer's turn would not help
			break
		}
		limit := turnLimit
		if n == turns-1 {
			limit = time.Hour // the syncs of the others have left little to this one
		}
		alone := false
		if p, alone, err = c.inTurn(limit); err != nil || p.locked || alone && p.left() == 0 {
			break
		}
	}
	return p, err
}

// inTurn is a pass in the writer's turn, of which it takes so much at most. It was
// alone if that was enough: no transaction began before all was copied.
func (c *checkpoints) inTurn(limit time.Duration) (p passed, alone bool, err error) {
	if err := c.writer.wait(c.ctx); err != nil {
		return p, false, err
	}
	end := sync.OnceFunc(c.writer.end)
	defer end()
	over := time.AfterFunc(limit, end)
	p, err = c.pass()
	return p, over.Stop(), err
}

// pass copies what nobody reads in an older state, and waits for nobody.
func (c *checkpoints) pass() (p passed, err error) {
	defer caught(&err)
	err = c.db.QueryRowContext(c.ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&p.locked, &p.log, &p.copied)
	if locked(err) {
		return passed{locked: true}, nil
	}
	return p, err
}

// locked tells of a file that another program holds: it will let go.
func locked(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
}

// Checkpointed is nil, or why the log beside the file grows: it can't be copied
// into the file, or somebody reads a state from long ago. No commit fails of that
// while there is room on the disk. A gate asks for it, and raises an alarm (log_grows).
func (s *Store) Checkpointed() error {
	if s.checkpoints == nil {
		return nil
	}
	s.checkpoints.mu.Lock()
	defer s.checkpoints.mu.Unlock()
	return s.checkpoints.failed
}
