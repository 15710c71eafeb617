package interlock

import "time"

// JoinLooksFor sets how long after its beginning a shared look takes callers.
func (g *Gate) JoinLooksFor(d time.Duration) { g.flights.joinable = d }
