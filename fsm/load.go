package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
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
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read machine: %w", err)
	}
	return loadFile(path, f)
}

// LoadDir compiles every .yaml and .yml file directly in dir, sorted by file
// name; hidden files and folders are left out. Two machines of one slug are an
// error, and so is a folder without any. Errors are reported of all files.
func LoadDir(dir string) ([]*Machine, error) {
	return loadAll(os.DirFS(dir), ".", dir, filepath.Join)
}

// LoadFS is [LoadDir] of a folder of fsys, such as one that is embedded; "." is
// its root. Positions name a file by its path in fsys.
func LoadFS(fsys fs.FS, dir string) ([]*Machine, error) {
	return loadAll(fsys, dir, dir, path.Join)
}

// loadAll compiles the definitions in dir of fsys, which people know as shown;
// join makes the shown path of a file.
func loadAll(fsys fs.FS, dir, shown string, join func(...string) string) ([]*Machine, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		if refused, ok := errors.AsType[*fs.PathError](err); ok {
			err = refused.Err // its path may be relative to fsys
		}
		return nil, fmt.Errorf("read machines in %s: %w", shown, err)
	}
	var machines []*Machine
	var findings []Finding
	files := map[string]string{}
	for _, entry := range entries { // sorted by name
		ext := path.Ext(entry.Name())
		if entry.IsDir() || strings.HasPrefix(entry.Name(), ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		file := join(shown, entry.Name())
		m, err := open(fsys, path.Join(dir, entry.Name()), file)
		if err != nil {
			findings = append(findings, loadFindings(file, err)...)
			continue
		}
		if other, taken := files[m.Slug()]; taken {
			findings = append(findings, m.clash(other))
			continue
		}
		files[m.Slug()] = file
		machines = append(machines, m)
	}
	if len(machines)+len(findings) == 0 {
		findings = []Finding{{Position: Position{File: shown}, Severity: Error, Code: "no_machine", Message: "no machine is here; definitions are files that end in .yaml or .yml"}}
	}
	if len(findings) > 0 {
		return nil, &LoadError{Findings: findings}
	}
	return machines, nil
}

func open(fsys fs.FS, name, shown string) (*Machine, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read machine: %w", err)
	}
	return loadFile(shown, f)
}

// loadFile compiles a regular file, of which it reads up to one byte above the
// limit, and closes it.
func loadFile(shown string, f fs.File) (*Machine, error) {
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read machine: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read machine: %s is not a regular file", shown)
	}
	source, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read machine: %w", err)
	}
	return Parse(shown, source)
}

// loadFindings are an error's findings, or one made of its text.
func loadFindings(file string, err error) []Finding {
	if refused, ok := errors.AsType[*LoadError](err); ok {
		return slices.Clip(refused.Findings)
	}
	return []Finding{{Position: Position{File: file}, Severity: Error, Code: "unreadable", Message: err.Error()}}
}

// clash says that another file holds a machine of the same slug.
func (m *Machine) clash(other string) Finding {
	f := Finding{Position: m.def.source, Severity: Error, Code: "same_slug", Excerpt: m.def.excerpt}
	f.Message = fmt.Sprintf("the machine %s has the identifier %q, as has the one in %s; rename one of them", quote(m.Name()), m.Slug(), other)
	return f
}
