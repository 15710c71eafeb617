package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"
	yamlast "github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Limits of a source.
const (
	maxFileBytes  = 1 << 20
	maxTotalBytes = 8 << 20
	maxFiles      = 1000
	maxDepth      = 16
)

// files is what was read: Rego by diagnostic name, tests apart, and the data.
type files struct {
	rules, tests map[string]string
	data         map[string]any
	dataText     []byte // canonical, for the revision
}

// read reads everything, gathering what is wrong.
func (s *Source) read(ctx context.Context, ds *diagnostics) *files {
	out := &files{rules: map[string]string{}, tests: map[string]string{}, data: map[string]any{}}
	fsys, done, err := s.open()
	if err != nil {
		ds.add(s.name("."), 0, 0, "unreadable", "can't read the policies: %s", err)
		return out
	}
	defer done()
	total, count := 0, 0
	err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		kind, skip := classify(p, d)
		switch {
		case skip != nil || kind == other:
			return skip
		case d.Type()&fs.ModeSymlink != 0:
			ds.add(s.name(p), 0, 0, "symlink", "symbolic links are refused: put the file itself here")
			return nil
		case d.IsDir():
			if strings.Count(p, "/") >= maxDepth {
				ds.add(s.name(p), 0, 0, "too_deep", "directories go at most %d deep", maxDepth)
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			ds.add(s.name(p), 0, 0, "not_a_file", "only regular files are read")
			return nil
		}
		if count++; count > maxFiles {
			ds.add(s.name("."), 0, 0, "too_many_files", "a source has at most %d files", maxFiles)
			return fs.SkipAll
		}
		text, err := readFile(fsys, p)
		if err != nil {
			ds.add(s.name(p), 0, 0, "unreadable", "%s", err)
			return nil
		}
		if total += len(text); total > maxTotalBytes {
			ds.add(s.name("."), 0, 0, "too_large", "a source has at most %d MiB", maxTotalBytes>>20)
			return fs.SkipAll
		}
		s.take(kind, p, text, out, ds)
		return nil
	})
	if err != nil {
		ds.add(s.name("."), 0, 0, "unreadable", "can't read the policies: %s", err)
	}
	if out.dataText, err = json.Marshal(out.data); err != nil {
		ds.add(s.name("."), 0, 0, "data_invalid", "%s", err)
	}
	return out
}

type fileKind int

const (
	other fileKind = iota
	directory
	ruleFile
	testFile
	jsonData
	yamlData
)

func classify(p string, d fs.DirEntry) (fileKind, error) {
	name := path.Base(p)
	switch {
	case p == ".":
		return directory, nil
	case strings.HasPrefix(name, "."):
		if d.IsDir() {
			return other, fs.SkipDir
		}
		return other, nil
	case d.IsDir() || d.Type()&fs.ModeSymlink != 0:
		return directory, nil // a link is refused whatever its name: it may be a directory of rules
	case strings.HasSuffix(name, "_test.rego"):
		return testFile, nil
	case strings.HasSuffix(name, ".rego"):
		return ruleFile, nil
	case name == "data.json":
		return jsonData, nil
	case name == "data.yaml" || name == "data.yml":
		return yamlData, nil
	}
	return other, nil
}

func (s *Source) take(kind fileKind, p string, text []byte, out *files, ds *diagnostics) {
	name := s.name(p)
	ds.texts[name] = string(text)
	if !utf8.Valid(text) {
		ds.add(name, 0, 0, "not_utf8", "the file isn't valid UTF-8")
		return
	}
	switch kind {
	case ruleFile:
		out.rules[name] = string(text)
	case testFile:
		out.tests[name] = string(text)
	case jsonData, yamlData:
		doc, err := decodeData(kind, text)
		if err == nil {
			err = graft(out.data, path.Dir(p), doc)
		}
		if err != nil {
			ds.add(name, 0, 0, "data_invalid", "%s", err)
		}
	}
}

// readFile reads at most maxFileBytes, whatever the file's size is said to be.
func readFile(fsys fs.FS, p string) ([]byte, error) {
	f, err := fsys.Open(p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("a file has at most %d MiB", maxFileBytes>>20)
	}
	return text, nil
}

// decodeData takes exactly one object: a blank file is an error, since rules
// that read missing data are undefined, and nobody would be told why.
func decodeData(kind fileKind, text []byte) (map[string]any, error) {
	if kind == yamlData {
		var err error
		if text, err = yamlToJSON(text); err != nil {
			return nil, err
		}
	}
	// jsontext refuses duplicate names and invalid UTF-8; encoding/json doesn't.
	if !jsontext.Value(text).IsValid() {
		dec := jsontext.NewDecoder(bytes.NewReader(text))
		for {
			if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("the data file is blank or has more than one document: want one JSON object")
			} else if err != nil {
				return nil, fmt.Errorf("not valid JSON: %w", err)
			}
		}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	object, ok := doc.(map[string]any)
	if !ok || len(object) == 0 {
		return nil, fmt.Errorf("a data file holds one object that isn't empty")
	}
	return object, nil
}

func yamlToJSON(text []byte) ([]byte, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %s", firstLine(err))
	}
	if len(file.Docs) != 1 {
		return nil, fmt.Errorf("a data file holds exactly one document, this one %d", len(file.Docs))
	}
	var alias aliasFinder
	if file.Docs[0].Body != nil {
		yamlast.Walk(&alias, file.Docs[0].Body)
	}
	if alias.found {
		return nil, fmt.Errorf("aliases (*name) are refused in data: write the value out")
	}
	out, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %s", firstLine(err))
	}
	return out, nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

type aliasFinder struct{ found bool }

func (a *aliasFinder) Visit(n yamlast.Node) yamlast.Visitor {
	if n.Type() == yamlast.AliasType {
		a.found = true
	}
	return a
}

// graft puts a document at a directory's path under data.
func graft(data map[string]any, dir string, doc map[string]any) error {
	var keys []string
	if dir != "." {
		keys = strings.Split(dir, "/")
	}
	for _, k := range slices.Backward(keys) {
		doc = map[string]any{k: doc}
	}
	if _, ok := doc["interlock"]; ok {
		return fmt.Errorf("data.interlock belongs to the rules: give the data another name")
	}
	return merge(data, doc, "data")
}

func merge(into, from map[string]any, at string) error {
	for k, v := range from {
		old, ok := into[k]
		if !ok {
			into[k] = v
			continue
		}
		a, aok := old.(map[string]any)
		b, bok := v.(map[string]any)
		if !aok || !bok {
			return fmt.Errorf("%s.%s stands in two data files", at, k)
		}
		if err := merge(a, b, at+"."+k); err != nil {
			return err
		}
	}
	return nil
}
