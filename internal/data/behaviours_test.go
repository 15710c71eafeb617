//go:build data

package data

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// behaviour is what the suite of another library asserts: a small machine,
// steps, and what is expected of each.
type behaviour struct {
	ID, Suite, Test, Kind, Fit, Note string
	Machine                          *struct {
		Initial     string
		States      []string
		Transitions []struct {
			Event, From, To, Permission string
			Guards                      []any
			Roles                       []string
		}
	}
	Steps []step
}

type step struct {
	Op, Event, Result, State, Why   string
	Expect                          any
	Actor                           any
	StateAfter                      string `json:"state_after"`
	Facts                           map[string]any
	User                            *user
	Granted, Valid                  *bool
	CheckConditions                 *bool  `json:"check_conditions"`
	FailureHook                     int    `json:"failure_hook"`
	MessageContains                 string `json:"message_contains"`
	PreHookState                    string `json:"pre_hook_state"`
	PostHookState                   string `json:"post_hook_state"`
	FinalizerCalled                 bool   `json:"finalizer_called"`
	Report                          map[string]string
	Audit                           []string
	ExpectState                     string `json:"expect_state"`
	Note, When, Rule                string
	Blockers                        []map[string]string
	Status                          int
	Allowed                         map[string]any `json:"args"`
	N, ExpectOK, Version            int
	Changed, Persisted, IgnoreWrong bool
}

type user struct {
	Permissions       []string
	ObjectPermissions map[string][]string `json:"object_permissions"`
	Staff             bool
}

func behaviours(t *testing.T) []behaviour {
	t.Helper()
	var all struct{ Behaviours []behaviour }
	require.NoError(t, json.Unmarshal(read(t, filepath.Join(root(t), "behaviours.json")), &all))
	require.NotEmpty(t, all.Behaviours)
	return all.Behaviours
}

// TestBehaviours executes every row that fits as it stands on a real gate over
// SQLite. departures says which do not hold, and why; a row that changes sides
// fails, in either direction.
func TestBehaviours(t *testing.T) {
	type tally struct{ hold, depart int }
	kinds := map[string]*tally{}
	var lines, order []string
	known := map[string]bool{}
	for _, row := range behaviours(t) {
		if row.Fit != "direct" {
			continue
		}
		known[row.ID] = true
		if kinds[row.Kind] == nil {
			kinds[row.Kind] = &tally{}
			order = append(order, row.Kind)
		}
		why, departs := departures[row.ID]
		var got error
		t.Run(row.ID, func(t *testing.T) {
			run := runners[row.ID]
			if run == nil {
				run = play
			}
			got = run(t, row)
			if departs {
				assert.Error(t, got, "holds now; take it out of departures (%s)", why)
				return
			}
			assert.NoError(t, got, "%s: %s", row.Suite, row.Test)
		})
		if got == nil {
			kinds[row.Kind].hold++
			continue
		}
		kinds[row.Kind].depart++
		lines = append(lines, fmt.Sprintf("%s (%s): %v; %s", row.ID, row.Kind, got, why))
	}
	for id := range departures {
		assert.True(t, known[id], "departures names %s, which is no row", id)
	}
	slices.Sort(order)
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "kind\thold\tdepart")
	total := tally{}
	for _, kind := range order {
		fmt.Fprintf(w, "%s\t%d\t%d\n", kind, kinds[kind].hold, kinds[kind].depart)
		total.hold += kinds[kind].hold
		total.depart += kinds[kind].depart
	}
	fmt.Fprintf(w, "all\t%d\t%d\n", total.hold, total.depart)
	_ = w.Flush()
	t.Log("\n" + out.String() + strings.Join(lines, "\n"))
}

// TestDecisions executes the rows on which libraries disagree, or that mean
// something else here, as Interlock decides them. Each row has its decision.
func TestDecisions(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range behaviours(t) {
		if row.Fit == "direct" {
			continue
		}
		rows[row.ID] = true
		t.Run(row.ID, func(t *testing.T) {
			decision, ok := decisions[row.ID]
			require.True(t, ok, "no decision on %s: %s (%s)", row.ID, row.Test, row.Note)
			require.NoError(t, decision(t, row))
		})
	}
	for id := range decisions {
		assert.True(t, rows[id], "decisions names %s, which is no such row", id)
	}
}
