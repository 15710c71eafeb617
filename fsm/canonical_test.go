package fsm_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

// Layout, comments, forms and the order of what has none change nothing.
func TestRevisionIsOfTheMeaning(t *testing.T) {
	want := parse(t,
		"machine: m", "initial: a", "title: M", "roles: {r: [p, q]}", "checks: [u, v]",
		"states: {a: {title: A, color: red}, b: {final: true}, c: {final: true}}",
		"events: {go: {from: [a], to: [b, c], requires: [p, q]}, touch: {from: {any: true, except: [b, c]}, stay: true, requires: [r]}}",
	).Revision()
	require.Regexp(t, "^[0-9a-f]{64}$", want)
	same := map[string][]string{
		"block style and comments": {
			"# a machine", "machine: m  # its name", "initial: 'a'", `title: "M"`,
			"roles:", "  r:", "    - p", "    - q", "checks:", "- u", "- v", "states:", "  a:", "    title: A", "    color: red", "  b:", "    final: true", "  c: {final: true}",
			"events:", "  go:", "    from: a", "    to: [b, c]", "    requires: [p, q]", "  touch:", "    from: {any: true, except: [b, c]}", "    stay: true", "    requires: [r]",
		},
		"another order of keys and sets": {
			"events: {go: {requires: [q, p], to: [b, c], from: a}, touch: {stay: true, from: {except: [c, b], any: true}, requires: [r]}}",
			"states: {a: {color: red, title: A, final: false}, b: {final: true}, c: {final: true}}",
			"checks: [v, u]", "roles: {r: [q, p]}", "title: M", "initial: a", "machine: m",
		},
		"the long form, and aliases": {
			"machine: m", "initial: a", "title: M", "roles: {r: [p, q]}", "checks: [u, v]",
			"states: {a: {title: A, color: red}, b: &end {final: true}, c: *end}",
			"events: {go: {note: optional, requires: [p, q], transitions: [{from: a, to: [b, c]}]}, touch: {transitions: [{from: {any: true, except: [b, c]}, stay: true, requires: [r]}]}}",
		},
	}
	for name, lines := range same {
		require.Equal(t, want, parse(t, lines...).Revision(), name)
	}
}

// Whatever a decision, a menu or a drawing could show changes the revision.
func TestRevisionSeesEveryChange(t *testing.T) {
	source := string(read(t, "testdata/good/everything.yaml"))
	seen := map[string]string{load(t, "everything").Revision(): "unchanged"}
	for _, change := range [][2]string{
		{"machine: everything", "machine: everything2"}, {"title: Every part", "title: Each part"}, {"order: 3", "order: 4"}, {"tags: [a, b]", "tags: [b, a]"},
		{"initial: draft", "initial: open"}, {"lead: [member, guest]", "lead: [member]"}, {"auditor:\n", "auditor: [guest]\n"}, {"checks: [office_open]\nfacts", "checks: [office_shut]\nfacts"}, {"if_match: required", "if_match: optional"},
		{"minimum: 0", "minimum: 1"}, {"checks: [not_frozen]", "checks: []"}, {"states: {any: true, except: draft}", "states: {any: true}"}, {"limit: {type: integer}", "limit: {type: number}"},
		{"create: {requires: [anyone]", "create: {requires: [guest]"}, {"read: {requires: [auditor, guest]}\n", ""}, {"explain: {requires: [auditor]}\n", ""},
		{"  open: {title: Open, tags: [work]}\n  first_review: {entry: [complete]}\n", "  first_review: {entry: [complete]}\n  open: {title: Open, tags: [work]}\n"},
		{"entry: [complete, four_eyes]", "entry: [four_eyes]"}, {"void: {closed: true, final: true}", "void: {closed: true}"},
		{"note: forbidden", "note: required"}, {"stay: true", "to: [open]"}, {"to: [first_review, second_review]", "to: [second_review, first_review]"},
		{"requires: [lead], checks: [quiet, second]", "requires: [member], checks: [quiet, second]"}, {"checks: [quiet, second]", "checks: [second]"}, {"title: Once more", "title: Again"},
		{"x-hint: the policy picks", "x-hint: you pick"}, {"except: [draft, open]}, to: done", "except: [draft]}, to: done"}, {"    override: true\n    note: required", "    note: required\n    override: true\n    x-more: 1"},
	} {
		require.Equal(t, 1, strings.Count(source, change[0]), "the fixture holds %q once", change[0])
		m := parse(t, strings.Replace(source, change[0], change[1], 1))
		require.NotContains(t, seen, m.Revision(), "%q instead of %q", change[1], change[0])
		seen[m.Revision()] = change[1]
	}
}

// What is stored of a machine reads back as the same machine.
func TestSourceReadsBack(t *testing.T) {
	for _, path := range append(files(t, "testdata/good/*.yaml"), files(t, "testdata/findings/*.yaml")...) {
		m, err := fsm.Load(path)
		require.NoError(t, err)
		require.True(t, json.Valid(m.Source()), path)
		again, err := fsm.Parse("stored.json", m.Source())
		require.NoError(t, err, path)
		require.Equal(t, m.Revision(), again.Revision(), path)
		require.Equal(t, string(m.Source()), string(again.Source()))
		require.Equal(t, named(m, m.Edges()), named(again, again.Edges()))
		require.Equal(t, m.Roles(), again.Roles())
		require.ElementsMatch(t, m.Read().Requires, again.Read().Requires)
		require.Len(t, again.Findings(), len(m.Findings()))
	}
}

func TestCanonicalFormIsStable(t *testing.T) {
	m := load(t, "everything")
	golden(t, "testdata/everything.canonical.golden", append(append(m.Source(), '\n'), m.Revision()+"\n"...))
}
