package policies

import (
	"bytes"
	"strings"

	"github.com/open-policy-agent/opa/v1/topdown"
)

const (
	maxTraceEvents = 2000
	maxTraceLine   = 500
)

// tracer keeps the first events and counts the rest. A nil tracer has no lines.
type tracer struct {
	events  []*topdown.Event
	dropped int
}

func (t *tracer) Enabled() bool               { return true }
func (t *tracer) Config() topdown.TraceConfig { return topdown.TraceConfig{PlugLocalVars: true} }

// TraceEvent leaves out the gate's own query, and the steps that only repeat
// others: a reader follows rules entered, expressions evaluated, what failed.
func (t *tracer) TraceEvent(e topdown.Event) {
	if e.Op == topdown.UnifyOp || e.Op == topdown.RedoOp || e.Location == nil || e.Location.File == "" {
		return
	}
	if len(t.events) == maxTraceEvents {
		t.dropped++
		return
	}
	t.events = append(t.events, &e)
}

// lines are a step each, with file and line.
func (t *tracer) lines() []string {
	if t == nil {
		return nil
	}
	var b bytes.Buffer
	topdown.PrettyTraceWithLocation(&b, t.events)
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for i, l := range lines {
		if len(l) > maxTraceLine {
			lines[i] = strings.ToValidUTF8(l[:maxTraceLine], "") + "…"
		}
	}
	if t.dropped > 0 {
		lines = append(lines, "… and more steps")
	}
	return lines
}
