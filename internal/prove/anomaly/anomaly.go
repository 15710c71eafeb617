// Package anomaly finds what transactions must not have done to each other. From
// the versions that each of them read and wrote it builds the graph of who comes
// before whom, as Adya's thesis ("Weak Consistency", MIT 1999) and Elle (Kingsbury
// and Alvaro, VLDB 2020) do; where every version is known, the graph is certain,
// and a cycle in it is an anomaly.
package anomaly

import (
	"fmt"
	"slices"
	"strings"
)

// Txn is one committed transaction, or one reading. Versions of a key count from
// 1; version 0 is that there was nothing. Writing version n is having seen n-1.
type Txn struct {
	Name          string
	Reads, Writes map[string]int64

	// When its client asked and was answered, on one clock; without an answer
	// Ended is 0. What was answered before another was asked comes before it.
	Begun, Ended int64
}

// Kind is why one transaction comes before another.
type Kind uint8

// The kinds of dependency.
const (
	WW Kind = iota // it wrote the version before the other's
	WR             // the other read what it wrote
	RW             // it read the version that the other replaced
	RT             // it was answered before the other was asked
)

func (k Kind) String() string { return [...]string{"ww", "wr", "rw", "rt"}[k] }

// Finding is an anomaly by its name, with the transactions that make it.
type Finding struct {
	Name  string // G0, G1a, G1c, G-single, G2-item, lost update; "-realtime" where the clients' clock is part of it
	Steps []string
}

func (f Finding) String() string { return f.Name + ": " + strings.Join(f.Steps, " ") }

// Find looks at a whole run. Of several cycles through the same transactions it
// tells a shortest one.
func Find(txns []Txn) []Finding {
	b := &builder{txns: txns, g: newGraph(len(txns)), keys: map[string]*register{}}
	b.versions()
	b.depend()
	b.realtime()
	for _, cycle := range b.g.cycles() {
		b.found = append(b.found, b.name(cycle))
	}
	return b.found
}

// register is one key: who wrote each version, and who read it.
type register struct {
	writer  map[int64]int
	readers map[int64][]int
	last    int64
}

type builder struct {
	txns  []Txn
	g     *graph
	keys  map[string]*register
	found []Finding
}

func (b *builder) key(name string) *register {
	r := b.keys[name]
	if r == nil {
		r = &register{writer: map[int64]int{}, readers: map[int64][]int{}}
		b.keys[name] = r
	}
	return r
}

func (b *builder) versions() {
	for n, t := range b.txns {
		for k, v := range t.Writes {
			r := b.key(k)
			if other, taken := r.writer[v]; taken {
				b.found = append(b.found, Finding{"lost update", []string{b.txns[other].Name, t.Name, "both wrote", fmt.Sprintf("%s:%d", k, v)}})
			}
			r.writer[v], r.last = n, max(r.last, v)
		}
		for k, v := range t.Reads {
			r := b.key(k)
			r.readers[v] = append(r.readers[v], n)
		}
	}
	for k, r := range b.keys {
		for v := range r.readers {
			if _, written := r.writer[v]; !written && v > 0 {
				b.found = append(b.found, Finding{"G1a", []string{b.txns[r.readers[v][0]].Name, "read", fmt.Sprintf("%s:%d", k, v), "which nobody committed"}})
			}
		}
	}
}

func (b *builder) depend() {
	for _, r := range b.keys {
		for v := int64(0); v <= r.last; v++ {
			writer, written := r.writer[v]
			next, replaced := r.writer[v+1]
			if written && replaced {
				b.g.edge(writer, next, WW)
			}
			for _, reader := range r.readers[v] {
				if written {
					b.g.edge(writer, reader, WR)
				}
				if replaced {
					b.g.edge(reader, next, RW)
				}
			}
		}
	}
}

// realtime adds the order of the clients' clock: a chain with a place for each
// answer, which who was answered leads to, and which leads to who asked later.
func (b *builder) realtime() {
	type answer struct {
		at int64
		n  int
	}
	var answers []answer
	for n, t := range b.txns {
		if t.Ended > 0 {
			answers = append(answers, answer{t.Ended, n})
		}
	}
	slices.SortFunc(answers, func(x, y answer) int { return int(x.at - y.at) })
	first := b.g.grow(len(answers))
	for i, a := range answers {
		b.g.edge(a.n, first+i, RT)
		if i > 0 {
			b.g.edge(first+i-1, first+i, RT)
		}
	}
	for n, t := range b.txns {
		if t.Begun == 0 {
			continue
		}
		before, _ := slices.BinarySearchFunc(answers, t.Begun, func(a answer, at int64) int {
			if a.at < at {
				return -1
			}
			return 1
		})
		if before > 0 {
			b.g.edge(first+before-1, n, RT)
		}
	}
}

// name classifies a cycle by its dependencies.
func (b *builder) name(cycle []edge) Finding {
	count := [4]int{}
	var steps []string
	for _, e := range cycle {
		count[e.kind]++
		if e.from < len(b.txns) {
			steps = append(steps, b.txns[e.from].Name)
		}
		if e.kind != RT || e.to < len(b.txns) {
			steps = append(steps, "-"+e.kind.String()+"->")
		}
	}
	name := "G2-item"
	switch {
	case count[RW] == 1:
		name = "G-single"
	case count[RW] == 0 && count[WR] > 0:
		name = "G1c"
	case count[RW] == 0:
		name = "G0"
	}
	if count[RT] > 0 {
		name += "-realtime"
	}
	return Finding{name, steps}
}
