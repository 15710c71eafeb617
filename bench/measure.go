package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// spread is a median with the least and the greatest of the rounds.
type spread struct{ median, low, high float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(values))
	mid := s[len(s)/2]
	if len(s)%2 == 0 {
		mid = (s[len(s)/2-1] + mid) / 2
	}
	return spread{mid, s[0], s[len(s)-1]}
}

// over is a/b round by round: what slows a whole round slows both.
func over(a, b []float64) spread {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return spreadOf(ratios)
}

// contestant is one of those that are measured side by side: it does n operations.
type contestant struct {
	name string
	run  func(n int) error
}

// result is what a contestant came to, a value a round: nanoseconds for an
// operation, or operations a second.
type result struct {
	name          string
	rounds        []float64
	latencies     []time.Duration // of all rounds together, sorted, of what was measured under load
	p50           []float64       // of each round, in nanoseconds
	bytes, allocs float64         // for an operation, where it was counted
}

// turns lets the contestants take turns, round by round, each time another
// first, so that what the computer does besides falls on all of them.
func turns(rounds, contestants int, each func(contestant int) error) error {
	for r := range rounds {
		for i := range contestants {
			if err := each((r + i) % contestants); err != nil {
				return err
			}
		}
	}
	return nil
}

// race times each contestant for about slice a round, in nanoseconds an operation.
func race(s scale, list []contestant) ([]result, error) {
	results, counts := make([]result, len(list)), make([]int, len(list))
	for i, c := range list {
		n, err := calibrate(c, s.slice)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		counts[i], results[i].name = n, c.name
		if results[i].bytes, results[i].allocs, err = allocations(c, min(n, 1000)); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	err := turns(s.rounds, len(list), func(i int) error {
		begun := time.Now()
		if err := list[i].run(counts[i]); err != nil {
			return fmt.Errorf("%s: %w", list[i].name, err)
		}
		results[i].rounds = append(results[i].rounds, float64(time.Since(begun))/float64(counts[i]))
		return nil
	})
	return results, err
}

// calibrate finds how many operations take about slice; what it runs warms up.
func calibrate(c contestant, slice time.Duration) (int, error) {
	for n := 1; ; n *= 2 {
		begun := time.Now()
		if err := c.run(n); err != nil {
			return 0, err
		}
		if took := time.Since(begun); took >= slice/4 || n >= 1<<30 {
			return max(1, int(float64(n)*float64(slice)/float64(max(took, 1)))), nil
		}
	}
}

func allocations(c contestant, n int) (bytes, count float64, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	err = c.run(n)
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n), err
}

func find(results []result, name string) result {
	for _, r := range results {
		if r.name == name {
			return r
		}
	}
	return result{name: name}
}

func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
