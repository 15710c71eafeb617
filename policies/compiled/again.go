package compiled

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ir"
)

// fields are names at the top of the input, by their positions in Program.fields.
type fields uint64

// everything is also what is read by who reads something else than the input and
// data, or nobody knows what.
const everything = ^fields(0)

const mostFields = 63 // so that no set of fields is everything

// reader finds out which of the input's fields a function comes to read, itself or
// through others.
type reader struct {
	*compiler
	funcs map[string]*ir.Func
	known map[string]fields
}

func (c *compiler) noteReads(funcs []*ir.Func) {
	r := reader{c, map[string]*ir.Func{}, map[string]fields{}}
	for _, fn := range funcs {
		r.funcs[fn.Name] = fn
	}
	for i, fn := range funcs {
		c.program.functions[i].reads = r.of(fn)
	}
}

func (r *reader) of(fn *ir.Func) fields {
	if known, ok := r.known[fn.Name]; ok {
		return known
	}
	r.known[fn.Name] = everything // what calls itself
	var all fields
	if len(fn.Params) < 2 || fn.Params[0] != ir.Input || fn.Params[1] != ir.Data {
		all = everything
	}
	for _, b := range fn.Blocks {
		eachStmt(b, func(stmt ir.Stmt) { all |= r.by(stmt) })
	}
	r.known[fn.Name] = all
	return all
}

// by is what one statement reads. Whatever it does with the input that isn't to take
// a field of it by its name, or to hand it on, is to read everything.
func (r *reader) by(stmt ir.Stmt) fields {
	switch stmt := stmt.(type) {
	case *ir.DotStmt:
		name, ok := plain(stmt.Key).(ir.StringIndex)
		if ok && isInput(stmt.Source) && stmt.Target != ir.Input {
			return r.field(name)
		}
	case *ir.CallStmt:
		if fn, ok := r.funcs[stmt.Func]; ok {
			if len(stmt.Args) < 2 || !isInput(stmt.Args[0]) || slices.ContainsFunc(stmt.Args[1:], isInput) || stmt.Result == ir.Input {
				return everything
			}
			return r.of(fn)
		}
		if _, custom := r.options.Builtins[stmt.Func]; custom || !prompt[stmt.Func] {
			return everything // it may depend on more than its operands
		}
	case *ir.CallDynamicStmt:
		return everything
	}
	if slices.Contains(read(stmt), ir.Input) || slices.Contains(assigned(stmt), ir.Input) {
		return everything
	}
	return 0
}

func isInput(o ir.Operand) bool { return plain(o) == ir.Input }

func (r *reader) field(name ir.StringIndex) fields {
	t := r.texts[name]
	i := slices.IndexFunc(r.program.fields, func(f *text) bool { return f.s == t.s })
	if i < 0 {
		if len(r.program.fields) == mostFields {
			return everything
		}
		i = len(r.program.fields)
		r.program.fields = append(r.program.fields, t)
	}
	return 1 << i
}

// changed are the fields in which two inputs aren't the same: composites are told
// apart by identity. Nothing of either may have been taken back.
func (p *Program) changed(from, to Value) fields {
	a, isObject := from.(*object)
	b, both := to.(*object)
	if !isObject || !both {
		return everything
	}
	var out fields
	for i, name := range p.fields {
		v, w := valueOf(a, name), valueOf(b, name)
		if (v == nil) != (w == nil) || v != nil && !same(v, w) {
			out |= 1 << i
		}
	}
	return out
}

func valueOf(o *object, name *text) Value {
	if at := o.findName(name); at >= 0 {
		return o.values[at]
	}
	return nil
}

// before is the evaluation that the next one may go on from.
type before struct {
	ended       bool // with an answer; else nothing is known of it
	input, data Value
	strict      bool
	taken       int   // how often the builder had been reset
	steps       int64 // of all who went on from each other
}

// What evaluations that go on from each other may leave behind: steps that were
// taken, and chunks of memory. Then the next one begins anew.
const mostGone, mostChunks = 1 << 14, 64

// again prepares for a query that goes on from the one before, or says that it can't.
func (m *Machine) again(q *Query) bool {
	b := &m.before
	if !q.Again || !b.ended || b.data != q.Data || b.strict != q.StrictBuiltinErrors || b.taken != m.inputs.resets ||
		b.steps > mostGone || m.arena.chunks() > mostChunks {
		return false
	}
	changed := m.program.changed(b.input, q.Input)
	for i := range m.memos {
		known := &m.memos[i]
		switch reads := m.program.functions[i].reads; {
		case len(known.entries) == 0:
		case reads == everything || reads&changed != 0 || known.table != nil:
			known.clear()
		default:
			known.goOn(b.input, q.Input)
		}
	}
	b.ended = false
	m.forget()
	return true
}

// goOn takes what was remembered of one input for another's, of a function to which
// they are the same.
func (r *memo) goOn(from, to Value) {
	kept := r.entries[:0]
	for _, e := range r.entries {
		if e.args[input] == from {
			e.args[input] = to
			kept = append(kept, e)
		}
	}
	clear(r.entries[len(kept):])
	r.entries = kept
}

func (m *Machine) ended(q *Query) {
	m.before = before{ended: true, input: q.Input, data: q.Data, strict: q.StrictBuiltinErrors, taken: m.inputs.resets, steps: m.before.steps + m.steps}
}
