package policies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies/compiled"
)

var _ interlock.Policy = (*Source)(nil)

// Compile reads the source and checks it against the machines. The error is a
// *[LoadError], or the context's.
func (s *Source) Compile(ctx context.Context, machines []*fsm.Machine) (interlock.Rules, error) {
	rules, ds, err := s.compile(ctx, machines)
	if err != nil {
		return nil, err
	}
	if err := ds.err(); err != nil {
		return nil, err
	}
	return rules, nil
}

// Report is what there is to say about a policy.
type Report struct {
	Errors   []Diagnostic `json:"errors,omitempty"`   // for which it would be refused
	Findings []Diagnostic `json:"findings,omitempty"` // legal, but look at it
	Rules    *Rules       `json:"-"`                  // nil when there are errors
}

// Check compiles and tells errors and findings: rules that nothing names, deny
// rules, comparisons of values without a declared type and the like. The error
// is the context's, or none.
func Check(ctx context.Context, source *Source, machines []*fsm.Machine) (Report, error) {
	rules, ds, err := source.compile(ctx, machines)
	if err != nil {
		return Report{}, err
	}
	if len(ds.list) > 0 {
		return Report{Errors: ds.sorted()}, nil
	}
	return Report{Findings: rules.Findings(), Rules: rules}, nil
}

