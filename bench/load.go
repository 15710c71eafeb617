package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// loader works for a while with so many clients, and tells how much was done.
// Its latencies are nil where nobody could take them.
type loader struct {
	name string
	run  func(ctx context.Context, clients int, d time.Duration) (work, error)
}

type work struct {
	rate      float64 // operations a second
	latencies []time.Duration
}

// closedLoop is clients that each wait for an answer before they ask again. op is one operation of a client.
func closedLoop(name string, op func(ctx context.Context, client int) error) loader {
	return loader{name, func(ctx context.Context, clients int, d time.Duration) (work, error) {
		taken, errs := make([][]time.Duration, clients), make([]error, clients)
		var wg sync.WaitGroup
		begun := time.Now()
		end := begun.Add(d)
		for c := range clients {
			wg.Go(func() {
				for now := time.Now(); now.Before(end) && ctx.Err() == nil; {
					if errs[c] = op(ctx, c); errs[c] != nil {
						return
					}
					done := time.Now()
					taken[c] = append(taken[c], done.Sub(now))
					now = done
				}
			})
		}
		wg.Wait()
		took := time.Since(begun)
		for _, err := range errs {
			if err != nil {
				return work{}, err
			}
		}
		all := slices.Concat(taken...)
		return work{float64(len(all)) / took.Seconds(), all}, ctx.Err()
	}}
}

// contend lets the loaders take turns with so many clients.
func contend(ctx context.Context, s scale, clients int, list []loader) ([]result, error) {
	results := make([]result, len(list))
	for i, l := range list { // connections are made, and caches filled, before it counts
		results[i].name = l.name
		if _, err := l.run(ctx, clients, s.load/10); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	err := turns(s.loadRounds, len(list), func(i int) error {
		w, err := list[i].run(ctx, clients, s.load)
		if err != nil {
			return fmt.Errorf("%s: %w", list[i].name, err)
		}
		results[i].rounds = append(results[i].rounds, w.rate)
		slices.Sort(w.latencies)
		results[i].latencies, results[i].p50 = append(results[i].latencies, w.latencies...), append(results[i].p50, float64(percentile(w.latencies, 0.5)))
		return nil
	})
	for i := range results {
		slices.Sort(results[i].latencies)
	}
	return results, err
}

// openLoop asks at a rate, at random moments that were drawn before, whether
// or not earlier requests were answered, and takes each latency from the moment
// at which the request was due: a stall counts for all that it delays.
func openLoop(ctx context.Context, workers int, rate float64, d time.Duration, op func(ctx context.Context, client int) error) ([]time.Duration, error) {
	r := rand.New(rand.NewPCG(1, 2))
	var due []time.Duration
	for at := 0.0; ; {
		if at += r.ExpFloat64() / rate; at >= d.Seconds() {
			break
		}
		due = append(due, time.Duration(at*float64(time.Second)))
	}
	taken, errs := make([]time.Duration, len(due)), make([]error, workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(due) || ctx.Err() != nil {
					return
				}
				time.Sleep(time.Until(begun.Add(due[i])))
				if errs[w] = op(ctx, w); errs[w] != nil {
					return
				}
				taken[i] = time.Since(begun) - due[i]
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(taken)
	return taken, ctx.Err()
}
