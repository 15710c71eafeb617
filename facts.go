package interlock

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"reflect"
	"time"

	"github.com/interlock-go/interlock/internal/jsonvalue"
)

// facts are what one decision is made on.
type facts struct {
	snap    *snapshot
	m       *machine
	epoch   string
	inst    *Instance // nil: there is none. With bound fact columns laid over its facts
	stored  *Instance // as stored: what digests and the next version are made from
	memo    *Memo     // of stored; may be nil
	bound   *BoundRow
	isBound bool
	actors  []ActorRecord // those that exist: one, or a few
	cached  bool
	read    time.Time // when, for the decision's age (monotonic)
}

func (f *facts) actor(tenant, id string) ActorRecord {
	if a := f.row(id); a != nil {
		return *a
	}
	return ActorRecord{Tenant: tenant, ID: id, Active: true}
}

// row is the actor's; nil where there is none.
func (f *facts) row(id string) *ActorRecord {
	for i := range f.actors {
		if f.actors[i].ID == id {
			return &f.actors[i]
		}
	}
	return nil
}

// adopted tells a stored instance from a bound row that the gate has none of yet.
func (f *facts) adopted() bool { return f.stored != nil && f.stored.Version > 0 }

// like tells that a decision on either sees the same, but for the time.
func (f *facts) like(o *facts) bool {
	if f.epoch != o.epoch || (f.stored == nil) != (o.stored == nil) || len(f.actors) != len(o.actors) || !reflect.DeepEqual(f.bound, o.bound) {
		return false
	}
	if f.stored != nil && !bytes.Equal(f.stored.digest(), o.stored.digest()) {
		return false
	}
	for _, a := range f.actors {
		b := o.row(a.ID)
		if b == nil || !bytes.Equal(a.digest(), b.digest()) {
			return false
		}
	}
	return true
}

type strongKey struct{}

// Strong returns a context whose reads, menus and dry runs rest on the store
// alone, whatever a cache keeps, and on all that decides on a commit (see
// [Query.Draft]): who has just been granted a role sees it, who has lost one
// doesn't, and an application may go by the answer. Commits need none of it. Over
// HTTP, Cache-Control: no-cache asks for the same.
func Strong(ctx context.Context) context.Context { return context.WithValue(ctx, strongKey{}, true) }

// IsStrong tells whether the context is one of [Strong]: a store that keeps what it
// read, as long as nobody can tell, reads anew then.
func IsStrong(ctx context.Context) bool { return ctx.Value(strongKey{}) != nil }

// facts reads what the question is about: from the cache unless fresh, else
// from the store in one query.
func (g *Gate) facts(ctx context.Context, q *question, snap *snapshot, fresh bool) (*facts, *Refusal) {
	m, ok := snap.machines[q.ref.Machine]
	if !ok || !ValidID(q.ref.ID) {
		return nil, notFound()
	}
	q.ref.Machine = m.Name()
	if no := g.retired(m); no != nil {
		return nil, no
	}
	fresh = fresh || IsStrong(ctx)
	if !fresh && g.cfg.Cache != nil {
		if f := g.fromCache(ctx, q, snap, m); f != nil {
			return f, nil
		}
	}
	stored, read, shared, err := g.load(ctx, q, snap, m, fresh)
	if err != nil {
		return nil, unavailable("store_failed", "the store doesn't answer", err)
	}
	f := newFacts(snap, m, stored, q)
	f.read, f.cached = read, shared
	if *g.epoch.Load() != stored.Epoch {
		now := stored.Epoch
		g.epoch.Store(&now)
	}
	if known, ok := g.bound.Load(m.key); !ok || known != f.isBound {
		g.bound.Store(m.key, f.isBound)
	}
	return f, nil
}

