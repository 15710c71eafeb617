package compiled

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
)

// signal is how a statement ended: next goes on with the following one, n > 0
// leaves n blocks, and what is below leaves more than blocks.
type signal int32

const (
	next     signal = 0
	leave    signal = 1  // the innermost block: the statement was undefined
	returned signal = -1 // from the function
	failed   signal = -2 // m.err says why
	settled  signal = -3 // the rule has the only value that it can have
	stopScan signal = -4 // no further turn of the loop changes anything
)

type (
	step  func(m *Machine, f []Value) signal
	block []step
)

// run is next when the block came to its end.
func (b block) run(m *Machine, f []Value) signal {
	for _, s := range b {
		if sig := s(m, f); sig != next {
			return sig
		}
	}
	return next
}

// compiler compiles one policy.
type compiler struct {
	policy    *ir.Policy
	options   Options
	program   *Program
	texts     []*text
	functions map[string]*function
	bridges   map[string]*bridge
	mocksData bool // some "with" replaces data
}

func newCompiler(policy *ir.Policy, options Options) *compiler {
	c := &compiler{
		policy: policy, options: options, program: &Program{},
		functions: map[string]*function{}, bridges: map[string]*bridge{},
	}
	if policy.Static == nil {
		policy.Static = &ir.Static{}
	}
	for _, s := range policy.Static.Strings {
		c.texts = append(c.texts, &text{s.Value, hashText(s.Value)})
	}
	return c
}

func (c *compiler) compile() error {
	if c.policy.Plans == nil || len(c.policy.Plans.Plans) == 0 {
		return c.notCompiled(nil, "a policy without a plan")
	}
	var funcs []*ir.Func
	if c.policy.Funcs != nil {
		funcs = c.policy.Funcs.Funcs
	}
	for i, fn := range funcs {
		f := &function{name: fn.Name, index: i, ret: int(fn.Return)}
		for _, p := range fn.Params {
			f.params = append(f.params, int(p))
		}
		for _, b := range fn.Blocks {
			eachStmt(b, c.noteMock)
		}
		c.functions[fn.Name] = f
		c.program.functions = append(c.program.functions, f)
	}
	for _, p := range c.policy.Plans.Plans {
		for _, b := range p.Blocks {
			eachStmt(b, c.noteMock)
		}
	}
	c.noteReads(funcs)
	for i, fn := range funcs {
		s := c.newScope(fn.Blocks)
		s.locals(append([]ir.Local{fn.Return}, fn.Params...)...)
		s.function = fn
		s.constantOf(fn)
		f := c.program.functions[i]
		for _, b := range fn.Blocks {
			compiled, err := s.topBlock(b)
			if err != nil {
				return err
			}
			f.blocks = append(f.blocks, compiled)
		}
		f.frame, f.only = s.frame, s.only
	}
	for _, p := range c.policy.Plans.Plans {
		s := c.newScope(p.Blocks)
		compiled := plan{name: p.Name}
		for _, b := range p.Blocks {
			block, err := s.topBlock(b)
			if err != nil {
				return err
			}
			compiled.blocks = append(compiled.blocks, block)
		}
		compiled.frame = s.frame
		c.program.plans = append(c.program.plans, compiled)
	}
	return nil
}

func (c *compiler) noteMock(stmt ir.Stmt) {
	if with, ok := stmt.(*ir.WithStmt); ok && with.Local == ir.Data {
		c.mocksData = true
	}
}

// scope is a function or plan that is being compiled.
type scope struct {
	*compiler
	function *ir.Func // nil: a plan
	frame    int      // locals that it needs
	depth    int      // blocks around this one
	loop     int      // of them, those around the innermost loop's
	known    constants
	base     map[ir.Local]bool // that hold base documents, as reached from data
	writes   map[ir.Local]int  // in the top block: statements that change the collection in a local
	reads    reading           // in the top block: how often each local is
	only     Value             // the one value that the rule can have, nil if there are several
	result   ir.Local          // where it is put
}

// constants are the values of locals that are known at this point of a block.
type constants map[ir.Local]Value

func (c *compiler) newScope([]*ir.Block) *scope {
	return &scope{compiler: c, frame: data + 1, known: constants{}}
}

const maxLocals = 1 << 20

