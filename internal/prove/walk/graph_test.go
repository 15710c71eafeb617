package walk

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// sketch is a random machine as plain data.
type sketch struct {
	states        []string
	final, closed map[string]bool
	events        []sketched
}

type sketched struct {
	name     string
	override bool
	any      bool     // from every state that it may leave, except
	from     []string // else from these; with any: except these
	to       []string // none: stays
}

func drawSketch(rt *rapid.T) sketch {
	s := sketch{final: map[string]bool{}, closed: map[string]bool{}}
	for i := range rapid.IntRange(2, 6).Draw(rt, "states") {
		name := fmt.Sprintf("s%d", i)
		s.states = append(s.states, name)
		s.final[name] = i > 0 && rapid.IntRange(0, 4).Draw(rt, "final") == 0
		s.closed[name] = i > 0 && rapid.IntRange(0, 5).Draw(rt, "closed") == 0
	}
	for i := range rapid.IntRange(1, 6).Draw(rt, "events") {
		e := sketched{name: fmt.Sprintf("e%d", i), override: rapid.Bool().Draw(rt, "override"), any: rapid.Bool().Draw(rt, "any")}
		open := slices.DeleteFunc(slices.Clone(s.states), func(st string) bool { return s.closed[st] || s.final[st] && !e.override })
		few := rapid.SliceOfNDistinct(rapid.SampledFrom(open), 1, len(open), rapid.ID[string])
		e.from = few.Draw(rt, "from")
		e.to = rapid.SliceOfNDistinct(rapid.SampledFrom(s.states), 0, 3, rapid.ID[string]).Draw(rt, "to")
		s.events = append(s.events, e)
	}
	return s
}

func (s sketch) yaml(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "machine: %s\ninitial: s0\ncreate: {requires: [anyone]}\nread: {requires: [anyone]}\nstates:\n", name)
	for _, st := range s.states {
		fmt.Fprintf(&b, "  %s: {final: %t, closed: %t}\n", st, s.final[st], s.closed[st])
	}
	b.WriteString("events:\n")
	for _, e := range s.events {
		from := "[" + strings.Join(e.from, ", ") + "]"
		if e.any {
			from = "{any: true, except: " + from + "}"
		}
		to := "stay: true"
		if len(e.to) > 0 {
			to = "to: [" + strings.Join(e.to, ", ") + "]"
		}
		fmt.Fprintf(&b, "  %s: {override: %t, requires: [anyone], from: %s, %s}\n", e.name, e.override, from, to)
	}
	return b.String()
}

// targets are where the event leads from a state; none where it isn't legal.
func (s sketch) targets(e sketched, state string) []string {
	if s.closed[state] || s.final[state] && !e.override || e.any == slices.Contains(e.from, state) {
		return nil
	}
	if len(e.to) == 0 {
		return []string{state}
	}
	return e.to
}

// On any machine a walk of events comes where the definition, read line by line,
// says; history is that walk.
func TestGraphWalksAsItIsDefined(t *testing.T) {
	st := memory(t)
	var machines atomic.Int64
	walks(t, "rapid/graph", 4_000, func(rt *rapid.T, steps *atomic.Int64) {
		s, name := drawSketch(rt), fmt.Sprintf("m%d", machines.Add(1))
		m, err := fsm.Parse("random.yaml", []byte(s.yaml(name)))
		require.NoError(rt, err, s.yaml(name))
		g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: st, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		require.NoError(rt, err)
		defer func() { require.NoError(rt, g.Close(rt.Context())) }()
		ann := interlock.Actor{ID: "ann"}
		_, err = g.Create(rt.Context(), ann, interlock.CreateRequest{Machine: name, ID: "1"})
		require.NoError(rt, err)
		state, path := "s0", []string{"$create s0 s0"}
		rt.Repeat(counted(steps, map[string]func(*rapid.T){
			"fire": func(rt *rapid.T) {
				e := rapid.SampledFrom(s.events).Draw(rt, "event")
				to := rapid.SampledFrom(append([]string{"", ""}, s.states...)).Draw(rt, "to")
				targets, want := s.targets(e, state), ""
				switch {
				case len(targets) == 0:
					want = "graph illegal_event"
				case to != "" && !slices.Contains(targets, to):
					want = "graph undeclared_target"
				case to == "" && len(targets) > 1:
					want = "input target_required"
				case to == "":
					to = targets[0]
				}
				req := interlock.Request{Machine: name, ID: "1", Event: e.name, To: to, Note: "why"}
				if want == "input target_required" {
					req.To = ""
				}
				res, err := g.Fire(rt.Context(), ann, req)
				require.Equal(rt, want, verdict(err), "%s from %s to %q", e.name, state, to)
				if want == "" {
					path = append(path, strings.Join([]string{e.name, state, to}, " "))
					state = to
					require.Equal(rt, state, res.Instance.State)
				}
			},
		}))
		rows, err := g.History(rt.Context(), ann, interlock.Ref{Machine: name, ID: "1"}, 0, 500)
		require.NoError(rt, err)
		var got []string
		for _, r := range rows {
			got = append(got, strings.Join([]string{r.Event, r.From, r.To}, " "))
		}
		require.Equal(rt, path, got)
	})
}
