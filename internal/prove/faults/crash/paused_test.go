package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/testservice"
)

// A process that is stopped between deciding and committing, for longer than a
// decision may be old, goes on when the world has changed: another gate has taken
// the role, or moved the loan. What it had decided isn't committed.
func TestPaused(t *testing.T) {
	direct := testservice.Postgres(t)
	st, closed, err := openPostgres(t.Context(), direct, false)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closed()) })
	machines, err := fixture.Machines()
	require.NoError(t, err)
	other, err := interlock.New(interlock.Config{Machines: machines, Policy: load.Plain{}, Store: st, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close(context.Background())) })
	system := interlock.SystemActor("", "seed")

	n, wrong, revision := prove.Size(2, 10), 0, ""
	ledger := load.Ledger{Instances: instances}
	for i, blocked := 0, 0; i < n; {
		ch := start(t, order{Store: direct, Seed: 2, Point: "decided", Pause: true})
		client := load.NewClient(ch.url)
		revoked := i%2 == 0
		o := load.Op{Actor: "moe", ID: "l0", Event: "tick", Token: fmt.Sprintf("paused-%d-%d", i, blocked)}
		if !revoked {
			inst, err := other.Get(t.Context(), system, interlock.Ref{Machine: fixture.Machine, ID: "l0"})
			require.NoError(t, err)
			o.Event = map[string]string{"created": "submit", "submitted": "return"}[inst.State]
		}
		revision = ch.revision
		asked := make(chan struct{})
		event := o.Event
		go func() {
			defer close(asked)
			client.Fire(&o, "")
		}()
		require.Eventually(t, func() bool { return stopped(ch.pid) }, 20*time.Second, 5*time.Millisecond)
		if revoked {
			_, err = other.Revoke(t.Context(), system, "moe", "manager", interlock.Scope{})
		} else {
			_, err = other.Fire(t.Context(), interlock.Actor{ID: "mia"}, interlock.Request{Machine: fixture.Machine, ID: "l0", Event: event})
		}
		var no *interlock.Refusal
		if errors.As(err, &no) && no.Stage == interlock.StageUnavailable {
			// The process was stopped within another transaction, of its watch say, and its
			// locks are in the way: rightly nothing was changed. Such a round isn't counted.
			blocked++
			require.Less(t, blocked, 5, "the change is always in the way of something: %v", err)
			ch.signal(syscall.SIGCONT)
			<-asked
			ledger.Ops = append(ledger.Ops, o)
			client.Close()
			ch.kill()
			continue
		}
		require.NoError(t, err)
		time.Sleep(pauseAge + 50*time.Millisecond)
		ch.signal(syscall.SIGCONT)
		<-asked
		if want := map[bool]int{true: http.StatusForbidden, false: http.StatusConflict}[revoked]; o.Status != want {
			wrong++
			t.Errorf("round %d: %d %s %s, want %d", i, o.Status, o.Code, o.Cause, want)
		}
		ledger.Ops = append(ledger.Ops, o)
		client.Close()
		ch.kill()
		i++
	}
	bad, err := ledger.Check(t.Context(), st, load.Terms{})
	require.NoError(t, err)
	db, err := sql.Open("pgx", direct)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	again, err := load.Replay(t.Context(), db, `"interlock".`, revision)
	require.NoError(t, err)
	for _, why := range append(bad, again...) {
		wrong++
		t.Error(why)
	}
	prove.Record(t, prove.Row{Claim: "crash/paused", Tried: n, Least: 10, Violations: wrong})
}

// stopped tells whether the process was stopped by a signal.
func stopped(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "T")
}
