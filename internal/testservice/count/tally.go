package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, ImportPath, Test, Output, Key, Value string
	FailedBuild                                           string
	Elapsed                                               float64
}

type result struct {
	name    string
	action  string // pass, fail or skip; empty while it runs
	stores  []string
	parent  bool
	output  strings.Builder
	subtest map[string]bool // the actions of its direct subtests
}

type pkg struct {
	tests  map[string]*result
	order  []string
	output strings.Builder
}

// tally gathers the events of a run.
type tally struct {
	w                       io.Writer
	packages                map[string]*pkg
	builds                  map[string]*strings.Builder
	passed, failed, skipped int
	perStore                map[string]int
}

func newTally(w io.Writer) *tally {
	return &tally{w: w, packages: map[string]*pkg{}, builds: map[string]*strings.Builder{}, perStore: map[string]int{}}
}

func (t *tally) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		t.printf("%s", line) // not an event: something that the go command itself said
		return
	}
	switch {
	case e.Action == "build-output":
		if t.builds[e.ImportPath] == nil {
			t.builds[e.ImportPath] = &strings.Builder{}
		}
		t.builds[e.ImportPath].WriteString(e.Output)
	case e.Package == "":
	case e.Test == "":
		t.packageEvent(e)
	default:
		t.testEvent(e)
	}
}

func (t *tally) pkg(name string) *pkg {
	p := t.packages[name]
	if p == nil {
		p = &pkg{tests: map[string]*result{}}
		t.packages[name] = p
	}
	return p
}

func (t *tally) testEvent(e event) {
	p := t.pkg(e.Package)
	r := p.test(e.Test)
	switch e.Action {
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") { // test2json's own marks
			r.output.WriteString(e.Output)
		}
	case "attr":
		if e.Key == "store" {
			r.stores = append(r.stores, e.Value)
		}
	case "pass", "fail", "skip":
		r.action = e.Action
	}
}

func (p *pkg) test(name string) *result {
	if r := p.tests[name]; r != nil {
		return r
	}
	r := &result{name: name, subtest: map[string]bool{}}
	p.tests[name] = r
	p.order = append(p.order, name)
	return r
}

// around is the test that a subtest ran in. A slash need not be its border: it
// may stand in the subtest's own name.
func (p *pkg) around(name string) (*result, bool) {
	for {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return nil, false
		}
		name = name[:i]
		if r := p.tests[name]; r != nil {
			return r, true
		}
	}
}

// packageEvent closes a package: only now is it known which of its tests have
// subtests.
func (t *tally) packageEvent(e event) {
	p := t.pkg(e.Package)
	switch e.Action {
	case "output":
		p.output.WriteString(e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	failures, ran := t.close(e.Package, p)
	switch {
	case e.Action == "skip": // it has no test files
	case e.Action == "pass":
		t.printf("ok    %s  %d tests  %.1fs\n", e.Package, ran, e.Elapsed)
	case failures == 0: // it did not build, or ended outside of a test
		t.failed++
		t.printf("%s%sFAIL  %s\n", t.build(e), p.output.String(), e.Package)
	default:
		t.printf("FAIL  %s  %d of %d tests  %.1fs\n", e.Package, failures, ran, e.Elapsed)
	}
	delete(t.packages, e.Package)
}

func (t *tally) build(e event) string {
	if b := t.builds[e.FailedBuild]; b != nil {
		return b.String()
	}
	return ""
}

func (t *tally) close(name string, p *pkg) (failures, ran int) {
	for _, n := range p.order {
		r := p.tests[n]
		if r.action == "" { // the process ended under it
			r.action = "fail"
		}
		if around, ok := p.around(n); ok {
			around.parent = true
			around.subtest[r.action] = true
		}
	}
	for _, n := range p.order {
		r := p.tests[n]
		// A test with subtests counts only for a failure or skip of its own.
		if r.parent && (r.action == "pass" || r.subtest[r.action]) {
			if r.action == "fail" {
				t.printf("%s", r.output.String())
			}
			continue
		}
		ran++
		switch r.action {
		case "pass":
			t.passed++
			for _, s := range p.storesOf(name, n) {
				t.perStore[s]++
			}
		case "skip":
			t.skipped++
			t.printf("SKIP  %s %s\n%s", name, n, r.output.String())
		default:
			t.failed++
			failures++
			t.printf("FAIL  %s %s\n%s", name, n, r.output.String())
		}
	}
	return failures, ran
}

// storesOf collects what the test and those around it were given. Where a part
// of the name is a store's name, it rules the other stores out, innermost first.
func (p *pkg) storesOf(pkgName, name string) []string {
	var stores []string
	only := ""
	for r, ok := p.tests[name], true; ok; r, ok = p.around(r.name) {
		stores = append(stores, r.stores...)
		part := path.Base(r.name)
		if slices.Contains(words(part), "sqlite") {
			stores = append(stores, "sqlite")
		}
		if only == "" && isTruth(part) {
			only = strings.ToLower(part)
		}
	}
	if path.Base(pkgName) == "sqlite" {
		stores = append(stores, "sqlite")
	}
	if only != "" {
		stores = slices.DeleteFunc(stores, func(s string) bool { return isTruth(s) && s != only })
	}
	slices.Sort(stores)
	return slices.Compact(stores)
}

// isTruth: Redis stands beside the truth, so it rules nothing out.
func isTruth(part string) bool {
	return strings.EqualFold(part, "sqlite") || strings.EqualFold(part, "postgres")
}

// words cuts a test's name at what is no letter and at capitals; SQLite is one word.
func words(name string) []string {
	var spaced strings.Builder
	for _, r := range strings.ReplaceAll(name, "SQLite", "Sqlite") {
		if unicode.IsUpper(r) {
			spaced.WriteByte(' ')
		}
		spaced.WriteRune(unicode.ToLower(r))
	}
	return strings.FieldsFunc(spaced.String(), func(r rune) bool { return !unicode.IsLetter(r) })
}

// report prints the sums and tells whether they are what a good run gives.
func (t *tally) report(stores []string) error {
	for name, p := range t.packages { // the command ended before these did
		t.close(name, p)
	}
	var why []error
	line := make([]string, len(stores))
	for i, s := range stores {
		line[i] = fmt.Sprintf("%s: %d tests", s, t.perStore[s])
		if t.perStore[s] == 0 {
			why = append(why, fmt.Errorf("no test ran against %s", s))
		}
	}
	t.printf("\n%s\n%d passed, %d failed, %d skipped\n", strings.Join(line, ", "), t.passed, t.failed, t.skipped)
	if t.failed > 0 {
		why = append(why, fmt.Errorf("%d failed", t.failed))
	}
	if t.skipped > 0 {
		why = append(why, fmt.Errorf("%d skipped: what can't run here has to fail, or not to be a test", t.skipped))
	}
	if t.passed+t.failed+t.skipped == 0 {
		why = append(why, errors.New("no test ran"))
	}
	return errors.Join(why...)
}

func (t *tally) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(t.w, format, args...) // a closed terminal changes no result
}
