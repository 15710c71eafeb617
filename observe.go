package interlock

import (
	"context"
	"time"
)

// Observer is told of everything the gate did, after it did it. It must be
// quick and must not call the gate.
type Observer interface {
	Observe(ctx context.Context, o Observation)
}

// Observation is one call of the gate.
type Observation struct {
	Op       string // fire (Do, too), create, facts, available, explain, read, actor, erase, audit, repair (Backfill, too); alarm: no call, only something noticed
	Tenant   string
	Machine  string
	Event    string
	Stage    Stage // "" when it was allowed
	Code     string
	Duration time.Duration
	Cached   bool   // the final decision rested on cached facts
	Looks    int    // decisions made: 1, or more after a second look or a lost race
	Alarm    string // not "" when something needs a human: policy_failed, drift, person_mismatch, state_unknown, outcome_unknown, cache_corrupt, cache_not_dropped, activation_half, revision_superseded, revision_retired, store_rewound, mark_failed or log_grows
}
