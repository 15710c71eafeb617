package interlock

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// What a Store answers when it did not commit, and knows it. Any other error
// from [Store.Commit] leaves the outcome unknown; the gate then looks for the
// transition.
var (
	ErrStale     = errors.New("interlock: what was decided on has changed")             // a predicate of the commit failed
	ErrExists    = errors.New("interlock: one of this id exists")                       // creation of an instance or an API key
	ErrLastAdmin = errors.New("interlock: this would remove the last administrator")    // Commit.KeepAdmin
	ErrKeyUsed   = errors.New("interlock: the idempotency key is no longer this one's") // Commit.Idempotency
	ErrBusy      = errors.New("interlock: the store has too much to write already")     // nothing was begun
	ErrNoRow     = errors.New("interlock: the application's table has no row for it")   // Commit.Bound
)

// Store is the truth. The gate decides and computes every digest and hash; a
// store keeps rows, and commits only if every predicate of a [Commit] holds in
// the transaction that writes. Implementations pass store/storetest. All
// methods are safe for concurrent use. A store that also has
// Migrate(context.Context) error is migrated by [New]: whoever wraps one passes
// that on. Bindings() []Binding likewise lets New see that each bound machine is
// there. A cancelled context stops a read, but a
// commit that was begun is either whole or not at all.
type Store interface {
	// Epoch is the identity of this database's history: a random value made
	// with the schema, changed only when a backup is restored.
	Epoch(ctx context.Context) (string, error)

	// Load reads the facts for one decision in one query. What it returns is nobody's
	// to change, the gate's neither: a store may give the same to whoever asks next.
	Load(ctx context.Context, tenant string, ref Ref, actors []string) (Facts, error)

	// LoadMany is Load for several instances of a tenant, in one query per
	// machine at most; the answers are in the order of refs.
	LoadMany(ctx context.Context, tenant string, refs []Ref, actors []string) ([]Facts, error)

	// Commit writes, if all predicates hold. nil: durable. ErrStale, ErrExists,
	// ErrLastAdmin, ErrKeyUsed, ErrNoRow, ErrBusy: certainly nothing written. Else: unknown.
	// A store may keep what c holds as what it has read: nothing in it changes any more.
	Commit(ctx context.Context, c *Commit) error

	// Within runs fn in one writing transaction, commits when fn returns nil
	// and rolls back when it fails or panics. fn's own error is returned as it
	// is; an error of the commit itself is an *UnknownOutcome.
	Within(ctx context.Context, fn func(Tx) error) error

	InstanceStore
	ActorStore
	HistoryStore
	KeyStore
	RevisionStore
}

// UnknownOutcome wraps an error after which a transaction may or may not have committed.
type UnknownOutcome struct{ Err error }

func (e *UnknownOutcome) Error() string { return "commit outcome unknown: " + e.Err.Error() }

// Unwrap gives the driver's error.
func (e *UnknownOutcome) Unwrap() error { return e.Err }

// Tx is one open writing transaction.
type Tx interface {
	// Handle is the driver's own transaction for the application's writes:
	// pgx.Tx or *sql.Tx, by how the store was made.
	Handle() any
	// Load is Store.Load with the rows locked until the end of the transaction.
	Load(ctx context.Context, tenant string, ref Ref, actors []string) (Facts, error)
	// Apply is Store.Commit within this transaction.
	Apply(ctx context.Context, c *Commit) error
	// Answer keeps what the application answers beside a key that Apply completed
	// in this transaction.
	Answer(ctx context.Context, k Idempotency, answer []byte) error
	// BoundState reads the application's column again: ErrNoRow when there is
	// no row, "" and false when the machine isn't bound.
	BoundState(ctx context.Context, tenant string, ref Ref) (state string, bound bool, err error)
}

