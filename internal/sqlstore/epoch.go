package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/interlock-go/interlock"
)

const epochsSQL = `SELECT epoch, reason, since_us FROM il.epoch ORDER BY n`

const firstEpochSQL = `INSERT INTO il.epoch (n, epoch, reason, since_us)
	SELECT 1, epoch, 'the store was made', NOW_US FROM il.store WHERE NOT EXISTS (SELECT 1 FROM il.epoch)`

const nextEpochSQL = `INSERT INTO il.epoch (n, epoch, reason, since_us) SELECT max(n) + 1, $1, $2, NOW_US FROM il.epoch`

const setEpochSQL = `UPDATE il.store SET epoch = $1, server = $2`

const setServerSQL = `UPDATE il.store SET server = $1 WHERE server = ''`

const getServerSQL = `SELECT server FROM il.store`

const putMarkSQL = `INSERT INTO il.mark (value) VALUES ($1)`

const getMarkSQL = `SELECT 1 FROM il.mark WHERE value = $1`

// A process that was away for longer than this is told to begin a new epoch.
const trimMarksSQL = `DELETE FROM il.mark WHERE stamp_us < NOW_US - 400 * 86400 * CAST(1000000 AS BIGINT)`

// Epochs are all epochs of the store, oldest first.
func (s *Store) Epochs(ctx context.Context) ([]interlock.Epoch, error) {
	var out []interlock.Epoch
	err := each(ctx, s.db, s.q.epochs, nil, func(r Rows) error {
		var e interlock.Epoch
		var since int64
		err := r.Scan(&e.ID, &e.Reason, &since)
		e.Since = fromMicros(since)
		out = append(out, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("epochs: %w", err)
	}
	return out, nil
}

// BumpEpoch begins a new epoch and returns it: nothing that was decided, or that
// stands in a cache, under a former one counts any more. It waits for commits in
// flight. The reason is kept; it must not be empty.
func (s *Store) BumpEpoch(ctx context.Context, reason string) (interlock.Epoch, error) {
	none := interlock.Epoch{}
	if reason = strings.TrimSpace(reason); reason == "" || !storable(reason) {
		return none, errors.New("begin an epoch: say why, in a reason")
	}
	server, err := s.server(ctx)
	if err != nil {
		return none, err
	}
	id, mark := rand.Text(), rand.Text()
	err = s.Retry(ctx, func() error {
		return s.db.InTx(ctx, func(tx Tx) error {
			if rows, err := tx.Exec(ctx, s.q.setEpoch, id, server); err != nil || rows == 0 {
				return stale(err, errNoEpoch)
			}
			if _, err := tx.Exec(ctx, s.q.nextEpoch, id, reason); err != nil {
				return err
			}
			if err := s.lockText(ctx, tx, s.d.Notify, "epoch"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, s.q.putMark, mark)
			return err
		})
	})
	if err != nil {
		return none, fmt.Errorf("begin an epoch: %w", err)
	}
	if err := s.remember(witness{Epoch: id, Mark: mark}); err != nil {
		return none, fmt.Errorf("the epoch has begun, but: %w", err)
	}
	all, err := s.Epochs(ctx)
	if err != nil || len(all) == 0 {
		return none, fmt.Errorf("the epoch has begun, but can't be read: %w", stale(err, errNoEpoch))
	}
	return all[len(all)-1], nil
}

func (s *Store) server(ctx context.Context) (string, error) {
	if s.d.Server == nil {
		return "", nil
	}
	server, err := s.d.Server(ctx, s.db)
	if err != nil {
		return "", fmt.Errorf("which server this is: %w", err)
	}
	return server, nil
}

// Begin is asked at start, when the schema is up to date. A store that isn't as
// this process, or its server, last knew it is an *interlock.RewoundError. Else a
// mark is left in it and remembered, in the witness file where there is one.
func (s *Store) Begin(ctx context.Context) error {
	known, err := readWitness(s.seen.file)
	if err != nil {
		return err
	}
	server, err := s.server(ctx)
	if err != nil {
		return err
	}
	if err := s.same(ctx, known); err != nil {
		return err
	}
	if server != "" {
		var was string
		if _, err := one(ctx, s.db, s.q.getServer, nil, &was); err != nil {
			return err
		}
		if was != "" && was != server {
			return &interlock.RewoundError{Why: fmt.Sprintf("its server was %s and is %s: a backup was put back, or a standby took over", was, server)}
		}
		if was == "" {
			if err := s.db.InTx(ctx, func(tx Tx) error { _, err := tx.Exec(ctx, s.q.setServer, server); return err }); err != nil {
				return err
			}
		}
	}
	return s.Mark(ctx)
}

// Mark leaves a mark in the store and remembers it: first there, then here, so
// that what is remembered is in the store whatever happens in between. A store
// that lacks the mark before is an *interlock.RewoundError, and gets no new one:
// it would be taken for whole from then on.
func (s *Store) Mark(ctx context.Context) error {
	next := witness{Mark: rand.Text()}
	s.seen.mu.Lock()
	last := s.seen.last
	s.seen.mu.Unlock()
	if err := s.same(ctx, last); err != nil {
		return err
	}
	err := s.db.InTx(ctx, func(tx Tx) error {
		found, err := one(ctx, tx, s.q.epoch, nil, &next.Epoch)
		if err != nil || !found {
			return stale(err, errNoEpoch)
		}
		if _, err := tx.Exec(ctx, s.q.trimMarks); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, s.q.putMark, next.Mark)
		return err
	})
	if err != nil {
		return fmt.Errorf("leave a mark in the store: %w", err)
	}
	return s.remember(next)
}

// Unbroken tells, while a process runs, whether the store still has the mark
// that was left last: an *interlock.RewoundError when it hasn't.
func (s *Store) Unbroken(ctx context.Context) error {
	s.seen.mu.Lock()
	last := s.seen.last
	s.seen.mu.Unlock()
	return s.same(ctx, last)
}

// same tells whether the store continues what was known of it: it has the mark,
// or has begun an epoch since.
func (s *Store) same(ctx context.Context, known witness) error {
	if known.Mark == "" {
		return nil
	}
	found, err := exists(ctx, s.db, s.q.getMark, known.Mark)
	if err != nil || found {
		return err
	}
	all, err := s.Epochs(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(e interlock.Epoch) bool { return e.ID == known.Epoch })
	switch {
	case at >= 0 && at < len(all)-1:
		return nil
	case at < 0:
		return &interlock.RewoundError{Why: "it has never had the epoch " + known.Epoch + s.seen.where()}
	}
	return &interlock.RewoundError{Why: "it lacks the mark that was left in it last" + s.seen.where()}
}
