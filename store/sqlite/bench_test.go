package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// BenchmarkCommit is one transition with texts and a message, of so many clients
// who each wait for their answer. Beside its time: the CPU that the process took, how
// long the slowest waited, and how large the log beside the file became.
func BenchmarkCommit(b *testing.B) {
	for _, clients := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(clients, " clients"), func(b *testing.B) {
			ctx := context.Background()
			path := filepath.Join(b.TempDir(), "b.db")
			s, err := Open(path)
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
			waited := make([][]time.Duration, clients)
			for i := range waited {
				waited[i] = make([]time.Duration, 0, 2*b.N/clients+1)
			}
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			for i := range clients {
				wg.Go(func() {
					for v := int64(2); left.Add(-1) >= 0; v++ {
						c, at := stepOf(epoch, fmt.Sprint(i), v), time.Now()
						if err := s.Commit(ctx, c); err != nil {
							b.Error(err)
							return
						}
						waited[i] = append(waited[i], time.Since(at))
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
			all := slices.Concat(waited...)
			slices.Sort(all)
			for name, at := range map[string]int{"p50-ms": len(all) / 2, "p99-ms": len(all) * 99 / 100, "p999-ms": len(all) * 999 / 1000, "max-ms": len(all) - 1} {
				b.ReportMetric(float64(all[at].Microseconds())/1000, name)
			}
			if log, err := os.Stat(path + "-wal"); err == nil {
				b.ReportMetric(float64(log.Size())/(1<<20), "wal-MiB")
			}
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
