package policies

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

const maxQueries = 4096 // a machine; the sets of names are those of its edges

// query is one evaluation that gathers everything asked for.
type query struct {
	body     ast.Body
	compiler ast.QueryCompiler
	text     string
	program  *compiled.Program // nil: topdown alone
	light    bool              // nothing that its rules make can be large by far

	yes atomic.Pointer[query] // to all of it, of those that name no target
}

const answer = ast.Var("answer")

// query returns the prepared query for what q asks, made on first use: that all the
// rules are there is made sure of then.
func (m *machineRules) query(q *interlock.Query, opts options) (*query, error) {
	key := queryKey(q)
	m.mu.RLock()
	p := m.queries[key]
	m.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p = m.queries[key]; p != nil {
		return p, nil
	}
	for _, name := range slices.Concat(q.Checks, q.Grants) {
		if _, ok := m.titles[name]; !ok {
			return nil, fmt.Errorf("there is no rule %q", name)
		}
	}
	text := m.text(q)
	body, err := ast.ParseBodyWithOpts(text, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, err
	}
	qc := m.compiler.QueryCompiler()
	if body, err = qc.Compile(body); err != nil {
		return nil, err
	}
	p = &query{body: body, compiler: qc, text: text, program: m.program(text, opts), light: m.light(q)}
	if len(m.queries) < maxQueries {
		m.queries[key] = p
	}
	return p, nil
}

// confirmation returns the prepared query that holds if all that v says yes to holds.
func (m *machineRules) confirmation(p *query, q *interlock.Query, v *interlock.Verdict) (*query, error) {
	whole := v.Target == "" && len(v.Granted) == len(q.Grants)
	if yes := p.yes.Load(); whole && yes != nil {
		return yes, nil
	}
	yes, err := m.confirmationOf(q, v)
	if whole && err == nil {
		p.yes.Store(yes)
	}
	return yes, err
}

func (m *machineRules) confirmationOf(q *interlock.Query, v *interlock.Verdict) (*query, error) {
	asked := interlock.Query{Checks: v.Passed, Grants: v.Granted, Deny: m.deny && q.Deny, Target: m.target && q.Target}
	key := queryKey(&asked) + "\x02" + v.Target
	m.mu.RLock()
	p := m.confirmations[key]
	m.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	pkg := packageRef(m.slug).String()
	var parts []string
	for _, name := range slices.Concat(asked.Checks, asked.Grants) {
		parts = append(parts, pkg+"["+literal(name)+"] = true")
	}
	if asked.Deny {
		parts = append(parts, pkg+`["deny"] = set()`)
	}
	switch {
	case asked.Target && v.Target == "":
		parts = append(parts, "count([v | v := "+pkg+`["target"]]) = 0`)
	case asked.Target:
		parts = append(parts, pkg+`["target"] = `+literal(v.Target))
	}
	body, err := ast.ParseBodyWithOpts(strings.Join(parts, "; "), ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, err
	}
	qc := m.compiler.QueryCompiler()
	if body, err = qc.Compile(body); err != nil {
		return nil, err
	}
	p = &query{body: body, compiler: qc}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.confirmations) < maxQueries {
		m.confirmations[key] = p
	}
	return p, nil
}

func queryKey(q *interlock.Query) string {
	n := 4 + len(q.Checks) + len(q.Grants)
	for _, s := range q.Checks {
		n += len(s)
	}
	for _, s := range q.Grants {
		n += len(s)
	}
	var b strings.Builder
	b.Grow(n)
	if q.Target {
		b.WriteByte('t')
	}
	if q.Deny {
		b.WriteByte('d')
	}
	b.WriteByte(1)
	for _, s := range q.Checks {
		b.WriteString(s)
		b.WriteByte(0)
	}
	b.WriteByte(1)
	for _, s := range q.Grants {
		b.WriteString(s)
		b.WriteByte(0)
	}
	return b.String()
}

// text asks for each name in a comprehension of its own: one that is undefined
// is an empty list and doesn't empty the others.
//
//	answer = [[[v | v := data.….check], …], [params…], [grants…], [deny], [target]]
func (m *machineRules) text(q *interlock.Query) string {
	pkg := packageRef(m.slug).String()
	one := func(name string) string { return "[v | v := " + pkg + "[" + literal(name) + "]]" }
	all := func(names []string) string {
		parts := make([]string, len(names))
		for i, n := range names {
			parts[i] = one(n)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	params := make([]string, len(q.Checks))
	for i, name := range q.Checks {
		params[i] = "[]"
		if m.params[name] {
			// Only for a check that failed: an error in a parameter must not spoil a yes.
			params[i] = "[v | " + one(name) + " != [true]; v := " + pkg + `["params"][` + literal(name) + "]]"
		}
	}
	deny, target := "[]", "[]"
	if m.deny && q.Deny {
		deny = one("deny")
	}
	if m.target && q.Target {
		target = one("target")
	}
	return "answer = [" + strings.Join([]string{
		all(q.Checks), "[" + strings.Join(params, ", ") + "]", all(q.Grants), deny, target,
	}, ", ") + "]"
}

func literal(s string) string {
	out, _ := json.Marshal(s) // a string always encodes; Rego's strings are JSON's
	return string(out)
}
