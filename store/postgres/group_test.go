package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

// What waits together is written by one transaction, in either driver.
func TestBatchIsOneTransaction(t *testing.T) {
	address := testservice.Postgres(t)
	pool := newPool(t, address)
	for name, s := range map[string]*postgres.Store{"one": postgres.New(pool, postgres.Schema("one")), "two": postgres.NewSQL(newDB(t, address), postgres.Schema("two"))} {
		migrated(t, s)
		var names []string
		for n := range 20 {
			names = append(names, fmt.Sprint("d", n))
		}
		commits := steps(t, s, names...)
		under(t, s, commits[3], "k3")
		under(t, s, commits[4], "k4")
		for n, err := range s.CommitTogether(t.Context(), commits) {
			require.NoError(t, err, n)
		}
		var transactions int
		for _, table := range []string{"instance", "history WHERE seq = 2", "texts", "outbox", "idempotency"} {
			require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(DISTINCT xmin::text) FROM `+name+`.`+table).Scan(&transactions))
			assert.Equal(t, 1, transactions, table)
		}
	}
}

// A row that somebody holds holds up whoever needs it, and nobody else.
func TestBatchPassesOverWhatIsHeld(t *testing.T) {
	ctx := t.Context()
	pool := newPool(t, testservice.Postgres(t)+"&pool_max_conns=8")
	s := migrated(t, postgres.New(pool))
	s.WaitLong()
	require.NoError(t, s.Activate(ctx, interlock.Revision{Machine: "other", ID: "r", States: []string{"new"}}, 0))
	commits := steps(t, s, "a", "b", "c", "d", "e")
	under(t, s, commits[2], "k")
	other := creation(t, s, "f")
	other.Revision.Machine, other.Instance.Next.Machine, other.Instance.Record.Machine = "other", "other", "other"
	require.NoError(t, s.Commit(ctx, other))
	commits = append(commits, next(other))
	held, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = held.Rollback(context.Background()) }()
	for _, row := range []string{`instance WHERE id = 'a'`, `actor WHERE id = 'of-b'`, `idempotency WHERE key = 'k'`, `revision WHERE machine = 'other'`} {
		_, err = held.Exec(ctx, `SELECT 1 FROM interlock.`+row+` FOR UPDATE`)
		require.NoError(t, err)
	}
	answers, open := waiting(t, s, commits...)
	open()
	require.NoError(t, soon(t, answers[3], "d"))
	require.NoError(t, soon(t, answers[4], "e"))
	for _, n := range []int{0, 1, 2, 5} {
		select {
		case err := <-answers[n]:
			t.Errorf("%d didn't wait: %v", n, err)
		default:
		}
	}
	// Others go on beside those that wait.
	for _, c := range steps(t, s, "g", "h") {
		require.NoError(t, s.Commit(ctx, c))
	}
	require.NoError(t, held.Rollback(ctx))
	for _, n := range []int{0, 1, 2, 5} {
		require.NoError(t, soon(t, answers[n], fmt.Sprint(n)))
	}
}

// What one of a batch brings about isn't told to the others: whatever fails the
// statement, they are written, and it gets its own answer.
func TestBatchErrorIsNobodyElses(t *testing.T) {
	ctx := t.Context()
	pool := newPool(t, testservice.Postgres(t))
	s := migrated(t, postgres.New(pool))
	t.Run("a row of history is there already", func(t *testing.T) {
		commits := steps(t, s, "a", "b", "c")
		_, err := pool.Exec(ctx, `INSERT INTO interlock.history SELECT tenant, machine, instance, 2, 'forged', event, from_state, to_state, override, actor, person,
			on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts FROM interlock.history WHERE instance = 'b' AND seq = 1`)
		require.NoError(t, err)
		errs := s.CommitTogether(ctx, commits)
		assert.NoError(t, errs[0])
		var pg *pgconn.PgError
		require.ErrorAs(t, errs[1], &pg)
		assert.Equal(t, "23505", pg.Code)
		var unknown *interlock.UnknownOutcome
		assert.NotErrorAs(t, errs[1], &unknown)
		assert.NoError(t, errs[2])
		assert.Equal(t, []int64{2, 1, 2}, []int64{version(t, s, "a"), version(t, s, "b"), version(t, s, "c")})
	})
	for _, code := range []string{"40P01", "55P03", "40001", "57014", "53100", "42501"} {
		t.Run(code, func(t *testing.T) {
			_, err := pool.Exec(ctx, `CREATE FUNCTION interlock.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF current_query() LIKE '%ORDINALITY%' THEN RAISE EXCEPTION 'made up' USING ERRCODE = '`+code+`'; END IF; RETURN NEW; END $$;
				CREATE TRIGGER fail BEFORE INSERT ON interlock.outbox FOR EACH ROW EXECUTE FUNCTION interlock.fail()`)
			require.NoError(t, err)
			defer func() {
				_, err := pool.Exec(ctx, `DROP FUNCTION interlock.fail() CASCADE`)
				assert.NoError(t, err)
			}()
			commits := steps(t, s, code+"a", code+"b", code+"c")
			commits[1].Instance.PrevState = "elsewhere"
			errs := s.CommitTogether(ctx, commits)
			assert.NoError(t, errs[0])
			assert.ErrorIs(t, errs[1], interlock.ErrStale)
			assert.NoError(t, errs[2])
		})
	}
}

// When the answer to a batch is lost, each of it is told that its outcome is unknown.
func TestCutBatch(t *testing.T) {
	ctx := t.Context()
	cut := newCutter(t, testservice.Postgres(t))
	pool := newPool(t, cut.url+"&pool_max_conns=1")
	db := newDB(t, cut.url)
	db.SetMaxOpenConns(1)
	for name, s := range map[string]*postgres.Store{"pgx": postgres.New(pool, postgres.Schema("one")), "sql": postgres.NewSQL(db, postgres.Schema("two"))} {
		migrated(t, s)
		for _, err := range s.CommitTogether(ctx, steps(t, s, name+"-warm", name+"-warmer")) {
			require.NoError(t, err)
		}
		commits := steps(t, s, name+"-a", name+"-b", name+"-c")
		answers, open := waiting(t, s, commits...)
		cut.armed.Store(true)
		open()
		for n, answer := range answers {
			var unknown *interlock.UnknownOutcome
			require.ErrorAs(t, soon(t, answer, name), &unknown)
			assert.Eventually(t, func() bool { // the server is told nothing, and goes on
				f, err := s.Load(ctx, "default", interlock.Ref{Machine: "m", ID: commits[n].Instance.Next.ID}, nil)
				return err == nil && f.Instance.Version == 2
			}, patience, 10*time.Millisecond)
		}
	}
}

// Without a connection nothing was written, and that is certain.
func TestBatchWithoutConnection(t *testing.T) {
	pool := newPool(t, testservice.Postgres(t))
	s := migrated(t, postgres.New(pool))
	commits := steps(t, s, "a", "b")
	answers, open := waiting(t, s, commits...)
	pool.Close()
	open()
	for _, answer := range answers {
		err := soon(t, answer, "a closed pool")
		require.Error(t, err)
		var unknown *interlock.UnknownOutcome
		assert.NotErrorAs(t, err, &unknown)
	}
}

// Who leaves before his turn has written nothing, and the others go on.
func TestLeftBeforeItsTurn(t *testing.T) {
	s := migrated(t, postgres.New(newPool(t, testservice.Postgres(t))))
	commits := steps(t, s, "a", "b", "c")
	answers, open := waiting(t, s, commits[0], commits[2])
	ctx, cancel := context.WithCancel(t.Context())
	left := background(func() error { return s.Commit(ctx, commits[1]) })
	require.Eventually(t, func() bool { return s.Waiting() == 3 }, patience, time.Millisecond)
	cancel()
	err := soon(t, left, "b")
	require.ErrorIs(t, err, context.Canceled)
	var unknown *interlock.UnknownOutcome
	require.NotErrorAs(t, err, &unknown)
	open()
	require.NoError(t, soon(t, answers[0], "a"))
	require.NoError(t, soon(t, answers[1], "c"))
	assert.Equal(t, int64(1), version(t, s, "b"))
}

// Who leaves a statement that was sent doesn't know how it ends; it ends for the
// others, and with nobody left it is given up.
func TestLeftAfterItWasSent(t *testing.T) {
	address := testservice.Postgres(t)
	s, direct := migrated(t, postgres.New(newPool(t, address))), newPool(t, address)
	for _, all := range []bool{false, true} {
		commits := steps(t, s, fmt.Sprint("a", all), fmt.Sprint("b", all))
		// A lock on a table is waited for before lock_timeout is set.
		held, err := direct.Begin(t.Context())
		require.NoError(t, err)
		defer func() { _ = held.Rollback(context.Background()) }() // or the pools would not close
		_, err = held.Exec(t.Context(), `LOCK TABLE interlock.outbox IN ACCESS EXCLUSIVE MODE`)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		open := s.HoldPlaces()
		left := background(func() error { return s.Commit(ctx, commits[0]) })
		staying := t.Context()
		if all {
			staying = ctx
		}
		other := background(func() error { return s.Commit(staying, commits[1]) })
		require.Eventually(t, func() bool { return s.Waiting() == 2 }, patience, time.Millisecond)
		open()
		until(t, direct, oneWaits)
		cancel()
		var unknown *interlock.UnknownOutcome
		require.ErrorAs(t, soon(t, left, "who left"), &unknown)
		if all {
			require.ErrorAs(t, soon(t, other, "who left, too"), &unknown)
			until(t, direct, `SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
		}
		require.NoError(t, held.Rollback(t.Context()))
		if !all {
			require.NoError(t, soon(t, other, "who stayed"))
			assert.Equal(t, int64(2), version(t, s, "a"+fmt.Sprint(all)))
		}
	}
}

