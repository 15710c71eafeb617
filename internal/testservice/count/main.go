// Command count runs `go test -json …`, shows each package's result as it
// comes, and ends with what was run against which store:
//
//	go run ./internal/testservice/count -stores sqlite,postgres,redis -- go test -json -race ./...
//
// It fails when a test failed or was skipped, when the command failed, and when
// no test ran against one of the stores.
//
// What counts as a test is one without subtests. It ran against PostgreSQL or
// Redis when it, or a test around it, was handed one by package testservice;
// against SQLite when its package is store/sqlite or a part of its name says
// sqlite. Within a subtest that is named for a store only that store counts.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	stores := flag.String("stores", "", "comma-separated stores against which at least one test must run")
	flag.Parse()
	var want []string
	if *stores != "" {
		want = strings.Split(*stores, ",")
	}
	if err := run(flag.Args(), want, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		os.Exit(1)
	}
}

func run(args, stores []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("give the command to run: count [-stores a,b] -- go test -json PACKAGE…")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	t := newTally(stdout)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			t.line(line)
		}
		if err != nil {
			break
		}
	}
	ended := cmd.Wait()
	verdict := t.report(stores)
	if verdict == nil && ended != nil {
		return fmt.Errorf("%s: %w", strings.Join(args, " "), ended)
	}
	return verdict
}
