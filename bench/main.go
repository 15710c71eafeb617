// Command bench measures Interlock beside what else one could use, on this
// computer: decisions, the graph, HTTP, commits, growth, and what it takes itself.
// See README.md.
//
//	go run . [-quick] [-part decision,graph] [-out out] [-rows 10000000]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// scale is how long and how much is measured.
type scale struct {
	quick  bool
	rounds int
	slice  time.Duration // of one contestant's turn

	load       time.Duration // of a turn under load
	loadRounds int
	web        int   // clients over HTTP
	crowds     []int // clients of the store layer

	states  int           // of the large machine, and rules
	loading time.Duration // that a database may take to be filled with rows
}

var (
	full = scale{rounds: 11, slice: 60 * time.Millisecond, load: time.Second, loadRounds: 5, web: 64, crowds: []int{1, 16, 64, 256},
		states: 1000, loading: 4 * time.Minute}
	smoke = scale{quick: true, rounds: 3, slice: 2 * time.Millisecond, load: 60 * time.Millisecond, loadRounds: 1, web: 8, crowds: []int{1, 8},
		states: 50, loading: 10 * time.Second}
)

// shorter has fewer rounds, for what is one of many.
func (s scale) shorter(by int) scale {
	s.rounds = max(3, s.rounds/by)
	return s
}

// most is the greatest of the crowds.
func (s scale) most() int { return s.crowds[len(s.crowds)-1] }

// bench is one run.
type bench struct {
	*report
	scale     scale
	instances int    // that growth loads
	dir       string // of what is written
}

type part struct {
	name string
	run  func(context.Context, *bench) error
}

// parts are what a whole run consists of.
var parts = []part{{"decision", decision}, {"graph", graph}, {"http", web}, {"commit", commit}, {"growth", growth}, {"footprint", footprint}}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", os.Getenv("BENCH_QUICK") != "", "a smoke run of seconds: its numbers mean nothing (BENCH_QUICK)")
	names := flags.String("part", os.Getenv("BENCH"), "parts to run, by commas; all when empty (BENCH)")
	instances := flags.Int("rows", 10_000_000, "instances that growth loads, with a tenth as many actors; 20,000 in a smoke run (BENCH_ROWS)")
	dir := flags.String("out", "out", "folder of results.json and results.svg")
	if rows := os.Getenv("BENCH_ROWS"); rows != "" {
		if err := flags.Set("rows", rows); err != nil {
			return fmt.Errorf("BENCH_ROWS: %w", err)
		}
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*names)
	if err != nil {
		return err
	}
	b := &bench{report: &report{out: out}, scale: full, instances: *instances, dir: *dir}
	if *quick {
		b.scale, b.instances = smoke, 20_000
	}
	if *quick {
		fmt.Fprintln(out, "A SMOKE RUN: its numbers, and whether it says that a target is met, mean nothing.")
	}
	fmt.Fprintf(out, "%s. Medians of %d interleaved rounds, least and greatest beside them.\n", computer(), b.scale.rounds)
	for _, p := range chosen {
		begun := time.Now()
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(out, "(%s took %s)\n", p.name, time.Since(begun).Round(time.Second))
	}
	if len(b.rows)+len(b.measures) == 0 {
		return nil
	}
	b.table()
	return b.write(*dir, *quick)
}

// choose finds the parts by name.
func choose(names string) ([]part, error) {
	if names == "" || names == "." {
		return parts, nil
	}
	var chosen []part
	for name := range strings.SplitSeq(names, ",") {
		all := append(slices.Clone(parts), part{"profile", profile})
		i := slices.IndexFunc(all, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
