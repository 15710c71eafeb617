package interlock_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// spy stands before a store: each function, where a test sets it, is called in
// place of the store's, which it is given.
type spy struct {
	*sqlite.Store
	commit   func(ctx context.Context, c *interlock.Commit, do func() error) error
	within   func(ctx context.Context, do func() error) error
	apply    func(c *interlock.Commit, do func() error) error
	attempts func() error
	lose     func()        // the next Within is rolled back and its COMMIT lost; then this is done
	load     func()        // before a Load
	lease    time.Duration // of the next key that is reserved; 0: as asked
	withins  atomic.Int64
	locks    atomic.Int64
}

func (s *spy) Commit(ctx context.Context, c *interlock.Commit) error {
	do := func() error { return s.Store.Commit(ctx, c) }
	if s.commit != nil {
		return s.commit(ctx, c, do)
	}
	return do()
}

func (s *spy) Within(ctx context.Context, fn func(interlock.Tx) error) error {
	s.withins.Add(1)
	do := func() error {
		return s.Store.Within(ctx, func(tx interlock.Tx) error { return fn(spiedTx{tx, s}) })
	}
	if lose := s.lose; lose != nil {
		s.lose = nil
		undo := errors.New("rolled back")
		err := s.Store.Within(ctx, func(tx interlock.Tx) error { return errors.Join(fn(spiedTx{tx, s}), undo) })
		lose()
		return errors.Join(err, errLost)
	}
	if s.within != nil {
		return s.within(ctx, do)
	}
	return do()
}

func (s *spy) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	if s.load != nil {
		s.load()
	}
	return s.Store.Load(ctx, tenant, ref, actors)
}

func (s *spy) Reserve(ctx context.Context, k interlock.Idempotency, now time.Time, lease time.Duration) (*interlock.Idempotency, error) {
	if s.lease != 0 {
		lease, s.lease = s.lease, 0
	}
	return s.Store.Reserve(context.WithoutCancel(ctx), k, now, lease) // a hasty gate is hasty later
}

func (s *spy) AddAttempts(ctx context.Context, a []interlock.Attempt, c []interlock.AttemptCount, keep int) error {
	if s.attempts != nil {
		if err := s.attempts(); err != nil {
			return err
		}
	}
	return s.Store.AddAttempts(ctx, a, c, keep)
}

type spiedTx struct {
	interlock.Tx
	spy *spy
}

func (t spiedTx) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	t.spy.locks.Add(1)
	return t.Tx.Load(ctx, tenant, ref, actors)
}

func (t spiedTx) Apply(ctx context.Context, c *interlock.Commit) error {
	do := func() error { return t.Tx.Apply(ctx, c) }
	if t.spy.apply != nil {
		return t.spy.apply(c, do)
	}
	return do()
}

// once runs f before the first commit that the test's own request makes; what
// f commits doesn't count.
func (s *spy) once(f func()) {
	first := true
	s.commit = func(_ context.Context, _ *interlock.Commit, do func() error) error {
		if first {
			first = false
			f()
		}
		return do()
	}
}

func spied(t *testing.T, change func(*interlock.Config)) (*interlock.Gate, *spy) {
	t.Helper()
	s := &spy{Store: memory(t)}
	g := newGate(t, func(c *interlock.Config) {
		c.Store = s
		if change != nil {
			change(c)
		}
	})
	return g, s
}

func loan(event string) interlock.Request {
	return interlock.Request{Machine: "loan", ID: "17", Event: event}
}

func comment(text string) interlock.Request {
	req := loan("comment")
	req.Input = map[string]any{"text": text}
	return req
}

// versionOf is the stored version: one more for each thing that was committed.
func versionOf(t *testing.T, g *interlock.Gate, machine, id string) int64 {
	t.Helper()
	inst, err := g.Get(t.Context(), root, interlock.Ref{Machine: machine, ID: id})
	require.NoError(t, err)
	return inst.Version
}
