package interlock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/interlock-go/interlock/fsm"
)

// Config makes a [Gate]. Machines and Store are required.
type Config struct {
	Machines []*fsm.Machine
	Policy   Policy // nil: no machine may name a check or a condition
	Store    Store
	Cache    Cache // nil: every decision reads the store

	// Before is asked inside the gate, after the decision and before the commit
	// (for Do: before the handler). An error vetoes: the caller gets a Refusal
	// with code vetoed and the error's text. It may be asked again when a commit
	// lost a race; it must not write.
	Before []func(context.Context, Transition) error
	// After is told of each commit, in order, before the caller gets his answer.
	// It can change nothing any more; a panic in it is logged.
	After []func(context.Context, Transition)

	Observer Observer         // nil: nobody
	Logger   *slog.Logger     // nil: slog.Default()
	Now      func() time.Time // the gate's clock for facts and history; nil: time.Now. Durations use the monotonic clock all the same

	ReadTimeout   time.Duration // of one read of the store, for a pool's free connection included; 0: 5 s
	CommitTimeout time.Duration // of a commit, detached from the caller's context; 0: 5 s
	PolicyTimeout time.Duration // of one decision's evaluation, by the clock; 0: 1 s
	DecisionAge   time.Duration // an older decision is made again, not committed; 0: 2 s
	Grace         time.Duration // a former revision may still commit for so long; 0: 10 min, negative: none
	Poll          time.Duration // how often the store is asked whether these rules are in force; 0: 2 s, at least 10 ms
	HandlerLimit  time.Duration // of a Do handler, then it is rolled back; 0: 10 s

	StartTimeout time.Duration // of New; 0: 30 s

	KeySweep time.Duration // how often expired idempotency keys are deleted, about; 0: 10 min, negative: never

	KeepAttempts int // refused attempts kept an instance; 0: 100, negative: none
}

// Gate decides and commits. It is safe for concurrent use. Make it with [New]
// and end it with [Gate.Close].
type Gate struct {
	cfg      Config
	log      *slog.Logger
	snap     atomic.Pointer[snapshot] // a call pins one from start to commit
	epoch    atomic.Pointer[string]
	bound    sync.Map   // machine → bool: whether the store has it bound to a table
	activate sync.Mutex // one activation at a time
	policy   Policy     // the source of the active rules; under activate
	attempts *attempts
	puts     *puts // nil without a cache
	flights  *flights
	sweeper  *sweeper
	watch    *watch
}

// New migrates the store where it can be (an optional Migrate(context.Context)
// error), compiles the policy against the machines, registers their revisions
// and returns the gate. An error says what to mend: a check without a rule, a
// state that live instances are in and that the machine lacks (*StatesInUse), a
// store that doesn't answer within Config.StartTimeout, or that was put back to an
// earlier time (*RewoundError).
func New(cfg Config) (*Gate, error) {
	if cfg.Store == nil {
		return nil, errors.New("interlock: Config.Store is nil: give one, such as sqlite.Open(path)")
	}
	if len(cfg.Machines) == 0 {
		return nil, errors.New("interlock: Config.Machines is empty: give at least one, such as from fsm.LoadDir(dir)")
	}
	if err := cfg.bindings(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	ctx, cancel := context.WithTimeout(context.Background(), cfg.StartTimeout)
	defer cancel()
	if m, ok := cfg.Store.(interface{ Migrate(context.Context) error }); ok {
		if err := m.Migrate(ctx); err != nil {
			return nil, fmt.Errorf("interlock: migrate the store: %w", err)
		}
	}
	epoch, err := cfg.Store.Epoch(ctx)
	if err != nil {
		return nil, fmt.Errorf("interlock: read the store: %w", err)
	}
	g := &Gate{cfg: cfg, log: cfg.Logger, flights: newFlights()}
	g.epoch.Store(&epoch)
	g.watch = newWatch(g)
	if err := g.Activate(ctx, cfg.Machines, cfg.Policy, nil); err != nil {
		return nil, err
	}
	g.attempts = startAttempts(cfg.Store, cfg.KeepAttempts, g.log)
	g.sweeper = startSweeper(g)
	g.watch.start()
	if cfg.Cache != nil {
		g.puts = startPuts(cfg.Cache, g.log)
	}
	return g, nil
}

// bindings refuses a table bound to a machine that the gate doesn't have: nobody
// would ever write its column, and nobody be told.
func (c *Config) bindings() error {
	store, ok := c.Store.(interface{ Bindings() []Binding })
	if !ok {
		return nil
	}
	var names []string
	for _, m := range c.Machines {
		if m != nil {
			names = append(names, m.Name())
		}
	}
	for _, b := range store.Bindings() {
		if !slices.Contains(names, b.Machine) {
			return fmt.Errorf("interlock: table %s is bound to machine %q, which isn't in Config.Machines; there are: %s",
				b.Table, b.Machine, strings.Join(names, ", "))
		}
	}
	return nil
}

func (c *Config) setDefaults() {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&c.ReadTimeout, 5*time.Second)
	or(&c.CommitTimeout, 5*time.Second)
	or(&c.PolicyTimeout, time.Second)
	or(&c.DecisionAge, 2*time.Second)
	or(&c.Grace, 10*time.Minute)
	or(&c.Poll, 2*time.Second)
	c.Poll = max(c.Poll, 10*time.Millisecond)
	or(&c.HandlerLimit, 10*time.Second)
	or(&c.StartTimeout, 30*time.Second)
	or(&c.KeySweep, 10*time.Minute)
	if c.KeepAttempts == 0 {
		c.KeepAttempts = 100
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Close writes what refused attempts are still in memory, marks the store, and
// ends what the gate runs in the background. Its error says what ctx left no time for. The store
// and the cache stay open: they are the caller's.
func (g *Gate) Close(ctx context.Context) error {
	g.sweeper.close()
	g.flights.stop()
	var cache error
	if g.puts != nil {
		cache = g.puts.close(ctx)
	}
	return errors.Join(g.attempts.close(ctx), cache, g.watch.close(ctx), g.flights.close(ctx))
}

// reading bounds one read of the store: a store that never answers, or a pool
// whose connections others hold, ends in a refusal and not in a caller who waits.
func (g *Gate) reading(ctx context.Context) (context.Context, context.CancelFunc) {
	return withTimeout(ctx, g.cfg.ReadTimeout)
}

// now is the gate's clock as history keeps it: UTC, whole microseconds.
func (g *Gate) now() time.Time { return g.cfg.Now().UTC().Truncate(time.Microsecond) }