// A queue that is full is told before anything was begun.
func TestQueueIsBounded(t *testing.T) {
	s := migrated(t, postgres.New(newPool(t, testservice.Postgres(t))))
	c := steps(t, s, "a")[0]
	open := s.HoldPlaces()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range postgres.MostWaiting {
		all.Go(func() { assert.ErrorIs(t, s.Commit(ctx, c), context.Canceled) })
	}
	require.Eventually(t, func() bool { return s.Waiting() == postgres.MostWaiting }, patience, time.Millisecond)
	require.ErrorIs(t, s.Commit(t.Context(), c), interlock.ErrBusy)
	cancel()
	all.Wait()
	open()
	require.NoError(t, s.Commit(t.Context(), c))
}

// A statement that takes long holds up nobody else.
func TestSlowStatementLeavesItsPlace(t *testing.T) {
	ctx := t.Context()
	pool := newPool(t, testservice.Postgres(t))
	s := migrated(t, postgres.New(pool))
	_, err := pool.Exec(ctx, `CREATE TABLE interlock.slow (yes boolean); INSERT INTO interlock.slow VALUES (true);
		CREATE FUNCTION interlock.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			WHILE NEW.instance = 'slow' AND EXISTS (SELECT 1 FROM interlock.slow) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NEW; END $$;
		CREATE TRIGGER wait BEFORE INSERT ON interlock.outbox FOR EACH ROW EXECUTE FUNCTION interlock.wait()`)
	require.NoError(t, err)
	commits := steps(t, s, "slow", "a", "b")
	slow := background(func() error { return s.Commit(ctx, commits[0]) })
	until(t, pool, `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`)
	a, b := background(func() error { return s.Commit(ctx, commits[1]) }), background(func() error { return s.Commit(ctx, commits[2]) })
	require.NoError(t, soon(t, a, "a"))
	require.NoError(t, soon(t, b, "b"))
	select {
	case err := <-slow:
		t.Error("it wasn't slow", err)
	default:
	}
	_, err = pool.Exec(ctx, `DELETE FROM interlock.slow`)
	require.NoError(t, err)
	require.NoError(t, soon(t, slow, "slow"))
}

