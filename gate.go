package interlock

import (
	"context"
	"log/slog"
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

	CommitTimeout time.Duration // of a commit, detached from the caller's context; 0: 5 s
	PolicyTimeout time.Duration // of one decision's evaluation; 0: 250 ms
	DecisionAge   time.Duration // an older decision is made again, not committed; 0: 2 s
	Grace         time.Duration // a former revision may still commit for so long; 0: 10 min, negative: none
	HandlerLimit  time.Duration // of a Do handler, then it is rolled back; 0: 10 s

	StartTimeout time.Duration // of New; 0: 30 s

	KeepAttempts int // refused attempts kept an instance; 0: 100, negative: none
}

// Gate decides and commits. It is safe for concurrent use. Make it with [New]
// and end it with [Gate.Close].
type Gate struct{}

// New migrates the store where it can be (an optional Migrate(context.Context)
// error), compiles the policy against the machines, registers their revisions
// and returns the gate. An error says what to mend: a check without a rule, a
// state that live instances are in and that the machine lacks (*StatesInUse), a
// store that doesn't answer within Config.StartTimeout.
func New(cfg Config) (*Gate, error) { panic("unbuilt") }

// Close writes what refused attempts are still in memory. The store stays open: it is the caller's.
func (g *Gate) Close(ctx context.Context) error { panic("unbuilt") }

// Activate replaces machines and rules in one step: calls that have begun finish
// with what they began with. On an error nothing has changed. moves maps, by
// machine, states that the new definition lacks to states that it has; every
// instance there is moved, with a row of history. nil machines keeps the machines.
func (g *Gate) Activate(ctx context.Context, machines []*fsm.Machine, policy Policy, moves map[string]map[string]string) error {
	panic("unbuilt")
}

// Reload compiles the same policy source again and activates what it finds.
func (g *Gate) Reload(ctx context.Context) error { panic("unbuilt") }

// Machines are the active definitions, sorted by name; Machine finds one by name or slug.
func (g *Gate) Machines() []*fsm.Machine                 { panic("unbuilt") }
func (g *Gate) Machine(name string) (*fsm.Machine, bool) { panic("unbuilt") }
func (g *Gate) Revision(machine string) string           { panic("unbuilt") }

// Create makes an instance in the machine's initial state.
func (g *Gate) Create(ctx context.Context, actor Actor, req CreateRequest) (Result, error) {
	panic("unbuilt")
}

// Get returns an instance that the actor may read.
func (g *Gate) Get(ctx context.Context, actor Actor, ref Ref) (Instance, error) { panic("unbuilt") }

// List returns instances that the actor may read, ordered by id. next is the
// After of the next page, "" at the end.
func (g *Gate) List(ctx context.Context, actor Actor, req ListRequest) (page []Instance, next string, err error) {
	panic("unbuilt")
}

// Counts are the numbers of a machine's instances by state in the actor's
// tenant, for an actor who meets the machine's `read` by role.
func (g *Gate) Counts(ctx context.Context, actor Actor, machine string) (map[string]int64, error) {
	panic("unbuilt")
}

// Fire decides the event and commits it.
func (g *Gate) Fire(ctx context.Context, actor Actor, req Request) (Result, error) { panic("unbuilt") }

// EditFacts decides and commits a change of facts.
func (g *Gate) EditFacts(ctx context.Context, actor Actor, req FactsRequest) (Result, error) {
	panic("unbuilt")
}

// Available is the menu of one instance.
func (g *Gate) Available(ctx context.Context, actor Actor, ref Ref) (Menu, error) { panic("unbuilt") }

// AvailableMany are the menus of up to 200 instances, in the order of refs. An
// instance that isn't there, or that the actor may not read, has a nil Menu.
func (g *Gate) AvailableMany(ctx context.Context, actor Actor, refs []Ref) ([]*Menu, error) {
	panic("unbuilt")
}

// Explain tells how the gate would decide the event now: every stage with its
// time, what was asked and what came back. For those who meet the machine's `explain`.
func (g *Gate) Explain(ctx context.Context, actor Actor, req Request, trace bool) (Explanation, error) {
	panic("unbuilt")
}

// History returns rows with seq > after, oldest first, at most limit (1 to 500; 0 is 100).
func (g *Gate) History(ctx context.Context, actor Actor, ref Ref, after int64, limit int) ([]Transition, error) {
	panic("unbuilt")
}

// Attempts are the newest refused attempts on an instance, newest first.
func (g *Gate) Attempts(ctx context.Context, actor Actor, ref Ref, limit int) ([]Attempt, error) {
	panic("unbuilt")
}

// Actor returns a stored actor: one's own, or any for an administrator.
func (g *Gate) Actor(ctx context.Context, by Actor, id string) (ActorRecord, error) { panic("unbuilt") }

// Grant and Revoke change the roles of an actor in a scope. Only an actor with
// AdminRole may, never for his own person, and the last administrator stays.
// When Revoke has returned nil, nothing commits any more on the old role.
func (g *Gate) Grant(ctx context.Context, by Actor, id, role string, scope Scope) (ActorRecord, error) {
	panic("unbuilt")
}
func (g *Gate) Revoke(ctx context.Context, by Actor, id, role string, scope Scope) (ActorRecord, error) {
	panic("unbuilt")
}

// SetActor changes attributes (merge patch; nil: not) and whether the actor is
// active (nil: not), under the rules of Grant.
func (g *Gate) SetActor(ctx context.Context, by Actor, id string, attrs map[string]any, active *bool) (ActorRecord, error) {
	panic("unbuilt")
}

// Bootstrap grants AdminRole to the actor if the tenant has no active administrator yet.
func (g *Gate) Bootstrap(ctx context.Context, tenant, id string) error { panic("unbuilt") }

// Do decides the event and commits it in one transaction with the application's
// own writes: lock, decide, apply, handler (once), commit. Tx is the type of the
// store's transaction: pgx.Tx, or *sql.Tx. The handler's value is returned after
// the commit; its error rolls back everything and is returned as it is.
func Do[Tx any](ctx context.Context, g *Gate, actor Actor, req Request, handler func(context.Context, Tx, Transition) (any, error)) (Result, any, error) {
	panic("unbuilt")
}

// CreateWith is Create in one transaction with the application's own writes. The
// handler runs before the instance is written, so that it may insert the row of
// the bound table.
func CreateWith[Tx any](ctx context.Context, g *Gate, actor Actor, req CreateRequest, handler func(context.Context, Tx, Transition) (any, error)) (Result, any, error) {
	panic("unbuilt")
}

// Explanation is how a decision came about.
type Explanation struct {
	Allowed bool     `json:"allowed"`
	Refusal *Refusal `json:"-"`
	Steps   []Step   `json:"steps"`
	Trace   []string `json:"trace,omitempty"`
}

// Step is one stage of the gate.
type Step struct {
	Stage    Stage          `json:"stage"`
	OK       bool           `json:"ok"`
	Message  string         `json:"message"`
	Detail   map[string]any `json:"detail,omitempty"`
	Duration time.Duration  `json:"duration_ns"`
}
