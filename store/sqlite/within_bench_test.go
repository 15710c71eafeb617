package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// BenchmarkWithin is the transaction of Do: a step, and a row of the application's.
func BenchmarkWithin(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprint(clients, " clients"), func(b *testing.B) {
			ctx := context.Background()
			s, err := Open(filepath.Join(b.TempDir(), "b.db"))
			require.NoError(b, err)
			defer s.Close()
			require.NoError(b, s.Migrate(ctx))
			epoch, err := s.Epoch(ctx)
			require.NoError(b, err)
			require.NoError(b, s.Activate(ctx, interlock.Revision{Machine: "loan", ID: "r1", States: []string{"open"}}, 0))
			app := func(query string) func(interlock.Tx) error {
				return func(tx interlock.Tx) error {
					_, err := tx.Handle().(*sql.Tx).Exec(query)
					return err
				}
			}
			require.NoError(b, s.Within(ctx, app(`CREATE TABLE app (id INTEGER PRIMARY KEY, note TEXT)`)))
			for i := range clients {
				id := fmt.Sprint(i)
				require.NoError(b, s.Commit(ctx, joinOf(epoch, "of-"+id)))
				require.NoError(b, s.Commit(ctx, stepOf(epoch, id, 1)))
			}
			insert := app(`INSERT INTO app (note) VALUES ('x')`)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			for i := range clients {
				wg.Go(func() {
					for v := int64(2); left.Add(-1) >= 0; v++ {
						c := stepOf(epoch, fmt.Sprint(i), v)
						limited, cancel := context.WithTimeout(ctx, 5*time.Second)
						err := s.Within(limited, func(tx interlock.Tx) error {
							if err := tx.Apply(limited, c); err != nil {
								return err
							}
							return insert(tx)
						})
						cancel()
						if err != nil {
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
