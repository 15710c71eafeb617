package model

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// jugs holds three and five litres; whoever measures four breaks the promise.
type jugs struct{}

type litres struct{ three, five int }

func (jugs) First() litres { return litres{} }

func (jugs) Steps(s litres, _ bool, visit func(string, litres, string)) {
	pour := min(s.three, 5-s.five)
	back := min(s.five, 3-s.three)
	for _, step := range []struct {
		words string
		next  litres
	}{
		{"fill three", litres{3, s.five}}, {"fill five", litres{s.three, 5}},
		{"empty three", litres{0, s.five}}, {"empty five", litres{s.three, 0}},
		{"three into five", litres{s.three - pour, s.five + pour}}, {"five into three", litres{s.three + back, s.five - back}},
	} {
		broken := ""
		if step.next.five == 4 {
			broken = "four litres"
		}
		visit(step.words, step.next, broken)
	}
}

// The checker on a riddle whose shortest answer everybody knows.
func TestExploreFindsTheShortestWay(t *testing.T) {
	r := Explore(jugs{}, 100)
	require.Equal(t, "four litres", r.Broken)
	require.Equal(t, []string{"fill five", "five into three", "empty three", "five into three", "fill five", "five into three"}, r.Trace)
}

// counters are n of them that each go round in m; nothing breaks.
type counters struct{ m uint8 }

func (c counters) First() [4]uint8 { return [4]uint8{} }

func (c counters) Steps(s [4]uint8, _ bool, visit func(string, [4]uint8, string)) {
	for i := range s {
		next := s
		next[i] = (next[i] + 1) % c.m
		visit(fmt.Sprint(i), next, "")
	}
}

func TestExploreSeesEveryStateOnce(t *testing.T) {
	r := Explore(counters{10}, 1<<20)
	require.Equal(t, Report{States: 10_000, Steps: 40_000, Depth: 36, Whole: true}, r)
	cut := Explore(counters{10}, 500)
	require.False(t, cut.Whole, "a limit that was reached is told")
	require.Equal(t, 500, cut.States)
}
