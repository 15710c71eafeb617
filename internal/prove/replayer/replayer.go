// Package replayer decides every committed row of a store once more, without the
// gate: it reads the tables itself, knows the graph as a table and the policy as
// functions ([Rules]), has its own reading of the chain's bytes and its own
// digests, and says of each row whether it was legal, and whether who did it
// might, by the roles in force at that moment.
//
// What was in force is known without trusting a clock: a row's bytes hold the
// digest of the actor as the decision saw it. It has to be that of one version
// in the actor's own chain, and in the database's order the row has to stand
// between that version and the next.
//
// It knows of the module's other packages nothing: where it and the gate agree,
// two readings of the documents do.
package replayer

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// Rules are one revision of one machine.
type Rules struct {
	Machine    string
	Initial    string
	Roles      map[string][]string // each role → all that it includes, itself too
	Create     Access
	EditFacts  Access
	EditStates []string
	Entry      map[string][]string // state → conditions of whatever enters it
	Edges      []Edge
	Conditions map[string]func(*Question) bool
	Target     func(*Question) string    // among several; "" where the caller chooses
	FactsFit   func(map[string]any) bool // the schema
}

// Access is who may, and on what conditions.
type Access struct{ Requires, Checks []string }

// Edge is one event's way from any of some states to one of others.
type Edge struct {
	Event    string
	From, To []string
	Stay     bool // no To
	Override bool
	Requires []string // a role, $condition, system or anyone
	Checks   []string
	Note     bool                      // required
	Form     func(map[string]any) bool // nil: whatever the event carries fits
}

// Question is what conditions may look at.
type Question struct {
	Event, From, To, Note string
	Form, Facts, Attrs    map[string]any
	Person                string // one of those to whom the act is ascribed
	Instance              *Instance
}

// Source is a store at rest, with what is to be known of it.
type Source struct {
	DB      *sql.DB
	Prefix  string            // before each table's name: `"interlock".` or `interlock_`
	Rules   map[string]*Rules // by revision
	Systems []string          // ids under which the host's own code acts
	Bound   *Bound            // nil: no machine is bound
	App     *App              // nil: the application writes nothing of its own
}

// Bound is the application's table whose column is the state.
type Bound struct {
	Table, ID, State string
	Facts            []string
}

// App is what the application writes with each event: a query for the
// transition's id, the instance, the row's number and the event. Every event,
// and nothing else, must have exactly one.
type App struct{ Query string }

// Finding is something that must not be.
type Finding struct {
	Chain string // machine/instance, "interlock:actor"/id, or a table
	Seq   int64  // 0: the whole
	What  string
}

func (f Finding) String() string {
	if f.Seq == 0 {
		return f.Chain + ": " + f.What
	}
	return fmt.Sprintf("%s row %d: %s", f.Chain, f.Seq, f.What)
}

// Report is what a replay found.
type Report struct {
	Rows     int // committed rows that were decided again, those of actors too
	Findings []Finding
	Commits  []Commit // the rows, by chain and number

	byID map[string]int
}

// Commit is a row with what its bytes say of the decision behind it.
type Commit struct {
	Tenant, Machine, Instance string
	Seq                       int64
	ID, Event, From, To       string
	Actor, Person             string
	Saw                       int64  // version of the acting actor that the decision saw; of an actor's row: of that actor
	Request                   string // fingerprint and time: rows of one transaction share it
	Stamp                     int64  // the database's clock, µs
}

// Holds tells whether history has the transition in this place.
func (r *Report) Holds(instance string, seq int64, id string) bool {
	i, ok := r.byID[id]
	return ok && r.Commits[i].Instance == instance && r.Commits[i].Seq == seq
}

// First are at most n findings, for a message.
func (r *Report) First(n int) []Finding { return r.Findings[:min(n, len(r.Findings))] }

// Run replays a store. Its error is that of reading; what is wrong with what was
// read is in the report. Texts that were erased, and rows that were archived, are
// a finding: without them nothing can be decided again.
func Run(ctx context.Context, src Source) (Report, error) {
	t, err := read(ctx, src)
	if err != nil {
		return Report{}, err
	}
	r := &replay{src: src, t: t, actors: map[key]*actorChain{}, joins: map[string]*row{}, requests: map[string]*row{}}
	r.report.byID = map[string]int{}
	r.index()
	for _, c := range t.chains {
		if c.machine == actorMachine && !c.archived {
			r.actorChain(c)
		}
	}
	for _, c := range t.chains {
		if c.machine != actorMachine && !c.archived {
			r.instanceChain(c)
		}
	}
	r.administrators()
	r.leftOver()
	r.companions()
	return r.report, nil
}

type replay struct {
	src      Source
	t        *tables
	report   Report
	actors   map[key]*actorChain
	joins    map[string]*row // $join rows by request
	requests map[string]*row // instances' rows by request
}

func (r *replay) index() {
	for _, c := range r.t.chains {
		// What is left of such a chain follows from what isn't known.
		if c.archived = slices.ContainsFunc(c.rows, func(w *row) bool { return w.event == "$archive" }); c.archived {
			r.find(c, 0, "its rows before %d were archived: without them it can't be decided again", c.rows[0].seq)
		}
		for _, w := range c.rows {
			switch {
			case c.machine != actorMachine:
				r.requests[w.request()] = w
			case w.event == "$join":
				r.joins[w.request()+w.instance] = w
			}
		}
	}
}

func (r *replay) find(c *chain, seq int64, format string, args ...any) {
	r.report.Findings = append(r.report.Findings, Finding{c.machine + "/" + c.instance, seq, fmt.Sprintf(format, args...)})
}

// inEpoch asks whether a row is of an epoch that the store had, and none before
// that of the row before.
func (r *replay) inEpoch(c *chain, n int) {
	at := slices.Index(r.t.epochs, c.rows[n].epoch)
	if at < 0 || n > 0 && at < slices.Index(r.t.epochs, c.rows[n-1].epoch) {
		r.find(c, c.rows[n].seq, "is of an epoch that wasn't the store's then")
	}
}

func (r *replay) rule(table, format string, args ...any) {
	r.report.Findings = append(r.report.Findings, Finding{table, 0, fmt.Sprintf(format, args...)})
}

func (r *replay) commit(w *row, saw int64) {
	r.report.Rows++
	r.report.byID[w.id] = len(r.report.Commits)
	r.report.Commits = append(r.report.Commits, Commit{Tenant: w.tenant, Machine: w.machine, Instance: w.instance, Seq: w.seq,
		ID: w.id, Event: w.event, From: w.from, To: w.to, Actor: w.actor, Person: w.person, Saw: saw, Request: w.request(), Stamp: w.stamp})
}

func (r *replay) system(id string) bool {
	for _, s := range r.src.Systems {
		if s == id {
			return true
		}
	}
	return false
}
