package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

var (
	errSurvived = errors.New("every test passes")
	errBroken   = errors.New("it doesn't compile")
)

// suite runs the tests of the module in root.
type suite struct{ root string }

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// sound runs all that the mutants rely on as it is: nothing may fail.
func (s suite) sound(ctx context.Context, mutants []mutant) error {
	patterns := map[string][]string{}
	for _, m := range mutants {
		if _, err := m.apply(s.root); err != nil {
			return fmt.Errorf("%s doesn't apply: %w", m.name, err)
		}
		for _, p := range m.packages {
			if !slices.Contains(patterns[p], m.run) {
				patterns[p] = append(patterns[p], m.run)
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(patterns)) {
		if failed, err := s.test(ctx, "", []string{p}, strings.Join(patterns[p], "|")); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		} else if failed != "" {
			return fmt.Errorf("%s fails", failed)
		}
	}
	return nil
}

// try returns the first test that fails under the mutant.
func (s suite) try(ctx context.Context, m mutant) (string, error) {
	texts, err := m.apply(s.root)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := writeOverlay(dir, s.root, texts)
	if err != nil {
		return "", err
	}
	failed, err := s.test(ctx, overlay, m.packages, m.run)
	if err == nil && failed == "" {
		err = errSurvived
	}
	return failed, err
}

func writeOverlay(dir, root string, texts map[string]string) (string, error) {
	replace := map[string]string{}
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		changed := filepath.Join(dir, fmt.Sprintf("%d_%s", i, filepath.Base(name)))
		if err := os.WriteFile(changed, []byte(texts[name]), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(name))] = changed
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// test runs go test and returns the first test that failed, "" when none did.
// What failed without a test's name is an error: it proves nothing.
func (s suite) test(ctx context.Context, overlay string, packages []string, run string) (string, error) {
	args := []string{"test", "-json", "-count=1", "-failfast", "-vet=off", "-timeout=4m", "-run", run}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Dir = s.root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	seen := read(out)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case seen.broken != "":
		return "", fmt.Errorf("%w: %s", errBroken, strings.TrimSpace(seen.broken))
	case err != nil && seen.failed == "":
		return "", fmt.Errorf("go test failed, and no test by name: %w: %s", err, strings.TrimSpace(stderr.String()+seen.output))
	case err == nil && seen.passed == 0:
		return "", fmt.Errorf("no test of %s is called %s", strings.Join(packages, ", "), run)
	}
	return seen.failed, nil
}

// seen is what a run's events say.
type seen struct {
	passed int
	failed string // the first test: the innermost of those that fail with it
	broken string // what the compiler said
	output string // the last that was printed outside of tests
}

func read(events []byte) seen {
	var all seen
	lines := bufio.NewScanner(bytes.NewReader(events))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		switch {
		case e.Action == "build-output":
			all.broken += e.Output
		case e.Action == "output" && e.Test == "":
			all.output = e.Output
		case e.Test == "":
		case e.Action == "pass":
			all.passed++
		case e.Action == "fail" && all.failed == "":
			_, module, _ := strings.Cut(e.Package, "interlock/")
			all.failed = strings.TrimPrefix(module+": "+e.Test, ": ")
		}
	}
	return all
}
