package rediscache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// held is a Redis whose round trips end when the test says how.
type held struct {
	*group
	t     *testing.T
	trips chan heldTrip
}

type heldTrip struct {
	names []string
	until time.Time
	end   chan func() error
}

// newHeld passes no trip that takes long.
func newHeld(t *testing.T) *held {
	t.Helper()
	h := &held{t: t, trips: make(chan heldTrip)}
	h.group = newGroup(func(ctx context.Context, names []string) ([]string, error) {
		until, _ := ctx.Deadline()
		trip := heldTrip{names, until, make(chan func() error)}
		select {
		case h.trips <- trip:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case how := <-trip.end:
			return valuesOf(names), how()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	h.long = time.Hour
	t.Cleanup(func() { h.close(patient) })
	return h
}

func valuesOf(names []string) (values []string) {
	for _, n := range names {
		values = append(values, "value of "+n)
	}
	return values
}

func well() error { return nil }

// answered is what a caller got.
type answered struct {
	values []string
	err    error
}

// asks lets a caller ask, and returns when he is one of so many who wait.
func (h *held) asks(ctx context.Context, waiting int, names ...string) <-chan answered {
	h.t.Helper()
	got := make(chan answered, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, patient)
		defer cancel()
		values, err := h.get(ctx, names)
		got <- answered{values, err}
	}()
	h.wait(waiting)
	return got
}

func (h *held) wait(waiting int) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.waiting == waiting
	}, patient, 100*time.Microsecond)
}

func (h *held) gets(got <-chan answered, names ...string) {
	h.t.Helper()
	a := <-got
	require.NoError(h.t, a.err)
	require.Equal(h.t, valuesOf(names), a.values)
}

// left is for who was cancelled: he has his answer, whatever is on its way.
func (h *held) left(got <-chan answered) {
	h.t.Helper()
	select {
	case a := <-got:
		require.ErrorIs(h.t, a.err, context.Canceled)
	case <-time.After(patient):
		h.t.Fatal("he who left is held up")
	}
}

func TestWhoComesMeanwhileGoesTogether(t *testing.T) {
	h := newHeld(t)
	first := h.asks(t.Context(), 0, "a")
	one := <-h.trips
	require.Equal(t, []string{"a"}, one.names, "who finds nobody on his way goes at once")
	var others []<-chan answered
	var names []string
	for i := range 5 {
		names = append(names, fmt.Sprint("x", i), fmt.Sprint("y", i))
		others = append(others, h.asks(t.Context(), i+1, names[2*i:]...))
	}
	one.end <- well
	h.gets(first, "a")
	two := <-h.trips
	require.Equal(t, names, two.names)
	last := h.asks(t.Context(), 1, "z") // it began already: he goes in the next
	two.end <- well
	for i, got := range others {
		h.gets(got, names[2*i:2*i+2]...)
	}
	three := <-h.trips
	require.Equal(t, []string{"z"}, three.names)
	three.end <- well
	h.gets(last, "z")
}

// What is asked for together has a limit: the rest goes in the next.
func TestATripHasAnEnd(t *testing.T) {
	h := newHeld(t)
	first := h.asks(t.Context(), 0, "a")
	one := <-h.trips
	many := make([]string, mostNames-1)
	second := h.asks(t.Context(), 1, many...)
	third := h.asks(t.Context(), 2, "b", "c")
	one.end <- well
	h.gets(first, "a")
	two := <-h.trips
	require.Equal(t, many, two.names)
	two.end <- well
	h.gets(second, many...)
	three := <-h.trips
	three.end <- well
	h.gets(third, "b", "c")
}

func TestWhoLeavesHoldsUpNobody(t *testing.T) {
	h := newHeld(t)
	hasty, leave := context.WithCancel(t.Context())
	first := h.asks(t.Context(), 0, "a")
	one := <-h.trips
	leaver := h.asks(hasty, 1, "b")
	stayer := h.asks(t.Context(), 2, "c")
	leave()
	h.left(leaver)
	h.wait(1)
	one.end <- well
	h.gets(first, "a")

	two := <-h.trips
	hasty, leave = context.WithCancel(t.Context())
	leaver = h.asks(hasty, 1, "d")
	leave()
	h.left(leaver)
	h.wait(0)
	two.end <- well
	h.gets(stayer, "c")
	h.count(0, 0)

	// Nobody waited for d, so nobody asks for it.
	again := h.asks(t.Context(), 0, "e")
	three := <-h.trips
	require.Equal(t, []string{"e"}, three.names)

	// Nor does it matter when one leaves a trip that has begun.
	hasty, leave = context.WithCancel(t.Context())
	leaver, stayer = h.asks(hasty, 1, "f"), h.asks(t.Context(), 2, "g")
	three.end <- well
	h.gets(again, "e")
	four := <-h.trips
	leave()
	h.left(leaver)
	four.end <- well
	h.gets(stayer, "g")
}

// A trip lasts as long as the last of its callers waits, and no longer.
func TestATripEndsWithItsCallers(t *testing.T) { synctest.Test(t, testTripEnds) }

