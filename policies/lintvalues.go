package policies

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// collect notes what the variables of a rule stand for.
func (l *linter) collect(e *ast.Expr) {
	if every, ok := e.Terms.(*ast.Every); ok {
		l.alias(every.Value, ast.NewTerm(ast.Ref{every.Domain, ast.VarTerm("$every")}))
		return
	}
	switch {
	case e.IsEquality() && len(e.Operands()) == 2:
		a, b := e.Operand(0), e.Operand(1)
		l.alias(a, b)
		l.alias(b, a)
	case e.IsCall():
		name, args := e.Operator().String(), e.Operands()
		if kind := map[string]string{"is_number": "number", "is_string": "string", "is_boolean": "boolean"}[name]; kind != "" && !e.Negated && len(args) > 0 {
			for _, ref := range l.paths(args[0]) {
				l.guarded[ref.String()] = kind
			}
		}
		if name == "count" && len(args) > 0 {
			for _, ref := range l.paths(args[0]) {
				l.counted[ref.String()] = true
			}
		}
		b := ast.BuiltinMap[name]
		if b == nil || len(args) == 0 || len(args) != b.Decl.Arity()+1 {
			return
		}
		if v, ok := args[len(args)-1].Value.(ast.Var); ok {
			l.results[v] = kindOf(b.Decl.Result())
		}
	}
}

func kindOf(t types.Type) string {
	switch t.(type) {
	case types.Number:
		return "number"
	case types.String:
		return "string"
	case types.Boolean:
		return "boolean"
	}
	return ""
}

func (l *linter) alias(v, to *ast.Term) {
	if name, ok := v.Value.(ast.Var); ok {
		l.aliases[name] = append(l.aliases[name], to)
	}
}

// paths are the references that a term stands for.
func (l *linter) paths(t *ast.Term) []ast.Ref {
	switch v := t.Value.(type) {
	case ast.Ref:
		return l.resolve(v)
	case ast.Var:
		if v.Equal(ast.InputRootDocument.Value) {
			return []ast.Ref{ast.InputRootRef}
		}
		var out []ast.Ref
		for _, to := range l.aliases[v] {
			switch to := to.Value.(type) {
			case ast.Ref:
				out = append(out, l.resolve(to)...)
			case ast.Var:
				if to.Equal(ast.InputRootDocument.Value) {
					out = append(out, ast.InputRootRef)
				}
			}
		}
		return out
	}
	return nil
}

// resolve replaces a local variable at the head by what it stands for, once.
func (l *linter) resolve(r ast.Ref) []ast.Ref {
	head, ok := r[0].Value.(ast.Var)
	if !ok || len(l.aliases[head]) == 0 {
		return []ast.Ref{r}
	}
	var out []ast.Ref
	for _, to := range l.aliases[head] {
		if ref, ok := to.Value.(ast.Ref); ok {
			out = append(out, ref.Concat(r[1:]))
		}
	}
	return out
}

func (l *linter) isInput(t *ast.Term) bool {
	return slices.ContainsFunc(l.paths(t), func(r ast.Ref) bool { return r[0].Equal(ast.InputRootDocument) })
}

// kind is the one scalar type that the term can have, "" when there is no one.
func (l *linter) kind(t *ast.Term) string {
	switch v := t.Value.(type) {
	case ast.Number:
		return "number"
	case ast.String:
		return "string"
	case ast.Boolean:
		return "boolean"
	case ast.Var:
		if k, ok := l.results[v]; ok {
			return k
		}
	}
	out := ""
	for _, ref := range l.paths(t) {
		k := l.guarded[ref.String()]
		if k == "" && ref[0].Equal(ast.InputRootDocument) {
			k = scalar(l.at(ref))
		}
		if k == "" || out != "" && out != k {
			return ""
		}
		out = k
	}
	return out
}

func scalar(s schema) string {
	switch s["type"] {
	case "integer", "number":
		return "number"
	case "string", "boolean":
		return s["type"].(string)
	}
	return ""
}

// at follows a path into the input's schema; nil where it isn't known.
func (l *linter) at(ref ast.Ref) schema {
	s := l.root
	for _, t := range ref[1:] {
		if props, ok := s["properties"].(schema); ok {
			key, ok := t.Value.(ast.String)
			next, known := props[string(key)].(schema)
			if ok && !known {
				return nil
			}
			if !ok { // any key: of one type only if all are alike
				if next = alike(props); next == nil {
					return nil
				}
			}
			s = next
			continue
		}
		items, ok := s["items"].(schema)
		if !ok {
			return nil
		}
		s = items
	}
	return s
}

func alike(props schema) schema {
	var out schema
	for _, v := range props {
		s, _ := v.(schema)
		if out != nil && !equalJSON(out, s) {
			return nil
		}
		out = s
	}
	return out
}

// walkRules visits every rule that the expression refers to, itself or through others.
func walkRules(c *ast.Compiler, e *ast.Expr, visit func(*ast.Rule)) {
	seen := map[*ast.Rule]bool{}
	var walk func(*ast.Rule)
	walk = func(r *ast.Rule) {
		if seen[r] {
			return
		}
		seen[r] = true
		visit(r)
		for next := range restsOn(c, r) {
			walk(next)
		}
	}
	ast.WalkRefs(e, func(ref ast.Ref) bool {
		if ref[0].Equal(ast.DefaultRootDocument) {
			for _, r := range c.GetRulesDynamicWithOpts(ref, ast.RulesOptions{}) {
				walk(r)
			}
		}
		return false
	})
}
