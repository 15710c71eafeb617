package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/prove/replayer"
)

// The application of these tests: its loans are rows of its own, and each event
// leaves a row in its ledger, in the gate's transaction.
const (
	insertLoan   = `INSERT INTO loans (id, status, amount) VALUES ($1, $2, 1000) ON CONFLICT DO NOTHING`
	insertLedger = `INSERT INTO ledger (id, loan, seq, event) VALUES ($1, $2, $3, $4)`
)

var clerk = interlock.Actor{ID: load.Managers[0]}

// handle is the application's handler, with its points.
func handle(p *points) func(context.Context, any, interlock.Transition) (any, error) {
	return func(ctx context.Context, tx any, t interlock.Transition) (any, error) {
		if err := p.hit("handler-begin"); err != nil {
			return nil, err
		}
		if err := fixture.Exec(ctx, tx, insertLedger, t.ID, t.Instance, t.Seq, t.Event); err != nil {
			return nil, err
		}
		return nil, p.hit("handler-end")
	}
}

// staff grants the roles and makes the loan with its row.
func staff(ctx context.Context, g *interlock.Gate, id string) error {
	if _, err := g.Grant(ctx, interlock.SystemActor("", "seed"), clerk.ID, "manager", interlock.Scope{}); err != nil {
		return err
	}
	_, _, err := interlock.CreateWith(ctx, g, clerk, interlock.CreateRequest{Machine: fixture.Machine, ID: id}, func(ctx context.Context, tx any, t interlock.Transition) (any, error) {
		return nil, fixture.Exec(ctx, tx, insertLoan, t.Instance, t.To)
	})
	if errors.Is(err, &interlock.Refusal{Stage: interlock.StageConflict, Code: "exists"}) {
		return nil
	}
	return err
}

// doing answers POST /do/ID/EVENT with interlock.Do, before the server's own routes.
func doing(gate func() *interlock.Gate, p *points, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, "/do/")
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		id, event, _ := strings.Cut(path, "/")
		res, _, err := interlock.Do(r.Context(), gate(), clerk, interlock.Request{Machine: fixture.Machine, ID: id, Event: event}, handle(p))
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.Header().Set("Interlock-Transition", res.Transition.ID)
		w.WriteHeader(http.StatusOK)
	})
}

// desk looks at what is left of the application's rows and the gate's.
type desk struct {
	t      *testing.T
	db     *sql.DB
	prefix string
	before left
	bad    []string
}

// left is what a round left.
type left struct {
	Version, Rows, Ledger, Pairs, Texts, Outbox int64
	State, Column                               string
}

// look reads it in one query.
func (d *desk) look() left {
	d.t.Helper()
	var l left
	h := d.prefix + "history"
	require.NoError(d.t, d.db.QueryRow(strings.NewReplacer("HISTORY", h, "INSTANCE", d.prefix+"instance", "TEXTS", d.prefix+"texts", "OUTBOX", d.prefix+"outbox").Replace(`SELECT i.version, i.state, l.status,
		(SELECT count(*) FROM HISTORY WHERE machine = 'loan'), (SELECT count(*) FROM ledger),
		(SELECT count(*) FROM ledger g JOIN HISTORY h ON h.id = g.id AND h.seq = g.seq AND h.event = g.event AND h.instance = g.loan AND h.machine = 'loan'),
		(SELECT count(*) FROM TEXTS WHERE machine = 'loan'), (SELECT count(*) FROM OUTBOX WHERE machine = 'loan')
		FROM INSTANCE i JOIN loans l ON l.id = i.id WHERE i.machine = 'loan'`)).Scan(&l.Version, &l.State, &l.Column, &l.Rows, &l.Ledger, &l.Pairs, &l.Texts, &l.Outbox))
	return l
}

// event is what is legal next.
func (l left) event() string {
	if l.State == "created" {
		return "submit"
	}
	return "return"
}

// judge holds a round against the state before: the application's row, the
// column, the instance and the history moved together or not at all, and as was
// answered.
func (d *desk) judge(what string, answered, unknown bool) {
	d.t.Helper()
	b, a := d.before, d.look()
	d.before = a
	moved := a.Version - b.Version
	var bad []string
	note := func(wrong bool, why string) {
		if wrong {
			bad = append(bad, fmt.Sprintf("%s: %s: %+v, and before %+v", what, why, a, b))
		}
	}
	note(moved < 0 || moved > 1, "it moved more than once")
	note(a.Column != a.State, "the column isn't the state")
	note(a.Rows-b.Rows != moved || a.Ledger-b.Ledger != moved || a.Texts-b.Texts != moved || a.Outbox-b.Outbox != moved, "not all of it moved")
	note(a.Pairs != a.Ledger || a.Ledger != a.Rows-1, "a row of the application without its event, or the reverse")
	note(moved == 0 && a.State != b.State || moved == 1 && a.State == b.State, "the state")
	note(answered && moved != 1, "acknowledged and absent")
	note(!answered && !unknown && moved != 0, "refused and there")
	for _, why := range bad {
		d.t.Error(why)
	}
	d.bad = append(d.bad, bad...)
}

// replay decides every row again, and looks for the application's beside each.
func (d *desk) replay(revision string) {
	d.t.Helper()
	report, err := replayer.Run(d.t.Context(), replayer.Source{DB: d.db, Prefix: d.prefix,
		Rules:   map[string]*replayer.Rules{revision: fixture.Rules()},
		Systems: []string{"seed", "interlock"},
		Bound:   &replayer.Bound{Table: "loans", ID: "id", State: "status", Facts: []string{"amount"}},
		App:     &replayer.App{Query: `SELECT id, loan, seq, event FROM ledger`}})
	require.NoError(d.t, err)
	for _, f := range report.Findings {
		d.t.Error(f)
		d.bad = append(d.bad, f.String())
	}
}

// rehearsed is a gate in this process, whose points fail instead of killing.
func rehearsed(t *testing.T, st interlock.Store, p *points) *interlock.Gate {
	t.Helper()
	machines, err := fixture.Machines()
	require.NoError(t, err)
	cfg := interlock.Config{Machines: machines, Policy: load.Plain{}, Store: store{fixture.Wrapped{Store: st}, p}, Logger: slog.New(slog.DiscardHandler),
		HandlerLimit: handlerLimit, CommitTimeout: 3 * time.Second}
	p.hooks(&cfg)
	g, err := interlock.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close(context.Background())) })
	busy := &interlock.Refusal{Stage: interlock.StageUnavailable} // for longer than a handler may take
	for end := time.Now().Add(time.Minute); ; {
		if err = staff(t.Context(), g, "L"); !errors.Is(err, busy) || time.Now().After(end) {
			break
		}
	}
	require.NoError(t, err)
	return g
}

const handlerLimit = 500 * time.Millisecond

// try asks once, whatever becomes of it.
func try(ctx context.Context, g *interlock.Gate, p *points, event string) (answered, unknown bool) {
	defer func() {
		if recover() != nil {
			answered, unknown = false, true
		}
	}()
	_, _, err := interlock.Do(ctx, g, clerk, interlock.Request{Machine: fixture.Machine, ID: "L", Event: event}, handle(p))
	var no *interlock.Refusal
	if errors.As(err, &no) {
		return false, no.Code == "outcome_unknown"
	}
	var lost *interlock.UnknownOutcome
	return err == nil, errors.As(err, &lost)
}
