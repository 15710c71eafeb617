// Package tamper_test proves what the verifier of history finds: a real chain,
// tampered with at every position in every way that a writer of the database has.
package tamper_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/store/sqlite"
)

// edit changes one column of a row, and all else that the forger can reach
// without touching another row.
type edit struct {
	name  string
	do    func(*interlock.Record)
	apart int  // how far from each other edits of one go stand: 0, 12, where each is one fault
	moves bool // the row goes elsewhere
}

var edits = []edit{
	{name: "id", do: func(r *interlock.Record) { r.ID += "x" }},
	{name: "event", do: func(r *interlock.Record) { r.Event += "x" }},
	{name: "from", do: func(r *interlock.Record) { r.From += "x" }},
	{name: "to", do: func(r *interlock.Record) { r.To += "x" }},
	{name: "override", do: func(r *interlock.Record) { r.Override = !r.Override }},
	{name: "actor", do: func(r *interlock.Record) { r.Actor = "mallory" }},
	{name: "person", do: func(r *interlock.Record) { r.Person = "Mallory" }},
	{name: "on_behalf_of", do: func(r *interlock.Record) { r.OnBehalfOf += "x" }},
	{name: "on_behalf_of_person", do: func(r *interlock.Record) { r.OnBehalfOfPerson += "x" }},
	{name: "time", do: func(r *interlock.Record) { r.Time = r.Time.Add(time.Microsecond) }},
	{name: "revision", do: func(r *interlock.Record) { r.Revision += "x" }},
	{name: "note", do: func(r *interlock.Record) { r.Note += "x" }},
	{name: "input", do: func(r *interlock.Record) { r.Input = map[string]any{"why": "another"} }},
	{name: "facts", do: func(r *interlock.Record) { r.Facts = map[string]any{"n": "another"} }},
	{name: "salt", do: func(r *interlock.Record) { r.Salt = flipped(r.Salt, 0) }},
	{name: "texts", do: func(r *interlock.Record) { r.Note, r.Input, r.Facts, r.Salt, r.Erased = "", nil, nil, nil, true }},
	{name: "hash", apart: 50, do: func(r *interlock.Record) { r.Hash = flipped(r.Hash, 0) }},
	{name: "prev", apart: 50, do: func(r *interlock.Record) { r.Prev = flipped(r.Prev, 0) }},
	{name: "first byte", apart: 50, do: func(r *interlock.Record) { r.Bytes = flipped(r.Bytes, 0) }},
	{name: "last byte", apart: 50, do: func(r *interlock.Record) { r.Bytes = flipped(r.Bytes, len(r.Bytes)-1) }},
	{name: "some byte", apart: 50, do: func(r *interlock.Record) { r.Bytes = flipped(r.Bytes, int(r.Seq*37)%len(r.Bytes)) }},
	{name: "a byte less", apart: 50, do: func(r *interlock.Record) { r.Bytes = r.Bytes[:len(r.Bytes)-1] }},
	{name: "a field more", apart: 50, do: func(r *interlock.Record) { r.Bytes = append(slices.Clone(r.Bytes), 0, 0, 0, 0) }},
	{name: "actor, bytes and hash", apart: 50, do: func(r *interlock.Record) {
		r.Actor = "mallory"
		forge(r, func(f [][]byte) { f[fieldActor] = []byte("mallory") })
	}},
	{name: "seq", apart: 100, moves: true, do: func(r *interlock.Record) { r.Seq += 100_000 }},
	{name: "instance", apart: 100, moves: true, do: func(r *interlock.Record) { r.Instance = "elsewhere" }},
	{name: "machine", apart: 100, moves: true, do: func(r *interlock.Record) { r.Machine = "elsewhere" }},
	{name: "tenant", apart: 100, moves: true, do: func(r *interlock.Record) { r.Tenant = "elsewhere" }},
}

