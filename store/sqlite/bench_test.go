package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// BenchmarkCommit is one transition with texts and a message, of so many clients
// who each wait for their answer. Beside its time: the CPU that the process took.
func BenchmarkCommit(b *testing.B) {
	for _, clients := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(clients, " clients"), func(b *testing.B) {
			ctx := context.Background()
			s, err := Open(filepath.Join(b.TempDir(), "b.db"))
			require.NoError(b, err)
			defer s.Close()
			require.NoError(b, s.Migrate(ctx))
			epoch, err := s.Epoch(ctx)
			require.NoError(b, err)
			require.NoError(b, s.Activate(ctx, interlock.Revision{Machine: "loan", ID: "r1", States: []string{"open"}}, 0))
			for i := range clients {
				id := fmt.Sprint(i)
				require.NoError(b, s.Commit(ctx, joinOf(epoch, "of-"+id)))
				require.NoError(b, s.Commit(ctx, stepOf(epoch, id, 1)))
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			for i := range clients {
				wg.Go(func() {
					for v := int64(2); left.Add(-1) >= 0; v++ {
						if err := s.Commit(ctx, stepOf(epoch, fmt.Sprint(i), v)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
