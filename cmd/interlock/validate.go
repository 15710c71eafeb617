package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock/fsm"
)

// validated is one file as `validate` reports it.
type validated struct {
	File     string        `json:"file"`
	Machine  string        `json:"machine,omitempty"`
	Revision string        `json:"revision,omitempty"`
	States   int           `json:"states"`
	Events   int           `json:"events"`
	Edges    int           `json:"edges"`
	OK       bool          `json:"ok"`
	Findings []fsm.Finding `json:"findings"`

	machine *fsm.Machine
	text    string // of the load error
}

func (p *program) validate() *cobra.Command {
	var machine string
	var verbose, asJSON bool
	cmd := &cobra.Command{
		Use:   "validate DIR|FILE...",
		Short: "Check machine files; exit 1 when one is wrong",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := machineFiles(args)
			if err != nil {
				return err
			}
			list, err := validateFiles(files, machine)
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(p, map[string]any{"machines": list}); err != nil {
					return err
				}
			} else {
				p.printValidated(list, verbose)
			}
			bad := 0
			for _, v := range list {
				if !v.OK {
					bad++
				}
			}
			if bad > 0 {
				return &finding{fmt.Sprintf("%d of %d machine files are wrong", bad, len(list))}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&machine, "machine", "", "only the machine of this name")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "print each edge, who may take it, what it must meet, and the line that made it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// machineFiles finds the definitions: a file as it is; of a folder the .yaml
// and .yml files directly in it and in a folder `machines` below it.
func machineFiles(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		var found []string
		for _, pattern := range []string{"*.yaml", "*.yml", "machines/*.yaml", "machines/*.yml"} {
			m, err := filepath.Glob(filepath.Join(escapeGlob(arg), pattern))
			if err != nil {
				return nil, err
			}
			found = append(found, m...)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: no .yaml or .yml file in it", arg)
		}
		slices.Sort(found)
		files = append(files, found...)
	}
	return files, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func validateFiles(files []string, only string) ([]validated, error) {
	var list []validated
	slugs := map[string]string{}
	for _, file := range files {
		v := validated{File: file, Findings: []fsm.Finding{}}
		m, err := fsm.Load(file)
		var bad *fsm.LoadError
		switch {
		case errors.As(err, &bad):
			v.Findings, v.text = bad.Findings, bad.Error()
		case err != nil:
			return nil, err
		default:
			v.machine, v.OK = m, true
			v.Machine, v.Revision = m.Name(), m.Revision()
			v.States, v.Events, v.Edges = len(m.States()), len(m.Events()), len(m.Edges())
			v.Findings = append(v.Findings, m.Findings()...)
			v.OK = !slices.ContainsFunc(v.Findings, func(f fsm.Finding) bool { return f.Severity == fsm.Error })
			if other, taken := slugs[m.Slug()]; taken {
				v.OK = false
				v.text = fmt.Sprintf("%s: the machine %q is defined in %s already", file, m.Name(), other)
			}
			slugs[m.Slug()] = file
		}
		if only == "" || v.Machine == only || v.machine == nil {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no machine %q in %s", only, strings.Join(files, ", "))
	}
	return list, nil
}

func (p *program) printValidated(list []validated, verbose bool) {
	for _, v := range list {
		if v.text != "" {
			fmt.Fprintln(p.out, printable(v.text))
			continue
		}
		state := "ok"
		if !v.OK {
			state = "wrong"
		}
		fmt.Fprintf(p.out, "%s: %s: %s: %d states, %d events, %d edges, revision %.12s\n", v.File, v.Machine, state, v.States, v.Events, v.Edges, v.Revision)
		for _, f := range v.Findings {
			fmt.Fprintf(p.out, "  %s:%d:%d: %s: %s (%s)\n", f.File, f.Line, f.Column, f.Severity, printable(f.Message), f.Code)
		}
		if verbose {
			p.printEdges(v.machine)
		}
	}
}

func (p *program) printEdges(m *fsm.Machine) {
	for _, s := range m.States() {
		var marks []string
		if s.ID == m.Initial() {
			marks = append(marks, "initial")
		}
		if s.Final {
			marks = append(marks, "final")
		}
		if s.Closed {
			marks = append(marks, "closed")
		}
		text := "  " + s.Name
		if len(marks) > 0 {
			text += " (" + strings.Join(marks, ", ") + ")"
		}
		fmt.Fprintln(p.out, printable(text))
		for _, e := range m.Edges() {
			if e.From == s.ID {
				fmt.Fprintln(p.out, printable("    "+edgeText(m, e)))
			}
		}
	}
}

func edgeText(m *fsm.Machine, e fsm.Edge) string {
	text := fmt.Sprintf("%s -> %s", m.Event(e.Event).Name, m.State(e.To).Name)
	if e.Stay {
		text += " (stay)"
	}
	if e.Override {
		text += " (override)"
	}
	text += "  requires " + strings.Join(e.Requires, " or ")
	if len(e.Requires) == 0 {
		text += "nobody"
	}
	if len(e.Checks) > 0 {
		text += "; checks " + strings.Join(e.Checks, ", ")
	}
	text += fmt.Sprintf("  [line %d]", e.Source.Line)
	return text
}

func (p *program) graph() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "graph FILE",
		Short: "Draw a machine as Mermaid, DOT or JSON",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := fsm.Load(args[0])
			if err != nil {
				return err
			}
			switch format {
			case "mermaid":
				return m.WriteMermaid(p.out)
			case "dot":
				return m.WriteDOT(p.out)
			case "json":
				return m.WriteJSON(p.out)
			}
			return fmt.Errorf("--format %q: want mermaid, dot or json", format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "mermaid", "mermaid, dot or json")
	return cmd
}
