package interlock_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// heldStore keeps what its first look found, once armed, until it is let go.
type heldStore struct {
	*sqlite.Store
	armed          atomic.Bool
	looks          atomic.Int64
	found, release chan struct{}
}

func (s *heldStore) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	first := s.armed.Load() && s.looks.Add(1) == 1
	facts, err := s.Store.Load(ctx, tenant, ref, actors)
	if first {
		close(s.found)
		<-s.release
	}
	return facts, err
}

// looking is a gate whose cache never has anything, and whose store is at its first look.
func looking(t *testing.T, who interlock.Actor) (*interlock.Gate, *heldStore, *memoryCache, interlock.Ref, *sync.WaitGroup) {
	t.Helper()
	st, cache := &heldStore{Store: memory(t), found: make(chan struct{}), release: make(chan struct{})}, newCache()
	g := newGate(t, func(c *interlock.Config) { c.Store, c.Cache = st, cache })
	cache.fail()
	ref := interlock.Ref{Machine: "loan", ID: "17"}
	_, err := g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: "17", Facts: map[string]any{"amount": 1000}})
	require.NoError(t, err)
	st.armed.Store(true)
	var first sync.WaitGroup
	first.Go(func() { _, _ = g.Available(t.Context(), who, ref) })
	<-st.found
	return g, st, cache, ref, &first
}

// asked waits until so many more have looked into the cache in vain, and a moment
// longer, so that they ask the store.
func (c *memoryCache) asked(t *testing.T, before, more int) {
	t.Helper()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.gets >= before+more
	}, 5*time.Second, time.Millisecond)
	time.Sleep(20 * time.Millisecond)
}

func (c *memoryCache) got() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gets
}

// All who miss the same at the same moment cost the store one look, a little more
// where one of them is late.
func TestMissesShareOneLook(t *testing.T) {
	g, st, cache, ref, all := looking(t, employee("erin"))
	before := cache.got()
	for range 32 {
		all.Go(func() {
			_, err := g.Available(t.Context(), employee("erin"), ref)
			assert.NoError(t, err)
		})
	}
	cache.asked(t, before, 32)
	close(st.release)
	all.Wait()
	require.Less(t, st.looks.Load(), int64(8), "of 33")
}

// A shared look may be older than a change that was acknowledged before one of
// those who share it asked: its no is decided once more.
func TestSharedRefusalIsDecidedOnceMore(t *testing.T) {
	g, st, cache, _, all := looking(t, granted("evan"))
	_, err := g.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	before := cache.got()
	all.Go(func() {
		_, err = g.Fire(t.Context(), granted("evan"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	})
	cache.asked(t, before, 1)
	close(st.release)
	all.Wait()
	require.NoError(t, err)
}

// A strong read believes nobody else's look.
func TestStrongReadsLookThemselves(t *testing.T) {
	g, st, _, ref, all := looking(t, granted("evan"))
	_, err := g.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	menu, err := g.Available(interlock.Strong(t.Context()), granted("evan"), ref)
	require.NoError(t, err)
	require.NotEmpty(t, menu.Options)
	close(st.release)
	all.Wait()
}
