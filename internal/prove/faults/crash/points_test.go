package crash

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/http"
	"os"
	"sync"
	"syscall"

	driversqlite "modernc.org/sqlite"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/store/sqlite"
)

// The points between a request and its answer at which something may happen: what
// stands around the store, the transaction and the cache, the application's
// hooks, and the answer. Within a transaction of SQLite there is one after each
// table that is written: see [points.triggers]. In PostgreSQL it is the wire that
// has them: see wire.
var (
	aroundPoints = []string{"facts-read", "decided", "commit-begin", "commit-end", "after-hook", "cache-put", "answer-begin", "answer-end"}
	tablePoints  = []string{"instance", "history", "texts", "outbox"}
	doPoints     = []string{"facts-read", "decided", "within-begin", "apply-begin", "applied", "handler-begin", "handler-end", "before-COMMIT", "within-end", "after-hook", "answer-begin"}
	boundTables  = []string{"instance", "loans", "history", "texts", "outbox", "ledger"}
)

// points is where it happens, and when.
type points struct {
	mu   sync.Mutex
	name string // "": nowhere
	left int    // how many pass by before
	act  func() error
}

// die ends this process as kill -9 does.
func die() error {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until it is delivered
}

func (p *points) arm(name string, left int, act func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.left, p.act = name, left, act
}

func (p *points) hit(name string) error {
	p.mu.Lock()
	if name != p.name {
		p.mu.Unlock()
		return nil
	}
	if p.left > 0 {
		p.left--
		p.mu.Unlock()
		return nil
	}
	act := p.act
	p.name = "" // once
	p.mu.Unlock()
	return act()
}

// trigger is the point that SQLite's triggers reach: their function is known to
// every connection of a process.
var trigger struct {
	sync.Mutex
	points *points
}

var register = sync.OnceValue(func() error {
	return driversqlite.RegisterScalarFunction("failpoint", 1, func(_ *driversqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		trigger.Lock()
		p := trigger.points
		trigger.Unlock()
		name, _ := args[0].(string)
		if p == nil {
			return nil, nil
		}
		return nil, p.hit(name)
	})
})

// triggers lets the database call the points after each row that is written to a table.
func (p *points) triggers(ctx context.Context, st *sqlite.Store, tables []string) error {
	trigger.Lock()
	trigger.points = p
	trigger.Unlock()
	return st.Write(ctx, func(tx *sql.Tx) error {
		for _, name := range tables {
			table, when := "interlock_"+name, "INSERT"
			switch name {
			case "loans":
				table, when = name, "UPDATE"
			case "ledger":
				table = name
			case "instance":
				when = "UPDATE"
			}
			_, err := tx.ExecContext(ctx, "CREATE TRIGGER IF NOT EXISTS failpoint_"+name+" AFTER "+when+" ON "+table+" BEGIN SELECT failpoint('"+name+"'); END")
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// store is the store with its points.
type store struct {
	fixture.Wrapped
	points *points
}

func (s store) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	f, err := s.Wrapped.Load(ctx, tenant, ref, actors)
	if err == nil {
		err = s.points.hit("facts-read")
	}
	return f, err
}

func (s store) Commit(ctx context.Context, c *interlock.Commit) error {
	if err := s.points.hit("commit-begin"); err != nil {
		return err
	}
	err := s.Wrapped.Commit(ctx, c)
	if err == nil {
		if lost := s.points.hit("commit-end"); lost != nil {
			return &interlock.UnknownOutcome{Err: lost}
		}
	}
	return err
}

func (s store) Within(ctx context.Context, fn func(interlock.Tx) error) error {
	if err := s.points.hit("within-begin"); err != nil {
		return err
	}
	err := s.Wrapped.Within(ctx, func(t interlock.Tx) error {
		if err := fn(tx{t, s.points}); err != nil {
			return err
		}
		return s.points.hit("before-COMMIT")
	})
	if err == nil {
		if lost := s.points.hit("within-end"); lost != nil {
			return &interlock.UnknownOutcome{Err: lost}
		}
	}
	return err
}

type tx struct {
	interlock.Tx
	points *points
}

func (t tx) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	f, err := t.Tx.Load(ctx, tenant, ref, actors)
	if err == nil {
		err = t.points.hit("locked")
	}
	return f, err
}

func (t tx) Apply(ctx context.Context, c *interlock.Commit) error {
	if err := t.points.hit("apply-begin"); err != nil {
		return err
	}
	err := t.Tx.Apply(ctx, c)
	if err == nil {
		err = t.points.hit("applied")
	}
	return err
}

// cache is a cache in memory, with its point.
type cache struct {
	points  *points
	mu      sync.Mutex
	entries map[interlock.CacheKey]interlock.CacheEntry
}

func newCache(p *points) *cache {
	return &cache{points: p, entries: map[interlock.CacheKey]interlock.CacheEntry{}}
}

func (c *cache) Get(_ context.Context, _ string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]interlock.CacheEntry, len(keys))
	for i, k := range keys {
		out[i] = interlock.CacheEntry{Key: k}
		if e := c.entries[k]; e.Payload != nil {
			out[i] = e
		}
	}
	return out, nil
}

func (c *cache) Put(_ context.Context, _ string, entries []interlock.CacheEntry) error {
	if err := c.points.hit("cache-put"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if old := c.entries[e.Key]; old.Version < e.Version {
			c.entries[e.Key] = e
		}
	}
	return nil
}

func (c *cache) Floor(ctx context.Context, epoch string, entries []interlock.CacheEntry) error {
	return c.Put(ctx, epoch, entries)
}

// hooks puts points where the application is asked and told.
func (p *points) hooks(c *interlock.Config) {
	c.Before = append(c.Before, func(context.Context, interlock.Transition) error { return p.hit("decided") })
	c.After = append(c.After, func(context.Context, interlock.Transition) { _ = p.hit("after-hook") })
}

// answers puts points before and after the answers that tell of a transition.
func (p *points) answers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, points: p}
		h.ServeHTTP(a, r)
		if a.told {
			_ = p.hit("answer-end")
		}
	})
}

type answer struct {
	http.ResponseWriter
	points *points
	told   bool
}

func (a *answer) WriteHeader(status int) {
	if status == http.StatusOK && a.Header().Get("Interlock-Transition") != "" {
		a.told = true
		_ = a.points.hit("answer-begin")
	}
	a.ResponseWriter.WriteHeader(status)
}
