package sqlite

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/interlock-go/interlock"
)

// copies are rows of facts in memory, exactly as the file has them. That can be,
// because one process writes the file, and each of its transactions says whose
// rows it is about to change: from then until it has ended nobody is given a copy
// of them, and what was read of them meanwhile isn't kept. They are bounded in
// number of bytes, and in time as well, for the case that somebody changes the file by hand.
//
// Machines that are bound to a table of the application's have none: their rows
// are the application's to change.
type copies struct {
	limit int // bytes, of each generation

	mu         sync.RWMutex
	epoch      string
	young, old map[rowKey]*row
	bytes      int // of young
	turned     time.Time
	writing    map[rowKey]int // transactions that are about to change it
	changes    uint64         // transactions that have ended
	changed    [256]uint64    // the newest of them that changed a row of this slot
}

// rowKey names an instance, or an actor, without a machine.
type rowKey struct{ tenant, machine, id string }

// row is one that is there, or an actor that isn't. It is given to all who ask, so
// nothing of it is ever written to.
type row struct {
	instance *interlock.Instance
	memo     *interlock.Memo
	actor    []interlock.ActorRecord // one, or none
	read     time.Time
}

const (
	// DefaultMemory is how many bytes of facts a store keeps, about.
	DefaultMemory = 64 << 20

	copyAge  = time.Second
	largeRow = 64 << 10 // what is larger isn't kept
)

func newCopies(bytes int) *copies {
	return &copies{limit: bytes / 2, young: map[rowKey]*row{}, writing: map[rowKey]int{}}
}

var rowSeed = maphash.MakeSeed()

func slot(k rowKey) uint8 { return uint8(maphash.Comparable(rowSeed, k)) }

func instanceKey(tenant string, ref interlock.Ref) rowKey {
	return rowKey{tenant, ref.Machine, ref.ID}
}

func actorKey(tenant, id string) rowKey { return rowKey{tenant, "", id} }

// Load is interlock.Store's.
func (s *Store) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	if s.copies == nil || s.bound(ref.Machine) {
		return s.shared.Load(ctx, tenant, ref, actors)
	}
	if err := ctx.Err(); err != nil {
		return interlock.Facts{}, err
	}
	if !interlock.IsStrong(ctx) {
		if f, ok := s.copies.get(tenant, ref, actors); ok {
			return f, nil
		}
	}
	seen, now := s.copies.look(), time.Now()
	f, err := s.shared.Load(ctx, tenant, ref, actors)
	if err == nil {
		s.copies.keep(seen, now, tenant, ref, actors, &f)
	}
	return f, err
}

// LoadMany is interlock.Store's.
func (s *Store) LoadMany(ctx context.Context, tenant string, refs []interlock.Ref, actors []string) ([]interlock.Facts, error) {
	if s.copies == nil || slices.ContainsFunc(refs, func(ref interlock.Ref) bool { return s.bound(ref.Machine) }) {
		return s.shared.LoadMany(ctx, tenant, refs, actors)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := make([]interlock.Facts, len(refs))
	var missing []interlock.Ref
	var at []int
	strong := interlock.IsStrong(ctx)
	if !strong {
		s.copies.getMany(tenant, refs, actors, all)
	}
	for i, ref := range refs {
		if all[i].Instance == nil {
			missing, at = append(missing, ref), append(at, i)
		}
	}
	if len(missing) == 0 {
		return all, nil
	}
	seen, now := s.copies.look(), time.Now()
	read, err := s.shared.LoadMany(ctx, tenant, missing, actors)
	if err != nil {
		return nil, err
	}
	for i, f := range read {
		s.copies.keep(seen, now, tenant, missing[i], actors, &f)
		all[at[i]] = f
	}
	return all, nil
}

func (s *Store) bound(machine string) bool { return s.bindings[machine] }

// get answers only if everything is there.
func (c *copies) get(tenant string, ref interlock.Ref, actors []string) (f interlock.Facts, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	now := time.Now()
	in := c.find(instanceKey(tenant, ref), now)
	if in == nil {
		return f, false
	}
	found, ok := c.actors(tenant, actors, now)
	if !ok {
		return f, false
	}
	return interlock.Facts{Epoch: c.epoch, Instance: in.instance, Memo: in.memo, Actors: found}, true
}

// getMany is get for several instances; those that it can't answer have none.
func (c *copies) getMany(tenant string, refs []interlock.Ref, actors []string, into []interlock.Facts) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	now := time.Now()
	found, ok := c.actors(tenant, actors, now)
	if !ok {
		return
	}
	for i, ref := range refs {
		if in := c.find(instanceKey(tenant, ref), now); in != nil {
			into[i] = interlock.Facts{Epoch: c.epoch, Instance: in.instance, Memo: in.memo, Actors: found}
		}
	}
}

// actors are those who exist, sorted; ok only if it is known of each.
func (c *copies) actors(tenant string, ids []string, now time.Time) (found []interlock.ActorRecord, ok bool) {
	for i, id := range ids {
		a := c.find(actorKey(tenant, id), now)
		switch {
		case a == nil:
			return nil, false
		case len(a.actor) == 0 || slices.Contains(ids[:i], id):
		case found == nil:
			found = a.actor[:1:1] // who adds another gets a list of his own
		default:
			found = append(found, a.actor[0])
		}
	}
	if len(found) > 1 {
		slices.SortFunc(found, func(a, b interlock.ActorRecord) int { return strings.Compare(a.ID, b.ID) })
	}
	return found, true
}

// find is nil for what isn't kept, is too old, or is being changed.
func (c *copies) find(k rowKey, now time.Time) *row {
	r := c.young[k]
	if r == nil {
		r = c.old[k]
	}
	if r == nil || now.Sub(r.read) > copyAge {
		return nil
	}
	return r
}

