package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// leave is the commit that gives an actor his second version: switched off.
func leave(epoch, id string) *interlock.Commit {
	c := joinOf(epoch, id)
	a := c.Actor
	a.PrevVersion, a.PrevDigest, a.PrevHead = 1, aDigest, aHead
	a.Next.Version, a.Next.Active = 2, false
	a.Record = recordOf(interlock.ActorMachine, id, id, 2)
	return c
}

// by is the step by another actor.
func by(c *interlock.Commit, actor string) *interlock.Commit {
	c.Actors[0].ID = actor
	return c
}

// What a commit was told of an actor holds for the next ones in its transaction,
// until one of them changes an actor; other versions and contents were never told of.
func TestARevocationCountsWithinItsTransaction(t *testing.T) {
	w := newWorld(t, "a", "b", "c", "d", "e", "f", "g")
	other, content := by(w.step("c"), "of-a"), by(w.step("d"), "of-a")
	other.Actors[0].Version, content.Actors[0].Digest = 2, aHead
	errs := w.CommitTogether(t.Context(), []*interlock.Commit{
		w.step("a"), by(w.step("b"), "of-a"), other, content, leave(w.epoch, "of-a"), by(w.step("e"), "of-a"), by(w.step("f"), "of-b"), by(w.step("g"), "of-a"),
	})
	for i, err := range errs {
		require.ErrorIs(t, err, map[int]error{2: interlock.ErrStale, 3: interlock.ErrStale, 5: interlock.ErrStale, 7: interlock.ErrStale}[i], i)
	}
	w.moved(map[string]bool{"a": true, "b": true, "c": false, "d": false, "e": false, "f": true, "g": false})
}

// A change of an actor that fails leaves him as he was, to those behind it.
func TestAFailedRevocationCountsForNothing(t *testing.T) {
	w := newWorld(t, "a", "b")
	gone := leave(w.epoch, "of-a")
	gone.Epoch = "another"
	errs := w.CommitTogether(t.Context(), []*interlock.Commit{w.step("a"), gone, by(w.step("b"), "of-a")})
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], interlock.ErrStale)
	require.NoError(t, errs[2])
	w.moved(map[string]bool{"a": true, "b": true})
}

// Whatever isn't a commit may have changed anything.
func TestAWriteForgetsWhatIsHeld(t *testing.T) {
	for table, change := range map[string]string{
		"actor":    "UPDATE interlock_actor SET active = 0",
		"revision": "UPDATE interlock_revision SET status = 'retired'",
		"store":    "UPDATE interlock_store SET epoch = 'another'",
	} {
		w := newWorld(t, "a", "b")
		first, second := w.encoded(w.step("a")), w.encoded(by(w.step("b"), "of-a"))
		w.writeTogether(first, &pending{write: func(c sqlstore.Conn) error {
			_, err := c.Exec(context.Background(), change)
			return err
		}}, second)
		require.NoError(t, first.err, table)
		require.ErrorIs(t, second.err, interlock.ErrStale, table)
		w.moved(map[string]bool{"a": true, "b": false})
	}
}

// Rules that are accepted for a while are asked for each time, for that may end
// within a transaction; active ones once.
func TestOnlyWhatTimeCantEndIsHeld(t *testing.T) {
	for _, accepting := range []bool{true, false} {
		w := newWorld(t, "a", "b")
		if accepting {
			require.NoError(t, w.Activate(t.Context(), rules("r2"), time.Hour))
		}
		first, second := w.encoded(w.step("a")), w.encoded(w.step("b"))
		require.NoError(t, w.writer.transact(func(c *connection) error {
			b := &batch{connection: c, changes: &changes{}, store: w.Store}
			require.NoError(t, b.apply(first))
			_, err := c.Exec(t.Context(), "UPDATE interlock_revision SET status = 'accepting', until_us = 1") // unheard
			require.NoError(t, err)
			if err := b.apply(second); accepting {
				require.ErrorIs(t, err, interlock.ErrStale)
			} else {
				require.NoError(t, err, "what nobody in a transaction can change is asked once")
			}
			return nil
		}))
	}
}

