package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Parse compiles one definition of at most [MaxSize] bytes. name is used in
// positions; it is also the name of a machine in the metadata form that doesn't
// name itself. The error is a *[LoadError].
func Parse(name string, source []byte) (*Machine, error) {
	if len(source) > MaxSize {
		r := newReport(name, nil)
		r.errorf(place{}, "too_large", "the file is larger than 1 MiB, the most that a definition may have")
		return nil, r.err()
	}
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	source = bytes.ReplaceAll(source, []byte("\r\n"), []byte("\n"))
	r := newReport(name, source)
	root := parseYAML(r, string(source))
	if root == nil {
		return nil, r.err()
	}
	d := decoder{r}
	decl := d.declare(root)
	if decl == nil || r.failed() {
		return nil, r.err()
	}
	m := compile(r, decl)
	if r.failed() {
		return nil, r.err()
	}
	return m, nil
}

// Load reads and compiles one file of at most 1 MiB. The error is a
// *[LoadError], or wraps the one of reading the file.
func Load(path string) (*Machine, error) {
	source, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read machine: %w", err)
	}
	return Parse(path, source)
}

// readFile reads a regular file up to one byte above the limit.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}

// LoadDir compiles every .yaml and .yml file directly in dir, sorted by file
// name; hidden files and folders are left out. Two machines of one slug are an
// error, and so is a folder without any. All errors of all files are reported.
func LoadDir(dir string) ([]*Machine, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read machines: %w", err)
	}
	var machines []*Machine
	var findings []Finding
	paths := map[string]string{}
	for _, entry := range entries { // sorted by name
		ext := filepath.Ext(entry.Name())
		if entry.IsDir() || strings.HasPrefix(entry.Name(), ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		m, err := Load(path)
		if err != nil {
			findings = append(findings, loadFindings(path, err)...)
			continue
		}
		if other, taken := paths[m.Slug()]; taken {
			findings = append(findings, m.clash(other))
			continue
		}
		paths[m.Slug()] = path
		machines = append(machines, m)
	}
	if len(machines)+len(findings) == 0 {
		findings = []Finding{{Position: Position{File: dir}, Severity: Error, Code: "no_machine", Message: "no machine is here; definitions are files that end in .yaml or .yml"}}
	}
	if len(findings) > 0 {
		return nil, &LoadError{Findings: findings}
	}
	return machines, nil
}

// loadFindings are an error's findings, or one made of its text.
func loadFindings(path string, err error) []Finding {
	if refused, ok := errors.AsType[*LoadError](err); ok {
		return slices.Clip(refused.Findings)
	}
	return []Finding{{Position: Position{File: path}, Severity: Error, Code: "unreadable", Message: err.Error()}}
}

// clash says that another file holds a machine of the same slug.
func (m *Machine) clash(other string) Finding {
	f := Finding{Position: m.def.source, Severity: Error, Code: "same_slug", Excerpt: m.def.excerpt}
	f.Message = fmt.Sprintf("the machine %s has the identifier %q, as has the one in %s; rename one of them", quote(m.Name()), m.Slug(), other)
	return f
}
