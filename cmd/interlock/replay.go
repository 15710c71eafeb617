package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
)

// replayFlags are the options of `interlock replay`.
type replayFlags struct {
	machine, policies, log       string
	caseCol, eventCol, actorCol  string
	roleCol, timeCol, systemRole string
	store, redis, tenant         string
	json                         bool
}

func (p *program) replay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --machine FILE --log FILE[.gz]",
		Short: "Drive every row of an event log through the gate and a store",
		Long: `Drive every row of an event log, in file order, through the real gate and a real
store: one instance a case, created by the system; the row's actor with the
row's role; the row's time as now. An event is found by its activity metadata,
else by its slug; one that the machine doesn't have is refused by the graph.
Without --policies, checks, grants and deny are left out.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.runReplay(cmd.Context(), f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.machine, "machine", "", "machine file (required)")
	fl.StringVar(&f.policies, "policies", "", "folder of Rego policies")
	fl.StringVar(&f.log, "log", "", "CSV file with a header, may be gzipped (required)")
	fl.StringVar(&f.caseCol, "case", "case_id", "column of the case")
	fl.StringVar(&f.eventCol, "event", "activity", "column of the event")
	fl.StringVar(&f.actorCol, "actor", "resource", "column of the actor")
	fl.StringVar(&f.roleCol, "role", "role_or_group", "column of the actor's role")
	fl.StringVar(&f.timeCol, "time", "timestamp", "column of the time, RFC 3339")
	fl.StringVar(&f.systemRole, "system-role", "UNDEFINED", "value of the role column that means the system itself")
	fl.StringVar(&f.store, "store", "sqlite", "sqlite (a new file), sqlite:PATH, or a postgres:// URL")
	fl.StringVar(&f.redis, "redis", "", "redis:// URL of a cache")
	fl.StringVar(&f.tenant, "tenant", interlock.DefaultTenant, "tenant of the instances")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	for _, name := range []string{"machine", "log"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

// replayed is the report.
type replayed struct {
	Machine      string         `json:"machine"`
	Policies     string         `json:"policies"` // folder, or "left out"
	Store        string         `json:"store"`
	Cache        bool           `json:"cache"`
	Cases        int            `json:"cases"`
	Events       int            `json:"events"`
	Accepted     int            `json:"accepted"`
	RefusedGraph int            `json:"refused_graph"`
	RefusedInput int            `json:"refused_input"`
	RefusedBy    map[string]int `json:"refused_policy_by_code"`
	RefusedPol   int            `json:"refused_policy"`
	Clean        int            `json:"cases_without_refusal"`
	Final        int            `json:"cases_in_final_state"`
	First        []firstRefusal `json:"first_refusals"`
	PerSecond    float64        `json:"events_per_second"`
	Seconds      float64        `json:"seconds"`
}

// firstRefusal counts the cases whose first refusal was of this event in this state.
type firstRefusal struct {
	State string `json:"state"`
	Event string `json:"event"`
	Cases int    `json:"cases"`
}

func (p *program) runReplay(ctx context.Context, f replayFlags) (err error) {
	m, err := fsm.Load(f.machine)
	if err != nil {
		return err
	}
	rows, err := openLog(f)
	if err != nil {
		return err
	}
	defer rows.close()
	where, err := storePlace(f.store)
	if err != nil {
		return err
	}
	st, err := openStore(ctx, where)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	cache, closeCache, err := openCache(f.redis, slog.Default(), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeCache()) }()
	r := &replayer{flags: f, machine: m, cases: map[string]*replayCase{}, events: eventsByActivity(m), ids: newSlugs(), actors: newSlugs()}
	cfg := interlock.Config{Machines: []*fsm.Machine{m}, Policy: graphAlone{}, Store: st.Store, Cache: cache, Now: func() time.Time { return r.now }}
	r.report = replayed{Machine: m.Name(), Policies: "left out: checks, grants and deny were not asked", Store: st.name, Cache: cache != nil, RefusedBy: map[string]int{}}
	if f.policies != "" {
		// Nobody waits for a single row, so a busy machine is no reason to stop.
		cfg.Policy, r.report.Policies = policies.Dir(f.policies, policies.Timeout(replayPatience)), f.policies
		cfg.PolicyTimeout = replayPatience
	}
	r.now = time.Now()
	if r.gate, err = interlock.New(cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.gate.Close(context.WithoutCancel(ctx))) }()
	bar := p.progress("events replayed")
	err = r.drive(ctx, rows, bar)
	bar.end()
	if err != nil {
		return err
	}
	r.conclude()
	return p.printReplay(&r.report, f.json)
}

const replayPatience = 10 * time.Second

// storePlace makes a new file for "sqlite" alone; it stays, to be verified.
func storePlace(store string) (string, error) {
	if store != "sqlite" {
		return store, nil
	}
	dir, err := os.MkdirTemp("", "interlock-replay-")
	if err != nil {
		return "", err
	}
	return "sqlite:" + filepath.Join(dir, "replay.db"), nil
}

// graphAlone is the policy that leaves conditions out: checks hold, nothing is
// granted, nothing denied, no target chosen.
type graphAlone struct{}

func (graphAlone) Compile(context.Context, []*fsm.Machine) (interlock.Rules, error) {
	return graphAlone{}, nil
}
func (graphAlone) Revision(string) string                 { return "graph alone" }
func (graphAlone) Reads(string, string) (form, note bool) { return false, false }
func (graphAlone) Defines(_, condition string) bool {
	return condition != "deny" && condition != "target"
}

func (graphAlone) Decide(_ context.Context, q *interlock.Query) (interlock.Verdict, error) {
	return interlock.Verdict{Passed: q.Checks}, nil
}

type replayCase struct {
	id      string
	state   string
	refused bool
}

type replayer struct {
	flags   replayFlags
	machine *fsm.Machine
	gate    *interlock.Gate
	now     time.Time
	events  map[string]string
	ids     *slugs
	actors  *slugs
	cases   map[string]*replayCase
	report  replayed
	first   map[[2]string]int
	begun   time.Time
}

func (r *replayer) drive(ctx context.Context, rows *logReader, bar *bar) error {
	r.begun, r.first = time.Now(), map[[2]string]int{}
	for {
		row, err := rows.next()
		if err != nil {
			return err
		}
		if row == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped after %d events; what was accepted stays committed: %w", r.report.Events, context.Cause(ctx))
		}
		if err := r.row(ctx, row); err != nil {
			return fmt.Errorf("%s line %d: %w", r.flags.log, row.line, err)
		}
		bar.set(int64(r.report.Events))
	}
}

func (r *replayer) row(ctx context.Context, row *logRow) error {
	r.now = row.time
	c, err := r.caseOf(ctx, row.caseID)
	if err != nil {
		return err
	}
	event, ok := r.events[row.event]
	if !ok {
		if event, ok = r.events[replaySlug(row.event)]; !ok {
			event = row.event
		}
	}
	r.report.Events++
	res, err := r.gate.Fire(ctx, r.actor(row), interlock.Request{Machine: r.machine.Name(), ID: c.id, Event: event})
	var no *interlock.Refusal
	switch {
	case err == nil:
		r.report.Accepted++
		c.state = res.Instance.State
		return nil
	case !errors.As(err, &no):
		return err
	}
	switch no.Stage {
	case interlock.StageGraph:
		r.report.RefusedGraph++
	case interlock.StageInput:
		r.report.RefusedInput++
	case interlock.StagePolicy:
		r.report.RefusedPol++
		for _, why := range no.Reasons {
			r.report.RefusedBy[why.Code]++
		}
	default:
		return no
	}
	if !c.refused {
		c.refused = true
		r.first[[2]string{c.state, event}]++
	}
	return nil
}

// caseOf makes the instance of a case at its first row, as the system.
func (r *replayer) caseOf(ctx context.Context, caseID string) (*replayCase, error) {
	if c, ok := r.cases[caseID]; ok {
		return c, nil
	}
	c := &replayCase{id: r.ids.of(caseID), state: r.machine.State(r.machine.Initial()).Name}
	_, err := r.gate.Create(ctx, interlock.SystemActor(r.flags.tenant, "replay"), interlock.CreateRequest{Machine: r.machine.Name(), ID: c.id})
	if errors.Is(err, &interlock.Refusal{Stage: interlock.StageConflict, Code: "exists"}) {
		return nil, fmt.Errorf("case %s is in the store already: replay into a new store or another --tenant", caseID)
	}
	if errors.Is(err, &interlock.Refusal{Stage: interlock.StagePolicy}) {
		return nil, fmt.Errorf("case %s: instances of a replay are created by the system, give the machine `create: {requires: [system]}`: %w", caseID, err)
	}
	if err != nil {
		return nil, fmt.Errorf("case %s: %w", caseID, err)
	}
	r.cases[caseID] = c
	r.report.Cases++
	return c, nil
}

// actor is the identity function of a replay. A row without an actor is
// somebody new, so that he is like nobody else in a four-eyes rule.
func (r *replayer) actor(row *logRow) interlock.Actor {
	if row.role == r.flags.systemRole {
		return interlock.SystemActor(r.flags.tenant, "replay")
	}
	who := row.actor
	if who == "" {
		who = fmt.Sprintf("unnamed-%d", row.line)
	}
	a := interlock.Actor{Tenant: r.flags.tenant, ID: r.actors.of(who)}
	if row.role != "" {
		a.Roles = []string{row.role}
	}
	return a
}

func (r *replayer) conclude() {
	r.report.Seconds = time.Since(r.begun).Seconds()
	if r.report.Seconds > 0 {
		r.report.PerSecond = float64(r.report.Events) / r.report.Seconds
	}
	for _, c := range r.cases {
		if !c.refused {
			r.report.Clean++
		}
		if id, ok := r.machine.StateByName(c.state); ok {
			if s := r.machine.State(id); s.Final || s.Closed {
				r.report.Final++
			}
		}
	}
	for k, n := range r.first {
		r.report.First = append(r.report.First, firstRefusal{k[0], k[1], n})
	}
	slices.SortFunc(r.report.First, func(a, b firstRefusal) int {
		if a.Cases != b.Cases {
			return b.Cases - a.Cases
		}
		return strings.Compare(a.State+a.Event, b.State+b.Event)
	})
	r.report.First = r.report.First[:min(10, len(r.report.First))]
}

func (p *program) printReplay(r *replayed, asJSON bool) error {
	if asJSON {
		return writeJSON(p, r)
	}
	fmt.Fprintf(p.out, "machine   %s\npolicies  %s\nstore     %s", r.Machine, r.Policies, r.Store)
	if r.Cache {
		fmt.Fprint(p.out, ", with a Redis cache")
	}
	fmt.Fprintf(p.out, "\n\ncases                  %7d\nevents                 %7d\naccepted               %7d\nrefused by the graph   %7d\nrefused by input       %7d\nrefused by policy      %7d\n",
		r.Cases, r.Events, r.Accepted, r.RefusedGraph, r.RefusedInput, r.RefusedPol)
	codes := make([]string, 0, len(r.RefusedBy))
	for code := range r.RefusedBy {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		fmt.Fprintf(p.out, "  %-20s %7d\n", printable(code), r.RefusedBy[code])
	}
	fmt.Fprintf(p.out, "cases without refusal  %7d\ncases in a final state %7d\n", r.Clean, r.Final)
	if len(r.First) > 0 {
		fmt.Fprintln(p.out, "\nmost frequent first refusals (state, event: cases)")
	}
	for _, f := range r.First {
		fmt.Fprintf(p.out, "  %s, %s: %d\n", printable(f.State), printable(f.Event), f.Cases)
	}
	_, err := fmt.Fprintf(p.out, "\n%.0f events a second (%.1f s)\nverify the history: interlock audit verify --store %s\n", r.PerSecond, r.Seconds, r.Store)
	return err
}
