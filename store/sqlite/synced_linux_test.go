package sqlite

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is copied into the file may be lost with the power until the file is synced:
// only then may the log, which has it too, be written from its beginning. The system
// calls of a process under load are watched.
func TestTheFileIsSyncedBeforeTheLogBeginsAnew(t *testing.T) {
	for _, test := range []struct {
		path   string
		synced bool
	}{{filepath.Join(t.TempDir(), "x.db"), true}, {":memory:", false}} { // one is never synced, and must be seen
		trace := filepath.Join(t.TempDir(), "trace")
		child := exec.Command("strace", "-f", "--seccomp-bpf", "-y", "-s", "0", "-e", "trace=pwrite64,fdatasync,fsync", "-e", "signal=none",
			"-o", trace, os.Args[0], "-test.run=^TestFillTheLog$")
		child.Env = append(os.Environ(), "INTERLOCK_FILL="+test.path)
		said, err := child.CombinedOutput()
		require.NoError(t, err, "%s", said)
		anew, early := begunAnew(t, trace)
		require.Greater(t, anew, 5, test.path)
		require.Equal(t, test.synced, early == 0, "%s: %d of %d", test.path, early, anew)
	}
}

// TestFillTheLog is the process that is watched; by itself it fills a file of its own.
func TestFillTheLog(t *testing.T) {
	path := os.Getenv("INTERLOCK_FILL")
	if path == "" {
		path = filepath.Join(t.TempDir(), "x.db")
	}
	const clients, enough, most = 4, 8, 10_000
	ids := make([]string, clients)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	s, err := Open(path)
	require.NoError(t, err)
	defer s.Close()
	w := fill(t, s, ids...)
	w.CheckpointAfter(short)
	log := w.file() + "-wal"
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			// A disk that syncs slowly has the log begin anew more rarely.
			for v := int64(2); v < most && timesAnew(t, log) < enough; v++ {
				if err := w.Commit(t.Context(), stepOf(w.epoch, id, v)); err != nil {
					t.Error(id, v, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// timesAnew is how often the log has begun, as its header counts them
// (https://www.sqlite.org/fileformat2.html#walformat).
func timesAnew(t *testing.T, log string) int {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer f.Close()
	header := make([]byte, 32)
	if _, err := io.ReadFull(f, header); err != nil {
		t.Error(err)
		return 0
	}
	return int(binary.BigEndian.Uint32(header[12:]))
}

var (
	called  = regexp.MustCompile(`^(\d+) +(\w+)\(\d+<([^>]*)>(.*)`)
	resumed = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
	first   = regexp.MustCompile(`, 32, 0(\)| <unfinished)`) // the log's header
)

// begunAnew tells how often the log began anew, and how often before all that was
// written to the file was synced.
func begunAnew(t *testing.T, trace string) (anew, early int) {
	t.Helper()
	f, err := os.Open(trace)
	require.NoError(t, err)
	defer f.Close()
	writes, synced := 0, 0         // writes to the file that began, and how many of them are safe
	syncing := map[string]int{}    // thread → writes before its sync began
	running := map[string]string{} // thread → the file of its call
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		thread, call, file, rest := "", "", "", line
		if m := resumed.FindStringSubmatch(line); m != nil {
			thread, call, file = m[1], m[2], running[m[1]]
		} else if m := called.FindStringSubmatch(line); m != nil {
			thread, call, file, rest = m[1], m[2], m[3], m[4]
			running[thread] = file
			switch {
			case call == "pwrite64" && strings.HasSuffix(file, ".db"):
				writes++
			case call == "pwrite64" && strings.HasSuffix(file, ".db-wal") && first.MatchString(rest):
				anew++
				if synced < writes {
					early++
				}
			}
			if call != "pwrite64" {
				syncing[thread] = writes
			}
		}
		if call != "pwrite64" && strings.HasSuffix(file, ".db") && strings.HasSuffix(strings.TrimRight(rest, " "), "= 0") {
			synced = max(synced, syncing[thread])
		}
	}
	require.NoError(t, lines.Err())
	return anew, early
}
