package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// CommitTogether makes commits that wait together, as though they had come while
// both places were taken: those that fit go as one batch.
func (s *Store) CommitTogether(ctx context.Context, commits []*interlock.Commit) []error {
	open := s.HoldPlaces()
	errs, done := make([]error, len(commits)), make(chan struct{})
	waiting := 0
	for i, c := range commits {
		if sqlstore.Check(c) == nil && s.single.whole(c) && c.Instance.PrevVersion > 0 {
			waiting++
		}
		go func() {
			errs[i] = s.Commit(ctx, c)
			done <- struct{}{}
		}()
	}
	for s.Waiting() < waiting {
		time.Sleep(time.Millisecond)
	}
	open()
	for range commits {
		<-done
	}
	return errs
}

// HoldPlaces takes all places; open gives them to who waits.
func (s *Store) HoldPlaces() (open func()) {
	g := &s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writing += g.places
	return func() {
		g.mu.Lock()
		g.writing -= g.places - 1
		g.mu.Unlock()
		go g.drain()
	}
}

// Waiting is how many commits are in the queue.
func (s *Store) Waiting() int {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	return len(s.group.queue)
}

// MostWaiting is the bound of the queue.
const MostWaiting = mostWaiting

// CommitSingle is what Commit does for who finds a place, without places.
func (s *Store) CommitSingle(ctx context.Context, c *interlock.Commit) error {
	args, err := singleArgs(c)
	if err != nil {
		return err
	}
	return s.commitSingle(ctx, s.single.update, args)
}

// WaitLong lets who waits for a row, aside of the others, wait as long as a test may take.
func (s *Store) WaitLong() { s.single.update = singleStatement(s.schema, "60s", singleUpdate) }

// StopBatches makes each batch wait for an advisory lock, after its snapshot and
// before everything else.
func (s *Store) StopBatches(lock int) {
	s.group.batch = strings.Replace(s.group.batch, "'"+hastyWait+"', true)",
		fmt.Sprintf("CASE WHEN pg_advisory_xact_lock_shared(%[1]d) IS NULL THEN '%[2]s' ELSE '%[2]s' END, true)", lock, hastyWait), 1)
}