// Facts are what is stored about a decision's subjects.
type Facts struct {
	Epoch    string
	Instance *Instance     // nil: there is none
	Bound    *BoundRow     // the application's row; nil when the machine isn't bound, or there is no row
	IsBound  bool          // the machine is bound to a table
	Actors   []ActorRecord // those that exist, sorted by id

	// Memo goes with Instance: a store that gives the same row again, unchanged,
	// may give the same Memo with it. Nil: it keeps none.
	Memo *Memo
}

// BoundRow is what the gate reads of a row in the application's own table.
type BoundRow struct {
	State string         `json:"state"`
	Facts map[string]any `json:"facts"` // columns that are facts, as JSON values; numbers as json.Number
}

// Binding ties a machine to a table of the application's: the commit compares
// and sets the state column in the same transaction. Table and column names
// come from the program, never from a request; they are quoted.
type Binding struct {
	Machine string
	Table   string   // may be schema-qualified: "app.loans"
	ID      string   // column compared with the instance's id
	State   string   // text column
	Facts   []string // columns that policies read as facts of the same names
	Tenant  string   // column of the tenant; "" : the table belongs to DefaultTenant alone
}

// InstanceStore reads instances.
type InstanceStore interface {
	// List returns instances ordered by id, from after q.After, at most q.Limit.
	// Bound rows that were never adopted are not listed.
	List(ctx context.Context, q ListQuery) ([]Facts, error)
	// Counts are the numbers of instances by state.
	Counts(ctx context.Context, tenant, machine string) (map[string]int64, error)
}

// ListQuery selects instances. Zero fields don't select.
type ListQuery struct {
	Tenant, Machine string // required
	State           string
	Actor           string // actor id that stands in the instance's history
	UpdatedSince    time.Time
	After           string // id
	Limit           int    // required, > 0
}

// ActorStore reads actors.
type ActorStore interface {
	Actor(ctx context.Context, tenant, id string) (*ActorRecord, error) // nil, nil: unknown
	// Actors lists ordered by id, from after the given id, at most limit.
	Actors(ctx context.Context, tenant, after string, limit int) ([]ActorRecord, error)
}

// HistoryStore reads history and keeps refused attempts.
type HistoryStore interface {
	// History returns rows with seq > after, ascending, at most limit. Notes and
	// inputs that were erased are "" and nil, with Record.Erased set. Rows that were
	// archived are not among them.
	History(ctx context.Context, tenant string, ref Ref, after int64, limit int) ([]Record, error)
	// AddAttempts appends refused attempts and adds to the counters, in one
	// transaction; it keeps at most keep newest attempts of an instance.
	AddAttempts(ctx context.Context, attempts []Attempt, counts []AttemptCount, keep int) error
	// Attempts are the newest refused attempts on an instance, newest first.
	Attempts(ctx context.Context, tenant string, ref Ref, limit int) ([]Attempt, error)
	// AttemptCounts are the exact counters of a tenant.
	AttemptCounts(ctx context.Context, tenant string) ([]AttemptCount, error)
	// Search returns the tenant's rows that q selects (by all but Outcome, Check
	// and After), by machine, instance and seq, from after the given one, at most q.Limit.
	Search(ctx context.Context, q AuditQuery, after Ref, seq int64) ([]Record, error)
	// SearchAttempts returns kept attempts that q selects, oldest first, from
	// after the given position; next is the position of the last, 0 at the end.
	SearchAttempts(ctx context.Context, q AuditQuery, after int64) (list []Attempt, next int64, err error)
	// Heads yields the head of every chain, and Chain every row of every chain,
	// both in byte order of (tenant, machine, id), rows by seq; for verification.
	Heads(ctx context.Context) iter.Seq2[Head, error]
	Chain(ctx context.Context) iter.Seq2[Record, error]
	// Marks yields the newest row of every chain in the same order, all as they
	// stood at one moment, while others write.
	Marks(ctx context.Context) iter.Seq2[Mark, error]
}

