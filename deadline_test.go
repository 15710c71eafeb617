package interlock_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// A deadline without a timer ends as one with a timer does.
func TestDeadlineWithoutATimer(t *testing.T) {
	type key struct{}
	parent, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
	defer leave()
	soon, end := interlock.WithTimeout(parent, time.Nanosecond)
	defer end()
	time.Sleep(time.Millisecond)
	require.ErrorIs(t, soon.Err(), context.DeadlineExceeded, "though nobody waited")
	<-soon.Done()
	require.ErrorIs(t, soon.Err(), context.DeadlineExceeded)

	for _, waits := range []bool{false, true} {
		long, end := interlock.WithTimeout(parent, time.Hour)
		at, ok := long.Deadline()
		require.True(t, ok)
		require.WithinDuration(t, time.Now().Add(time.Hour), at, time.Minute)
		require.NoError(t, long.Err())
		require.Equal(t, "v", long.Value(key{}))
		if waits {
			select {
			case <-long.Done():
				t.Fatal("it has ended")
			default:
			}
			require.Equal(t, "v", long.Value(key{}))
		}
		end()
		require.ErrorIs(t, long.Err(), context.Canceled)
		<-long.Done()
	}

	earlier, stop := context.WithTimeout(parent, time.Minute)
	defer stop()
	long, end := interlock.WithTimeout(earlier, time.Hour)
	defer end()
	at, _ := long.Deadline()
	require.WithinDuration(t, time.Now().Add(time.Minute), at, 30*time.Second)
	watchers := func() int { return goroutines("context.(*cancelCtx).propagateCancel") }
	before := watchers()
	child, stopChild := context.WithCancel(long)
	defer stopChild()
	require.LessOrEqual(t, watchers(), before, "nobody has to watch it")
	unasked, endUnasked := interlock.WithTimeout(parent, time.Hour)
	defer endUnasked()
	leave()
	<-child.Done()
	require.ErrorIs(t, long.Err(), context.Canceled)
	require.ErrorIs(t, unasked.Err(), context.Canceled)
}