func flipped(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

// places are the rows with faults, by seq; those of a row that was moved by its
// seq count for where it was.
func places(bad []interlock.Fault) map[int64]bool {
	at := map[int64]bool{}
	for _, f := range bad {
		at[f.Seq%100_000] = true
	}
	return at
}

// tally counts what was tried and what was not found; safe for several workers.
type tally struct {
	mu     sync.Mutex
	tried  map[string]int
	missed map[string][]string
}

func newTally() *tally { return &tally{tried: map[string]int{}, missed: map[string][]string{}} }

func (c *tally) count(claim string, found bool, where string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried[claim]++
	if !found {
		c.missed[claim] = append(c.missed[claim], fmt.Sprintf(where, args...))
	}
}

var claims = []string{"edit", "delete", "insert", "reorder", "truncate", "rebuild"}

func TestTamper(t *testing.T) {
	began := time.Now()
	c := newTally()
	file, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	h := build(t, file, prove.Size(60, 1000))
	inMemory(t, h, c)
	memory := time.Since(began).Round(time.Second)
	real := map[string]int{}
	for claim, n := range c.tried {
		real[claim] = -n
	}
	inDatabase(t, h, c)
	inDatabase(t, build(t, postgresStore(t), prove.Size(30, 200)), c)
	for _, claim := range claims {
		for _, m := range c.missed[claim][:min(5, len(c.missed[claim]))] {
			t.Errorf("%s: not found: %s", claim, m)
		}
		prove.Record(t, prove.Row{Claim: "tamper/" + claim, Tried: c.tried[claim], Least: 1000, Violations: len(c.missed[claim]),
			Note: fmt.Sprintf("chain of %d rows; %d of them by SQL in SQLite's file and PostgreSQL; %s in memory, %s in all",
				h.n, real[claim]+c.tried[claim], memory, time.Since(began).Round(time.Second))})
	}
}

// inMemory tampers with copies of the real rows: every position, every way.
func inMemory(t *testing.T, h *history, c *tally) {
	t.Helper()
	var jobs []func()
	for _, e := range edits {
		for at := range h.spread(max(12, e.apart)) {
			jobs = append(jobs, func() { h.edits(t, c, e, at) })
		}
	}
	for at := range h.spread(50) {
		jobs = append(jobs, func() { h.deletes(t, c, at) }, func() { h.swaps(t, c, at) })
	}
	for p := range h.n {
		jobs = append(jobs, func() { h.insert(t, c, p) }, func() { h.truncate(t, c, p) }, func() { h.rebuild(t, c, p) })
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(jobs)); i = next.Add(1) - 1 {
				jobs[i]()
			}
		})
	}
	wg.Wait()
}

// spread parts all positions into lists of those that stand so far apart that
// they don't help each other to be found, and make fewer faults together than
// the verifier keeps.
func (h *history) spread(apart int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		for offset := range min(apart, h.n) {
			var at []int
			for p := offset; p < h.n; p += apart {
				at = append(at, p)
			}
			if !yield(at) {
				return
			}
		}
	}
}

// verify gives the faults, without those of the triggers that were dropped.
func verify(t *testing.T, store interlock.Store, witnesses ...interlock.Witness) []interlock.Fault {
	t.Helper()
	report, err := interlock.Verify(t.Context(), store, nil, witnesses...)
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	return slices.DeleteFunc(report.Bad, func(f interlock.Fault) bool { return strings.HasPrefix(f.Problem, "the trigger ") })
}

func (h *history) edits(t *testing.T, c *tally, e edit, at []int) {
	t.Helper()
	m := h.untouched()
	for _, p := range at {
		e.do(&h.chain(m)[p])
	}
	if e.moves {
		m.sorted()
	}
	found := places(verify(t, m))
	for _, p := range at {
		c.count("edit", found[int64(p+1)] || found[int64(p+2)], "column %s of row %d", e.name, p+1)
	}
}

func (h *history) deletes(t *testing.T, c *tally, at []int) {
	t.Helper()
	m := h.untouched()
	for i, p := range at {
		m.rows = slices.Delete(m.rows, h.first+p-i, h.first+p-i+1)
	}
	found := places(verify(t, m))
	for _, p := range at {
		// The row after it, or before where the last is gone.
		c.count("delete", found[int64(p+2)] || p == h.n-1 && found[int64(p)], "row %d", p+1)
	}
}

func (h *history) swaps(t *testing.T, c *tally, at []int) {
	t.Helper()
	m := h.untouched()
	chain := h.chain(m)
	pair := func(p int) (int, int) { return p, (p + 1) % h.n } // the last with the first
	for _, p := range at {
		a, b := pair(p)
		chain[a], chain[b] = chain[b], chain[a]
		chain[a].Seq, chain[b].Seq = chain[b].Seq, chain[a].Seq
	}
	found := places(verify(t, m))
	for _, p := range at {
		a, b := pair(p)
		c.count("reorder", found[int64(a+1)] || found[int64(b+1)], "rows %d and %d", a+1, b+1)
	}
}

