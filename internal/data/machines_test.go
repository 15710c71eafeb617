//go:build data

package data

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

// TestDefinitions turns each foreign definition into a machine file and loads
// it. Each loads, or is refused with a sentence that is expected here.
func TestDefinitions(t *testing.T) {
	for _, set := range []struct {
		pattern string
		files   int
		convert func([]byte) (*definition, error)
		refused map[string]string // definition → part of the sentence
	}{
		{"machines/*.yaml", 32, fromMachine, map[string]string{
			"solidus_return_item_acceptance": `the event "attempt_accept" already has a transition from "pending"`,
			"solidus_shipment":               `the event "ready" already has a transition from "pending"`,
		}},
		{"workflows/*.json", 51, fromWorkflow, map[string]string{
			"opengever_private_mail_workflow": `"mail-state-removed"`,
			"Journal Entry":                   `already has a transition from "Draft"`,
			"Work Permit":                     `already has a transition from "Pending By Supervisor"`,
		}},
	} {
		t.Run(filepath.Dir(set.pattern), func(t *testing.T) {
			paths := files(t, set.pattern)
			assert.Len(t, paths, set.files)
			var table table
			refused := map[string]bool{}
			for _, path := range paths {
				d, err := set.convert(read(t, path))
				require.NoError(t, err, path)
				m, err := fsm.Parse(d.name+".yaml", d.yaml())
				table.add(d, m, err)
				if err == nil {
					assertFaithful(t, d, m)
					continue
				}
				refused[d.name] = true
				want, expected := set.refused[d.name]
				if assert.True(t, expected, "%s: %v\n%s", path, err, d.yaml()) {
					assert.ErrorContains(t, err, want, path)
					assertSentences(t, err)
				}
			}
			for name := range set.refused {
				assert.True(t, refused[name], "%s is expected to be refused", name)
			}
			t.Log("\n" + table.String())
		})
	}
}

// assertFaithful holds the compiled machine against what the source says.
func assertFaithful(t *testing.T, d *definition, m *fsm.Machine) {
	t.Helper()
	assert.Equal(t, d.name, m.Name())
	assert.Equal(t, d.initial, m.State(m.Initial()).Name)
	assert.Len(t, m.States(), len(d.states), d.name)
	assert.Len(t, m.Events(), len(d.events), d.name)
	edges := 0
	for _, e := range d.events {
		id, ok := m.EventByName(e.name)
		require.True(t, ok, "%s: event %s", d.name, e.name)
		for _, x := range e.edges {
			for _, from := range x.sources(d) {
				edges++
				s, ok := m.StateByName(from)
				require.True(t, ok, "%s: state %s", d.name, from)
				step := m.Step(s, id)
				if !assert.Len(t, step, 1, "%s: %s from %s", d.name, e.name, from) {
					continue
				}
				want := x.to
				if x.stay {
					want = from
				}
				assert.Equal(t, want, m.State(step[0].To).Name, "%s: %s from %s", d.name, e.name, from)
				assert.Equal(t, x.stay, step[0].Stay, "%s: %s from %s", d.name, e.name, from)
				assert.ElementsMatch(t, x.requires, step[0].Requires, "%s: %s from %s", d.name, e.name, from)
				assert.ElementsMatch(t, x.checks, step[0].Checks, "%s: %s from %s", d.name, e.name, from)
			}
		}
	}
	assert.Len(t, m.Edges(), edges, d.name)
	assertFindings(t, d, m)
}

// assertFindings: what cannot be reached, what leads nowhere and what nobody can
// take, counted here by other means.
func assertFindings(t *testing.T, d *definition, m *fsm.Machine) {
	t.Helper()
	leads := map[string][]string{}
	nobody := 0
	for _, e := range d.events {
		for _, x := range e.edges {
			if len(x.requires) == 0 {
				nobody++
			}
			for _, from := range x.sources(d) {
				to := x.to
				if x.stay {
					to = from
				}
				leads[from] = append(leads[from], to)
			}
		}
	}
	reached := map[string]bool{d.initial: true}
	for open := []string{d.initial}; len(open) > 0; open = open[1:] {
		for _, to := range leads[open[0]] {
			if !reached[to] {
				reached[to] = true
				open = append(open, to)
			}
		}
	}
	want := map[string]int{fsm.FindingNobody: nobody}
	for _, s := range d.states {
		switch on := slices.ContainsFunc(leads[s.name], func(to string) bool { return to != s.name }); {
		case !reached[s.name]:
			want[fsm.FindingUnreachable]++
		case !on && !s.final:
			want[fsm.FindingDeadEnd]++
		}
	}
	got := map[string]int{}
	for _, f := range m.Findings() {
		got[f.Code]++
	}
	for code, n := range want {
		assert.Equal(t, n, got[code], "%s: %s: %v", d.name, code, m.Findings())
	}
}

// sources are the states that the edge leaves, wildcards resolved by the
// source's rule: any state but those excepted.
func (x edge) sources(d *definition) []string {
	if !x.any {
		return x.from
	}
	var all []string
	for _, s := range d.states {
		excepted := s.final
		for _, e := range x.except {
			excepted = excepted || e == s.name
		}
		if !excepted {
			all = append(all, s.name)
		}
	}
	return all
}

// assertSentences: a refusal names places and says what would be right.
func assertSentences(t *testing.T, err error) {
	t.Helper()
	var load *fsm.LoadError
	require.True(t, errors.As(err, &load), "%v", err)
	for _, f := range load.Findings {
		assert.Positive(t, f.Line, f.Message)
		assert.Positive(t, f.Column, f.Message)
		assert.NotEmpty(t, f.Code, f.Message)
		assert.Contains(t, f.Message, " ")
	}
}

// table is the report: one line a definition.
type table struct {
	rows, sentences         []string
	loaded, refused, spoken int
}

func (b *table) add(d *definition, m *fsm.Machine, err error) {
	if err != nil {
		b.refused++
		var load *fsm.LoadError
		sentence := err.Error()
		if errors.As(err, &load) && len(load.Findings) > 0 {
			sentence = fmt.Sprintf("%s (%d in all)", load.Findings[0].Message, len(load.Findings))
		}
		b.rows = append(b.rows, fmt.Sprintf("%s\t%d\t\trefused\t\t%s", d.name, len(d.states), strings.Join(d.mapped, "; ")))
		b.sentences = append(b.sentences, d.name+": "+sentence)
		return
	}
	b.loaded++
	codes := map[string]int{}
	var order []string
	for _, f := range m.Findings() {
		b.spoken++
		if codes[f.Code]++; codes[f.Code] == 1 {
			order = append(order, f.Code)
		}
	}
	for i, code := range order {
		order[i] = fmt.Sprintf("%s×%d", code, codes[code])
	}
	b.rows = append(b.rows, fmt.Sprintf("%s\t%d\t%d\tloaded\t%d %s\t%s", d.name, len(m.States()), len(m.Edges()), len(m.Findings()), strings.Join(order, " "), strings.Join(d.mapped, "; ")))
}

func (b *table) String() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "name\tstates\tedges\tresult\tfindings\tdecided by the translation")
	for _, row := range b.rows {
		fmt.Fprintln(w, row)
	}
	_ = w.Flush()
	for _, s := range b.sentences {
		fmt.Fprintln(&out, "refused "+s)
	}
	fmt.Fprintf(&out, "%d loaded, %d refused, %d findings\n", b.loaded, b.refused, b.spoken)
	return out.String()
}
