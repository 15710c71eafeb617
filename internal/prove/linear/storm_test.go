package linear_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/rediscache"
)

// A role is granted, clients hammer on it, and it is revoked, again and again, or
// its holder is switched off.
// What was asked for after the revoke had answered never commits; what was under
// way commits before it or not at all, which the replayer sees in the database's
// order.
func TestRevokeStorm(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { eventStorm(t, "sqlite", fixture.SQLite(t, "", fixture.Config{}), nil) })
	t.Run("postgres", func(t *testing.T) {
		eventStorm(t, "postgres", fixture.Postgres(t, testservice.Postgres(t), fixture.Config{}), nil)
	})
	t.Run("administrators", func(t *testing.T) {
		w := fixture.Postgres(t, testservice.Postgres(t), fixture.Config{})
		storm(t, "administrators", w, nil, ofAdministrators(t, w))
	})
	t.Run("redis", func(t *testing.T) {
		opts, err := rediscache.Options(testservice.Redis(t))
		require.NoError(t, err)
		// It is not about time: a busy machine is slower than a cache waits.
		opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = patience, patience, patience, patience
		client := redis.NewClient(opts)
		t.Cleanup(func() { assert.NoError(t, client.Close()) })
		cache := &counting{Cache: rediscache.New(client, rediscache.Config{Timeout: patience, TTL: time.Minute})}
		eventStorm(t, "redis", fixture.Postgres(t, testservice.Postgres(t), fixture.Config{Cache: cache}), &cache.hits)
		assert.NotZero(t, cache.hits.Load(), "the cache never answered")
	})
	t.Run("hostile cache", func(t *testing.T) {
		cache := &hostile{best: map[interlock.CacheKey]interlock.CacheEntry{}, versions: map[interlock.CacheKey]int64{}}
		eventStorm(t, "hostile", fixture.SQLite(t, "", fixture.Config{Cache: cache}), &cache.lies)
		assert.NotZero(t, cache.lies.Load(), "the cache never lied")
	})
}

const patience = time.Minute

func eventStorm(t *testing.T, claim string, w *fixture.World, felt *atomic.Int64) {
	t.Helper()
	role, active := ofEvents(t, w)
	storm(t, claim, w, felt, role, active)
}

// counting sees that a cache is of use.
type counting struct {
	interlock.Cache
	hits atomic.Int64
}

func (c *counting) Get(ctx context.Context, epoch string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	entries, err := c.Cache.Get(ctx, epoch, keys)
	for _, e := range entries {
		if e.Version > 0 {
			c.hits.Add(1)
		}
	}
	return entries, err
}

// hostile keeps of each actor the entry with the most roles and gives it out as
// the newest version for ever, whatever it is told to drop.
type hostile struct {
	mu       sync.Mutex
	best     map[interlock.CacheKey]interlock.CacheEntry
	versions map[interlock.CacheKey]int64
	lies     atomic.Int64
}

func (h *hostile) Get(_ context.Context, _ string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]interlock.CacheEntry, len(keys))
	for i, k := range keys {
		e := h.best[k]
		if v := h.versions[k]; k.Kind == "actor" && e.Version != 0 && v != e.Version {
			var a interlock.ActorRecord
			if json.Unmarshal(e.Payload, &a) == nil {
				a.Version, e.Version = v, v
				e.Payload, _ = json.Marshal(a)
				h.lies.Add(1)
			}
		}
		out[i] = e
		out[i].Key = k
	}
	return out, nil
}

func (h *hostile) Put(_ context.Context, _ string, entries []interlock.CacheEntry) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range entries {
		h.versions[e.Key] = max(h.versions[e.Key], e.Version)
		if old, there := h.best[e.Key]; !there || e.Key.Kind == "instance" && e.Version > old.Version || len(e.Payload) > len(old.Payload) {
			h.best[e.Key] = e
		}
	}
	return nil
}

func (h *hostile) Floor(_ context.Context, _ string, entries []interlock.CacheEntry) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range entries {
		h.versions[e.Key] = max(h.versions[e.Key], e.Version)
	}
	return nil
}

const hammers = 4

// storming is one right's coming and going, and what clients do with it.
type storming struct {
	t       *testing.T
	w       *fixture.World
	give    func(context.Context) error
	take    func(context.Context) error // once it has answered, nothing is done any more
	use     func(ctx context.Context, n int) error
	refused string // how a client is told

	taken chan struct{} // closed when the taking has answered
	used  atomic.Int64  // before it was taken, in all
	after atomic.Int64  // requests that began after the taking had answered
	late  atomic.Int64  // of which committed
	errs  chan error    // what no client may be told
}

var temp = fixture.As("temp")

