package interlock

import (
	"context"
	"time"
)

// JoinLooksFor sets how long after its beginning a shared look takes callers.
func (g *Gate) JoinLooksFor(d time.Duration) { g.flights.joinable = d }

// ArchiveAt is Archive by another clock, with at most so many rows a file.
func ArchiveAt(ctx context.Context, store Store, by Actor, req ArchiveRequest, write func([]Record) (ArchiveFile, error), now func() time.Time, most int) (Archived, error) {
	a := newArchiver(store, by, req, write)
	a.g.cfg.Now, a.most = now, most
	return a.archive(ctx)
}

// WithTimeout is withTimeout, for tests.
var WithTimeout = withTimeout
