package server

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	defaultInFlight = 256
	defaultWaiting  = 256
	defaultWait     = time.Second
	retryAfterBusy  = "1"
)

// admission bounds what is worked on at once, and what waits for that: beyond it
// a request is turned away at once, since a longer queue only makes everybody's
// answer late.
type admission struct {
	slots   chan struct{}
	waiting atomic.Int64
	most    int64
	limit   time.Duration
}

func newAdmission(inFlight, waiting int, limit time.Duration) *admission {
	if inFlight <= 0 {
		inFlight = defaultInFlight
	}
	switch {
	case waiting == 0:
		waiting = defaultWaiting
	case waiting < 0:
		waiting = 0
	}
	if limit <= 0 {
		limit = defaultWait
	}
	return &admission{slots: make(chan struct{}, inFlight), most: int64(waiting), limit: limit}
}

// enter takes a slot, or tells that there is none. Who entered leaves.
func (a *admission) enter(ctx context.Context) bool {
	select {
	case a.slots <- struct{}{}:
		return true
	default:
	}
	if a.waiting.Add(1) > a.most {
		a.waiting.Add(-1)
		return false
	}
	defer a.waiting.Add(-1)
	limit := time.NewTimer(a.limit)
	defer limit.Stop()
	select {
	case a.slots <- struct{}{}:
		return true
	case <-limit.C:
	case <-ctx.Done():
	}
	return false
}

func (a *admission) leave() { <-a.slots }
