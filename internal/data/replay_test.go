//go:build data

package data

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

// counts are what a replay by the graph alone finds.
type counts struct {
	states, edges, cases, events       int
	fit, fitFinal                      int // cases without a refusal; and that end in an accepting state
	accepted, refused, endingAccepting int
}

// TestReplayByGraph steps each log through its machines: a refused event leaves
// the state, and the next is tried from there. The counts were made by another
// program.
func TestReplayByGraph(t *testing.T) {
	for _, tt := range []struct {
		machine, log string
		want         counts
	}{
		{"wabo_receipt_derived", "wabo_permit_receipt.csv", counts{19, 34, 1434, 8577, 1367, 1226, 8390, 187, 1286}},
		{"wabo_receipt_strict", "wabo_permit_receipt.csv", counts{8, 8, 1434, 8577, 857, 720, 7029, 1548, 784}},
		{"bpic2020_declaration_derived", "bpic2020_domestic_declarations.csv.gz", counts{15, 23, 10357, 55628, 10293, 10134, 55393, 235, 10181}},
		{"bpic2020_declaration_strict", "bpic2020_domestic_declarations.csv.gz", counts{11, 21, 10357, 55628, 10253, 10119, 55345, 283, 10192}},
	} {
		t.Run(tt.machine, func(t *testing.T) {
			d, accepting, err := fromLog(read(t, filepath.Join(root(t), "logs", tt.machine+".yaml")))
			require.NoError(t, err)
			m, err := fsm.Parse(tt.machine+".yaml", d.yaml())
			require.NoError(t, err)
			got := replay(t, m, accepting, filepath.Join(root(t), "logs", tt.log))
			assert.Equal(t, tt.want, got)
			t.Logf("%s: %+v; findings %d; %s", tt.machine, got, len(m.Findings()), strings.Join(d.mapped, "; "))
		})
	}
}

func replay(t *testing.T, m *fsm.Machine, accepting map[string]bool, log string) counts {
	t.Helper()
	events := map[string]fsm.EventID{}
	for _, e := range m.Events() {
		events[e.Name] = e.ID
	}
	type course struct {
		at      fsm.StateID
		refused bool
	}
	cases := map[string]*course{}
	c := counts{states: len(m.States()), edges: len(m.Edges())}
	eachRow(t, log, func(caseID, activity string) {
		k := cases[caseID]
		if k == nil {
			k = &course{at: m.Initial()}
			cases[caseID] = k
		}
		c.events++
		if id, known := events[condition(activity)]; known {
			if step := m.Step(k.at, id); len(step) == 1 {
				k.at = step[0].To
				c.accepted++
				return
			}
		}
		c.refused++
		k.refused = true
	})
	c.cases = len(cases)
	for _, k := range cases {
		end := accepting[m.State(k.at).Name]
		if end {
			c.endingAccepting++
		}
		if !k.refused {
			c.fit++
			if end {
				c.fitFinal++
			}
		}
	}
	return c
}

// eachRow reads a log in file order.
func eachRow(t *testing.T, path string, row func(caseID, activity string)) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		require.NoError(t, err)
		r = z
	}
	in := csv.NewReader(r)
	head, err := in.Read()
	require.NoError(t, err)
	require.Equal(t, []string{"case_id", "timestamp", "activity"}, head[:3])
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		row(fields[0], fields[2])
	}
}
