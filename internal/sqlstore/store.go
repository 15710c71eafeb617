package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/interlock-go/interlock"
)

var errNoEpoch = errors.New("the store has no epoch: it was not migrated")

// Store is an interlock.Store over a Database and its dialect.
type Store struct {
	db       Database
	d        *Dialect
	bindings *bindings
	q        queries
	seen     seen
	rows     sync.Pool // of *factsRow
}

// queries are the statements in the dialect's words.
type queries struct {
	load, loadMany, loadUnbound, manyUnbound          string
	list, counts, actor, actors                       string
	lockActors, lockRevisions, lockInstance           string
	checkActor, noActor, checkStore, checkRevision    string
	insertInstance, updateInstance                    string
	insertActor, updateActor, anyAdmin                string
	insertHistory, insertTexts, insertOutbox          string
	reserveKey, completeKey, answerKey, releaseKey    string
	getKey, sweepKeys, history, chain                 string
	instanceHeads, actorHeads, marks                  string
	addAttempt, trimAttempts, attempts                string
	eraseTexts, eraseMessage                          string
	eraseAnswers, eraseAttempts                       string
	archiveTexts, archiveHistory                      string
	addCount, counters                                string
	epoch, revisions, revisionLock, retire, retireOne string
	putRevision, statesInUse                          string
	epochs, nextEpoch, setEpoch, setServer, getServer string
	putMark, getMark, trimMarks, drift                string
	apiKey, apiKeys, addAPIKey, revokeAPIKey          string
	liveAPIKey                                        string
}

// New joins a database, its dialect and the application's tables.
func New(db Database, d *Dialect, list []Binding) (*Store, error) {
	bs, err := newBindings(list)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, d: d, bindings: bs, rows: sync.Pool{New: func() any { return newFactsRow() }}}
	x := d.expand
	unbound := strings.NewReplacer("BOUND_COLUMNS", "0, NULL, NULL", "BOUND_JOIN", "")
	s.q = queries{
		load: x(loadSQL), loadMany: x(loadManySQL),
		loadUnbound: unbound.Replace(x(loadSQL)), manyUnbound: unbound.Replace(x(loadManySQL)),
		list: x(listSQL), counts: x(countsSQL), actor: x(actorSQL), actors: x(actorsSQL),
		lockActors: x(lockActorsSQL), lockRevisions: x(lockRevisionsSQL), lockInstance: x(lockInstanceSQL),
		checkActor: x(checkActorSQL), noActor: x(noActorSQL), checkStore: x(checkStoreSQL), checkRevision: x(checkRevisionSQL),
		insertInstance: x(insertInstanceSQL), updateInstance: x(updateInstanceSQL),
		insertActor: x(insertActorSQL), updateActor: x(updateActorSQL), anyAdmin: x(anyAdminSQL),
		insertHistory: x(insertHistorySQL), insertTexts: x(insertTextsSQL), insertOutbox: x(insertOutboxSQL),
		reserveKey: x(reserveKeySQL), completeKey: x(completeKeySQL), answerKey: x(answerKeySQL), releaseKey: x(releaseKeySQL),
		getKey: x(getKeySQL), sweepKeys: x(sweepKeysSQL), history: x(historySQL), chain: x(chainSQL),
		instanceHeads: x(instanceHeadsSQL), actorHeads: x(actorHeadsSQL), marks: x(marksSQL),
		addAttempt: x(addAttemptSQL), trimAttempts: x(trimAttemptsSQL), attempts: x(attemptsSQL),
		eraseTexts: x(eraseTextsSQL), eraseMessage: x(eraseMessageSQL), eraseAnswers: x(eraseAnswersSQL), eraseAttempts: x(eraseAttemptsSQL),
		archiveTexts: x(archiveTextsSQL), archiveHistory: x(archiveHistorySQL),
		addCount: x(addCountSQL), counters: x(countersSQL),
		epoch: x(epochSQL), revisions: x(revisionsSQL), revisionLock: x(revisionLockSQL), retire: x(retireSQL), retireOne: x(retireOneSQL),
		putRevision: x(putRevisionSQL), statesInUse: x(statesInUseSQL),
		epochs: x(epochsSQL), nextEpoch: x(nextEpochSQL), setEpoch: x(setEpochSQL), setServer: x(setServerSQL), getServer: x(getServerSQL),
		putMark: x(putMarkSQL), getMark: x(getMarkSQL), trimMarks: x(trimMarksSQL),
		apiKey: x(apiKeySQL), apiKeys: x(apiKeysSQL), addAPIKey: x(addAPIKeySQL), revokeAPIKey: x(revokeAPIKeySQL), liveAPIKey: x(liveAPIKeySQL),
		drift: x(driftSQL),
	}
	return s, nil
}

