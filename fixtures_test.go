package interlock_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/store/sqlite"
)

const loanYAML = `
machine: loan
initial: created
roles:
  manager: [employee]
facts:
  schema:
    type: object
    properties: {amount: {type: integer, minimum: 0}}
    required: [amount]
  edit: {requires: [employee], states: [created]}
attrs:
  schema: {type: object, properties: {limit: {type: integer, minimum: 0}}}
create: {requires: [employee]}
read: {requires: [employee]}
states:
  created: {}
  submitted: {}
  reviewed: {}
  verified: {}
  approved: {closed: true, entry: [four_eyes, within_limit]}
  denied: {final: true}
events:
  submit: {from: created, to: submitted, requires: [employee]}
  review: {from: submitted, to: reviewed, requires: [employee]}
  verify: {from: reviewed, to: verified, requires: [employee]}
  approve: {from: verified, to: approved, requires: [employee], title: Approve}
  deny:
    note: required
    transitions:
      - {from: reviewed, to: denied, requires: [employee]}
      - {from: verified, to: denied, requires: [employee]}
  comment:
    from: {any: true}
    stay: true
    requires: [employee]
    input: {type: object, properties: {text: {type: string, minLength: 1}}, required: [text], additionalProperties: false}
  override:
    override: true
    note: required
    requires: [manager]
    from: {any: true}
    to: [submitted, reviewed, verified, approved]
`

// rules is a policy written in Go: each condition a function of the input. true
// is true; an error fails the evaluation; anything else is not true.
type rules struct {
	conditions map[string]func(*interlock.Input) any
	deny       func(*interlock.Input) []interlock.Reason
	target     func(*interlock.Input) string
	readsForm  []string
	readsNote  []string
	revision   string
}

func (r *rules) Compile(context.Context, []*fsm.Machine) (interlock.Rules, error) { return r, nil }
func (r *rules) Revision(string) string                                           { return "rules-" + r.revision }

func (r *rules) Defines(_, name string) bool {
	switch name {
	case "deny":
		return r.deny != nil
	case "target":
		return r.target != nil
	}
	return r.conditions[name] != nil
}

func (r *rules) Reads(_, name string) (form, note bool) {
	return slices.Contains(r.readsForm, name), slices.Contains(r.readsNote, name)
}

func (r *rules) Decide(_ context.Context, q *interlock.Query) (v interlock.Verdict, err error) {
	eval := func(name string) (bool, error) {
		switch x := r.conditions[name](q.Input).(type) {
		case bool:
			return x, nil
		case error:
			return false, x
		}
		return false, nil
	}
	for _, name := range q.Checks {
		ok, err := eval(name)
		if err != nil {
			return interlock.Verdict{}, err
		}
		if ok {
			v.Passed = append(v.Passed, name)
		} else {
			v.Failed = append(v.Failed, interlock.Reason{Code: name, Message: "title of " + name})
		}
	}
	for _, name := range q.Grants {
		ok, err := eval(name)
		if err != nil {
			return interlock.Verdict{}, err
		}
		if ok {
			v.Granted = append(v.Granted, name)
		}
	}
	if q.Deny && r.deny != nil {
		v.Deny = r.deny(q.Input)
	}
	if q.Target && r.target != nil {
		v.Target = r.target(q.Input)
	}
	return v, nil
}

func loanRules() *rules {
	return &rules{conditions: map[string]func(*interlock.Input) any{
		"four_eyes": func(in *interlock.Input) any {
			verified := in.Instance.Entered["verified"]
			return len(verified) > 0 && !slices.Contains(verified, in.Actor.Person)
		},
		"within_limit": func(in *interlock.Input) any {
			amount, ok1 := number(in.Instance.Facts["amount"])
			limit, ok2 := number(in.Actor.Attrs["limit"])
			return ok1 && ok2 && amount <= limit
		},
	}}
}

func number(v any) (int64, bool) {
	n, ok := v.(interface{ Int64() (int64, error) })
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func machines(t testing.TB, sources ...string) []*fsm.Machine {
	t.Helper()
	var list []*fsm.Machine
	for _, src := range sources {
		m, err := fsm.Parse("test.yaml", []byte(src))
		require.NoError(t, err)
		list = append(list, m)
	}
	return list
}

func memory(t testing.TB, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	st, err := sqlite.Open(":memory:", opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// patience is for whatever would be another answer on a busy machine: a test of a
// limit sets its own.
const patience = 30 * time.Second

// newGate is a patient gate on the loan machine; change may alter its Config.
func newGate(t testing.TB, change func(*interlock.Config)) *interlock.Gate {
	t.Helper()
	cfg := interlock.Config{Policy: loanRules(), Logger: quiet(),
		ReadTimeout: patience, CommitTimeout: patience, PolicyTimeout: patience, DecisionAge: patience, HandlerLimit: patience}
	if change != nil {
		change(&cfg)
	}
	if cfg.Machines == nil {
		cfg.Machines = machines(t, loanYAML)
	}
	if cfg.Store == nil {
		cfg.Store = memory(t)
	}
	g, err := interlock.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close(context.Background())) })
	return g
}

func employee(id string) interlock.Actor { return interlock.Actor{ID: id, Roles: []string{"employee"}} }
func manager(id string) interlock.Actor  { return interlock.Actor{ID: id, Roles: []string{"manager"}} }

var root = interlock.SystemActor("", "test")

func limit(t testing.TB, g *interlock.Gate, id string, n int) {
	t.Helper()
	_, err := g.SetActor(t.Context(), root, id, map[string]any{"limit": n}, nil)
	require.NoError(t, err)
}

func newLoan(t testing.TB, g *interlock.Gate, id string) {
	t.Helper()
	_, err := g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: id, Facts: map[string]any{"amount": 1000}})
	require.NoError(t, err)
}

func fire(t testing.TB, g *interlock.Gate, who interlock.Actor, id string, events ...string) interlock.Result {
	t.Helper()
	var res interlock.Result
	for _, e := range events {
		var err error
		res, err = g.Fire(t.Context(), who, interlock.Request{Machine: "loan", ID: id, Event: e})
		require.NoError(t, err, e)
	}
	return res
}

func refusal(t testing.TB, err error, stage interlock.Stage, code string) *interlock.Refusal {
	t.Helper()
	var r *interlock.Refusal
	require.ErrorAs(t, err, &r)
	require.Equal(t, stage, r.Stage, r.Error())
	require.Equal(t, code, r.Code, r.Error())
	return r
}

func codes(reasons []interlock.Reason) []string {
	list := []string{}
	for _, r := range reasons {
		list = append(list, r.Code)
	}
	return list
}

// loanYAMLWith is the loan machine with one line changed.
func loanYAMLWith(t testing.TB, old, changed string) string {
	t.Helper()
	require.Contains(t, loanYAML, old)
	return strings.Replace(loanYAML, old, changed, 1)
}
