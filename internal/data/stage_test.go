//go:build data

package data

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

const (
	machineName = "row"
	instanceID  = "it"
	force       = "force" // an override by the system into any state, where a row sets the state
)

// definitionOf translates a row's machine. Guards become checks, each with the
// value that the row gives it; permissions become roles.
func definitionOf(row behaviour, rules *scripted) *definition {
	d := &definition{name: machineName, initial: row.Machine.Initial}
	add := func(names ...string) {
		for _, name := range names {
			known := slices.ContainsFunc(d.states, func(s state) bool { return s.name == name })
			if !known && name != "" && name != "*" && name != "+" {
				d.states = append(d.states, state{name: name})
			}
		}
	}
	declared := len(row.Machine.States) > 0
	add(row.Machine.Initial)
	add(row.Machine.States...)
	forced := false
	for _, s := range row.Steps {
		if s.State != "" && s.Op != "load" {
			add(s.State)
			forced = true
		}
	}
	for _, t := range row.Machine.Transitions {
		if !declared {
			add(t.From, t.To)
		}
	}
	for _, t := range row.Machine.Transitions {
		x := edge{from: []string{t.From}, to: t.To, requires: slices.Clone(t.Roles)}
		switch t.From {
		case "*":
			x.from, x.any = nil, true
		case "+":
			x.from, x.any, x.except = nil, true, []string{t.To}
		}
		if name, ok := strings.CutPrefix(t.Permission, "instance rule: "); ok {
			x.requires = append(x.requires, "$"+name)
		} else if t.Permission != "" {
			x.requires = append(x.requires, t.Permission)
		}
		for _, guard := range t.Guards {
			rules.guard(&x, guard)
		}
		if len(x.requires) == 0 {
			x.requires = []string{fsm.Anyone}
		}
		d.event(t.Event).edges = append(d.event(t.Event).edges, x)
	}
	if forced {
		e := d.event(force)
		e.override = true
		x := edge{any: true, requires: []string{fsm.System}}
		for _, s := range d.states {
			x.toMany = append(x.toMany, s.name)
		}
		e.edges = []edge{x}
	}
	return d
}

// head is what every row's machine has beside its graph.
const head = `
create: {requires: [anyone]}
read: {requires: [anyone]}
facts:
  schema: {type: object, properties: {shop: {type: string}}}
  edit: {requires: [system], states: {any: true}}
`

// scripted is a policy whose conditions are functions.
type scripted struct {
	mu    sync.Mutex
	conds map[string]func(*interlock.Input) (bool, error)
	deny  []interlock.Reason
	want  string // target
	step  *step  // what the running step says
}

func newScripted() *scripted {
	return &scripted{conds: map[string]func(*interlock.Input) (bool, error){
		"staff": func(in *interlock.Input) (bool, error) { return in.Actor.Claims["staff"] == true, nil },
	}}
}

// guard gives the edge a check with the value that the row's words have.
func (p *scripted) guard(x *edge, guard any) {
	switch g := guard.(type) {
	case bool:
		p.check(x, fmt.Sprintf("is_%t", g), func(*interlock.Input) (bool, error) { return g, nil })
	case string:
		switch {
		case strings.HasPrefix(g, "unless "):
			p.check(x, condition(g), func(*interlock.Input) (bool, error) { return g == "unless false", nil })
		case strings.HasPrefix(g, "shop "):
			p.check(x, condition(g), func(in *interlock.Input) (bool, error) {
				return in.Instance.Facts["shop"] == strings.TrimPrefix(g, "shop "), nil
			})
		case strings.HasPrefix(g, "is_granted"):
			x.requires = append(x.requires, "granted")
		case strings.HasPrefix(g, "is_valid"):
			p.check(x, "is_valid", func(*interlock.Input) (bool, error) { return p.current().Valid != nil && *p.current().Valid, nil })
		default: // what raises
			p.check(x, condition(g), func(*interlock.Input) (bool, error) { return false, errors.New(g) })
		}
	}
}

func (p *scripted) check(x *edge, name string, holds func(*interlock.Input) (bool, error)) {
	for slices.Contains(x.checks, name) {
		name += "_too"
	}
	p.conds[name] = holds
	x.checks = append(x.checks, name)
}

func (p *scripted) current() *step {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.step == nil {
		return &step{}
	}
	return p.step
}

func (p *scripted) Compile(context.Context, []*fsm.Machine) (interlock.Rules, error) { return p, nil }
func (p *scripted) Revision(string) string                                           { return "scripted" }
func (p *scripted) Reads(string, string) (form, note bool)                           { return false, false }

func (p *scripted) Defines(_, name string) bool {
	return p.conds[name] != nil || name == "deny" && p.deny != nil || name == "target" && p.want != ""
}

func (p *scripted) Decide(_ context.Context, q *interlock.Query) (interlock.Verdict, error) {
	v := interlock.Verdict{}
	for _, name := range q.Checks {
		ok, err := p.conds[name](q.Input)
		switch {
		case err != nil:
			return interlock.Verdict{}, err
		case ok:
			v.Passed = append(v.Passed, name)
		default:
			v.Failed = append(v.Failed, interlock.Reason{Code: name, Message: name + " does not hold"})
		}
	}
	for _, name := range q.Grants {
		if ok, err := p.conds[name](q.Input); err != nil {
			return interlock.Verdict{}, err
		} else if ok {
			v.Granted = append(v.Granted, name)
		}
	}
	if q.Deny && !strings.HasPrefix(q.Input.Event, "$") {
		v.Deny = p.deny
	}
	if q.Target {
		v.Target = p.want
	}
	return v, nil
}

