package tamper_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/store/sqlite"
)

// archived is a history whose rows, but for the newest, are in a file.
type archived struct {
	*history
	folder, path string
	lines        [][]byte // of the file
	first        int      // of the victim's
	rows         int      // of the victim's in the file
}

var operator = interlock.SystemActor("", "operator~olga")

// archiveOf archives the history. Texts of another chain are erased in the file
// after that, so that its digest is no more what history says of it: rows have to prove themselves.
func archiveOf(t *testing.T, h *history) *archived {
	t.Helper()
	w := &writer{T: t, store: h.store, prefix: "interlock_"}
	w.sql(`DROP TRIGGER il.history_no_update`)
	w.sql(`UPDATE il.history SET stamp_us = time_us`)
	a := &archived{history: h, folder: t.TempDir()}
	done, err := interlock.Archive(t.Context(), h.store, operator, interlock.ArchiveRequest{Machine: "doc", Before: time.Now().Add(-100 * 24 * time.Hour)},
		func(rows []interlock.Record) (interlock.ArchiveFile, error) { return archive.Write(a.folder, rows) })
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Files)
	folder, err := archive.Read(a.folder)
	require.NoError(t, err)
	both, err := folder.Erasing(h.store)
	require.NoError(t, err)
	_, err = interlock.Erase(t.Context(), both, operator, interlock.EraseRequest{Machine: "doc", ID: "c", Seqs: []int64{1}, Reason: "so that the file is another"})
	require.NoError(t, err)
	rows, err := both.Finish(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, rows)
	files, err := filepath.Glob(filepath.Join(a.folder, "*"))
	require.NoError(t, err)
	a.path = files[0]
	text, err := os.ReadFile(a.path)
	require.NoError(t, err)
	a.lines = bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	a.lines[len(a.lines)-1] = append(a.lines[len(a.lines)-1], '\n')
	for i, line := range a.lines {
		if bytes.Contains(line, []byte(`"instance":"d"`)) {
			if a.rows++; a.rows == 1 {
				a.first = i
			}
		}
	}
	require.Equal(t, h.n-1, a.rows)
	require.Empty(t, a.with(t, a.lines), "as it was written")
	return a
}

// with are the faults where the file has these lines.
func (a *archived) with(t *testing.T, lines [][]byte) []interlock.Fault {
	t.Helper()
	require.NoError(t, os.WriteFile(a.path, bytes.Join(lines, nil), 0o600))
	folder, err := archive.Read(a.folder)
	require.NoError(t, err)
	return verify(t, folder.Over(a.store))
}

// edited is a line with another value of a member; "" where it has none.
func edited(t *testing.T, line []byte, member string) []byte {
	t.Helper()
	var row map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(line, &row))
	value, ok := row[member]
	switch {
	case !ok:
		return nil
	case value[0] == '"' && slices.Contains([]string{"bytes", "hash", "prev", "salt"}, member):
		var raw []byte
		require.NoError(t, json.Unmarshal(value, &raw))
		value, _ = json.Marshal(flipped(raw, len(raw)/2))
	case member == "time":
		value = json.RawMessage(`"2001-01-31T12:00:00Z"`)
	case value[0] == '"':
		value = append(bytes.Clone(value[:len(value)-1]), []byte(`x"`)...)
	case value[0] == '{':
		value = json.RawMessage(`{"n":"another"}`)
	case string(value) == "false":
		value = json.RawMessage("true")
	default:
		value = append(bytes.Clone(value), '7')
	}
	row[member] = value
	out, err := json.Marshal(row)
	require.NoError(t, err)
	return append(out, '\n')
}

// TestTamperArchive tampers with archived rows: every member of every row is
// edited, every row deleted and swapped with the next.
func TestTamperArchive(t *testing.T) {
	began := time.Now()
	c := newTally()
	file, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	a := archiveOf(t, build(t, file, prove.Size(14, 120)))
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(a.lines[a.first+1], &members))
	require.Greater(t, len(members), 18)
	for _, member := range slices.Sorted(maps.Keys(members)) {
		if member == "stamp" {
			continue // the database's clock isn't part of the chain; the file's digest covers it
		}
		a.edit(t, c, member)
	}
	lines := func(p int) [][]byte { return slices.Clone(a.lines)[:a.first+p] }
	for p := range a.rows {
		found := places(a.with(t, append(lines(p), a.lines[a.first+p+1:]...)))
		c.count("archive", found[int64(p+2)], "row %d deleted", p+1)
		if p+1 < a.rows {
			swapped := append(append(lines(p), a.lines[a.first+p+1], a.lines[a.first+p]), a.lines[a.first+p+2:]...)
			bad := a.with(t, swapped)
			c.count("archive", slices.ContainsFunc(bad, func(f interlock.Fault) bool {
				return strings.Contains(f.Problem, fmt.Sprintf("line %d: ", a.first+p+2))
			}), "rows %d and %d swapped", p+1, p+2)
		}
	}
	require.Empty(t, a.with(t, a.lines), "everything is back")
	for _, m := range c.missed["archive"][:min(5, len(c.missed["archive"]))] {
		t.Errorf("not found: %s", m)
	}
	prove.Record(t, prove.Row{Claim: "tamper/archive", Tried: c.tried["archive"], Least: 1000, Violations: len(c.missed["archive"]),
		Note: fmt.Sprintf("chain of %d rows, a file that an erasure had written anew; %s", a.n, time.Since(began).Round(time.Second))})
}

func (a *archived) edit(t *testing.T, c *tally, member string) {
	t.Helper()
	apart := 5
	if slices.Contains([]string{"tenant", "machine", "instance", "seq"}, member) {
		apart = a.rows // the row goes elsewhere, and what comes after it isn't looked at
	}
	for at := range a.spread(apart) {
		changed := slices.Clone(a.lines)
		var tried []int
		for _, p := range at {
			if p >= a.rows {
				continue
			}
			if line := edited(t, a.lines[a.first+p], member); line != nil {
				changed[a.first+p] = line
				tried = append(tried, p)
			}
		}
		if len(tried) == 0 {
			continue
		}
		bad := a.with(t, changed)
		found := places(bad)
		for _, p := range tried {
			moved := apart > 5 && len(bad) > 0
			c.count("archive", moved || found[int64(p+1)] || found[int64(p+2)], "%s of row %d edited", member, p+1)
		}
	}
}