// Between two transactions anything may change.
func TestNothingIsHeldBetweenTransactions(t *testing.T) {
	w := newWorld(t, "a", "b", "c", "d")
	together := func(id string, want error) {
		t.Helper()
		for _, err := range w.CommitTogether(t.Context(), []*interlock.Commit{by(w.step(id), "of-d")}) {
			require.ErrorIs(t, err, want)
		}
	}
	together("a", nil)
	require.NoError(t, w.Activate(t.Context(), rules("r2"), 0))
	together("b", interlock.ErrStale)
	require.NoError(t, w.Activate(t.Context(), rules("r1"), 0))
	together("b", nil)
	_, err := w.BumpEpoch(t.Context(), "a backup was put back")
	require.NoError(t, err)
	together("c", interlock.ErrStale)
}

// One that fails after it has written leaves nothing, and isn't felt by others.
func TestAFailureInTheMidst(t *testing.T) {
	w := newWorld(t, "a", "b", "c", "d", "e")
	spoil := func(id string) { // a row of history where the next would stand
		require.NoError(t, w.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO interlock_history SELECT tenant, machine, instance, 3, id || 'x', event, from_state, to_state, override, actor, person,
				on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts, stamp_us FROM interlock_history WHERE machine = 'loan' AND instance = ? AND seq = 1`, id)
			return err
		}))
	}
	require.NoError(t, w.Commit(t.Context(), w.step("c")))
	spoil("c")
	third := stepOf(w.epoch, "c", 3)
	conflict := w.step("e")
	conflict.Instance.PrevHead = aDigest
	errs := w.CommitTogether(t.Context(), []*interlock.Commit{w.step("a"), conflict, third, w.step("b"), w.step("a")})
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], interlock.ErrStale)
	require.ErrorContains(t, errs[2], "append-only")
	require.NoError(t, errs[3])
	require.ErrorIs(t, errs[4], interlock.ErrStale, "the one before has written")
	w.moved(map[string]bool{"a": true, "b": true, "d": false, "e": false})
	f, err := w.Load(t.Context(), interlock.DefaultTenant, interlock.Ref{Machine: "loan", ID: "c"}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, f.Instance.Version)

	errs = w.CommitTogether(t.Context(), []*interlock.Commit{third})
	require.ErrorContains(t, errs[0], "append-only", "alone")
	require.NoError(t, w.Commit(t.Context(), w.step("d")))
	w.moved(map[string]bool{"a": true, "b": true, "d": true, "e": false})
}

// A panic is one's own, whatever was written before it.
func TestAPanicInTheMidst(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	const write = "UPDATE interlock_instance SET version = 7 WHERE id = 'c'"
	bad := &pending{write: func(c sqlstore.Conn) error {
		_, err := c.Exec(context.Background(), write)
		require.NoError(t, err)
		panic("in between")
	}}
	first, last := w.encoded(w.step("a")), w.encoded(w.step("b"))
	w.writeTogether(first, bad, last)
	require.NoError(t, first.err)
	require.ErrorContains(t, bad.err, "in between")
	require.NoError(t, last.err)
	w.moved(map[string]bool{"a": true, "b": true, "c": false})

	w.writeTogether(bad)
	require.ErrorContains(t, bad.err, "in between", "alone")
	w.moved(map[string]bool{"c": false})
}

// A key is completed before its instance is asked for: what is refused then
// leaves the key reserved.
func TestAKeyOfARefusedCommitStaysReserved(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	k := interlock.Idempotency{Tenant: interlock.DefaultTenant, Actor: "of-b", Key: "k", Token: "x", Machine: "loan", Instance: "b", Expires: time.Unix(2e9, 0)}
	held, err := w.Reserve(t.Context(), k, time.Unix(1e9, 0), time.Hour)
	require.NoError(t, err)
	require.Nil(t, held)
	refused := w.step("b")
	refused.Instance.PrevHead = aDigest
	k.Seq = 2
	refused.Idempotency = &k
	errs := w.CommitTogether(t.Context(), []*interlock.Commit{w.step("a"), refused, w.step("c")})
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], interlock.ErrStale)
	require.NoError(t, errs[2])
	w.moved(map[string]bool{"a": true, "b": false, "c": true})
	now, err := w.Idempotent(t.Context(), interlock.DefaultTenant, "of-b", "k")
	require.NoError(t, err)
	require.Zero(t, now.Seq)
}

// broken is a connection on which something fails.
type broken struct {
	driverConn
	begin, commit, rollback error
}

func (b broken) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if b.begin != nil {
		return nil, b.begin
	}
	tx, err := b.driverConn.BeginTx(ctx, o)
	return brokenTx{tx, b}, err
}

type brokenTx struct {
	driver.Tx
	b broken
}

func (t brokenTx) Commit() error {
	if t.b.commit != nil {
		return t.b.commit // without an end of the transaction
	}
	return t.Tx.Commit()
}

func (t brokenTx) Rollback() error {
	if t.b.rollback != nil {
		return t.b.rollback
	}
	return t.Tx.Rollback()
}

// A connection that fails is given up; the next one has the same settings, and
// nothing of what was begun on the former.
func TestAConnectionThatBreaks(t *testing.T) {
	gone := errors.New("gone")
	for name, b := range map[string]broken{
		"begin": {begin: gone}, "commit": {commit: gone}, "rollback": {rollback: gone}, "bad": {begin: driver.ErrBadConn},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "a", "b", "c")
			w.replace(func(c driverConn) driverConn { b.driverConn = c; return b })
			conflict := w.step("c")
			conflict.Instance.PrevHead = aDigest
			commits := []*interlock.Commit{w.step("a"), conflict}
			if b.rollback != nil {
				commits = []*interlock.Commit{conflict}
			}
			errs := w.CommitTogether(t.Context(), commits)
			var unknown *interlock.UnknownOutcome
			switch {
			case b.begin != nil:
				require.ErrorIs(t, errs[0], b.begin)
				require.ErrorIs(t, errs[1], b.begin)
			case b.commit != nil:
				require.ErrorAs(t, errs[0], &unknown)
				require.ErrorIs(t, errs[1], interlock.ErrStale, "this is certain")
			default:
				require.ErrorIs(t, errs[0], interlock.ErrStale)
			}
			w.moved(map[string]bool{"a": false, "c": false})
			require.NoError(t, w.Commit(t.Context(), w.step("b")))
			w.moved(map[string]bool{"a": false, "b": true, "c": false})
			require.NoError(t, w.Write(t.Context(), func(tx *sql.Tx) error {
				for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "recursive_triggers": "1", "busy_timeout": "5000", "cache_spill": "0"} {
					var got string
					require.NoError(t, tx.QueryRow(`PRAGMA `+pragma).Scan(&got))
					require.Equal(t, want, got, pragma)
				}
				return nil
			}))
		})
	}
}

// A caller that is gone already writes nothing, and one that leaves while it waits
// its turn is out: both are told so in a way that is certain.
func TestWithdrawn(t *testing.T) {
	w := newWorld(t, "a", "b")
	var unknown *interlock.UnknownOutcome
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.Commit(ended, w.step("a")), context.Canceled)

	release, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = w.Write(context.Background(), func(*sql.Tx) error { close(held); <-release; return nil })
	}()
	<-held
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := w.Commit(short, w.step("a"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorAs(t, err, &unknown)
	close(release)
	require.NoError(t, w.Commit(t.Context(), w.step("b")))
	w.moved(map[string]bool{"a": false, "b": true})
}
