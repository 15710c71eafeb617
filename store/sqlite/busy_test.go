package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// While the writer is held, only so many wait for it; more are told at once, and
// those that waited are written when it is free.
func TestQueueOfWritesIsBounded(t *testing.T) {
	st, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	require.NoError(t, st.Migrate(t.Context()))
	held, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- st.Write(context.Background(), func(*sql.Tx) error { close(held); <-release; return nil })
	}()
	<-held
	key := interlock.Idempotency{Tenant: "t", Actor: "a", Key: "k", Token: "x"}
	var wg sync.WaitGroup
	var mu sync.Mutex
	written, busy := 0, make(chan struct{}, 1<<13)
	for range 4096 + 100 {
		wg.Go(func() {
			err := st.Release(context.Background(), key)
			if errors.Is(err, interlock.ErrBusy) {
				busy <- struct{}{}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				written++
			}
		})
	}
	for range 100 {
		select {
		case <-busy:
		case <-time.After(time.Minute):
			t.Fatal("they all wait")
		}
	}
	close(release)
	wg.Wait()
	require.NoError(t, <-done)
	require.Equal(t, 4096, written)
}