// KeyStore keeps idempotency keys. A key is reserved before its request is
// decided, and completed by the commit that it belongs to: see [Commit].
type KeyStore interface {
	// Reserve gives the key to this request, under k.Token and for the lease by
	// the store's clock, and answers nil; or it answers whose the key is, changing
	// nothing. A key is free when nobody has it, when it was completed and its
	// Expires isn't after now, and when it is reserved and its lease has run out.
	// Of several that ask at once one gets it.
	Reserve(ctx context.Context, k Idempotency, now time.Time, lease time.Duration) (*Idempotency, error)
	// Release gives a reserved key back. One that was completed, or that somebody
	// else has by now, stays.
	Release(ctx context.Context, k Idempotency) error
	// Idempotent finds a key, reserved or completed, whether it has expired or
	// not; nil, nil when there is none.
	Idempotent(ctx context.Context, tenant, actor, key string) (*Idempotency, error)
	// SweepKeys deletes at most limit keys whose Expires isn't after now, in one
	// transaction, and tells how many. It waits for nobody who is using one.
	SweepKeys(ctx context.Context, now time.Time, limit int) (int, error)
}

// RevisionStore keeps the revisions under which decisions may be committed.
type RevisionStore interface {
	// Activate makes r the active revision of its machine; the one before stays
	// accepting for grace (0: retired at once), unless it has states that r lacks:
	// such ones are retired at once. Idempotent. When instances of
	// any tenant are in a state that r.States lacks, nothing changes and the
	// error is a *StatesInUse.
	Activate(ctx context.Context, r Revision, grace time.Duration) error
	// Accept registers r as accepting without making it active.
	Accept(ctx context.Context, r Revision, grace time.Duration) error
	Revisions(ctx context.Context, machine string) ([]Revision, error) // newest first
}

// Revision is one set of rules for one machine.
type Revision struct {
	Machine string
	ID      string
	States  []string // declared states
	Status  string   // active, accepting or retired; set by the store
	Since   time.Time
}

// StatesInUse says that live instances are in states that a revision doesn't have.
type StatesInUse struct {
	Machine string
	Counts  map[string]int64
}

// Commit is one atomic change and the predicates under which it holds. All
// rows of the commit are written or none.
type Commit struct {
	Epoch    string          // must be the store's
	Revision Revision        // Machine and ID: must be active or accepting (locked FOR SHARE); Machine "" for changes of actors
	Actors   []ActorCheck    // sorted by id; every one must hold (locked FOR SHARE)
	Bound    *BoundChange    // only for bound machines
	Instance *InstanceChange // exactly one of Instance and Actor
	Actor    *ActorChange

	// ByKey is the id of the API key that the acting actor was believed by; "": it
	// wasn't one. The key must be there and not revoked, else ErrStale.
	ByKey string

	// KeepAdmin: after the change the tenant must still have an active actor
	// with AdminRole in tenant scope, else ErrLastAdmin.
	KeepAdmin bool

	// APIKey is stored with Actor, the change of the key's own actor: made
	// (ErrExists when there is one of its id), or, with RevokedAt, revoked
	// (ErrStale when it is so already, or not there). Only an [APIKeyStore] gets one.
	APIKey *APIKey

	// Erase removes texts of rows before this one, whose $erase it is. Such a
	// commit needs no Revision and no Bound: no rules are applied, no state changes.
	Erase *Erasure

	// Archive removes rows before this one, whose $archive it is, with their texts.
	// Like Erase it needs no Revision and no Bound.
	Archive *Archival

	// Idempotency completes a key, which must still be reserved under its Token:
	// else ErrKeyUsed. That alone decides between two commits of one request, one
	// of which was made after the other's lease had run out.
	Idempotency *Idempotency
	Outbox      []byte // message for later delivery, kept under the transition's id; nil for none
}

// Erasure is what a commit removes of the history of its instance or actor.
type Erasure struct {
	Rows     []ErasedRow // ascending by Seq
	Attempts bool        // the instance's refused attempts
}

// Archival is what leaves a chain at its beginning: the rows with After < seq <=
// Through, all of which must be there, and none before them; else ErrStale. At
// least the row before the commit's own stays.
type Archival struct{ After, Through int64 }