// Bindings are the application's tables that machines are bound to, in the order
// of their machines.
func (s *Store) Bindings() []Binding {
	var all []Binding
	for _, machine := range slices.Sorted(maps.Keys(s.bindings.known)) {
		all = append(all, s.bindings.known[machine])
	}
	return all
}

const epochSQL = `SELECT epoch FROM il.store`

// Epoch is interlock.Store's.
func (s *Store) Epoch(ctx context.Context) (string, error) {
	var epoch string
	found, err := one(ctx, s.db, s.q.epoch, nil, &epoch)
	if err == nil && !found {
		err = errNoEpoch
	}
	return epoch, err
}

// Commit is interlock.Store's, in a transaction of its own.
func (s *Store) Commit(ctx context.Context, c *interlock.Commit) error {
	return s.Retry(ctx, func() error {
		return s.db.InTx(ctx, func(tx Tx) error { return s.Apply(ctx, tx, c) })
	})
}

// Retry runs a transaction again, at most twice, when the database itself gave
// it up in favour of another: certainly nothing was written then.
func (s *Store) Retry(ctx context.Context, run func() error) error {
	var err error
	for try := range 3 {
		if try > 0 {
			pause := time.Duration(try) * (5*time.Millisecond + rand.N(20*time.Millisecond))
			select {
			case <-ctx.Done():
				return err
			case <-time.After(pause):
			}
		}
		err = run()
		var unknown *interlock.UnknownOutcome
		if err == nil || s.d.Retry == nil || errors.As(err, &unknown) || !s.d.Retry(err) {
			return err
		}
	}
	return err
}

// Within is interlock.Store's. A transaction in which Apply failed is rolled
// back, whatever fn makes of that error.
func (s *Store) Within(ctx context.Context, fn func(interlock.Tx) error) error {
	return s.db.InTx(ctx, func(tx Tx) error {
		t := &storeTx{s: s, tx: tx}
		if err := fn(t); err != nil {
			return err
		}
		return t.failed
	})
}

type storeTx struct {
	s      *Store
	tx     Tx
	failed error
}

func (t *storeTx) Handle() any { return t.tx.Handle() }

func (t *storeTx) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	if err := t.s.lock(ctx, t.tx, tenant, ref, actors); err != nil {
		return interlock.Facts{}, fmt.Errorf("lock %s/%s: %w", ref.Machine, ref.ID, err)
	}
	return t.s.load(ctx, t.tx, tenant, ref, actors)
}

func (t *storeTx) Apply(ctx context.Context, c *interlock.Commit) error {
	if t.failed != nil {
		return t.failed
	}
	t.failed = t.s.Apply(ctx, t.tx, c)
	return t.failed
}

func (t *storeTx) BoundState(ctx context.Context, tenant string, ref interlock.Ref) (string, bool, error) {
	b, err := t.s.binding(ctx, t.tx, ref.Machine)
	if err != nil || b == nil {
		return "", false, err
	}
	row, err := t.s.boundRow(ctx, t.tx, b, tenant, ref.ID)
	if err != nil {
		return "", true, err
	}
	if row == nil {
		return "", true, interlock.ErrNoRow
	}
	return row.State, true, nil
}

// Actors without a person are about to get one: their rows are locked for that.
const lockActorsSQL = `WITH w AS (SELECT id FROM il.actor WHERE tenant = $1 AND person = '' AND id IN (SELECT value FROM TEXTS($2)) ORDER BY id FOR_UPDATE),
	s AS (SELECT id FROM il.actor WHERE tenant = $1 AND person <> '' AND id IN (SELECT value FROM TEXTS($2)) ORDER BY id FOR_SHARE)
SELECT (SELECT count(*) FROM w) + (SELECT count(*) FROM s)`

const lockRevisionsSQL = `SELECT 1 FROM il.revision WHERE machine = $1 AND status <> 'retired' ORDER BY id FOR_SHARE`

const lockInstanceSQL = `SELECT 1 FROM il.instance WHERE tenant = $1 AND machine = $2 AND id = $3 FOR_UPDATE`

// lock takes the rows of a decision in the order in which a commit takes them.
func (s *Store) lock(ctx context.Context, c Conn, tenant string, ref interlock.Ref, actors []string) error {
	if s.d.Share == "" || !storable(tenant, ref.Machine, ref.ID) {
		return nil
	}
	list := idList(actors)
	for _, q := range []struct {
		sql  string
		args []any
	}{{s.q.lockActors, []any{tenant, list}}, {s.q.lockRevisions, []any{ref.Machine}}, {s.q.lockInstance, []any{tenant, ref.Machine, ref.ID}}} {
		if _, err := c.Exec(ctx, q.sql, q.args...); err != nil {
			return err
		}
	}
	b, err := s.binding(ctx, c, ref.Machine)
	if err != nil || b.rowID(tenant, ref.ID) == nil {
		return err
	}
	_, err = c.Exec(ctx, b.lock, ref.ID, tenant)
	return err
}
