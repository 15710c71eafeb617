package model

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/prove"
)

var update = flag.Bool("update", false, "write the stories in testdata anew")

// large are worlds that take seconds each; every one is visited to its end.
func large() []world {
	return []world{
		{again: true, keyed: true, manager: true, crash: true, admin: []op{revoke}},
		{again: true, ben: true, keyed: true, manager: true, crash: true, calm: true, admin: []op{revoke}},
		{again: true, keyed: true, manager: true, calm: true, admin: []op{revoke, grant}, redis: hostile},
		{again: true, manager: true, calm: true, admin: []op{revoke, grant}, redis: honest},
		{ben: true, manager: true, calm: true, admin: []op{revoke, activate}, redis: hostile},
		{ben: true, manager: true, restore: true, admin: []op{revoke}},
		{again: true, ben: true, keyed: true, manager: true, restore: true, calm: true},
		{manager: true, admin: []op{revoke, edit}, restore: true, redis: hostile},
		{admin: []op{grant, revoke}, restore: true, redis: honest},
	}
}

// The right protocol breaks no promise, in any order of events, in the worlds
// where the wrong ones do and in larger ones.
func TestRightProtocol(t *testing.T) {
	worlds := []world{}
	for _, w := range wrongs() {
		worlds = append(worlds, w.in)
	}
	worlds = append(worlds, large()...)
	seen := map[string]bool{}
	all, largest, violations := 0, 0, 0
	for _, w := range worlds {
		name := fmt.Sprintf("%+v", w)
		if seen[name] {
			continue
		}
		seen[name] = true
		r := Explore(model{right(), w}, prove.Size(8_000, 2_000_000))
		all, largest = all+r.States, max(largest, r.States)
		if r.Broken != "" {
			violations++
			t.Errorf("%s: %s\n%s", name, r.Broken, strings.Join(r.Trace, "\n"))
		}
		require.True(t, r.Whole || !prove.Full(), "%s: %d states, and there are more", name, r.States)
	}
	prove.Record(t, prove.Row{Claim: "model/right", Tried: all, Least: 300_000, Violations: violations,
		Note: fmt.Sprintf("%d worlds, each to its end; the largest has %d states", len(seen), largest)})
}

// Every wrong one is caught, and testdata tells by which story.
func TestWrongProtocols(t *testing.T) {
	caught := 0
	for _, w := range wrongs() {
		t.Run(w.name, func(t *testing.T) {
			p := right()
			w.weaken(&p)
			require.NotEqual(t, right(), p, "it weakens nothing")
			r := Explore(model{p, w.in}, 300_000)
			require.NotEmpty(t, r.Broken, "not caught in %d states", r.States)
			caught++
			path := filepath.Join("testdata", w.name+".golden")
			story := tell(w, model{p, w.in}, r)
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(path, []byte(story), 0o644))
			}
			golden, err := os.ReadFile(path)
			require.NoError(t, err, "write it with -update")
			require.Equal(t, string(golden), story)
		})
	}
	files, err := filepath.Glob("testdata/*.golden")
	require.NoError(t, err)
	require.Len(t, files, len(wrongs()), "a story of no wrong protocol")
	prove.Record(t, prove.Row{Claim: "model/wrong", Tried: len(wrongs()), Least: 16, Violations: len(wrongs()) - caught})
}

func tell(w wrong, m model, r Report) string {
	first := m.First().db
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nAt first %s.\n\n", w.why, m.told(facts{actor: first.actor, instance: first.instance, fit: !m.unfit}))
	for i, words := range r.Trace {
		fmt.Fprintf(&b, "%3d  %s\n", i+1, words)
	}
	fmt.Fprintf(&b, "\nBroken: %s.\n", r.Broken)
	return b.String()
}
