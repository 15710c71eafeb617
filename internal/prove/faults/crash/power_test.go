package crash

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
)

// A loss of power keeps what was synced, and kill -9 shows nothing of that: the
// system keeps what a dead process wrote. So the system calls are watched: the
// answer to each commit must be written after an fdatasync of the write-ahead log
// has ended that began after the commit's row was written there.
func TestPowerLoss(t *testing.T) {
	n := prove.Size(30, 500)
	acked, early := traced(t, filepath.Join(t.TempDir(), "power.db"), n)
	for _, why := range early[:min(5, len(early))] {
		t.Error(why)
	}
	prove.Record(t, prove.Row{Claim: "power/sqlite", Tried: acked, Least: 500, Violations: len(early)})
}

// A store that doesn't sync must be caught, or the trace proves nothing.
func TestPowerLossIsSeen(t *testing.T) {
	acked, early := traced(t, ":memory:", 10) // a file that is never synced
	require.Positive(t, acked)
	require.Len(t, early, acked)
}

// traced runs a load under strace until n commits were acknowledged, and returns
// how many were, and what was answered too early.
func traced(t *testing.T, path string, n int) (acked int, early []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	ch := start(t, order{Store: path, Seed: instances}, "strace", "-f", "--seccomp-bpf", "-y", "-s", "5000",
		"-e", "trace=pwrite64,fdatasync,fsync,write", "-e", "signal=none", "-o", file)
	traffic := load.Start(ch.url, load.Plan{Instances: instances, Workers: 4})
	limit, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	require.True(t, load.Until(limit, func() bool { return traffic.Acknowledged() >= n }), "it is slow")
	ledger := traffic.End()
	ch.kill()
	tr := readTrace(t, file)
	for i := range ledger.Ops {
		o := &ledger.Ops[i]
		if o.Status != http.StatusOK || o.Transition == "" {
			continue
		}
		acked++
		if why := tr.durable(o.Transition); why != "" {
			early = append(early, fmt.Sprintf("%s of %s: %s", o.Event, o.ID, why))
		}
	}
	require.GreaterOrEqual(t, acked, n)
	return acked, early
}

// trace is the order of what a process asked of the system: line numbers.
type trace struct {
	rows    map[string]int // transition → its row was written to the log, first
	answers map[string]int // transition → its answer began to be written
	syncs   [][2]int       // of the log: began, ended well
}

var (
	transitionID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	answerID     = regexp.MustCompile(`Interlock-Transition: ([0-9a-f-]{36})`)
	call         = regexp.MustCompile(`^(\d+) +(\w+)\((\d+)<([^>]*)>`)
	resumed      = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
)

// readTrace reads strace's lines. One that another thread's came between stands
// in two halves, "unfinished" and "resumed".
func readTrace(t *testing.T, path string) *trace {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	tr := &trace{map[string]int{}, map[string]int{}, nil}
	type begun struct {
		at      int
		name    string
		wal     bool
		written []string
	}
	running := map[string]begun{}
	end := func(b begun, at int, ok bool) {
		if !b.wal || !ok {
			return
		}
		switch b.name {
		case "fdatasync", "fsync":
			tr.syncs = append(tr.syncs, [2]int{b.at, at})
		case "pwrite64":
			for _, id := range b.written {
				if _, was := tr.rows[id]; !was {
					tr.rows[id] = at
				}
			}
		}
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for at := 1; lines.Scan(); at++ {
		line := lines.Text()
		ok := !strings.Contains(line[max(0, len(line)-80):], " = -1 ")
		if m := resumed.FindStringSubmatch(line); m != nil {
			end(running[m[1]], at, ok)
			delete(running, m[1])
			continue
		}
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		b := begun{at: at, name: m[2], wal: strings.HasSuffix(m[4], "-wal")}
		switch {
		case b.wal && b.name == "pwrite64":
			b.written = transitionID.FindAllString(line, -1)
		case b.name == "write" && strings.Contains(line, "HTTP/1.1 200"):
			for _, id := range answerID.FindAllStringSubmatch(line, -1) {
				tr.answers[id[1]] = at
			}
		}
		if strings.HasSuffix(line, "<unfinished ...>") {
			running[m[1]] = b
		} else {
			end(b, at, ok)
		}
	}
	require.NoError(t, lines.Err())
	return tr
}

// durable is "", or what is wrong with the order.
func (tr *trace) durable(id string) string {
	row, written := tr.rows[id]
	answer, answered := tr.answers[id]
	switch {
	case !written:
		return "its row was never seen on its way to the log"
	case !answered:
		return "its answer was never seen"
	}
	for _, s := range tr.syncs {
		if s[0] > row && s[1] < answer {
			return ""
		}
	}
	return fmt.Sprintf("the answer (line %d) came before the log was synced after its row (line %d)", answer, row)
}
