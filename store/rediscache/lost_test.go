package rediscache

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
)

// deaf is a client some of whose calls hang beyond every deadline, until the test
// lets them go.
type deaf struct {
	redis.Hook
	hangs atomic.Int32 // so many of the next
	began chan struct{}
	end   chan struct{}
	let   func()
}

func newDeaf(t *testing.T, hangs int) *deaf {
	t.Helper()
	d := &deaf{began: make(chan struct{}, 100), end: make(chan struct{})}
	d.let = sync.OnceFunc(func() { close(d.end) })
	d.hangs.Store(int32(hangs))
	t.Cleanup(d.let)
	return d
}

func (d *deaf) hang() {
	if d.hangs.Add(-1) >= 0 {
		d.began <- struct{}{}
		<-d.end
	}
}

func (d *deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "mget" {
			d.hang()
		}
		return next(ctx, cmd)
	}
}

func (d *deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// held asks by d.
func (d *deaf) held(t *testing.T) *held {
	t.Helper()
	h := &held{t: t, group: newGroup(func(_ context.Context, names []string) ([]string, error) {
		d.hang()
		return valuesOf(names), nil
	})}
	t.Cleanup(func() {
		d.let()
		h.close(patient)
	})
	return h
}

// count waits until so many trips are on their way, and so many lost.
func (h *held) count(away, lost int) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.away == away && h.lost == lost
	}, patient, time.Millisecond)
}

// soon fails instead of waiting for ever.
func soon[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patient):
		t.Fatal("this hangs")
	}
	return v
}

// What hangs in the client holds up who went there himself, and its other callers
// until their limit, and nobody after them.
func TestWhatHangsKeepsNoPlace(t *testing.T) { synctest.Test(t, testWhatHangs) }

func testWhatHangs(t *testing.T) {
	d := newDeaf(t, mostAway)
	h := d.held(t)
	h.long = time.Millisecond
	var callers []<-chan answered
	for range mostAway {
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := make(chan answered, 1)
		go func() {
			values, err := h.get(short, []string{"hangs"})
			got <- answered{values, err}
		}()
		callers = append(callers, got)
		soon(t, d.began)
	}
	for _, got := range callers[1:] {
		require.ErrorIs(t, soon(t, got).err, context.DeadlineExceeded)
	}
	h.count(0, mostAway)
	h.gets(h.asks(t.Context(), 0, "a"), "a")
	h.count(0, mostAway)

	d.let() // what returns now gives nothing back
	h.count(0, 0)
	soon(t, callers[0])
	h.gets(h.asks(t.Context(), 0, "b"), "b")
	h.count(0, 0)
}

// Those who came meanwhile don't wait for one that hangs.
func TestALostTripsPlaceIsTaken(t *testing.T) {
	d := newDeaf(t, 1)
	h := d.held(t)
	h.long = time.Hour
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	first := make(chan error, 1)
	go func() {
		_, err := h.get(short, []string{"hangs"})
		first <- err
	}()
	soon(t, d.began)
	got := make(chan answered, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		values, err := h.get(ctx, []string{"waits"})
		got <- answered{values, err}
	}()
	require.Equal(t, answered{valuesOf([]string{"waits"}), nil}, soon(t, got))
	d.let()
	require.ErrorIs(t, soon(t, first), context.DeadlineExceeded)
}

// After trouble nobody goes himself: he who leaves does so at once, and his place is
// kept until the trip ends.
func TestWhoGoesAloneMayLeave(t *testing.T) {
	d := newDeaf(t, 1)
	h := d.held(t)
	h.wary.Store(true)
	hasty, leave := context.WithCancel(t.Context())
	leaver := h.asks(hasty, 0, "a")
	soon(t, d.began)
	leave()
	h.left(leaver)
	h.count(1, 0)
	d.let()
	h.count(0, 0)
}

func TestWhatHangsHasAnEnd(t *testing.T) {
	h := newHeld(t)
	lost := func(n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lost = n
	}
	lost(mostLost)
	_, err := h.get(t.Context(), []string{"a"})
	lost(0)
	require.ErrorIs(t, err, errLost)
	require.False(t, isOurs(err), "the breaker is told")
}

// The end waits for what is on its way, alone as together, but not for ever.
func TestCloseWaitsForWhatReturns(t *testing.T) {
	d := newDeaf(t, 1)
	h := d.held(t)
	alone := h.asks(t.Context(), 0, "a")
	soon(t, d.began)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		h.close(time.Hour)
	}()
	h.count(1, 0)
	select {
	case <-closed:
		t.Fatal("a call has not returned yet")
	case <-time.After(20 * time.Millisecond):
	}
	second := make(chan struct{})
	go func() {
		defer close(second)
		h.close(time.Millisecond)
	}()
	soon(t, second)
	d.let()
	soon(t, closed)
	h.gets(alone, "a")
}

// A hook of the application's that doesn't heed its context costs a few calls
// their time: neither those after them, nor the end.
func TestAHookThatHangs(t *testing.T) {
	c, _ := newHasty(t, testservice.Redis(t), Config{})
	d := newDeaf(t, mostAway)
	c.client.AddHook(d)
	get := func() error {
		err := make(chan error, 1)
		go func() {
			_, e := c.Get(context.Background(), epoch, []interlock.CacheKey{loan})
			err <- e
		}()
		return soon(t, err)
	}
	first := make(chan error, 1)
	go func() {
		_, err := c.Get(context.Background(), epoch, []interlock.CacheKey{loan})
		first <- err
	}()
	soon(t, d.began)
	(&held{group: c.reads, t: t}).count(0, 1)
	for n := range mostAway - 1 {
		require.ErrorIs(t, get(), context.DeadlineExceeded)
		soon(t, d.began)
		(&held{group: c.reads, t: t}).count(0, n+2) // the next finds nobody on his way
	}
	answers := false
	for end := time.Now().Add(patient); !answers && time.Now().Before(end); time.Sleep(time.Millisecond) {
		answers = get() == nil // a busy machine may have opened the breaker
	}
	require.True(t, answers)
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	require.NoError(t, soon(t, closed))
	require.Error(t, get())
	d.let()
	require.Error(t, soon(t, first))
}

// That many ask, or that the gate ends, is no fault of Redis's.
func TestNoAlarmWithoutFault(t *testing.T) {
	var a alarms
	c := New(connect(t, "redis://127.0.0.1:1/0"), Config{Timeout: patient, Alarm: a.raise})
	h := newHeld(t)
	c.reads = h.group
	get := func() error {
		_, err := c.Get(t.Context(), epoch, []interlock.CacheKey{loan})
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { assert.NoError(t, get()) })
	one := <-h.trips
	full := func(waiting int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waiting = waiting
	}
	full(mostWaiting)
	for range 2 * failures {
		assert.ErrorIs(t, get(), errFull)
	}
	full(0)
	assert.Equal(t, gobreaker.StateClosed, c.breaker.State())
	for i := range 2 * failures {
		all.Go(func() { assert.ErrorIs(t, get(), errClosed) })
		h.wait(i + 1)
	}
	all.Go(func() { assert.NoError(t, c.Close()) })
	h.wait(0)
	one.end <- well
	all.Wait()
	assert.Equal(t, gobreaker.StateClosed, c.breaker.State())
	assert.Empty(t, a.raised())
}
