package policies

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// doubled holds itself twice over, n times.
func doubled(n int, format string) string {
	var b strings.Builder
	b.WriteString("\tx0 := input.actor.id\n")
	for i := range n {
		fmt.Fprintf(&b, "\tx%d := "+format+"\n", i+1, i)
	}
	return fmt.Sprintf("%s\tcount(x%d) > 0\n", b.String(), n)
}

func TestLightRules(t *testing.T) {
	for _, tt := range []struct {
		name, rules string
		light       bool
	}{
		{"comparisons", `ok if { input.actor.person != ""; count(input.actor.roles) > 0; every r in input.actor.roles { r != input.note } }`, true},
		{"reasons", "ok if input.event == \"go\"\n\ndeny contains {\"code\": \"a\", \"message\": \"b\", \"params\": {\"id\": input.actor.id, \"note\": input.note}} if input.event == \"stray\"", true},
		{"a few values", "ok if {\n" + doubled(6, "[x%[2]d, x%[2]d]") + "}", true},
		{"arrays", "ok if {\n" + doubled(17, "[x%[2]d, x%[2]d]") + "}", false},
		{"objects", "ok if {\n" + doubled(17, `{"a": x%[2]d, "b": x%[2]d}`) + "}", false},
		{"sets of arrays", "ok if {\n" + doubled(9, `{[x%[2]d, x%[2]d], [x%[2]d, x%[2]d, 1]}`) + "}", false},
		{"over rules", "a := [x, x] if {\n" + doubled(8, "[x%[2]d, x%[2]d]") + "\tx := x8\n}\n\nok if {\n\ty := a\n" + strings.ReplaceAll(doubled(9, "[x%[2]d, x%[2]d]"), "input.actor.id", "y") + "}", false},
		{"by a function", "f(x) := [x, x, x, x]\n\nok if count(f(f(f(f(f(f(f(f(f(input.actor.id)))))))))) == 2", false},
		{"by a function once", "f(x) := [x, x, x, x]\n\nok if count(f(input.actor.id)) == 4", true},
		{"one list", `ok if count([r | some r in input.actor.roles]) > 0`, true},
		{"lists of lists", "ok if {\n\ta := [r | some r in input.actor.roles]\n\tb := [a | some _ in input.actor.roles]\n\tcount(b) > 0\n}", false},
		{"sets of rules of sets", "a contains r if some r in input.actor.roles\n\nb contains [r, a] if some r in a\n\nok if count(b) > 0", false},
		{"in an else", "ok := true if {\n\tinput.event == \"stray\"\n} else := true if {\n\theavy\n}\n\nheavy if {\n" + doubled(17, "[x%[2]d, x%[2]d]") + "}", false},
		{"in what else is evaluated", "ok := true if {\n\tinput.event == \"stray\"\n} else := true if {\n" + doubled(17, "[x%[2]d, x%[2]d]") + "}", false},
		{"in the grant", "ok if input.event == \"go\"\n\ngranted if {\n" + doubled(17, "[x%[2]d, x%[2]d]") + "}", false},
		{"in deny", "ok if input.event == \"go\"\n\ndeny contains {\"code\": \"a\", \"message\": \"b\"} if {\n" + doubled(17, "[x%[2]d, x%[2]d]") + "}", false},
		{"in what nobody asks for", "ok if input.event == \"go\"\n\nother if {\n" + doubled(17, "[x%[2]d, x%[2]d]") + "}", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := checkRules(t, tt.rules)
			p, err := r.machines["m"].query(ask(interlock.Query{Grants: []string{"granted"}}), r.opts)
			require.NoError(t, err)
			require.Equal(t, tt.light, p.light)
		})
	}
}
