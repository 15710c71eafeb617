package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// asked is a connection that asks something else.
type asked struct {
	driverConn
	instead func(query string) string
}

func (a asked) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return a.driverConn.QueryContext(ctx, a.instead(query), args)
}

const restart = "PRAGMA wal_checkpoint(RESTART)"

// restarts counts how often the log was to begin anew; before each something happens.
func (w *logWorld) restarts(before func()) *int {
	w.Helper()
	n := new(int)
	w.on(func(c driverConn) driverConn {
		return asked{c, func(query string) string {
			if query == restart {
				*n++
				before()
			}
			return query
		}}
	})
	return n
}

// readers overlap: the one before ends when next has begun.
type readers struct {
	w   *logWorld
	now *sql.Tx
}

func (r *readers) next() {
	r.w.Helper()
	was := r.now
	var err error
	r.now, err = r.w.DB().BeginTx(context.Background(), nil)
	require.NoError(r.w, err)
	var n int
	require.NoError(r.w, r.now.QueryRow("SELECT count(*) FROM interlock_history").Scan(&n))
	if was != nil {
		require.NoError(r.w, was.Rollback())
	}
}

func (r *readers) end() { _ = r.now.Rollback() }

// Somebody always reads, but nobody for long: the log begins anew, whether they
// read what was before the commit or what is behind it.
func TestReadersThatOverlap(t *testing.T) {
	for state, most := range map[string]int64{"newest": 4 * short, "older": 10 * short} {
		// The writer waits by the clock, which goes on only while it waits: however busy the
		// machine is, who reads for a moment ends within its limit.
		t.Run(state, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testOverlap(t, state, most) }) })
	}
}

func testOverlap(t *testing.T, state string, most int64) {
	t.Helper()
	w := newLogWorld(t)
	r := readers{w: w}
	r.next()
	defer r.end()
	restarts := w.restarts(r.next)
	if state == "newest" {
		w.between = r.next
	}
	began := w.written()
	for w.written() < began+40*short {
		w.steps(1)
		if state == "older" {
			r.next()
		}
		require.NoError(t, w.Checkpointed())
	}
	require.Less(t, w.pages(), began+most)
	require.Less(t, *restarts, 40)
	w.moved2()
}

// Readers who overlap for longer than the writer waits: it waits ever more rarely, and
// the alarm stays until the log has begun anew.
func TestReadersWhoOverlapForLong(t *testing.T) { synctest.Test(t, testOverlapForLong) }

func testOverlapForLong(t *testing.T) {
	w := newLogWorld(t)
	r := readers{w: w}
	r.next()
	defer r.end()
	long := true
	w.restarts(func() {
		if !long {
			r.next()
		}
	})
	waits, tried := 0, w.checkpoints.tried
	step := func() {
		w.steps(1)
		r.next()
		if w.checkpoints.tried != tried {
			waits, tried = waits+1, w.checkpoints.tried
		}
	}
	for w.pages() < 9*short {
		step()
	}
	for began := w.written(); w.written() < began+32*short; step() {
		require.ErrorIs(t, w.Checkpointed(), errRead)
	}
	require.LessOrEqual(t, waits, 6)
	require.Positive(t, waits)

	long = false
	for began := w.written(); w.Checkpointed() != nil; step() {
		require.Less(t, w.written(), began+2*restartRarely*short)
	}
	was := w.pages()
	for began := w.written(); w.written() < began+8*short; step() {
		require.NoError(t, w.Checkpointed())
	}
	require.Equal(t, was, w.pages(), "it is written from its beginning")
	w.moved2()
}

// Close waits for no readers.
func TestCloseEndsAWaitForReaders(t *testing.T) {
	w := newLogWorld(t)
	r := readers{w: w}
	r.next()
	defer r.end()
	w.between = r.next
	restarts := w.restarts(w.checkpoints.stop)
	for *restarts == 0 {
		w.steps(1)
		require.Less(t, w.pages(), int64(100*short))
	}
	require.Equal(t, 1, *restarts)
	require.Empty(t, w.writer.turn)
	require.NoError(t, w.Checkpointed())
	w.moved2()
}

// What is copied before readers are waited for may take long: that is ended, too, and
// the writer writes on.
func TestCopyingEndsInTheWritersTurn(t *testing.T) { synctest.Test(t, testCopyingEnds) }

func testCopyingEnds(t *testing.T) {
	w := newLogWorld(t)
	began, ran := time.Now(), 0
	late := func() {
		if ran++; ran == 1 {
			time.Sleep(heldLimit + time.Millisecond)
		}
	}
	itRuns.Store(&late)
	defer itRuns.Store(nil)
	w.on(func(c driverConn) driverConn {
		return asked{c, func(query string) string {
			if query != restart {
				return query
			}
			return "WITH RECURSIVE c(x) AS (SELECT it_runs() UNION ALL SELECT x + 1 FROM c WHERE x < 1000000) SELECT 0, max(x), max(x) FROM c"
		}}
	})
	rest := w.checkpoints.rest
	p, anew, err := w.checkpoints.restart(passed{log: 3, copied: 2})
	require.NoError(t, err)
	require.False(t, anew)
	require.Equal(t, passed{log: 3, copied: 2}, p)
	require.Equal(t, 2*rest, w.checkpoints.rest, "the next time is later")
	require.Less(t, time.Since(began), 2*heldLimit)
	require.Empty(t, w.writer.turn)
	_, anew, err = w.checkpoints.restart(p)
	require.NoError(t, err)
	require.True(t, anew, "on another connection")
	w.steps(4 * short)
	require.NoError(t, w.Checkpointed())
	w.moved2()
}

// Another program has the checkpoint's lock and doesn't give it back. SQLite then tells
// no length of the log; what was written since is told of.
func TestAnotherProgramHoldsTheLock(t *testing.T) {
	w := newLogWorld(t)
	w.steps(2 * short)
	require.NoError(t, w.Checkpointed())
	held := true
	w.on(func(c driverConn) driverConn {
		return asked{c, func(query string) string {
			if held {
				return "SELECT 1, -1, -1"
			}
			return query
		}}
	})
	began := w.written()
	for w.written() < began+4*short {
		w.steps(1)
		require.NoError(t, w.Checkpointed(), "that is nothing yet")
	}
	for w.written() < began+9*short {
		w.steps(1)
	}
	for range short {
		require.ErrorIs(t, w.Checkpointed(), errHeld)
		w.steps(1)
	}
	held = false
	for w.steps(1) == 0 {
	}
	for w.steps(1) == 0 { // it had begun anew
	}
	require.NoError(t, w.Checkpointed())
	w.moved2()
}
