package interlock

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What can be read of a row's bytes is told by them alone: written again with
// what was read, they are the same. So no two rows have the same bytes.
func FuzzChain(f *testing.F) {
	row := func(note string) []byte {
		r := Record{Transition: Transition{Tenant: "t", Machine: "m", Instance: "i", Seq: 1, Event: "e", Actor: "a", Time: time.UnixMicro(7), Note: note, Prev: []byte{1}}}
		r.seal(link{epoch: "E", actorDigest: []byte{2}, nextDigest: []byte{3}, fingerprint: []byte{4}})
		return r.Bytes
	}
	f.Add(row(""))
	f.Add(row("note"))
	f.Add([]byte{0, 0, 0, 1})
	f.Add(bytes.Repeat([]byte{0, 0, 0, 0}, 22))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseChain(b)
		if err != nil {
			return
		}
		var again fields
		again.str(tagLog)
		for _, s := range []string{p.epoch, p.tenant, p.machine, p.revision, p.instance} {
			again.str(s)
		}
		again.num(p.seq)
		for _, s := range []string{p.from, p.to, p.event, p.override, p.actor, p.person, p.onBehalfOf, p.onBehalfPerson, p.id} {
			again.str(s)
		}
		again.num(p.micros)
		require.True(t, bytes.HasPrefix(b, again), "the fields that are compared with columns")
		for _, field := range [][]byte{p.next, p.text, p.prev} {
			var one fields
			one.bytes(field)
			require.True(t, bytes.Contains(b[len(again):], one))
		}
	})
}

// Two rows that differ anywhere have different bytes, also where one field's end
// is the next one's beginning.
func FuzzSealTellsRowsApart(f *testing.F) {
	f.Add("ab", "c", "x", "", "a", "bc", "x", "")
	f.Add("", "", "n", "1", "", "", "n", "2")
	f.Fuzz(func(t *testing.T, event1, from1, actor1, person1, event2, from2, actor2, person2 string) {
		seal := func(event, from, actor, person string) Record {
			r := Record{Transition: Transition{Event: event, From: from, Actor: actor, Person: person}, Salt: nil}
			r.seal(link{})
			return r
		}
		a, b := seal(event1, from1, actor1, person1), seal(event2, from2, actor2, person2)
		// But for the salted digest of the texts, and what stands after it.
		end := 4 + sha256.Size + 4
		same := bytes.Equal(a.Bytes[:len(a.Bytes)-end], b.Bytes[:len(b.Bytes)-end])
		require.Equal(t, event1 == event2 && from1 == from2 && actor1 == actor2 && person1 == person2, same)
		for _, r := range []Record{a, b} {
			p, err := parseChain(r.Bytes)
			require.NoError(t, err)
			require.Empty(t, r.differs(p))
			sum := sha256.Sum256(r.Bytes)
			require.Equal(t, r.Hash, sum[:])
		}
	})
}

func FuzzRanges(f *testing.F) {
	for _, s := range []string{"", "1", "1-4,7", "4-1", "1,1", "9223372036854775807", "1-", "-1", "01", "1, 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parts, err := parseRanges(s)
		if err != nil {
			return
		}
		last := int64(0)
		var seqs []int64
		for _, p := range parts {
			require.Less(t, last, p[0])
			require.LessOrEqual(t, p[0], p[1])
			if last = p[1]; p[1] > 1000 {
				return
			}
			for n := p[0]; n <= p[1]; n++ {
				seqs = append(seqs, n)
			}
		}
		again, err := parseRanges(ranges(seqs))
		require.NoError(t, err)
		var both []int64
		for _, p := range again {
			for n := p[0]; n <= p[1]; n++ {
				both = append(both, n)
			}
		}
		require.Equal(t, seqs, both)
	})
}

// FuzzPosition: a position of a page is refused or leads to one place.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{"", "r/7", "c/loan/17/3", "c/interlock:actor/ann/1", "c/a/b/c/1", "r/-1", "x/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parsePosition(s)
		if err != nil {
			var no *Refusal
			require.ErrorAs(t, err, &no)
			return
		}
		require.GreaterOrEqual(t, at.seq, int64(0))
		require.False(t, at.refused && at.ref != Ref{})
	})
}

func TestWhatMayBeErasedIsUnderTheSalt(t *testing.T) {
	r := Record{Transition: Transition{Note: "n", Input: map[string]any{"k": "v"}, Facts: map[string]any{"f": json.Number("1")}}}
	r.seal(link{})
	for _, text := range []string{"\x01n", `"k"`, `"f"`} {
		require.NotContains(t, string(r.Bytes), text)
	}
	require.Len(t, r.Salt, 16)
	other := r
	other.seal(link{})
	require.NotEqual(t, r.Bytes, other.Bytes, "the same texts, another salt: nobody guesses them from the digest")
}