// ErasedRow loses note, input, facts and salt.
type ErasedRow struct {
	Seq     int64
	ID      string // of the transition
	Message []byte // takes the place of the row's message in the outbox, where that still is
}

// ActorCheck is what a decision saw of an actor. Version 0: it saw none, and
// there must still be none.
type ActorCheck struct {
	ID      string
	Version int64
	Digest  []byte       // of the content that the decision saw
	Change  *ActorChange // the actor's first commit: makes its row, or fixes its person; else nil
}

// InstanceChange replaces an instance and appends to its history. From
// PrevVersion 0 it is created: ErrExists when there is one.
type InstanceChange struct {
	PrevVersion int64
	PrevState   string
	PrevDigest  []byte
	PrevHead    []byte
	Next        Instance // Head is the new head
	NextDigest  []byte
	Record      Record
}

// ActorChange replaces an actor and appends to its history. From PrevVersion 0
// it is created; ErrStale when there is one.
type ActorChange struct {
	PrevVersion int64
	PrevDigest  []byte
	PrevHead    []byte
	Next        ActorRecord
	NextDigest  []byte
	Record      Record
}

// BoundChange compares and sets the application's row: its state column must be
// From and becomes To (equal for creation, adoption and `stay`: nothing is set).
type BoundChange struct {
	From, To string
	Facts    map[string]any // the fact columns must still have these values
}

// Record is a history row with what proves it. The store keeps Bytes exactly.
type Record struct {
	Transition
	Bytes  []byte    // what Hash is the SHA-256 of
	Salt   []byte    // of the digests of note and input; erased with the texts
	Erased bool      // the texts were erased
	Stamp  time.Time // the database's own clock, outside the chain
}

// Idempotency is a key, (tenant, actor, key), and the one request that it belongs
// to: reserved while Seq is 0, then completed by the transition (machine,
// instance, seq).
type Idempotency struct {
	Tenant, Actor, Key string
	Token              string // of who reserved it; unique
	Fingerprint        []byte // of the request
	Machine, Instance  string
	Seq                int64
	Expires            time.Time

	// Image is what history doesn't keep of the instance after the transition:
	// JSON without texts and facts, which stand beside the row of history and are
	// erased there.
	Image []byte
	// Answer is what the application answered, as JSON; nil for nothing. It may
	// say what the texts say: who erases the texts of a row of history erases the
	// Answer of its key in the same transaction.
	Answer []byte
}

// Attempt is one refused request.
type Attempt struct {
	Tenant   string    `json:"-"`
	Machine  string    `json:"machine"`
	Instance string    `json:"instance"`
	Event    string    `json:"event"`
	To       string    `json:"to,omitempty"`
	State    string    `json:"state"`
	Actor    string    `json:"actor"`
	Person   string    `json:"person"`
	Stage    Stage     `json:"stage"`
	Code     string    `json:"code"`
	Reasons  []string  `json:"reasons"` // codes
	Time     time.Time `json:"time"`
	Revision string    `json:"revision"`
}

// AttemptCount counts refusals; exact, also where attempts were sampled.
type AttemptCount struct {
	Tenant, Machine, Event string
	Stage                  Stage
	Code                   string
	Count                  int64
}

// Head is the newest link of a chain, with the row that it is the head of.
type Head struct {
	Tenant, Machine, ID string
	Version             int64
	Hash                []byte
	Digest              []byte       // as stored
	Instance            *Instance    // one of these
	Actor               *ActorRecord // Machine is ActorMachine
}

// ActorMachine is the machine name under which the history of actors stands;
// the instance is the actor's id.
const ActorMachine = "interlock:actor"

func (e *StatesInUse) Error() string {
	return fmt.Sprintf("machine %s: instances are in states that the new definition lacks: %s", e.Machine, countsText(e.Counts))
}

func countsText(counts map[string]int64) string {
	parts := make([]string, 0, len(counts))
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", state, counts[state]))
	}
	return strings.Join(parts, ", ")
}
