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
// beside a busy writer never happens, nor where readers overlap: then the writer waits
// for them, a little. It also syncs the file only after a pass behind
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

	// restartLimit is how long the writer waits for readers, once in a while. Who begins
	// to read meanwhile reads the file; those of the log must only end.
	restartLimit = 100 * time.Millisecond

	// heldLimit is how long the writer is held up by that at most, with the copying before
	// it: checkpointAfter pages take some 0.2 s, and what is left are no more.
	heldLimit = time.Second

	// restartRarely bounds how many times rarer than checkpointAfter it waits, where
	// that was in vain.
	restartRarely = 16
)

var (
	errRead = errors.New("the log beside the file grows, and can't begin anew: readers overlap, or one holds an old state (a backup, a transaction that was forgotten)")
	errHeld = errors.New("the log beside the file grows, and can't be put into it: another program holds the checkpoint's lock")
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

	// Of the run:
	offset int64 // of the log's length from what was written: negative when it began anew
	tried  int64 // at how many written the writer waited for readers,
	rest   int64 // and how many more there must be until it does again

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
	c.after, c.rest = after, after
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

// little is what may be copied while others wait.
func (c *checkpoints) little() int64 { return c.after / 32 }

// checkpoint is one run.
func (c *checkpoints) checkpoint() {
	defer c.busy.Store(false)
	p, err := c.copy()
	anew := false
	if err == nil && !p.locked {
		if p.left() <= c.little() { // no old state is read
			c.rest = c.after
		}
		if c.restartable(p) {
			p, anew, err = c.restart(p)
		}
	}
	next := c.after / 8 // look sooner whether it has begun anew, or can be copied
	switch {
	case c.ctx.Err() != nil:
		return
	case err != nil:
		err = fmt.Errorf("the log beside the file can't be put into it, and grows: %w", err)
		next = c.after
	case p.locked:
		if c.offset+c.written.Load() >= 8*c.after {
			err = errHeld
		}
	case anew:
		next = c.after
	case p.log >= 8*c.after:
		// Who reads an older state needs what is behind it. That may take as long as he likes.
		err = errRead
	case p.left() == 0 && p.log < 2*c.after:
		next = c.after
	}
	c.mu.Lock()
	c.failed = err
	c.mu.Unlock()
	c.due.Store(c.written.Load() + next)
}

// copy copies beside the writer until little is left, and that in its turn.
func (c *checkpoints) copy() (p passed, err error) {
	little := c.little()
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

// restartable tells whether the log should have begun anew, and may if the writer waits:
// not for who reads a state of long ago, behind whom there is also much to copy.
func (c *checkpoints) restartable(p passed) bool {
	long := p.log >= 2*c.after && p.left() <= c.little() || p.log >= 8*c.after && p.left() <= c.after
	return long && c.written.Load()-c.tried >= c.rest
}

// restart has the writer's turn until nobody reads the log any more, for restartLimit at
// most; the next commit begins it anew then. It asks again and again rather than let
// SQLite wait, which nothing would interrupt. Each time SQLite first copies what is left:
// heldLimit ends that between two pages, which leaves the log as it was; nothing ends a
// sync of the disk's.
func (c *checkpoints) restart(was passed) (p passed, anew bool, err error) {
	if err := c.writer.wait(c.ctx); err != nil {
		return was, false, err
	}
	defer c.writer.end()
	c.tried = c.written.Load()
	limit, cancel := context.WithTimeout(c.ctx, restartLimit)
	defer cancel()
	held, let := context.WithTimeout(c.ctx, heldLimit)
	defer let()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		p, err = c.ask(held, "PRAGMA wal_checkpoint(RESTART)")
		switch {
		case err == nil && !p.locked:
			c.rest, c.offset = c.after, -c.written.Load()
			return p, true, nil
		case err != nil && held.Err() == nil:
			return was, false, err
		}
		select {
		case <-again.C:
		case <-limit.Done(): // before held
			c.rest = min(2*c.rest, restartRarely*c.after)
			return was, false, nil
		}
	}
}

// pass copies what nobody reads in an older state, and waits for nobody.
func (c *checkpoints) pass() (passed, error) { return c.ask(c.ctx, "PRAGMA wal_checkpoint(PASSIVE)") }

func (c *checkpoints) ask(ctx context.Context, checkpoint string) (p passed, err error) {
	defer caught(&err)
	err = c.db.QueryRowContext(ctx, checkpoint).Scan(&p.locked, &p.log, &p.copied)
	if locked(err) {
		return passed{locked: true}, nil
	}
	if err == nil && !p.locked {
		c.offset = p.log - c.written.Load()
	}
	return p, err
}

// locked tells of a file that another program holds: it will let go.
func locked(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
}

// Checkpointed is nil, or why the log beside the file grows: it can't be copied
// into the file, readers overlap for long, one reads a state from long ago, or another
// program holds the lock. No commit fails of that
// while there is room on the disk. A gate asks for it, and raises an alarm (log_grows).
func (s *Store) Checkpointed() error {
	if s.checkpoints == nil {
		return nil
	}
	s.checkpoints.mu.Lock()
	defer s.checkpoints.mu.Unlock()
	return s.checkpoints.failed
}
