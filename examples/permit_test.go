package examples_test

import (
	"context"
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/examples"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/store/sqlite"
)

// What permit's README tells of its log holds: accepted, refused by the graph,
// refused by the policy, and where each case ends.
func TestPermitLog(t *testing.T) {
	rows, patience := permitLog(t), policies.Timeout(time.Minute) // a busy machine is no refusal
	for name, test := range map[string]struct {
		policy interlock.Policy
		counts map[interlock.Stage]int // "" is accepted
		states map[string]string
	}{
		"with the policy": {
			policies.FS(examples.Files(), "permit/policies", patience),
			map[interlock.Stage]int{"": 13, interlock.StageGraph: 2, interlock.StagePolicy: 1},
			map[string]string{"P-1": "indication_decided", "P-2": "checked", "P-3": "determined"},
		},
		"with a policy that lets everybody": {
			policies.Sources(map[string]string{"permit.rego": "package interlock.machine.permit\n\nchecked_by_somebody_else := true\n"}, patience),
			map[interlock.Stage]int{"": 15, interlock.StageGraph: 1},
			map[string]string{"P-1": "indication_decided", "P-2": "sent", "P-3": "determined"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Attr("store", "sqlite")
			store, err := sqlite.Open(":memory:")
			require.NoError(t, err)
			defer store.Close()
			gate, err := interlock.New(interlock.Config{Machines: machines(t, "permit"), Policy: test.policy, Store: store, PolicyTimeout: time.Minute})
			require.NoError(t, err)
			defer gate.Close(context.Background())
			byActivity := activities(machines(t, "permit")[0])

			counts, states := map[interlock.Stage]int{}, map[string]string{}
			for _, row := range rows {
				id, activity, person := row[0], row[2], row[4]
				if states[id] == "" {
					made, err := gate.Create(t.Context(), interlock.SystemActor("", "replay"), interlock.CreateRequest{Machine: "permit", ID: id})
					require.NoError(t, err)
					states[id] = made.Instance.State
				}
				done, err := gate.Fire(t.Context(), interlock.Actor{ID: person}, interlock.Request{Machine: "permit", ID: id, Event: byActivity[activity]})
				var no *interlock.Refusal
				if errors.As(err, &no) {
					counts[no.Stage]++
					continue
				}
				require.NoError(t, err)
				counts[""]++
				states[id] = done.Instance.State
			}
			require.Equal(t, test.counts, counts)
			require.Equal(t, test.states, states)
			report, err := interlock.Verify(t.Context(), store, nil)
			require.NoError(t, err)
			require.Empty(t, report.Bad)
		})
	}
}

// The folder holds exactly one YAML file, so that its path may stand for it.
func TestPermitHasOneMachineFile(t *testing.T) {
	names, err := fs.Glob(os.DirFS("permit"), "*.y*ml")
	require.NoError(t, err)
	require.Equal(t, []string{"permit.yaml"}, names)
}

func permitLog(t *testing.T) [][]string {
	t.Helper()
	file, err := os.Open("permit/permit_log.csv")
	require.NoError(t, err)
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"case_id", "timestamp", "activity", "lifecycle", "resource", "role_or_group"}, rows[0])
	return rows[1:]
}

func activities(m *fsm.Machine) map[string]string {
	names := map[string]string{}
	for _, e := range m.Events() {
		activity, _ := e.Meta["activity"].(string)
		names[activity] = e.Name
	}
	return names
}
