package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/interlock-go/interlock"
)

// One statement is one snapshot in both databases.
const marksSQL = `SELECT tenant, machine, id, version, head FROM il.instance
	UNION ALL SELECT tenant, CAST('` + interlock.ActorMachine + `' AS TEXT) COLLATE BYTES, id, version, head FROM il.actor
	ORDER BY 1, 2, 3`

// Marks is interlock.HistoryStore's. It holds a connection, and on it one
// snapshot, until the end.
func (s *Store) Marks(ctx context.Context) iter.Seq2[interlock.Mark, error] {
	return func(yield func(interlock.Mark, error) bool) {
		err := each(ctx, s.db, s.q.marks, nil, func(r Rows) error {
			var m interlock.Mark
			var hash []byte
			if err := r.Scan(&m.Tenant, &m.Machine, &m.ID, &m.Version, &hash); err != nil {
				return err
			}
			m.Hash = slices.Clone(hash)
			if !yield(m, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(interlock.Mark{}, fmt.Errorf("the newest rows of all chains: %w", err))
		}
	}
}

var errStopped = errors.New("no more is wanted")

// Unguarded names what the database lacks of the guards that forbid changes of
// history: somebody took them away, for whoever migrates makes them.
func (s *Store) Unguarded(ctx context.Context) ([]string, error) {
	var missing []string
	for _, g := range s.d.Guards {
		found, err := exists(ctx, s.db, s.d.expand(s.d.GuardSQL), g.Name, g.Table, s.d.expand(g.Text))
		if err != nil {
			return nil, err
		}
		if !found {
			missing = append(missing, "the trigger "+g.Name+" is missing, switched off or another: the database doesn't forbid changes of history")
		}
	}
	return missing, nil
}