// load reads from the store, and puts into the cache what it read. Reads and
// menus that would have believed the cache share one look with others who miss
// the same at the same moment; everybody else looks for himself, and so does who
// shared a look that failed.
func (g *Gate) load(ctx context.Context, q *question, snap *snapshot, m *machine, fresh bool) (found Facts, began time.Time, shared bool, err error) {
	if !fresh && g.cfg.Cache != nil && (q.op == opRead || q.op == opMenu) {
		own := *q // a shared look may outlive the question
		found, began, shared, err = g.flights.load(ctx, flightKey(q.actor.Tenant, q.ref, q.actorIDs()), g.cfg.ReadTimeout,
			func(ctx context.Context, began time.Time) (Facts, error) {
				return g.readFacts(ctx, &own, snap, m, began)
			})
		if err == nil || !shared {
			return found, began, shared, err
		}
	}
	began = time.Now()
	if fresh {
		ctx = Strong(ctx) // whatever the store keeps
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	found, err = g.readFacts(limited, q, snap, m, began)
	return found, began, false, err
}

func (g *Gate) readFacts(ctx context.Context, q *question, snap *snapshot, m *machine, began time.Time) (Facts, error) {
	found, err := g.cfg.Store.Load(ctx, q.actor.Tenant, q.ref, q.actorIDs())
	if err == nil && g.puts != nil {
		f := newFacts(snap, m, found, q)
		f.read = began
		g.cachePut(f)
	}
	return found, err
}

func newFacts(snap *snapshot, m *machine, s Facts, q *question) *facts {
	f := &facts{snap: snap, m: m, epoch: s.Epoch, stored: s.Instance, memo: s.Memo, bound: s.Bound, isBound: s.IsBound, read: time.Now(), actors: s.Actors}
	if f.stored == nil && f.isBound && f.bound != nil && q.op != opCreate {
		f.stored = virtual(m, q)
	}
	f.inst = overlay(f.stored, f.bound)
	return f
}

// virtual is the instance of a bound row that was never adopted. It stands in
// the initial state whatever the row says: any other value is drift.
func virtual(m *machine, q *question) *Instance {
	return &Instance{Tenant: q.actor.Tenant, Machine: m.Name(), ID: q.ref.ID, State: m.State(m.Initial()).Name,
		Facts: map[string]any{}, CreatedAt: q.now, Since: q.now, UpdatedAt: q.now}
}

func overlay(inst *Instance, bound *BoundRow) *Instance {
	if inst == nil || bound == nil || len(bound.Facts) == 0 {
		return inst
	}
	with := *inst
	with.Facts = maps.Clone(inst.Facts)
	if with.Facts == nil {
		with.Facts = map[string]any{}
	}
	for k, v := range bound.Facts {
		if v == nil {
			delete(with.Facts, k) // NULL is absence
			continue
		}
		with.Facts[k] = v
	}
	return &with
}

// cachedInstance is the payload of an instance's cache entry.
type cachedInstance struct {
	Instance *Instance `json:"instance"`
	Bound    *BoundRow `json:"bound,omitempty"`
	IsBound  bool      `json:"is_bound,omitempty"`
}

func (c *cachedInstance) fits(bound bool) bool {
	return c.IsBound == bound && (c.Bound != nil) == bound && (!bound || c.Bound.Facts != nil)
}

func instanceKey(tenant string, ref Ref) CacheKey {
	return CacheKey{Kind: "instance", Tenant: tenant, Machine: ref.Machine, ID: ref.ID}
}

func actorKey(tenant, id string) CacheKey { return CacheKey{Kind: "actor", Tenant: tenant, ID: id} }

// fromCache returns facts only if everything is there and is what it says to be.
func (g *Gate) fromCache(ctx context.Context, q *question, snap *snapshot, m *machine) *facts {
	epoch, read := *g.epoch.Load(), time.Now()
	ids := q.actorIDs()
	keys := []CacheKey{instanceKey(q.actor.Tenant, q.ref)}
	for _, id := range ids {
		if q.actor.Kind != System || id != q.actor.ID {
			keys = append(keys, actorKey(q.actor.Tenant, id))
		}
	}
	expected := g.puts.expect(keys)
	entries, err := g.cfg.Cache.Get(ctx, epoch, keys)
	if err != nil || len(entries) != len(keys) {
		return nil
	}
	var ci cachedInstance
	s := Facts{Epoch: epoch}
	for i, e := range entries {
		if e.Version == 0 || expected != nil && e.Version < expected[i] {
			return nil
		}
		if i == 0 {
			if decode(e.Payload, &ci) != nil || ci.Instance == nil || ci.Instance.Version != e.Version ||
				(CacheKey{"instance", ci.Instance.Tenant, ci.Instance.Machine, ci.Instance.ID}) != keys[0] {
				g.alarm(ctx, "cache_corrupt", "a cache entry isn't what its key says", slog.Any("key", keys[0]))
				return nil
			}
			continue
		}
		var a ActorRecord
		if decode(e.Payload, &a) != nil || a.Version != e.Version || actorKey(a.Tenant, a.ID) != keys[i] {
			g.alarm(ctx, "cache_corrupt", "a cache entry isn't what its key says", slog.Any("key", keys[i]))
			return nil
		}
		s.Actors = append(s.Actors, a)
	}
	// No digest covers the columns: whether there are any is the store's to say.
	bound, known := g.bound.Load(m.key)
	if !known {
		return nil
	}
	if !ci.fits(bound == true) {
		g.alarm(ctx, "cache_corrupt", "a cache entry has columns where there are none, or lacks them", slog.Any("key", keys[0]))
		return nil
	}
	s.Instance, s.Bound, s.IsBound = ci.Instance, ci.Bound, ci.IsBound
	f := newFacts(snap, m, s, q)
	f.cached, f.read = true, read
	return f
}

func decode(b []byte, v any) error {
	if quick, ok := v.(interface{ readJSON(*jsonvalue.Reader) bool }); ok && quick.readJSON(jsonvalue.Read(string(b))) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

func (g *Gate) cachePut(f *facts) {
	if g.puts == nil {
		return
	}
	var entries []CacheEntry
	if f.adopted() && f.isBound == (f.bound != nil) {
		if b, err := (&cachedInstance{f.stored, f.bound, f.isBound}).entry(); err == nil {
			entries = append(entries, CacheEntry{instanceKey(f.stored.Tenant, Ref{f.stored.Machine, f.stored.ID}), f.stored.Version, b, f.read})
		}
	}
	for _, a := range f.actors {
		if b, err := a.entry(); err == nil {
			entries = append(entries, CacheEntry{actorKey(a.Tenant, a.ID), a.Version, b, f.read})
		}
	}
	g.puts.send(f.epoch, entries)
}

// alarm is for what a person should look at.
func (g *Gate) alarm(ctx context.Context, code, message string, attrs ...slog.Attr) {
	g.log.LogAttrs(ctx, slog.LevelError, "interlock: "+message, append(attrs, slog.String("alarm", code))...)
	g.observe(ctx, Observation{Op: "alarm", Alarm: code})
}

func (g *Gate) observe(ctx context.Context, o Observation) {
	if g.cfg.Observer != nil {
		g.cfg.Observer.Observe(ctx, o)
	}
}

// observed reports one finished question.
func (g *Gate) observed(ctx context.Context, q *question, f *facts, looks int, no *Refusal) {
	if g.cfg.Observer == nil {
		return
	}
	o := Observation{Op: string(q.op), Tenant: q.actor.Tenant, Duration: time.Since(q.begun), Looks: looks}
	if f != nil {
		o.Cached = f.cached
		if f.m != nil {
			o.Machine = f.m.Name()
			if _, ok := f.m.EventByName(q.event); ok {
				o.Event = q.event
			}
		}
	}
	if no != nil {
		o.Stage, o.Code = no.Stage, no.Code
		switch no.Code {
		case "policy_failed", "drift", "person_mismatch", "state_unknown", "outcome_unknown":
			o.Alarm = no.Code
		}
	}
	g.cfg.Observer.Observe(ctx, o)
}