// compile waits no longer than ctx: the engine's compiler can't be stopped. While
// one that was given up still runs, there is no other: one hostile file, saved
// again and again, must not take the whole machine.
func (s *Source) compile(ctx context.Context, machines []*fsm.Machine) (*Rules, *diagnostics, error) {
	type result struct {
		rules *Rules
		ds    *diagnostics
		err   error
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if s.compiling.Load() > 0 {
		return nil, nil, errors.New("policies: a compilation that took too long still runs: wait for its end, or restart")
	}
	done := make(chan result, 1)
	var state atomic.Int32
	go func() {
		var r result
		r.rules, r.ds, r.err = s.compileNow(ctx, machines)
		done <- r
		if !state.CompareAndSwap(running, ended) {
			s.compiling.Add(-1)
		}
	}()
	select {
	case r := <-done:
		return r.rules, r.ds, r.err
	case <-ctx.Done():
	}
	s.compiling.Add(1)
	if !state.CompareAndSwap(running, abandoned) {
		s.compiling.Add(-1) // it ended just now
	}
	return nil, nil, ctx.Err()
}

func (s *Source) compileNow(ctx context.Context, machines []*fsm.Machine) (rules *Rules, ds *diagnostics, err error) {
	ds = &diagnostics{texts: map[string]string{}}
	// The engine's parser and compiler are not ours: what they trip over is an error of this policy.
	defer func() {
		if p := recover(); p != nil {
			rules = nil
			ds.add(s.name("."), 0, 0, "engine_failed", "the engine failed on this policy: %v", p)
		}
	}()
	in := s.read(ctx, ds)
	if err := ctx.Err(); err != nil {
		return nil, ds, err
	}
	caps := capabilities(s.opts.decls...)
	ms := parse(in.rules, caps, ds)
	found := &diagnostics{texts: ds.texts}
	rules = &Rules{source: s, opts: s.opts, machines: map[string]*machineRules{}}
	if rules.store, rules.txn, err = dataStore(ctx, in.data); err != nil {
		return nil, ds, err
	}
	if rules.data, err = compiled.ReadData(ctx, rules.store, rules.txn); err != nil {
		return nil, ds, err
	}
	slugs := map[string]bool{}
	for _, m := range machines {
		if slugs[m.Slug()] {
			return nil, ds, fmt.Errorf("policies: two machines have the identifier %q", m.Slug())
		}
		slugs[m.Slug()] = true
		if err := ctx.Err(); err != nil {
			return nil, ds, err
		}
		c := &compilation{m: m, ms: ms, caps: caps, data: in.data, ds: ds, found: found}
		mr := c.run()
		if mr == nil {
			continue
		}
		if len(ms.machines[m.Slug()]) > 0 {
			mr.revision = revision(ms.closure(m.Slug()), in.dataText)
		}
		rules.machines[m.Name()] = mr
		rules.machines[m.Slug()] = mr
	}
	strangers(ms, slugs, caps, ds, found)
	rules.findings = found.sorted()
	return rules, ds, nil
}

// strangers are packages for machines that aren't there, and libraries that
// nobody uses: compiled all the same, so that an error in them doesn't wait.
func strangers(ms *modules, slugs map[string]bool, caps *ast.Capabilities, ds, found *diagnostics) {
	used := map[string]bool{}
	for slug := range slugs {
		for _, m := range ms.closure(slug) {
			used[m.file] = true
		}
	}
	known := slices.Sorted(maps.Keys(slugs))
	for _, slug := range slices.Sorted(maps.Keys(ms.machines)) {
		if slugs[slug] {
			continue
		}
		for _, m := range ms.machines[slug] {
			found.at(m.parsed.Package.Location, "package_unused", "no machine is called %q%s", slug, meant(slug, known))
			used[m.file] = true
		}
		compileModules(ms.closure(slug), nil, caps, ds)
	}
	for _, name := range slices.Sorted(maps.Keys(ms.libs)) {
		if ms.embedded[name] || used[ms.libs[name][0].file] {
			continue
		}
		found.at(ms.libs[name][0].parsed.Package.Location, "package_unused", "no machine's rules use interlock.lib.%s", name)
		compileModules(ms.libsOf(name), nil, caps, ds)
	}
}

func dataStore(ctx context.Context, data map[string]any) (storage.Store, storage.Transaction, error) {
	store := inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
	txn, err := store.NewTransaction(ctx) // read-only, never ended: nothing writes to this store
	return store, txn, err
}

// compileModules compiles the modules on their own; nil when there are errors.
func compileModules(list []*module, input schema, caps *ast.Capabilities, ds *diagnostics) *ast.Compiler {
	c := ast.NewCompiler().WithCapabilities(caps).WithStrict(true).SetErrorLimit(0)
	if input != nil {
		set := ast.NewSchemaSet()
		set.Put(ast.SchemaRootRef, input)
		c = c.WithSchemas(set).WithUseTypeCheckAnnotations(false) // an annotation must not replace the machine's schema
	}
	parsed := make(map[string]*ast.Module, len(list))
	for _, m := range list {
		parsed[m.file] = m.parsed
	}
	if c.Compile(parsed); c.Failed() {
		ds.opa("", c.Errors)
		return nil
	}
	return c
}

// compilation is the work on one machine's rules.
type compilation struct {
	m         *fsm.Machine
	ms        *modules
	caps      *ast.Capabilities
	data      map[string]any
	ds, found *diagnostics
	compiler  *ast.Compiler
	named     map[string]*ruleGroup // the rules of the machine's package by name
}

// ruleGroup is every rule of one name.
type ruleGroup struct {
	rules []*ast.Rule
	title string
}

func (c *compilation) run() *machineRules {
	slug := c.m.Slug()
	c.named = map[string]*ruleGroup{}
	own := c.ms.machines[slug]
	for _, m := range own {
		for _, r := range m.parsed.Rules {
			c.name(r)
		}
	}
	before := len(c.ds.list)
	if !c.ms.broken {
		c.namesExist(own)
	}
	list := c.ms.closure(slug)
	c.shapes(list)
	reached := len(c.ds.list)
	if c.references(list); len(c.ds.list) > reached {
		return nil
	}
	c.compiler = compileModules(list, inputSchema(c.m), c.caps, c.ds)
	if c.compiler == nil {
		return nil
	}
	c.lint()
	if len(c.ds.list) > before {
		return nil
	}
	c.unused()
	return newMachineRules(c)
}

func (c *compilation) name(r *ast.Rule) {
	name := ruleName(r)
	g := c.named[name]
	if g == nil {
		g = &ruleGroup{}
		c.named[name] = g
	}
	g.rules = append(g.rules, r)
	for _, a := range r.Annotations {
		if g.title == "" {
			g.title = a.Title
		}
	}
}

// ruleName is the first part of a rule's head: params for params["four_eyes"].
func ruleName(r *ast.Rule) string {
	if ref := r.Head.Ref(); len(ref) > 0 {
		if v, ok := ref[0].Value.(ast.Var); ok {
			return string(v)
		}
	}
	return string(r.Head.Name)
}

// namesExist reports checks and grants of the machine that no rule answers.
func (c *compilation) namesExist(own []*module) {
	checks, grants := c.m.Checks(), c.m.Grants()
	slug := c.m.Slug()
	if len(own) == 0 {
		if n := len(checks) + len(grants); n > 0 {
			c.ds.add("", 0, 0, "package_missing", "machine %q names %s, but there is no package %s%s",
				c.m.Name(), conditions(checks, grants), pkgName(packageRef(slug)), meant(slug, slices.Sorted(maps.Keys(c.ms.machines))))
		}
		return
	}
	known := slices.DeleteFunc(slices.Sorted(maps.Keys(c.named)), reservedRule)
	at := own[0].parsed.Package.Location
	for _, list := range []struct {
		kind  string
		names []string
	}{{"check", checks}, {"grant", grants}} {
		for _, name := range list.names {
			if c.named[name] == nil {
				c.ds.at(at, "rule_missing", "machine %q names the %s %q, but package %s has no such rule%s",
					c.m.Name(), list.kind, name, pkgName(packageRef(slug)), meant(name, known))
			}
		}
	}
}

func conditions(checks, grants []string) string {
	names := slices.Clone(checks)
	for _, g := range grants {
		names = append(names, "$"+g)
	}
	return strings.Join(names, ", ")
}

func reservedRule(name string) bool { return name == "deny" || name == "target" || name == "params" }

func packageRef(slug string) ast.Ref {
	return ast.Ref{ast.DefaultRootDocument, ast.StringTerm("interlock"), ast.StringTerm("machine"), ast.StringTerm(slug)}
}