// ofEvents is a right to an event: by a role, or by being active at all.
func ofEvents(t *testing.T, w *fixture.World) (role, active *storming) {
	t.Helper()
	for n := range hammers {
		_, err := w.Gate.Create(t.Context(), fixture.As("clara"), interlock.CreateRequest{Machine: fixture.Machine, ID: loanOf(n), Facts: map[string]any{"amount": 1}})
		require.NoError(t, err)
	}
	use := func(ctx context.Context, n int) error {
		_, err := w.Gate.Fire(ctx, temp, interlock.Request{Machine: fixture.Machine, ID: loanOf(n), Event: "tick"})
		return err
	}
	set := func(ctx context.Context, on bool) error {
		_, err := w.Gate.SetActor(ctx, fixture.System, temp.ID, nil, &on)
		return err
	}
	give := func(ctx context.Context) error {
		_, err := w.Gate.Grant(ctx, fixture.System, temp.ID, "clerk", interlock.Scope{})
		return errors.Join(err, set(ctx, true))
	}
	role, active = newStorm(t, w, "denied", use), newStorm(t, w, "inactive", use)
	role.give, active.give = give, give
	role.take = func(ctx context.Context) error {
		_, err := w.Gate.Revoke(ctx, fixture.System, temp.ID, "clerk", interlock.Scope{})
		return err
	}
	active.take = func(ctx context.Context) error { return set(ctx, false) }
	return role, active
}

func newStorm(t *testing.T, w *fixture.World, refused string, use func(context.Context, int) error) *storming {
	t.Helper()
	return &storming{t: t, w: w, refused: refused, use: use, errs: make(chan error, 100)}
}

// storm goes through cycles of each, in turns, and on until what was to be felt was;
// nil: nothing.
func storm(t *testing.T, claim string, w *fixture.World, felt *atomic.Int64, all ...*storming) {
	t.Helper()
	cycles := 0
	for began, n := time.Now(), prove.Size(8, 500); cycles < n || felt != nil && felt.Load() == 0 && time.Since(began) < patience; cycles++ {
		all[cycles%len(all)].cycle()
	}
	used, after, late := int64(0), int64(0), int64(0)
	for _, s := range all {
		used, after, late = used+s.used.Load(), after+s.after.Load(), late+s.late.Load()
		close(s.errs)
		for err := range s.errs {
			t.Errorf("a client was told: %v", err)
		}
	}
	prove.Record(t, prove.Row{Claim: "revoke-storm/" + claim, Tried: cycles, Least: 500, Violations: int(late),
		Note: fmt.Sprintf("%d commits before, %d of %d requests after", used, late, after)})
	w.Redecided(t, "revoke-storm/"+claim)
}

func loanOf(n int) string { return fmt.Sprintf("storm-%d", n) }

// cycle gives the right, waits until it is in use, takes it, and lets every client try once more.
func (s *storming) cycle() {
	ctx := s.t.Context()
	s.taken = make(chan struct{})
	require.NoError(s.t, s.give(ctx))
	var wg sync.WaitGroup
	inUse := make(chan struct{}, hammers)
	for n := range hammers {
		wg.Go(func() { s.hammer(ctx, n, inUse) })
	}
	for range hammers / 2 {
		<-inUse
	}
	err := s.take(ctx)
	close(s.taken)
	wg.Wait()
	require.NoError(s.t, err)
}

// most is how often a client uses the right in one cycle: a stream without an
// end holds the actor's row, and the taking waits for it longer than it proves.
const most = 8

// hammer asks again and again, and once more when the taking has answered. It
// says once that the right is in use, at the latest when it gives up.
func (s *storming) hammer(ctx context.Context, n int, inUse chan<- struct{}) {
	say := sync.OnceFunc(func() { inUse <- struct{}{} })
	defer say()
	for range most {
		err := s.use(ctx, n)
		if err == nil {
			s.used.Add(1)
			say()
		}
		s.told(err)
		select {
		case <-s.taken:
			s.last(ctx, n)
			return
		default:
		}
	}
	say()
	<-s.taken
	s.last(ctx, n)
}

// last is a request that begins after the taking has answered.
func (s *storming) last(ctx context.Context, n int) {
	err := s.use(ctx, n)
	s.after.Add(1)
	if err == nil {
		s.late.Add(1)
	}
	s.told(err)
}

// told keeps what no client may be told.
func (s *storming) told(err error) {
	var no *interlock.Refusal
	if err == nil || errors.As(err, &no) && no.Code == s.refused {
		return
	}
	select {
	case s.errs <- err:
	default:
	}
}

// ofAdministrators is the right to give rights, which its holder must not be
// able to give himself back (nor anybody else any) once it is gone.
func ofAdministrators(t *testing.T, w *fixture.World) *storming {
	t.Helper()
	boss := fixture.As("boss")
	var turn atomic.Int64
	s := newStorm(t, w, "denied", func(ctx context.Context, n int) error {
		change := w.Gate.Grant
		if turn.Add(1)%2 == 0 {
			change = w.Gate.Revoke
		}
		_, err := change(ctx, boss, fmt.Sprintf("aide-%d", n), "clerk", interlock.Scope{})
		return err
	})
	s.give = func(ctx context.Context) error {
		_, err := w.Gate.Grant(ctx, fixture.System, boss.ID, interlock.AdminRole, interlock.Scope{})
		return err
	}
	s.take = func(ctx context.Context) error {
		_, err := w.Gate.Revoke(ctx, fixture.System, boss.ID, interlock.AdminRole, interlock.Scope{})
		return err
	}
	_, err := w.Gate.Grant(t.Context(), fixture.System, "chief", interlock.AdminRole, interlock.Scope{}) // somebody stays
	require.NoError(t, err)
	return s
}
