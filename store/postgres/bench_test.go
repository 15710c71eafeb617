package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

// BenchmarkCommit is many clients, each with an instance of its own, through the
// queue and each by the single statement.
func BenchmarkCommit(b *testing.B) {
	ctx := b.Context()
	s := postgres.New(newPool(b, testservice.Postgres(b)))
	migrated(b, s)
	for _, clients := range []int{1, 16, 64, 256} {
		for name, commit := range map[string]func(*interlock.Commit) error{
			"grouped": func(c *interlock.Commit) error { return s.Commit(ctx, c) },
			"single":  func(c *interlock.Commit) error { return s.CommitSingle(ctx, c) },
		} {
			b.Run(fmt.Sprintf("%d/%s", clients, name), func(b *testing.B) {
				var wg sync.WaitGroup
				var left atomic.Int64
				left.Store(int64(b.N))
				var last []*interlock.Commit
				for n := range clients {
					c := creation(b, s, fmt.Sprint(name, clients, "-", b.N, "-", n, "-", time.Now().UnixNano()))
					require.NoError(b, s.Commit(ctx, c))
					hire(b, s, c)
					last = append(last, c)
				}
				b.ResetTimer()
				for _, c := range last {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							c = next(c)
							if err := commit(c); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			})
		}
	}
}