// look is taken before a read, to be given to keep with what was read.
func (c *copies) look() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.changes
}

// keep keeps what was read, unless it may have been changed since look.
func (c *copies) keep(seen uint64, read time.Time, tenant string, ref interlock.Ref, actors []string, f *interlock.Facts) {
	if f.Instance == nil || f.IsBound {
		return
	}
	f.Memo = new(interlock.Memo)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Epoch != c.epoch {
		c.forget()
		c.epoch = f.Epoch
		return // the next read will do
	}
	c.put(instanceKey(tenant, ref), seen, &row{instance: f.Instance, memo: f.Memo, read: read})
	for _, id := range actors {
		r := &row{read: read} // there is none
		if i := slices.IndexFunc(f.Actors, func(a interlock.ActorRecord) bool { return a.ID == id }); i >= 0 {
			r.actor = f.Actors[i : i+1 : i+1]
		}
		c.put(actorKey(tenant, id), seen, r)
	}
}

func (c *copies) put(k rowKey, seen uint64, r *row) {
	if c.writing[k] > 0 || c.changed[slot(k)] > seen {
		return
	}
	size := r.size(k)
	if size > largeRow {
		delete(c.young, k) // a smaller one of before
		delete(c.old, k)
		return
	}
	if c.bytes+size > c.limit || r.read.Sub(c.turned) > copyAge {
		c.old, c.young, c.bytes, c.turned = c.young, make(map[rowKey]*row, len(c.young)), 0, r.read
	}
	if c.young[k] == nil {
		c.bytes += size
	}
	c.young[k] = r
}

// forget takes all copies away, and what is being read.
func (c *copies) forget() {
	c.young, c.old, c.bytes = map[rowKey]*row{}, nil, 0
	c.changes++
	for i := range c.changed {
		c.changed[i] = c.changes
	}
}

// restart is told of a new epoch.
func (c *copies) restart() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
}

// begin takes the rows away until settle.
func (c *copies) begin(keys []rowKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		delete(c.young, k)
		delete(c.old, k)
		c.writing[k]++
	}
}

// settle is told when the transaction has ended, however it did, and what it
// committed, if that is known, which is as good as read.
func (c *copies) settle(w *changes) {
	if len(w.keys) == 0 {
		return
	}
	now := time.Now()
	made := make([]map[rowKey]*row, len(w.committed))
	for i, commit := range w.committed {
		made[i] = rowsOf(commit, now)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	for _, k := range w.keys {
		c.changed[slot(k)] = c.changes
		if c.writing[k]--; c.writing[k] == 0 {
			delete(c.writing, k)
		}
	}
	for i, commit := range w.committed {
		if commit.Epoch != c.epoch {
			continue
		}
		for k, r := range made[i] {
			c.put(k, c.changes, r)
		}
	}
}

// rowsOf are the rows as the commit wrote them, which nobody changes any more.
func rowsOf(c *interlock.Commit, now time.Time) map[rowKey]*row {
	rows := map[rowKey]*row{}
	actor := func(a *interlock.ActorChange) {
		if a != nil {
			rows[actorKey(a.Next.Tenant, a.Next.ID)] = &row{actor: []interlock.ActorRecord{a.Next}, read: now}
		}
	}
	actor(c.Actor)
	for _, a := range c.Actors {
		actor(a.Change)
	}
	if c.Instance != nil && c.Bound == nil {
		n := c.Instance.Next
		rows[rowKey{n.Tenant, n.Machine, n.ID}] = &row{instance: &n, memo: new(interlock.Memo), read: now}
	}
	return rows
}

// watched is a transaction that tells the copies whose rows it changes.
type watched struct {
	*transaction
	*changes
}

// changes are those of a transaction. Its copies are nil where none are kept.
type changes struct {
	copies    *copies
	keys      []rowKey
	committed []*interlock.Commit
}

// Applies is sqlstore.Watcher's.
func (w *changes) Applies(c *interlock.Commit) error {
	if w.copies == nil {
		return nil
	}
	var keys []rowKey
	changes := func(a *interlock.ActorChange) {
		if a != nil {
			keys = append(keys, actorKey(a.Next.Tenant, a.Next.ID))
		}
	}
	if c.Instance != nil {
		n := &c.Instance.Next
		keys = append(keys, rowKey{n.Tenant, n.Machine, n.ID})
	}
	changes(c.Actor)
	for _, a := range c.Actors {
		changes(a.Change)
	}
	w.keys = append(w.keys, keys...) // first, so that they are settled whatever happens
	w.copies.begin(keys)
	return nil
}

// size is about how many bytes the row takes, with what rules make of it.
func (r *row) size(k rowKey) int {
	n := 256 + len(k.tenant) + len(k.machine) + len(k.id)
	if i := r.instance; i != nil {
		n += 512 + sizeOf(i.Facts) + sizeOfLists(i.Entered) + sizeOfLists(i.Did) + 32*len(i.Actors)
		for e, l := range i.Last {
			n += 64 + len(e) + len(l.Person)
		}
		n *= 4
	}
	for _, a := range r.actor {
		n += 256 + sizeOf(a.Attrs) + 96*len(a.Grants)
	}
	return n
}

func sizeOf(v any) int {
	n := 16
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, one := range v {
			n += sizeOf(one)
		}
	case map[string]any:
		for k, one := range v {
			n += 32 + len(k) + sizeOf(one)
		}
	}
	return n
}

func sizeOfLists(m map[string][]string) int {
	n := 0
	for k, list := range m {
		n += 64 + len(k)
		for _, one := range list {
			n += 16 + len(one)
		}
	}
	return n
}