// stage is a gate over SQLite with one instance of a row's machine.
type stage struct {
	gate     *interlock.Gate
	store    *faulty
	rules    *scripted
	observed []interlock.Observation
	seen     []seen // by hooks
}

type seen struct {
	hook, state string
	interlock.Transition
}

// faulty is a store that can be made to fail.
type faulty struct {
	interlock.Store
	reads, writes bool
}

var errBroken = errors.New("the disk is gone")

func (f *faulty) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	if f.reads {
		return interlock.Facts{}, errBroken
	}
	return f.Store.Load(ctx, tenant, ref, actors)
}

func (f *faulty) Commit(ctx context.Context, c *interlock.Commit) error {
	if f.writes {
		return errBroken
	}
	return f.Store.Commit(ctx, c)
}

func (s *stage) Observe(_ context.Context, o interlock.Observation) {
	s.observed = append(s.observed, o)
}

// start makes the row's machine, gate and instance; an error is the loader's or New's.
func start(t *testing.T, row behaviour, rules *scripted, change func(*interlock.Config)) (*stage, error) {
	t.Helper()
	d := definitionOf(row, rules)
	m, err := fsm.Parse(row.ID+".yaml", append(d.yaml(), head...))
	if err != nil {
		return nil, err
	}
	s := &stage{rules: rules, store: &faulty{Store: openSQLite(t)}}
	cfg := interlock.Config{
		Logger: quiet, Machines: []*fsm.Machine{m}, Policy: rules, Store: s.store, Observer: s,
		Before: []func(context.Context, interlock.Transition) error{func(ctx context.Context, tr interlock.Transition) error {
			at, err := s.store.Store.Load(ctx, tr.Tenant, interlock.Ref{Machine: tr.Machine, ID: tr.Instance}, nil)
			if err == nil && at.Instance != nil {
				s.seen = append(s.seen, seen{"before", at.Instance.State, tr})
			}
			return nil
		}},
		After: []func(context.Context, interlock.Transition){func(ctx context.Context, tr interlock.Transition) {
			at, err := s.store.Store.Load(ctx, tr.Tenant, interlock.Ref{Machine: tr.Machine, ID: tr.Instance}, nil)
			if err == nil && at.Instance != nil {
				s.seen = append(s.seen, seen{"after", at.Instance.State, tr})
			}
		}},
	}
	if change != nil {
		change(&cfg)
	}
	if s.gate, err = interlock.New(cfg); err != nil {
		return nil, err
	}
	t.Cleanup(func() { require.NoError(t, s.gate.Close(context.Background())) })
	_, err = s.gate.Create(t.Context(), interlock.SystemActor("", "setup"), interlock.CreateRequest{Machine: machineName, ID: instanceID})
	return s, err
}

func (s *stage) ref() interlock.Ref { return interlock.Ref{Machine: machineName, ID: instanceID} }

func (s *stage) fire(ctx context.Context, actor interlock.Actor, event string) (interlock.Result, error) {
	return s.gate.Fire(ctx, actor, interlock.Request{Machine: machineName, ID: instanceID, Event: event})
}

// setTo moves the instance by the override.
func (s *stage) setTo(ctx context.Context, state string) error {
	_, err := s.gate.Fire(ctx, interlock.SystemActor("", "setup"), interlock.Request{Machine: machineName, ID: instanceID, Event: force, To: state})
	return err
}

func (s *stage) state(ctx context.Context) (string, error) {
	it, err := s.gate.Get(ctx, interlock.SystemActor("", "setup"), s.ref())
	return it.State, err
}

// permitted are the events that the actor may fire now.
func (s *stage) permitted(ctx context.Context, actor interlock.Actor) ([]string, error) {
	menu, err := s.gate.Available(ctx, actor, s.ref())
	events := []string{}
	for _, o := range menu.Options {
		if o.Allowed {
			events = append(events, o.Event)
		}
	}
	return events, err
}

// legal are the events that leave the state, whoever asks.
func (s *stage) legal(state string) []string {
	m, _ := s.gate.Machine(machineName)
	id, _ := m.StateByName(state)
	var events []string
	for _, e := range m.Legal(id) {
		events = append(events, m.Event(e).Name)
	}
	return events
}

// outcome puts the gate's answer in the rows' words.
func outcome(err error) string {
	var r *interlock.Refusal
	switch {
	case err == nil:
		return "ok"
	case !errors.As(err, &r):
		return "error"
	case r.Stage == interlock.StageGraph && r.Code == "unknown_event":
		return "denied:unknown_event"
	case r.Stage == interlock.StageGraph:
		return "denied:graph"
	case r.Stage == interlock.StagePolicy && r.Code == "vetoed":
		return "denied:guard"
	case r.Stage == interlock.StagePolicy:
		for _, reason := range r.Reasons {
			if strings.HasSuffix(reason.Code, "_required") {
				return "denied:permission"
			}
		}
		return "denied:guard"
	case r.Stage == interlock.StageConflict:
		return "denied:conflict"
	}
	return "error"
}

// sameOutcome: an event that the machine doesn't know is one that the graph refuses.
func sameOutcome(want, got string) bool {
	return want == got || want == "denied:graph" && got == "denied:unknown_event"
}
