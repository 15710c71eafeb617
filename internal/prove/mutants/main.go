// Command mutants takes one protection away at a time and sees that the suite
// notices:
//
//	go run ./internal/prove/mutants [-list] [-run REGEXP]
//
// A mutant is a small change of the source (see [mutant]), laid over it for one
// run of the ordinary tests (go test -overlay): the code itself holds no switch.
// It is caught when a test fails by name. One that no test notices, one that no
// longer applies and one that doesn't compile fail the run; so does a suite that
// fails without any mutant, since its failures would prove nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	only := flag.String("run", "", "only the mutants whose name matches this `regexp`")
	list := flag.Bool("list", false, "print the mutants and what each takes away, and run nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, os.Stdout, *only, *list, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, w io.Writer, only string, list bool, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q; choose mutants with -run REGEXP", rest[0])
	}
	pattern, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	chosen := slices.DeleteFunc(all(), func(m mutant) bool { return !pattern.MatchString(m.name) })
	if len(chosen) == 0 {
		return fmt.Errorf("no mutant's name matches %q", only)
	}
	if list {
		return printList(w, chosen)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	return runAll(ctx, w, suite{root: root}, chosen)
}

func printList(w io.Writer, mutants []mutant) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "mutant\twhere\ttakes away")
	for _, m := range mutants {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", m.name, strings.Join(m.files(), ", "), m.takes)
	}
	return tw.Flush()
}

// runAll prints a line for each mutant as soon as it is known, and how many
// were caught. Its error names those that weren't.
func runAll(ctx context.Context, w io.Writer, s suite, mutants []mutant) error {
	began := time.Now()
	fmt.Fprintf(w, "the suite without a mutant: ")
	if err := s.sound(ctx, mutants); err != nil {
		fmt.Fprintln(w, "FAILS")
		return fmt.Errorf("without a mutant: %w", err)
	}
	fmt.Fprintf(w, "passes, %.0f s\n\n%-40s | %-90s | %s\n", time.Since(began).Seconds(), "mutant", "caught by", "seconds")
	var wrong []error
	for _, m := range mutants {
		begin := time.Now()
		by, err := s.try(ctx, m)
		said := by
		if err != nil {
			said = "NOT CAUGHT: " + err.Error()
			wrong = append(wrong, fmt.Errorf("%s: %w", m.name, err))
		}
		fmt.Fprintf(w, "%-40s | %-90s | %7.1f\n", m.name, said, time.Since(begin).Seconds())
	}
	fmt.Fprintf(w, "\n%d of %d caught, %.0f s\n", len(mutants)-len(wrong), len(mutants), time.Since(began).Seconds())
	return errors.Join(wrong...)
}
