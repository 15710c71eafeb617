package interlock

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Refused attempts are written behind the answer, in batches: a flood of
// refusals costs the store a few transactions a second. When more come than
// the queue holds, rows are dropped; the counters stay exact.
const (
	attemptQueue = 2048
	attemptEvery = 100 * time.Millisecond
)

type attempts struct {
	store HistoryStore
	keep  int
	log   *slog.Logger

	mu     sync.Mutex
	rows   []Attempt
	counts map[AttemptCount]int64 // Count is 0 in the key

	flushing sync.Mutex // one flush at a time, so that a reader that flushes sees all
	stop     chan struct{}
	done     chan struct{}
	once     sync.Once
}

func startAttempts(store HistoryStore, keep int, log *slog.Logger) *attempts {
	a := &attempts{store: store, keep: keep, log: log, counts: map[AttemptCount]int64{},
		stop: make(chan struct{}), done: make(chan struct{})}
	go a.run()
	return a
}

// add counts under key and keeps the row, unless it belongs to no instance.
func (a *attempts) add(key AttemptCount, row Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[key]++
	if a.keep > 0 && row.Instance != "" && len(a.rows) < attemptQueue {
		a.rows = append(a.rows, row)
	}
}

func (a *attempts) run() {
	defer close(a.done)
	tick := time.NewTicker(attemptEvery)
	defer tick.Stop()
	for {
		select {
		case <-a.stop:
			return
		case <-tick.C:
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if err := a.flush(ctx); err != nil {
				a.log.Warn("refused attempts could not be written; they are kept and tried again", "error", err)
			}
			cancel()
		}
	}
}

// flush writes what there is. What could not be written goes back, the oldest
// rows first to be dropped.
func (a *attempts) flush(ctx context.Context) error {
	a.flushing.Lock()
	defer a.flushing.Unlock()
	a.mu.Lock()
	rows, counts := a.rows, a.counts
	a.rows, a.counts = nil, map[AttemptCount]int64{}
	a.mu.Unlock()
	if len(counts) == 0 {
		return nil
	}
	list := make([]AttemptCount, 0, len(counts))
	for c, n := range counts {
		c.Count = n
		list = append(list, c)
	}
	err := a.store.AddAttempts(ctx, rows, list, a.keep)
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for c, n := range counts {
		a.counts[c] += n
	}
	rows = append(rows, a.rows...)
	a.rows = rows[max(0, len(rows)-attemptQueue):]
	return err
}

func (a *attempts) close(ctx context.Context) error {
	a.once.Do(func() { close(a.stop) })
	select {
	case <-a.done:
		return a.flush(ctx)
	case <-ctx.Done():
		return fmt.Errorf("interlock: refused attempts could not be written: %w", context.Cause(ctx))
	}
}

// attempt notes a refusal. Reads and dry runs are not attempts. A counter's key
// holds declared names only, so that callers can't make ever new ones.
func (g *Gate) attempt(f *facts, q *question, r *Refusal) {
	if q.op == opRead || q.dryRun {
		return
	}
	key := AttemptCount{Tenant: q.actor.Tenant, Stage: r.Stage, Code: r.Code}
	row := Attempt{Tenant: q.actor.Tenant, Event: q.event[:min(len(q.event), 128)], To: q.to[:min(len(q.to), 128)],
		Actor: q.actor.ID, Person: q.actor.person(), Stage: r.Stage, Code: r.Code, Reasons: []string{}, Time: q.now, Revision: r.Revision}
	if f != nil && f.m != nil {
		key.Machine = f.m.Name()
		row.Machine = key.Machine
		if _, known := f.m.EventByName(q.event); known || q.op != opFire {
			key.Event = q.event
		}
		if f.inst != nil {
			row.Instance, row.State = f.inst.ID, f.inst.State
		}
	}
	for _, why := range r.Reasons {
		row.Reasons = append(row.Reasons, why.Code)
	}
	g.attempts.add(key, row)
}