func (s *scope) locals(all ...ir.Local) {
	for _, l := range all {
		if l < 0 || l > maxLocals {
			panic(fmt.Sprintf("a local %d", l)) // Compile makes an error of it
		}
		s.frame = max(s.frame, int(l)+1)
	}
}

func (s *scope) topBlock(b *ir.Block) (block, error) {
	s.known = constants{}
	s.base = map[ir.Local]bool{ir.Data: true}
	s.writes, s.reads = map[ir.Local]int{}, reading{}
	eachStmt(b, func(stmt ir.Stmt) {
		s.reads.note(stmt)
		if l, ok := changes(stmt); ok {
			s.writes[l]++
		}
	})
	s.depth, s.loop = 0, 0
	if err := s.ordered(b); err != nil {
		return nil, err
	}
	return s.block(b)
}

// operand is what a statement reads: a constant, or a local.
type operand struct {
	value Value
	local int
}

func (o *operand) get(f []Value) Value {
	if o.value != nil {
		return o.value
	}
	return f[o.local]
}

func (s *scope) operand(at ir.Stmt, o ir.Operand) (operand, error) {
	switch v := plain(o).(type) {
	case ir.Local:
		return s.local(v), nil
	case ir.StringIndex:
		return operand{value: s.texts[v]}, nil
	case ir.Bool:
		return operand{value: boolOf(bool(v))}, nil
	}
	return operand{}, s.notCompiled(at, "an operand that is %T", o.Value)
}

// plain is an operand's value: a plan that was read from JSON has pointers there.
func plain(o ir.Operand) ir.Val {
	switch v := o.Value.(type) {
	case *ir.Local:
		return *v
	case *ir.StringIndex:
		return *v
	case *ir.Bool:
		return *v
	}
	return o.Value
}

func (s *scope) operands(at ir.Stmt, all []ir.Operand) ([]operand, error) {
	out := make([]operand, len(all))
	for i, o := range all {
		var err error
		if out[i], err = s.operand(at, o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *scope) local(l ir.Local) operand {
	s.locals(l)
	return operand{value: s.known[l], local: int(l)}
}

// target is a local that is about to be written.
func (s *scope) target(l ir.Local) int {
	s.locals(l)
	delete(s.known, l)
	if l != ir.Data {
		delete(s.base, l)
	}
	return int(l)
}

// ruleName is a function's name without the generation that the planner puts before it.
func (s *scope) ruleName() string {
	if s.function == nil {
		return "query"
	}
	_, name, ok := strings.Cut(s.function.Name, ".")
	if !ok {
		return s.function.Name
	}
	return name
}

// constantOf finds the one value that a rule has whenever it has any, as
// "allow if …" has true: it needs no second answer once it has the first.
func (s *scope) constantOf(fn *ir.Func) {
	var only Value
	var result ir.Local
	single := true
	for _, b := range fn.Blocks {
		eachStmt(b, func(stmt ir.Stmt) {
			switch stmt := stmt.(type) {
			case *ir.AssignVarOnceStmt:
				if stmt.Target == fn.Return {
					return // of what the bodies put into result, or of the default
				}
				var v Value
				switch source := plain(stmt.Source).(type) {
				case ir.Bool:
					v = boolOf(bool(source))
				case ir.StringIndex:
					v = s.texts[source]
				}
				if v == nil || only != nil && (!equal(only, v) || result != stmt.Target) {
					single = false
				}
				only, result = v, stmt.Target
			}
		})
	}
	if single && only != nil && endsInReturn(fn, result) {
		s.only, s.result = only, result
	}
}

// endsInReturn tells whether the function is a complete rule as planned: what
// is in result becomes its value, unless it is a default.
func endsInReturn(fn *ir.Func, result ir.Local) bool {
	found := false
	for _, b := range fn.Blocks {
		eachStmt(b, func(stmt ir.Stmt) {
			if once, ok := stmt.(*ir.AssignVarOnceStmt); ok && once.Target == fn.Return {
				source, _ := plain(once.Source).(ir.Local)
				found = found || source == result
			}
		})
	}
	return found
}

// at is where a statement stands in the policy.
func (s *scope) at(stmt ir.Stmt) *ast.Location { return s.location(stmt.GetLocation()) }
