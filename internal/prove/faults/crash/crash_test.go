package crash

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/sqlite"
)

const instances = 10

// campaign is many rounds of kill -9 and restart over one store.
type campaign struct {
	t      *testing.T
	where  string // for the child
	direct string // for us
	rng    *rand.Rand
	ops    []load.Op
	rounds int
	died   map[string]int // at which point
	bad    []string
}

// round starts the gate, lets it be killed under load, and holds all that clients
// were ever answered against what is there.
func (c *campaign) round(o order, kill func(*child, *load.Traffic)) {
	c.t.Helper()
	o.Store, o.Seed = c.where, instances
	ch := start(c.t, o)
	traffic := load.Start(ch.url, load.Plan{Instances: instances, Workers: 4, Seed: c.rng.Uint64()})
	kill(ch, traffic)
	ch.kill()
	ledger := traffic.End()
	c.ops = append(c.ops, ledger.Ops...)
	c.rounds++
	c.check(ch.revision)
}

func (c *campaign) check(revision string) {
	c.t.Helper()
	ctx := c.t.Context()
	st, db, prefix, done := c.open()
	defer done()
	all := load.Ledger{Ops: c.ops, Instances: instances}
	bad, err := all.Check(ctx, st, load.Terms{Gone: true, Unavailable: true})
	require.NoError(c.t, err)
	again, err := load.Replay(ctx, db, prefix, revision)
	require.NoError(c.t, err)
	if bad = append(bad, again...); len(bad) > 0 {
		c.t.Errorf("after round %d: %s", c.rounds, strings.Join(bad[:min(5, len(bad))], "\n"))
	}
	c.bad = append(c.bad, bad...)
}

// open opens what the dead process left.
func (c *campaign) open() (interlock.Store, *sql.DB, string, func()) {
	c.t.Helper()
	if !strings.HasPrefix(c.direct, "postgres://") {
		st, err := sqlite.Open(c.direct)
		require.NoError(c.t, err)
		return st, st.DB(), "interlock_", func() { require.NoError(c.t, st.Close()) }
	}
	st, closed, err := openPostgres(context.Background(), c.direct, false)
	require.NoError(c.t, err)
	db, err := sql.Open("pgx", c.direct)
	require.NoError(c.t, err)
	rests(c.t, db)
	return st, db, `"interlock".`, func() {
		require.NoError(c.t, db.Close())
		require.NoError(c.t, closed())
	}
}

// rests waits until the server has ended what the dead process left running.
func rests(t *testing.T, db *sql.DB) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := db.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`).Scan(&n)
		return err == nil && n == 0
	}, 30*time.Second, 5*time.Millisecond)
}

// anywhere kills at a random moment.
func (c *campaign) anywhere() {
	n := 10 + c.rng.IntN(80)
	c.died["anywhere"]++
	c.round(order{}, func(ch *child, traffic *load.Traffic) {
		limit, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
		defer cancel()
		load.Until(limit, func() bool { return traffic.Done(load.Before) >= n })
		time.Sleep(time.Duration(c.rng.IntN(3000)) * time.Microsecond)
	})
}

// at lets the process kill itself at a point.
func (c *campaign) at(point string) {
	c.died[point]++
	c.round(order{Point: point, Left: c.rng.IntN(25)}, func(ch *child, _ *load.Traffic) {
		if !ch.ended(2 * time.Minute) {
			c.t.Errorf("it never came to the point %s", point)
		}
	})
}

func (c *campaign) record(claim string, least int) {
	c.t.Helper()
	acked, unknown := 0, 0
	for i := range c.ops {
		switch o := &c.ops[i]; {
		case o.Token == "":
		case o.Status == 200:
			acked++
		case o.Unknown():
			unknown++
		}
	}
	prove.Record(c.t, prove.Row{Claim: claim, Tried: c.rounds, Least: least, Violations: len(c.bad),
		Note: fmt.Sprintf("%d transitions acknowledged, %d without an answer; killed at %v", acked, unknown, c.died)})
}

// The process is killed at each point, and at random moments, and started again.
func TestCrashSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crash.db")
	c := &campaign{t: t, where: path, direct: path, rng: rand.New(rand.NewPCG(1, 1)), died: map[string]int{}}
	all := append(append([]string{}, aroundPoints...), tablePoints...)
	rounds := prove.Size(2, 50)
	for i := range rounds {
		if i%2 == 1 {
			c.at(all[(i/2)%len(all)])
		} else {
			c.anywhere()
		}
	}
	c.record("crash/sqlite", 50)
}

// The same on PostgreSQL. Within its transactions the point is on the wire: before
// a message of the gate is passed on, or when the server has answered and the gate
// doesn't know it yet, which after COMMIT is the commit that nobody was told of.
func TestCrashPostgres(t *testing.T) {
	direct := testservice.Postgres(t)
	w := newWire(t, direct)
	c := &campaign{t: t, where: w.url, direct: direct, rng: rand.New(rand.NewPCG(2, 2)), died: map[string]int{}}
	rounds := prove.Size(3, 50)
	for i := range rounds {
		switch i % 3 {
		case 0:
			c.anywhere()
		case 1:
			c.onWire(w, i%2 == 0)
		default:
			c.at(aroundPoints[(i/3)%len(aroundPoints)])
		}
	}
	c.record("crash/postgres", 50)
}

// onWire kills it at some message of the load: as it is sent, or as its answer
// comes back.
func (c *campaign) onWire(w *wire, answered bool) {
	name := "sent"
	if answered {
		name = "answered"
	}
	c.died[name]++
	c.round(order{}, func(ch *child, _ *load.Traffic) {
		w.arm(c.rng.IntN(150), answered, func() { ch.signal(syscall.SIGKILL) })
		if !ch.ended(2 * time.Minute) {
			c.t.Error("so many messages never came")
		}
		w.disarm()
	})
}
