package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a change of the source that must not go unnoticed.
type mutant struct {
	name  string
	takes string // what it takes away, in a sentence
	edits edits

	// Of the ordinary suite, what must notice: packages as go test takes them, and
	// its -run, narrow enough to be quick.
	packages []string
	run      string
}

// edit replaces text that stands in the file exactly once.
type edit struct {
	file     string // from the module's root, with slashes
	old, new string
}

type edits []edit

func (m mutant) files() []string {
	var names []string
	for _, e := range m.edits {
		if !slices.Contains(names, e.file) {
			names = append(names, e.file)
		}
	}
	return names
}

// apply returns the changed files of the module in root, by name.
func (m mutant) apply(root string) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range m.edits {
		text, ok := texts[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.file)))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s holds the text %d times, not once: %s", e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("the mutant changes nothing")
	}
	return texts, nil
}
