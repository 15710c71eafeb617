package model

import "hash/maphash"

// System is what can be explored: a first state, and the steps that lead from
// one state to others. States are values without pointers; two that are equal
// are one.
type System[S comparable] interface {
	First() S
	// Steps calls visit for every step out of s, always in the same order.
	// broken names the promise that the step breaks, "" for none. words tell the
	// step to a reader; they may be left out where say is false.
	Steps(s S, say bool, visit func(words string, next S, broken string))
}

// Report is what an exploration found.
type Report struct {
	States int      // distinct ones
	Steps  int      // between them
	Depth  int      // of the farthest state, in steps
	Whole  bool     // every reachable state was seen
	Broken string   // the promise that a step broke; "" for none
	Trace  []string // the steps to it: no shorter way there is
}

// Explore walks breadth first through all that can happen, until a step breaks
// a promise or limit states are known. The first break it finds is at the end of
// a shortest trace.
func Explore[S comparable](sys System[S], limit int) Report {
	e := explorer[S]{table: make([]uint32, 1<<10), seed: maphash.MakeSeed()}
	e.know(sys.First(), 0)
	r := Report{Whole: true}
	depthEnds := 1 // the states up to here have the depth r.Depth or less
	for at := 0; at < len(e.states) && r.Broken == ""; at++ {
		if at == depthEnds {
			r.Depth++
			depthEnds = len(e.states)
		}
		sys.Steps(e.states[at], false, func(_ string, next S, broken string) {
			r.Steps++
			switch {
			case r.Broken != "":
			case broken != "":
				r.Broken = broken
				r.Trace = append(e.trace(sys, at), words(sys, e.states[at], func(_ S, b string) bool { return b == broken }))
			case len(e.states) < limit:
				e.know(next, uint32(at))
			default:
				r.Whole = false
			}
		})
		if !r.Whole {
			break
		}
	}
	r.States = len(e.states)
	return r
}

// explorer keeps each state once. The table holds places in states, plus one, by
// the states' hashes: open addressing, at most half full.
type explorer[S comparable] struct {
	states []S
	from   []uint32 // the state that each was first reached from
	table  []uint32
	seed   maphash.Seed
}

func (e *explorer[S]) know(s S, from uint32) {
	slot := e.slot(s)
	if e.table[slot] != 0 {
		return
	}
	e.states, e.from = append(e.states, s), append(e.from, from)
	e.table[slot] = uint32(len(e.states))
	if 2*len(e.states) < len(e.table) {
		return
	}
	e.table = make([]uint32, 4*len(e.table))
	for i, known := range e.states {
		e.table[e.slot(known)] = uint32(i + 1)
	}
}

// slot is where s stands, or would.
func (e *explorer[S]) slot(s S) uint64 {
	mask := uint64(len(e.table) - 1)
	i := maphash.Comparable(e.seed, s) & mask
	for e.table[i] != 0 && e.states[e.table[i]-1] != s {
		i = (i + 1) & mask
	}
	return i
}

// trace is the way to the state at a place, in words.
func (e *explorer[S]) trace(sys System[S], at int) []string {
	if at == 0 {
		return nil
	}
	from := int(e.from[at])
	return append(e.trace(sys, from), words(sys, e.states[from], func(next S, broken string) bool {
		return broken == "" && next == e.states[at]
	}))
}

// words are those of the first step out of s that is meant.
func words[S comparable](sys System[S], s S, meant func(next S, broken string) bool) string {
	said := ""
	sys.Steps(s, true, func(words string, next S, broken string) {
		if said == "" && meant(next, broken) {
			said = words
		}
	})
	return said
}