// inserted is a forged row after position p that follows it in every way.
func (h *history) inserted(p int) interlock.Record {
	r := h.rows[h.first+p]
	r.Seq, r.ID, r.Actor, r.Prev = int64(p+2), "forged", "mallory", r.Hash
	forge(&r, func(f [][]byte) {
		f[fieldSeq] = binary.BigEndian.AppendUint64(nil, uint64(r.Seq))
		f[fieldID], f[fieldActor], f[fieldPrev] = []byte("forged"), []byte("mallory"), r.Prev
	})
	return r
}

func (h *history) insert(t *testing.T, c *tally, p int) {
	t.Helper()
	m := h.untouched()
	chain := h.chain(m)
	for i := p + 1; i < h.n; i++ {
		chain[i].Seq++ // to make room
	}
	m.rows = slices.Insert(m.rows, h.first+p+1, h.inserted(p))
	m.head(func(head *interlock.Head) { // whose row is the newest still
		head.Version++
		i := *head.Instance
		i.Version++
		head.Instance = &i
	})
	found := places(verify(t, m))
	// Itself it fits; the next row doesn't follow it, or the instance isn't what it left.
	c.count("insert", found[int64(p+3)] || p == h.n-1 && found[int64(p+2)], "after row %d", p+1)
}

// truncate cuts the chain off after position p and makes the instance what it was.
func (h *history) truncate(t *testing.T, c *tally, p int) {
	t.Helper()
	if p == h.n-1 {
		return // nothing to cut; the removal of the whole chain stands for it
	}
	m := h.untouched()
	chain := h.chain(m)
	m.head(func(head *interlock.Head) {
		head.Version, head.Hash, head.Digest, head.Instance = int64(p+1), chain[p].Hash, split(chain[p].Bytes)[fieldNext], &h.instances[p]
	})
	m.rows = slices.Delete(m.rows, h.first+p+1, h.first+h.n)
	h.onlyWitnessed(t, c, "truncate", m, p)
	if p == 0 {
		m.heads = slices.DeleteFunc(m.heads, func(head interlock.Head) bool { return head.Machine == victim.Machine && head.ID == victim.ID })
		m.rows = slices.Delete(m.rows, h.first, h.first+1)
		h.onlyWitnessed(t, c, "truncate", m, p)
	}
}

// rebuild ascribes row p to another and makes every later row follow.
func (h *history) rebuild(t *testing.T, c *tally, p int) {
	t.Helper()
	m := h.untouched()
	rebuilt(h.chain(m), p)
	m.head(func(head *interlock.Head) { head.Hash = h.chain(m)[h.n-1].Hash })
	h.onlyWitnessed(t, c, "rebuild", m, p)
}

func rebuilt(chain []interlock.Record, p int) {
	chain[p].Actor = "mallory"
	forge(&chain[p], func(f [][]byte) { f[fieldActor] = []byte("mallory") })
	for i := p + 1; i < len(chain); i++ {
		follow(&chain[i], chain[i-1].Hash)
	}
}

// onlyWitnessed counts what a witness finds and, at some positions, sees that
// the chain itself is flawless: the forger made no mistake that gives him away.
func (h *history) onlyWitnessed(t *testing.T, c *tally, claim string, m *memory, p int) {
	t.Helper()
	if p%20 == 0 {
		if bad := verify(t, m); len(bad) > 0 {
			t.Errorf("%s at row %d: found without a witness: %s", claim, p+1, bad[0])
		}
	}
	bad := verify(t, m, h.witness())
	c.count(claim, slices.ContainsFunc(bad, func(f interlock.Fault) bool {
		return f.Instance == victim.ID && strings.HasPrefix(f.Problem, "checkpoint 1 knows ")
	}), "at row %d", p+1)
}

// The forger's own hash is the chain's: otherwise he would be found by mistake.
func TestTheForgerKnowsTheEncoding(t *testing.T) {
	store, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	h := build(t, store, 20)
	for _, r := range h.rows {
		require.Equal(t, r.Bytes, join(split(r.Bytes)))
		sum := sha256.Sum256(r.Bytes)
		require.Equal(t, r.Hash, sum[:])
		require.Equal(t, r.Prev, split(r.Bytes)[fieldPrev])
	}
}
