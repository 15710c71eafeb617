package policies

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// manyNames is from how many states or events on instances tell a rule only of
// those that some rule names.
const manyNames = 32

// reading are the paths into the input that rules can come to read.
type reading struct {
	whole bool // what is here may be read as a whole, or by a computed key
	named map[string]*reading
}

// may tells whether something at the path, within it or around it may be read.
func (r *reading) may(path ...string) bool {
	for _, name := range path {
		if r.whole {
			return true
		}
		if r = r.named[name]; r == nil {
			return false
		}
	}
	return true
}

func (r *reading) note(path []string) {
	for _, name := range path {
		if r.named == nil {
			r.named = map[string]*reading{}
		}
		next := r.named[name]
		if next == nil {
			next = &reading{}
			r.named[name] = next
		}
		r = next
	}
	r.whole = true
}

// inputRead goes through all of the compiler's rules.
func inputRead(c *ast.Compiler) *reading {
	r := &reading{}
	for _, m := range c.Modules {
		ast.WalkTerms(m, func(t *ast.Term) bool {
			switch v := t.Value.(type) {
			case ast.Var:
				if v.Equal(ast.InputRootDocument.Value) {
					r.note(nil) // input by itself
				}
			case ast.Ref:
				if !v[0].Equal(ast.InputRootDocument) {
					return false
				}
				r.note(fixedPath(v[1:]))
				for _, rest := range v[1:] { // a reference inside a computed key
					if _, ok := rest.Value.(ast.Ref); ok {
						return false
					}
				}
				return true // the head is no input by itself
			}
			return false
		})
	}
	return r
}

// history are the keys of input.instance.entered, did or last that instances tell
// rules of: all, unless there are many.
func (r *reading) history(object string, declared []string) []string {
	if len(declared) <= manyNames {
		return declared
	}
	return slices.DeleteFunc(slices.Clone(declared), func(name string) bool { return !r.may("instance", object, name) })
}

// fixedPath is the part of a reference before its first computed key.
func fixedPath(ref ast.Ref) []string {
	var path []string
	for _, t := range ref {
		s, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		path = append(path, string(s))
	}
	return path
}
