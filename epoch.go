package interlock

import (
	"time"
)

// Epoch is one life of a store's history. The first begins with the store; each
// later one with a decision of its operator, who put a backup back or whose
// server has lost commits. Nothing of an epoch that isn't the newest is ever
// committed or read from a cache. A store that has its Epochs(context.Context)
// ([]Epoch, error), oldest first, lets [Verify] hold history against them.
type Epoch struct {
	ID     string    `json:"id"`
	Since  time.Time `json:"since"` // the database's clock
	Reason string    `json:"reason"`
}

// RewoundError says that a store isn't the one that this process knew: it was
// put back to an earlier time, or is another one. What was acknowledged
// meanwhile, revoked roles too, may be missing. A store that can tell refuses
// to start then (from its Migrate), until its operator begins a new epoch.
type RewoundError struct{ Why string }

func (e *RewoundError) Error() string {
	return "the store isn't the one that was left: " + e.Why + "; what was acknowledged since may be missing (revoked roles may be back): " +
		"mend it, or begin a new epoch with `interlock epoch bump --store STORE --reason TEXT`"
}
