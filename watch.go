package interlock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// watch looks, in the background, at what other processes may change: whether
// this gate's rules are still in force, the epoch, and whether the store is the
// one that was known. It saves hopeless work and tells people; what may commit is
// decided in the commit alone.
type watch struct {
	gate    *Gate
	store   Store
	stop    context.CancelFunc
	ended   chan struct{}
	changed chan struct{} // told by the store: look at once

	rules   atomic.Pointer[map[string]string] // machine → status of the revision that the gate has; nil: not looked yet
	rewound atomic.Pointer[RewoundError]
	wrote   atomic.Bool // something was committed since the last mark
	grows   bool        // the store's log, and that was told; of run alone
}

const (
	lookTimeout = 5 * time.Second
	markEvery   = time.Minute
)

func newWatch(g *Gate) *watch {
	return &watch{gate: g, store: g.cfg.Store, ended: make(chan struct{}), changed: make(chan struct{}, 1)}
}

func (w *watch) start() {
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	heard := make(chan struct{})
	go func() { defer close(heard); w.listen(ctx) }()
	go func() {
		defer close(w.ended)
		w.run(ctx)
		<-heard
	}()
}

func (w *watch) run(ctx context.Context) {
	look, mark := time.NewTicker(w.gate.cfg.Poll), time.NewTicker(markEvery)
	defer look.Stop()
	defer mark.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-mark.C:
			w.mark(ctx)
		case <-w.changed:
			w.look(ctx)
		case <-look.C:
			w.look(ctx)
		}
	}
}

// listen lets a store that can tell of changes tell them.
func (w *watch) listen(ctx context.Context) {
	l, ok := w.store.(interface {
		Listen(ctx context.Context, changed func()) error
	})
	for ok {
		err := l.Listen(ctx, func() {
			select {
			case w.changed <- struct{}{}:
			default:
			}
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		w.gate.log.DebugContext(ctx, "interlock: the store can't tell of changes now; it is asked every Config.Poll", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(w.gate.cfg.Poll, time.Second)):
		}
	}
}

// look asks the store. One that doesn't answer changes nothing: what was known holds.
func (w *watch) look(ctx context.Context) {
	w.lookAtLog(ctx)
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := errors.Join(w.lookAtStore(ctx), w.lookAtRules(ctx)); err != nil && ctx.Err() == nil {
		w.gate.log.DebugContext(ctx, "interlock: whether the rules are in force can't be told now", "error", err)
	}
}

func (w *watch) lookAtStore(ctx context.Context) error {
	epoch, err := w.store.Epoch(ctx)
	if err != nil {
		return err
	}
	w.gate.epoch.Store(&epoch)
	s, ok := w.store.(interface{ Unbroken(context.Context) error })
	if !ok {
		return nil
	}
	err = s.Unbroken(ctx)
	var rewound *RewoundError
	if errors.As(err, &rewound) {
		if w.rewound.Swap(rewound) == nil {
			w.gate.alarm(ctx, "store_rewound", rewound.Error())
		}
		return nil
	}
	if err == nil {
		w.rewound.Store(nil)
	}
	return err
}

// lookAtLog tells once of a log that grows.
func (w *watch) lookAtLog(ctx context.Context) {
	s, ok := w.store.(interface{ Checkpointed() error })
	if !ok {
		return
	}
	err := s.Checkpointed()
	if err != nil && !w.grows {
		w.gate.alarm(ctx, "log_grows", "the database's log grows; commits go on while there is room on the disk", slog.Any("error", err))
	}
	w.grows = err != nil
}

// lookAtRules doesn't look while the gate activates others itself.
func (w *watch) lookAtRules(ctx context.Context) error {
	g := w.gate
	if !g.activate.TryLock() {
		return nil
	}
	defer g.activate.Unlock()
	snap, now := g.snap.Load(), map[string]string{}
	for _, m := range snap.order {
		revisions, err := w.store.Revisions(ctx, m.Name())
		if err != nil {
			return err
		}
		now[m.Name()] = statusOf(snap.machines[m.Name()].revision, revisions)
	}
	former := w.rules.Swap(&now)
	for name, status := range now {
		if former != nil && (*former)[name] == status || status == "active" {
			continue
		}
		switch status {
		case "accepting":
			g.alarm(ctx, "revision_superseded", "other rules are active; this process goes on with its own for their grace", slog.String("machine", name), slog.String("revision", g.Revision(name)))
		default:
			g.alarm(ctx, "revision_retired", "the rules of this process are no longer in force; it refuses until it has those that are", slog.String("machine", name), slog.String("revision", g.Revision(name)))
		}
	}
	return nil
}

// statusOf is retired for a revision that the store doesn't know: nothing
// commits under it.
func statusOf(id string, revisions []Revision) string {
	for _, r := range revisions {
		if r.ID == id {
			return r.Status
		}
	}
	return "retired"
}

// mark lets the store remember that it was here, if anything was committed since.
func (w *watch) mark(ctx context.Context) {
	s, ok := w.store.(interface{ Mark(context.Context) error })
	if !ok || !w.wrote.Swap(false) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := s.Mark(ctx); err != nil {
		w.wrote.Store(true)
		w.gate.alarm(ctx, "mark_failed", "the store could not be marked; a restore of it is noticed less well until it can", slog.Any("error", err))
	}
}

// writes notes that something is about to be committed. A gate that only serves
// one call, such as Erase's, watches nothing.
func (w *watch) writes() {
	if w != nil {
		w.wrote.Store(true)
	}
}

func (w *watch) close(ctx context.Context) error {
	w.stop()
	select {
	case <-w.ended:
		w.mark(ctx)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interlock: the look at the store doesn't end: %w", context.Cause(ctx))
	}
}

// retired refuses what would be decided by rules that are known to be in force
// no longer: a menu by them would lie, and nothing would commit.
func (g *Gate) retired(m *machine) *Refusal {
	if g.watch == nil {
		return nil
	}
	if now := g.watch.rules.Load(); now != nil && (*now)[m.Name()] == "retired" && g.snap.Load().machines[m.Name()] == m {
		return unavailable("revision_retired", "this replica's rules are no longer in force", nil)
	}
	return nil
}

// rewound refuses everything while the store lacks what was acknowledged.
func (g *Gate) rewound() *Refusal {
	if g.watch == nil {
		return nil
	}
	if err := g.watch.rewound.Load(); err != nil {
		return unavailable("store_rewound", "the store was put back to an earlier time; its operator has to begin a new epoch", err)
	}
	return nil
}

// InForce tells whether this gate can decide: an error where the rules of one of
// its machines are retired, which a new [Gate.Activate] mends, or where the store
// was put back to an earlier time. It is what was known at the last look, at most
// Config.Poll ago where the store answers, and asks nothing.
func (g *Gate) InForce() error {
	if no := g.rewound(); no != nil {
		return no
	}
	snap := g.snap.Load()
	for _, def := range snap.order {
		m := snap.machines[def.Name()]
		if no := g.retired(m); no != nil {
			return fmt.Errorf("machine %s, revision %s: %w", m.Name(), m.revision, no)
		}
	}
	return nil
}
