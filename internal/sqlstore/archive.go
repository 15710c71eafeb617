package sqlstore

import (
	"context"
	"fmt"

	"github.com/interlock-go/interlock"
)

const archiveTextsSQL = `DELETE FROM il.texts WHERE tenant = $1 AND machine = $2 AND instance = $3 AND seq <= $4`

// A trigger lets only those rows go that the chain's newest row says are archived.
const archiveHistorySQL = `DELETE FROM il.history WHERE tenant = $1 AND machine = $2 AND instance = $3 AND seq <= $4`

// archive removes the rows that the commit's own, which stands in history by now,
// says are kept elsewhere.
func (s *Store) archive(ctx context.Context, tx Conn, c *interlock.Commit) error {
	a := c.Archive
	if a == nil {
		return nil
	}
	rec := recordOf(c)
	if a.After < 0 || a.Through <= a.After || a.Through >= rec.Seq-1 {
		return fmt.Errorf("commit: row %d archives the rows after %d, up to %d, of its own chain", rec.Seq, a.After, a.Through)
	}
	if _, err := tx.Exec(ctx, s.q.archiveTexts, rec.Tenant, rec.Machine, rec.Instance, a.Through); err != nil {
		return fmt.Errorf("archive the texts of %s/%s up to row %d: %w", rec.Machine, rec.Instance, a.Through, err)
	}
	rows, err := tx.Exec(ctx, s.q.archiveHistory, rec.Tenant, rec.Machine, rec.Instance, a.Through)
	if err != nil {
		return fmt.Errorf("archive %s/%s up to row %d: %w", rec.Machine, rec.Instance, a.Through, err)
	}
	if rows != a.Through-a.After {
		return interlock.ErrStale
	}
	return nil
}
