package walk

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/store/sqlite"
)

// walks takes as many walks as prove says, and records how many steps they had.
func walks(t *testing.T, claim string, least int, walk func(rt *rapid.T, steps *atomic.Int64)) {
	t.Helper()
	set := flag.Lookup("rapid.checks")
	before := set.Value.String()
	require.NoError(t, set.Value.Set(strconv.Itoa(prove.Size(12, 200))))
	t.Cleanup(func() { require.NoError(t, set.Value.Set(before)) })
	var steps atomic.Int64
	rapid.Check(t, func(rt *rapid.T) { walk(rt, &steps) })
	violations := 0
	if t.Failed() {
		violations = 1
	}
	prove.Record(t, prove.Row{Claim: claim, Tried: int(steps.Load()), Least: least, Violations: violations})
}

// counted counts the steps of a state machine.
func counted(steps *atomic.Int64, actions map[string]func(*rapid.T)) map[string]func(*rapid.T) {
	out := map[string]func(*rapid.T){}
	for name, action := range actions {
		out[name] = func(rt *rapid.T) {
			action(rt)
			if name != "" {
				steps.Add(1)
			}
		}
	}
	return out
}

func memory(t *testing.T) *sqlite.Store {
	t.Helper()
	st, err := sqlite.Open(":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

func gate(t *testing.T, st interlock.Store, change func(*interlock.Config)) *interlock.Gate {
	t.Helper()
	m, err := fsm.Parse("paper.yaml", []byte(paperYAML))
	require.NoError(t, err)
	cfg := interlock.Config{Machines: []*fsm.Machine{m}, Policy: rules{}, Store: st, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), KeepAttempts: 1,
		PolicyTimeout: time.Minute, CommitTimeout: time.Minute, DecisionAge: time.Minute} // no walk is about these, and machines can be slow
	if change != nil {
		change(&cfg)
	}
	g, err := interlock.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close(context.Background())) })
	return g
}

var tenants atomic.Int64

// tenant is a new one for each walk: they share a database.
func tenant() string { return fmt.Sprintf("t%d", tenants.Add(1)) }

// verdict is an answer as both sides can give it: "" is a yes.
func verdict(err error) string {
	var no *interlock.Refusal
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &no):
		return "error: " + err.Error()
	case no.Code != "denied":
		return string(no.Stage) + " " + no.Code
	}
	codes := []string{}
	for _, r := range no.Reasons {
		codes = append(codes, r.Code)
	}
	slices.Sort(codes)
	return fmt.Sprintf("%s denied %v", no.Stage, codes)
}

// paperYAML has what a machine can have: notes, a form, checks on entry, an
// override, an event that stays, one with several targets, a closed and a final state.
const paperYAML = `
machine: paper
initial: draft
roles: {clerk: [], guest: [], chief: [clerk]}
facts:
  schema: {type: object, properties: {amount: {type: integer, minimum: 0}}, required: [amount], additionalProperties: false}
  edit: {requires: [clerk], states: [draft, sent]}
create: {requires: [clerk]}
read: {requires: [clerk, guest]}
states:
  draft: {}
  sent: {}
  checked: {}
  paid: {closed: true, entry: [four_eyes, in_limit]}
  thrown: {final: true}
events:
  send: {from: draft, to: sent, requires: [clerk]}
  check: {from: sent, to: checked, requires: [clerk]}
  pay: {from: checked, to: paid, requires: [clerk], note: forbidden}
  back: {from: [sent, checked], to: draft, requires: [clerk], note: required}
  throw: {from: {any: true, except: [thrown]}, to: thrown, requires: [chief]}
  remark: {from: {any: true}, stay: true, requires: [clerk], input: {type: object, properties: {text: {type: string, minLength: 1}}, required: [text], additionalProperties: false}}
  force: {override: true, note: required, requires: [chief], from: {any: true}, to: [sent, checked, paid]}
`

const maxAmount = 100

// rules is the policy: four eyes, and a limit.
type rules struct{}

func (rules) Compile(context.Context, []*fsm.Machine) (interlock.Rules, error) { return rules{}, nil }
func (rules) Revision(string) string                                           { return "1" }
func (rules) Defines(_, name string) bool                                      { return name == "four_eyes" || name == "in_limit" }
func (rules) Reads(string, string) (form, note bool)                           { return false, false }

func (rules) Decide(_ context.Context, q *interlock.Query) (interlock.Verdict, error) {
	var v interlock.Verdict
	for _, name := range q.Checks {
		holds := false
		switch name {
		case "four_eyes":
			checked := q.Input.Instance.Entered["checked"]
			holds = len(checked) > 0 && !slices.Contains(checked, q.Input.Actor.Person)
		case "in_limit":
			n, ok := q.Input.Instance.Facts["amount"].(interface{ Int64() (int64, error) })
			if ok {
				amount, err := n.Int64()
				holds = err == nil && amount <= maxAmount
			}
		}
		if holds {
			v.Passed = append(v.Passed, name)
		} else {
			v.Failed = append(v.Failed, interlock.Reason{Code: name, Message: name})
		}
	}
	return v, nil
}