func testTripEnds(t *testing.T) {
	h := newHeld(t)
	first := h.asks(t.Context(), 0, "a")
	one := <-h.trips
	var others []<-chan answered
	begun := time.Now()
	for i, limit := range []time.Duration{time.Second, 3 * time.Second, 2 * time.Second} {
		ctx, cancel := context.WithDeadline(t.Context(), begun.Add(limit))
		defer cancel()
		others = append(others, h.asks(ctx, i+1, "b"))
	}
	one.end <- well
	h.gets(first, "a")
	two := <-h.trips
	require.Equal(t, begun.Add(3*time.Second), two.until)
	two.end <- well
	for _, got := range others {
		h.gets(got, "b")
	}
}

func TestAnErrorIsItsTripsAlone(t *testing.T) {
	h := newHeld(t)
	reset := errors.New("connection reset")
	first := h.asks(t.Context(), 0, "a")
	one := <-h.trips
	others := []<-chan answered{h.asks(t.Context(), 1, "b"), h.asks(t.Context(), 2, "c"), h.asks(t.Context(), 3, "d")}
	one.end <- well
	h.gets(first, "a")
	two := <-h.trips
	next := h.asks(t.Context(), 1, "e")
	two.end <- func() error { return reset }
	counted := 0
	for _, got := range others {
		a := <-got
		require.ErrorIs(t, a.err, reset)
		require.Nil(t, a.values)
		if !errors.Is(a.err, errTogether) {
			counted++
		}
	}
	require.Equal(t, 1, counted, "one failure of Redis, however many it is told to")
	three := <-h.trips
	three.end <- well
	h.gets(next, "e")

	// Who waited in vain is one who was held up.
	first = h.asks(t.Context(), 0, "f")
	four := <-h.trips
	others = []<-chan answered{h.asks(t.Context(), 1, "g"), h.asks(t.Context(), 2, "h")}
	four.end <- well
	h.gets(first, "f")
	five := <-h.trips
	five.end <- func() error { return fmt.Errorf("reading: %w", os.ErrDeadlineExceeded) }
	for _, got := range others {
		a := <-got
		require.ErrorIs(t, a.err, os.ErrDeadlineExceeded)
		require.NotErrorIs(t, a.err, errTogether)
	}
}

// A trip that takes long holds up nobody either: there are other connections.
func TestASlowTripIsPassed(t *testing.T) {
	h := newHeld(t)
	h.long = time.Millisecond
	var trips []heldTrip
	var callers []<-chan answered
	for i := range mostAway {
		callers = append(callers, h.asks(t.Context(), 0, fmt.Sprint(i)))
		trips = append(trips, <-h.trips)
	}
	waits := h.asks(t.Context(), 1, "waits") // these are enough
	trips[2].end <- well
	h.gets(callers[2], "2")
	next := <-h.trips
	require.Equal(t, []string{"waits"}, next.names)
	next.end <- well
	h.gets(waits, "waits")
	for _, i := range []int{0, 1, 3} {
		trips[i].end <- well
		h.gets(callers[i], fmt.Sprint(i))
	}
}

func TestTheQueueHasAnEnd(t *testing.T) {
	h := newHeld(t)
	first := h.asks(t.Context(), 0, "a")
	one := <-h.trips
	h.mu.Lock()
	h.waiting = mostWaiting
	h.mu.Unlock()
	_, err := h.get(t.Context(), []string{"b"})
	require.ErrorIs(t, err, errFull)
	h.mu.Lock()
	h.waiting = 0
	h.mu.Unlock()
	one.end <- well
	h.gets(first, "a")
}

// What panics in the client, or ends the goroutine, is an error of its trip; the
// next goes on.
func TestAPanicIsAnError(t *testing.T) {
	for name, bad := range map[string]func() error{
		"panic":  func() error { panic("a hook of the application's") },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeld(t)
			first := h.asks(t.Context(), 0, "a")
			one := <-h.trips
			others := []<-chan answered{h.asks(t.Context(), 1, "b"), h.asks(t.Context(), 2, "c")}
			one.end <- well
			h.gets(first, "a")
			two := <-h.trips
			next := h.asks(t.Context(), 1, "d")
			two.end <- bad
			for _, got := range others {
				require.Error(t, (<-got).err)
			}
			three := <-h.trips
			three.end <- well
			h.gets(next, "d")
			if name == "panic" { // alone, too
				alone := h.asks(t.Context(), 0, "e")
				four := <-h.trips
				four.end <- bad
				require.ErrorContains(t, (<-alone).err, "panicked")
			}
			last := h.asks(t.Context(), 0, "f")
			five := <-h.trips
			five.end <- well
			h.gets(last, "f")
		})
	}
}

func TestCloseAnswersWhoWaits(t *testing.T) {
	h := newHeld(t)
	first := h.asks(t.Context(), 0, "a")
	one := <-h.trips
	onItsWay := h.asks(t.Context(), 1, "b")
	one.end <- well
	h.gets(first, "a")
	<-h.trips
	waits := h.asks(t.Context(), 1, "c")
	h.close(patient) // returns when what is on its way has ended; goleak sees to that
	require.ErrorIs(t, (<-onItsWay).err, context.Canceled)
	require.ErrorIs(t, (<-waits).err, errClosed)
	_, err := h.get(t.Context(), []string{"d"})
	require.ErrorIs(t, err, errClosed)
}
