//go:build data

package data

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A definition is what a foreign definition says, in the machine file's words.
// It holds no judgement: duplicates and undeclared names go into the machine
// file as they are, and the loader says what it thinks of them.
type definition struct {
	name, initial string
	states        []state
	events        []*event
	mapped        []string // what the translation had to decide
}

type state struct {
	name  string
	final bool
	meta  map[string]any
}

type event struct {
	name     string
	note     string // "", "required"
	override bool
	edges    []edge
}

type edge struct {
	from     []string // or any
	any      bool
	except   []string
	to       string
	toMany   []string // instead of to
	stay     bool
	requires []string // none: an edge that nobody can take
	checks   []string
	meta     map[string]any
}

func (d *definition) event(name string) *event {
	for _, e := range d.events {
		if e.name == name {
			return e
		}
	}
	e := &event{name: name}
	d.events = append(d.events, e)
	return e
}

func (d *definition) decided(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(d.mapped, s) {
		d.mapped = append(d.mapped, s)
	}
}

// yaml is the machine file, every event in the long form, every name quoted.
func (d *definition) yaml() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "machine: %s\ninitial: %s\nstates:\n", quoted(d.name), quoted(d.initial))
	for _, s := range d.states {
		fields := extras(s.meta)
		if s.final {
			fields = append([]string{"final: true"}, fields...)
		}
		fmt.Fprintf(&b, "  %s: {%s}\n", quoted(s.name), strings.Join(fields, ", "))
	}
	b.WriteString("events:\n")
	if len(d.events) == 0 {
		b.WriteString("  {}\n")
	}
	for _, e := range d.events {
		fmt.Fprintf(&b, "  %s:\n", quoted(e.name))
		if e.note != "" {
			fmt.Fprintf(&b, "    note: %s\n", e.note)
		}
		if e.override {
			b.WriteString("    override: true\n")
		}
		b.WriteString("    transitions:\n")
		for _, x := range e.edges {
			fmt.Fprintf(&b, "      - {%s}\n", strings.Join(x.fields(), ", "))
		}
	}
	return []byte(b.String())
}

func (x edge) fields() []string {
	from := "from: " + quoted(x.from)
	if x.any {
		from = "from: {any: true}"
		if len(x.except) > 0 {
			from = "from: {any: true, except: " + quoted(x.except) + "}"
		}
	}
	fields := []string{from, "to: " + quoted(x.to)}
	switch {
	case x.stay:
		fields[1] = "stay: true"
	case x.toMany != nil:
		fields[1] = "to: " + quoted(x.toMany)
	}
	if len(x.requires) > 0 {
		fields = append(fields, "requires: "+quoted(x.requires))
	}
	if len(x.checks) > 0 {
		fields = append(fields, "checks: "+quoted(x.checks))
	}
	return append(fields, extras(x.meta)...)
}

// quoted is JSON, which is YAML too.
func quoted(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%q", err.Error())
	}
	return string(b)
}

func extras(meta map[string]any) []string {
	var fields []string
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		fields = append(fields, key+": "+quoted(meta[key]))
	}
	return fields
}

var notWord = regexp.MustCompile(`[^a-z0-9]+`)

// condition turns the words of a foreign condition into the name of a rule.
func condition(words string) string {
	return strings.Trim(notWord.ReplaceAllString(strings.ToLower(words), "_"), "_")
}
