package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	claims := map[string]string{"one": "commits, never twice"}
	for _, c := range []struct{ name, report, want, fails string }{
		{"all well", `{"claim":"one","tried":3000,"least":1000,"note":"p99 3 ms"}`, "commits, never twice (p99 3 ms)", ""},
		{"a violation", `{"claim":"one","tried":3000,"violations":1}`, "3000   1", "one: 1 violations in 3000"},
		{"too few", `{"claim":"one","tried":3,"least":1000}`, "3      0", "of 1000 promised"},
		{"nothing", ``, "NOT PROVED", "one: no proof reported"},
		{"an unknown one", `{"claim":"two","tried":3}`, "NOT PROVED", "two: not among the claims"},
		{"no JSON", `{`, "", "the report"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			err := print(&out, strings.NewReader(c.report), claims)
			require.Contains(t, out.String(), c.want)
			if c.fails == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.fails)
			}
		})
	}
}
