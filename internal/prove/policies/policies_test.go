package policies_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/prove"
	rules "github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const machine = `
machine: case
initial: open
facts: {schema: {type: object, properties: {amount: {type: integer}}}}
create: {requires: [anyone]}
read: {requires: [anyone]}
states: {open: {}, shut: {final: true}}
events:
  go: {from: open, to: shut, requires: [anyone], checks: [ok]}
`

const (
	deadline = 50 * time.Millisecond  // Config.PolicyTimeout
	most     = 100 * time.Millisecond // after it
	tries    = 3                      // the best one counts: the others show what else the machine had to do
	ending   = 3 * time.Minute        // until what was given up has to have ended
)

var erin = interlock.Actor{ID: "erin"}

// load makes a gate over the policy, with one instance that it may be asked for.
func load(t *testing.T, source *rules.Source, limit time.Duration) (*interlock.Gate, error) {
	t.Helper()
	st, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	m, err := fsm.Parse("case.yaml", []byte(machine))
	require.NoError(t, err)
	g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Policy: source, Store: st, PolicyTimeout: limit, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { require.NoError(t, g.Close(context.Background())) })
	_, err = g.Create(t.Context(), erin, interlock.CreateRequest{Machine: "case", ID: "1"})
	require.NoError(t, err)
	return g, nil
}

func fire(t *testing.T, g *interlock.Gate, claims map[string]any) (*interlock.Refusal, time.Duration) {
	t.Helper()
	who := erin
	who.Claims = claims
	begin := time.Now()
	_, err := g.Fire(t.Context(), who, interlock.Request{Machine: "case", ID: "1", Event: "go"})
	took := time.Since(begin)
	var no *interlock.Refusal
	if !errors.As(err, &no) {
		return nil, took
	}
	return no, took
}

func TestHostilePolicies(t *testing.T) {
	all := policies()
	step := prove.Size(5, 1)
	tried, wrong, worst, given := 0, 0, time.Duration(0), 0
	for i := 0; i < len(all); i += step {
		h := all[i]
		t.Run(h.name, func(t *testing.T) {
			tried++
			over, leaked, why := h.try(t)
			worst, given = max(worst, over), given+leaked
			if why == "" && prove.Full() && over > most {
				why = fmt.Sprintf("the best of %d answers came %s after the deadline", tries, over)
			}
			if why == "" {
				why = well(t)
			}
			if why != "" {
				wrong++
				t.Error(why)
			}
		})
	}
	prove.Record(t, prove.Row{Claim: "policies/hostile", Tried: tried, Least: 30, Violations: wrong,
		Note: fmt.Sprintf("latest answer %s after the deadline, the best of at most %d; %d evaluations were given up and ended later", worst.Round(time.Millisecond), tries, given)})
}

// try says how long after its deadline the policy was refused, how many of its
// evaluations had to be given up, and what is wrong with that.
func (h hostile) try(t *testing.T) (over time.Duration, leaked int, why string) {
	t.Helper()
	source := rules.Sources(h.files)
	limit := time.Minute // for what ends by itself
	if h.want == inTime {
		limit = deadline
	}
	g, err := load(t, source, limit)
	if h.want == atLoad {
		return 0, 0, h.refused(err)
	}
	if err != nil {
		return 0, 0, fmt.Sprintf("it should load: %v", err)
	}
	over = time.Hour // of the best try; once is enough when it is good
	for n := 0; n == 0 || over > most && n < prove.Size(1, tries); n++ {
		no, took := fire(t, g, h.claims)
		switch {
		case no == nil:
			return 0, leaked, "it said yes"
		case h.want == denied && (no.Stage != interlock.StagePolicy || no.Code != "denied"),
			h.want != denied && (no.Stage != interlock.StageUnavailable || no.Code != "policy_failed"),
			(h.want == inTime) != errors.Is(no.Cause, rules.ErrTimeout):
			return 0, leaked, fmt.Sprintf("refused by %s %s: %v: %v", no.Stage, no.Code, no, no.Cause)
		}
		over = min(over, took-limit)
		leaked += source.Leaked()
		for end := time.Now().Add(ending); source.Leaked() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				return 0, leaked, "what was given up doesn't end"
			}
		}
	}
	if h.want != inTime {
		over = 0
	}
	rows, err := g.History(t.Context(), erin, interlock.Ref{Machine: "case", ID: "1"}, 0, 10)
	if err != nil || len(rows) != 1 {
		return 0, leaked, fmt.Sprintf("history has %d rows (%v)", len(rows), err)
	}
	return max(over, 0), leaked, ""
}

// refused wants an error that says what is wrong, and where.
func (h hostile) refused(err error) string {
	var wrong *rules.LoadError
	if !errors.As(err, &wrong) || len(wrong.Diagnostics) == 0 {
		return fmt.Sprintf("not refused when it was loaded: %v", err)
	}
	for _, d := range wrong.Diagnostics {
		if d.File != "" && d.Code != "" && (h.code == "" || d.Code == h.code) {
			return ""
		}
	}
	return fmt.Sprintf("refused, but not by %s: %.500v", h.code, err)
}

// well sees that a good policy is asked and obeyed after a bad one.
func well(t *testing.T) string {
	t.Helper()
	g, err := load(t, rules.Sources(map[string]string{"case.rego": pkg + "ok if input.event == \"go\"\n"}), time.Minute)
	if err != nil {
		return fmt.Sprintf("afterwards a good policy doesn't load: %v", err)
	}
	if no, _ := fire(t, g, nil); no != nil {
		return fmt.Sprintf("afterwards a good policy doesn't allow: %v", no)
	}
	return ""
}
