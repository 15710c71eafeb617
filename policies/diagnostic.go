package policies

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Diagnostic is one thing said about a policy: an error of a [LoadError], or a
// finding about rules that are legal. Line and Column count from 1; 0 is no place.
type Diagnostic struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Code    string `json:"code"`              // stable, snake_case
	Message string `json:"message"`           // what is wrong and what would be right
	Excerpt string `json:"excerpt,omitempty"` // the line, and below it a caret under the column
}

// String is file:line:column: message (code), and the excerpt below it.
func (d Diagnostic) String() string {
	var b strings.Builder
	if d.File != "" {
		b.WriteString(d.File)
		if d.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", d.Line, d.Column)
		}
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s (%s)", d.Message, d.Code)
	if d.Excerpt != "" {
		b.WriteString("\n" + d.Excerpt)
	}
	return b.String()
}

// LoadError is why a policy was refused: every error that was found, sorted by
// file, line and column.
type LoadError struct {
	Diagnostics []Diagnostic
}

func (e *LoadError) Error() string {
	lines := make([]string, len(e.Diagnostics))
	for i, d := range e.Diagnostics {
		lines[i] = d.String()
	}
	return "policy refused:\n" + strings.Join(lines, "\n")
}

// diagnostics gathers; texts are the files' contents, for excerpts.
type diagnostics struct {
	list  []Diagnostic
	texts map[string]string
}

func (ds *diagnostics) add(file string, line, col int, code, format string, args ...any) {
	d := Diagnostic{File: file, Line: line, Column: col, Code: code, Message: fmt.Sprintf(format, args...)}
	d.Excerpt = excerpt(ds.texts[file], line, col)
	if !slices.Contains(ds.list, d) { // a library's error shows up for every machine that uses it
		ds.list = append(ds.list, d)
	}
}

func (ds *diagnostics) at(loc *ast.Location, code, format string, args ...any) {
	if loc == nil {
		ds.add("", 0, 0, code, format, args...)
		return
	}
	ds.add(loc.File, loc.Row, loc.Col, code, format, args...)
}

// opa takes over the parser's and the compiler's errors.
func (ds *diagnostics) opa(file string, err error) {
	var list ast.Errors
	if !errors.As(err, &list) {
		ds.add(file, 0, 0, "rego_error", "%s", err)
		return
	}
	for _, e := range list {
		msg := e.Message
		if why, ok := refusedBuiltins()[strings.TrimPrefix(msg, "undefined function ")]; ok {
			msg = strings.TrimPrefix(msg, "undefined function ") + " is not available to policies: " + why
		}
		switch d := e.Details.(type) {
		case nil, *ast.ParserErrorDetail: // that one only repeats the line
		case *ast.RefErrInvalidDetail:
			if missing := missingMember(d); missing != "" {
				msg = missing
			}
		default:
			msg += "; " + strings.Join(strings.Fields(strings.Join(d.Lines(), " ")), " ")
		}
		ds.at(e.Location, e.Code, "%s", msg)
	}
}

// missingMember tells of a reference's first key that isn't there, and what is.
func missingMember(d *ast.RefErrInvalidDetail) string {
	if d.Pos < 1 || d.Pos >= len(d.Ref) || len(d.OneOf) == 0 {
		return ""
	}
	known := make([]string, 0, len(d.OneOf))
	for _, v := range d.OneOf {
		known = append(known, strings.Trim(v.String(), `"`))
	}
	slices.Sort(known)
	have := strings.Trim(d.Ref[d.Pos].String(), `"`)
	return fmt.Sprintf("%s has no %q%s", d.Ref[:d.Pos], have, meant(have, known))
}

func (ds *diagnostics) sorted() []Diagnostic {
	slices.SortStableFunc(ds.list, func(a, b Diagnostic) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column,
			strings.Compare(a.Code, b.Code), strings.Compare(a.Message, b.Message))
	})
	return ds.list
}

func (ds *diagnostics) err() error {
	if len(ds.list) == 0 {
		return nil
	}
	return &LoadError{Diagnostics: ds.sorted()}
}

func excerpt(text string, line, col int) string {
	if text == "" || line < 1 || col < 1 {
		return ""
	}
	lines := strings.Split(text, "\n")
	if line > len(lines) {
		return ""
	}
	src := strings.TrimRight(lines[line-1], "\r")
	if len(src) > 200 {
		return ""
	}
	var pad strings.Builder
	for i, r := range src {
		if i >= col-1 { // columns count bytes
			break
		}
		if r == '\t' {
			pad.WriteByte('\t') // a tab in the caret's line keeps it under its column
		} else {
			pad.WriteByte(' ')
		}
	}
	return "\t" + src + "\n\t" + pad.String() + "^"
}

// meant is `; did you mean "x"?` for the nearest of the known names, or what
// they are when few, or nothing.
func meant(name string, known []string) string {
	best, dist := "", 1+max(1, len(name)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < dist {
			best, dist = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case len(known) > 0 && len(known) <= 12:
		return fmt.Sprintf("; there are %s", quoted(known))
	}
	return ""
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, ", ")
}

// distance counts the letters to insert, delete, replace or swap (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before, prev []int
	cur := make([]int, len(y)+1)
	for j := range cur {
		cur[j] = j
	}
	for i := 1; i <= len(x); i++ {
		before, prev, cur = prev, cur, make([]int, len(y)+1)
		cur[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
	}
	return cur[len(y)]
}
