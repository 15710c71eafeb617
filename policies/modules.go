package policies

import (
	"embed"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

//go:embed lib/*.rego
var libraryFiles embed.FS

const libraryPrefix = "interlock/lib/" // how embedded files are called in diagnostics and traces

// module is one parsed Rego file.
type module struct {
	file   string
	text   string
	parsed *ast.Module
	libs   []string // names of the libraries that it refers to
	anyLib bool     // refers to them by a computed name
}

// modules are the files of a source by the two kinds of package that there may be.
type modules struct {
	machines map[string][]*module // by slug
	libs     map[string][]*module // by name; embedded ones too
	embedded map[string]bool
	broken   bool // a file couldn't be parsed: what is missing may be in there
}

func parseOptions(caps *ast.Capabilities) ast.ParserOptions {
	return ast.ParserOptions{ProcessAnnotation: true, Capabilities: caps, RegoVersion: ast.RegoV1}
}

// parse reads the rules and sorts them by package. What has no place is an error:
// a package of any other name could take the place of somebody else's rules.
func parse(texts map[string]string, caps *ast.Capabilities, ds *diagnostics) *modules {
	out := &modules{machines: map[string][]*module{}, libs: map[string][]*module{}, embedded: map[string]bool{}}
	for file, text := range library(false) {
		ds.texts[file] = text
		if m := parseOne(file, text, caps, ds); m != nil {
			_, name, _ := place(m.parsed.Package.Path)
			out.libs[name] = append(out.libs[name], m)
			out.embedded[name] = true
		}
	}
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		m := parseOne(file, texts[file], caps, ds)
		if m == nil {
			out.broken = true
			continue
		}
		pkg := m.parsed.Package
		kind, name, ok := place(pkg.Path)
		switch {
		case !ok:
			ds.at(pkg.Location, "package_not_allowed", "package %s is refused: rules live in interlock.machine.<machine> or interlock.lib.<name>", pkgName(pkg.Path))
		case kind == "machine":
			out.machines[name] = append(out.machines[name], m)
		case out.embedded[name]:
			ds.at(pkg.Location, "package_not_allowed", "package interlock.lib.%s comes with the gate and can't be replaced or added to: choose another name", name)
		default:
			out.libs[name] = append(out.libs[name], m)
		}
	}
	return out
}

func parseOne(file, text string, caps *ast.Capabilities, ds *diagnostics) *module {
	m, err := ast.ParseModuleWithOpts(file, text, parseOptions(caps))
	switch {
	case err != nil && strings.Contains(err.Error(), "empty module"):
		ds.add(file, 0, 0, "empty", "the file holds no package")
		return nil
	case err != nil:
		ds.opa(file, err)
		return nil
	case m == nil || m.Package == nil:
		ds.add(file, 0, 0, "empty", "the file holds no package")
		return nil
	}
	if tooMany(m, ds) {
		return nil
	}
	out := &module{file: file, text: text, parsed: m}
	ast.WalkRefs(m, func(r ast.Ref) bool {
		kind, name, fixed := refersTo(r)
		if kind == "lib" || kind == "" {
			if fixed {
				out.libs = append(out.libs, name)
			} else {
				out.anyLib = true
			}
		}
		return false
	})
	slices.Sort(out.libs)
	out.libs = slices.Compact(out.libs)
	return out
}

// The engine compares each rule of a name with each other, and follows a chain of
// else from each of its links: what is written by hand stays far below.
const (
	maxRules = 2000
	maxElse  = 100
)

func tooMany(m *ast.Module, ds *diagnostics) bool {
	if len(m.Rules) > maxRules {
		ds.at(m.Rules[maxRules].Location, "too_many_rules", "a file has at most %d rules, this one %d", maxRules, len(m.Rules))
		return true
	}
	for _, r := range m.Rules {
		n := 0
		for next := r.Else; next != nil; next = next.Else {
			if n++; n > maxElse {
				ds.at(next.Location, "too_many_rules", "a rule has at most %d else, this one more", maxElse)
				return true
			}
		}
	}
	return false
}

// refersTo tells which package of ours a reference goes to. kind "" with fixed
// false: it may be any; "-": none.
func refersTo(r ast.Ref) (kind, name string, fixed bool) {
	if len(r) == 0 || !r[0].Equal(ast.DefaultRootDocument) {
		return "-", "", true
	}
	var parts []string
	for _, t := range r[1:min(len(r), 4)] {
		s, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		parts = append(parts, string(s))
	}
	switch {
	case len(parts) == 0:
		return "", "", false // data itself, or data[x]
	case parts[0] != "interlock":
		return "-", "", true
	case len(parts) == 1:
		return "", "", false
	case len(parts) == 2:
		return parts[1], "", false
	}
	return parts[1], parts[2], true
}

// place tells what a package path is for.
func place(path ast.Ref) (kind, name string, ok bool) {
	if len(path) != 4 {
		return "", "", false
	}
	kind, name, fixed := refersTo(path)
	return kind, name, fixed && name != "" && (kind == "machine" || kind == "lib")
}

func pkgName(path ast.Ref) string { return strings.TrimPrefix(path.String(), "data.") }

// Library is the Rego of data.interlock.lib.<name> that comes with the gate, its
// tests beside it: for editors and other tools, which need the files. Rules use
// it without.
func Library() fs.FS {
	sub, err := fs.Sub(libraryFiles, "lib")
	if err != nil {
		return libraryFiles // "lib" is a valid name: it doesn't come to this
	}
	return sub
}

// library is the embedded Rego, its tests too if asked.
func library(tests bool) map[string]string {
	out := map[string]string{}
	_ = fs.WalkDir(libraryFiles, "lib", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(p, "_test.rego") && !tests {
			return err
		}
		text, err := libraryFiles.ReadFile(p)
		out[libraryPrefix+strings.TrimPrefix(p, "lib/")] = string(text)
		return err
	})
	return out
}

// closure are the modules that a machine's decisions depend on: its own and the
// libraries that they use, themselves or through others. Sorted by file.
func (ms *modules) closure(slug string) []*module { return ms.with(ms.machines[slug]) }

// libsOf are a library's modules and those of the libraries that it uses.
func (ms *modules) libsOf(name string) []*module { return ms.with(ms.libs[name]) }

func (ms *modules) with(start []*module) []*module {
	list := slices.Clone(start)
	seen := map[string]bool{}
	for i := 0; i < len(list); i++ {
		libs := list[i].libs
		if list[i].anyLib {
			libs = slices.Sorted(maps.Keys(ms.libs))
		}
		for _, name := range libs {
			if !seen[name] {
				seen[name] = true
				list = append(list, ms.libs[name]...)
			}
		}
	}
	slices.SortFunc(list, func(a, b *module) int { return strings.Compare(a.file, b.file) })
	return slices.Compact(list) // a library may use itself by its full name
}
