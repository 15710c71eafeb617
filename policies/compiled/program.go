package compiled

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Options say how a policy is compiled. The zero value will do for OPA's own language.
type Options struct {
	// Builtins are functions that OPA doesn't have, by name; they go before its own.
	Builtins map[string]*topdown.Builtin
}

// Program is a compiled policy, for any number of evaluations at once.
type Program struct {
	plans     []plan
	functions []*function
	machines  sync.Pool
	slow      bool // it calls functions of which nobody knows how long they take

	fields []*text // of the input, that functions read

	joins, comprehensions int // how many there are, of those that remember something
}

type plan struct {
	name   string
	blocks []block
	frame  int
}

// function is a rule, or what is called like one. All calls of it share it.
type function struct {
	name   string
	index  int // into the memos
	params []int
	ret    int
	frame  int
	blocks []block
	reads  fields
	only   Value // what it is whenever it is anything, if there is but one such value
}

// noData is what a policy finds under data when there is none.
var noData = FromAST(ast.NewObject())

// input and data are the locals that every plan and function begins with.
const input, data = int(ir.Input), int(ir.Data)

var cryptoSeed = rand.Reader

// Compile compiles every plan and function of a policy, or none: the error is a
// *NotCompiledError if there is anything that it doesn't know to evaluate
// exactly as OPA's topdown does.
func Compile(policy *ir.Policy, options Options) (p *Program, err error) {
	defer func() {
		// A plan from elsewhere may point at strings, locals and blocks that aren't there.
		if r := recover(); r != nil {
			p, err = nil, &NotCompiledError{Construct: fmt.Sprintf("a plan that isn't well formed: %v", r)}
		}
	}()
	c := newCompiler(policy, options)
	if err := c.compile(); err != nil {
		return nil, err
	}
	p = c.program
	p.machines.New = func() any {
		m := &Machine{program: p, memos: make([]memo, len(p.functions)), joins: make([]joined, p.joins), collected: make([]collected, p.comprehensions)}
		m.builder.arena = &m.inputs
		return m
	}
	return p, nil
}

// Plans are the names of what can be asked.
func (p *Program) Plans() []string {
	names := make([]string, len(p.plans))
	for i, plan := range p.plans {
		names[i] = plan.name
	}
	return names
}

// Prompt tells whether evaluations end soon after they are told to: every built-in
// function that they call takes no longer than its operands are large, and makes
// nothing larger than them. Others may only be waited for, not stopped.
func (p *Program) Prompt() bool { return !p.slow }

// Eval answers a query with OPA's values. Where time matters take a Machine and
// read its results as they are.
func (p *Program) Eval(ctx context.Context, q Query) (ast.Set, error) {
	m := p.Machine()
	defer m.Release()
	results, err := m.Eval(ctx, q)
	if err != nil {
		return nil, err
	}
	return ast.NewSet(terms(results)...), nil
}