// What changes between a batch's snapshot and its locks counts as it is now. A
// lock of the test's own stops the statement in between.
func TestBatchSeesWhatChangedSinceItBegan(t *testing.T) {
	ctx := t.Context()
	address := testservice.Postgres(t)
	s, direct := migrated(t, postgres.New(newPool(t, address))), newPool(t, address)
	s.StopBatches(7)
	require.NoError(t, s.Activate(ctx, interlock.Revision{Machine: "other", ID: "r", States: []string{"new"}}, 0))
	run := func(commits []*interlock.Commit, changes ...string) (answers []chan error) {
		held, err := direct.Begin(ctx)
		require.NoError(t, err)
		defer func() { _ = held.Rollback(context.Background()) }()
		_, err = held.Exec(ctx, `SELECT pg_advisory_xact_lock(7)`)
		require.NoError(t, err)
		answers, open := waiting(t, s, commits...)
		open()
		until(t, direct, oneWaits)
		for _, change := range changes {
			tag, err := direct.Exec(ctx, change)
			require.NoError(t, err)
			require.EqualValues(t, 1, tag.RowsAffected(), change)
		}
		require.NoError(t, held.Rollback(ctx))
		return answers
	}
	names := []string{"actor-version", "actor-digest", "actor-off", "version", "state", "digest", "head", "key-token", "key-used", "touched", "good"}
	commits := steps(t, s, names...)
	under(t, s, commits[7], "k7")
	under(t, s, commits[8], "k8")
	under(t, s, commits[10], "k10")
	other := creation(t, s, "rules")
	other.Revision.Machine, other.Instance.Next.Machine, other.Instance.Record.Machine = "other", "other", "other"
	require.NoError(t, s.Commit(ctx, other))
	answers := run(append(commits, next(other)),
		`UPDATE interlock.actor SET version = 2 WHERE id = 'of-actor-version'`,
		`UPDATE interlock.actor SET content_digest = 'x' WHERE id = 'of-actor-digest'`,
		`UPDATE interlock.actor SET active = false WHERE id = 'of-actor-off'`,
		`UPDATE interlock.instance SET version = 5 WHERE id = 'version'`,
		`UPDATE interlock.instance SET state = 'x' WHERE id = 'state'`,
		`UPDATE interlock.instance SET content_digest = 'x' WHERE id = 'digest'`,
		`UPDATE interlock.instance SET head = 'x' WHERE id = 'head'`,
		`UPDATE interlock.idempotency SET token = 'x' WHERE key = 'k7'`,
		`UPDATE interlock.idempotency SET seq = 9 WHERE key = 'k8'`,
		`UPDATE interlock.instance SET updated_at = 5 WHERE id = 'touched'`,
		`UPDATE interlock.revision SET status = 'retired' WHERE machine = 'other'`)
	for n, want := range []error{interlock.ErrStale, interlock.ErrStale, interlock.ErrStale, interlock.ErrStale, interlock.ErrStale, interlock.ErrStale, interlock.ErrStale,
		interlock.ErrKeyUsed, interlock.ErrKeyUsed, nil, nil, interlock.ErrStale} {
		require.ErrorIs(t, soon(t, answers[n], fmt.Sprint(n)), want, "%d", n)
	}
	var history int
	require.NoError(t, direct.QueryRow(ctx, `SELECT count(*) FROM interlock.history WHERE seq = 2 AND machine = 'm'`).Scan(&history))
	assert.Equal(t, 2, history)
	for _, answer := range run(steps(t, s, "epoch-a", "epoch-b"), `UPDATE interlock.store SET epoch = 'x'`) {
		require.ErrorIs(t, soon(t, answer, "epoch"), interlock.ErrStale)
	}
}
