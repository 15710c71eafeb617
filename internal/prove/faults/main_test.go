package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/store/sqlite"
)

// No fault leaves a goroutine behind.
func TestMain(m *testing.M) {
	redis.SetLogger(&logging.VoidLogger{}) // it tells of every connection that fails
	goleak.VerifyTestMain(m)
}

const instances = 16

// open starts a world with its roles and instances.
func open(t *testing.T, cfg load.Config) *load.World {
	t.Helper()
	w, err := load.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	// A gate that doesn't wait long may be told that its store is slow.
	busy, err := &interlock.Refusal{Stage: interlock.StageUnavailable}, error(nil)
	for end := time.Now().Add(time.Minute); ; {
		if err = w.Seed(t.Context(), instances); !errors.Is(err, busy) || time.Now().After(end) {
			break
		}
	}
	require.NoError(t, err)
	return w
}

func memory(t *testing.T) *sqlite.Store {
	t.Helper()
	st, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// together lets quick runs share the time in which they wait. Whole runs measure,
// and go one after the other.
func together(t *testing.T) {
	t.Helper()
	if !prove.Full() {
		t.Parallel()
	}
}

// plan has the same number of requests before, during and after, where at last a
// quarter of them is answered as ever.
func plan(quick, full int, f fault) load.Plan {
	n := prove.Size(quick, full)
	return load.Plan{Instances: instances, Seed: 1, Requests: [3]int{n, n, n}, Recovers: n / 4, Break: f.begin, Heal: f.end}
}

// record holds the ledger against the store, and states the result.
func record(t *testing.T, claim string, least int, ledger *load.Ledger, w *load.World, terms load.Terms) {
	t.Helper()
	began := time.Now()
	bad, err := ledger.Check(t.Context(), w.Store, terms)
	require.NoError(t, err)
	again, err := w.Replay(t.Context())
	require.NoError(t, err)
	bad = append(bad, again...)
	for i, why := range bad {
		if i == 20 {
			t.Errorf("and %d more", len(bad)-i)
			break
		}
		t.Error(why)
	}
	t.Logf("%s\n%schecked in %s", claim, ledger.Table(), time.Since(began).Round(time.Millisecond))
	prove.Record(t, prove.Row{Claim: claim, Tried: len(ledger.Ops), Least: least, Violations: len(bad), Note: ledger.Latencies() + "; answers during: " + ledger.Statuses(load.During)})
}

// fault begins under load, and ends under load.
type fault struct{ begin, end func() error }

// calm is for what fails the test itself.
func calm(f func()) func() error { return func() error { f(); return nil } }

// repeated does it every few milliseconds, from begin to end.
func repeated(f func() error) fault {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	return fault{
		begin: func() error {
			go func() {
				for {
					if err := f(); err != nil {
						done <- err
						return
					}
					select {
					case <-ctx.Done():
						done <- nil
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
			}()
			return nil
		},
		end: func() error { cancel(); return <-done },
	}
}
