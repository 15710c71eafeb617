//go:build data

package data

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
)

// departures are the rows that do not hold, with the reason. Where the reason
// is a decision, docs/behaviours.md states it.
var departures = map[string]string{
	"di-409-wrong-version":  "a caller can't say yet which version he saw; the gate judges the state as it is and answers 409 when the event left it",
	"di-422-no-version":     "a version is not demanded: every commit compares and sets by itself",
	"di-403-unknown-action": "what is not legal from the state is 409 with the legal events; 403 is kept for the policy's no",
}

// runners execute rows that say more than events on one instance.
var runners = map[string]func(*testing.T, behaviour) error{
	"sy-impossible-place":           runImpossibleState,
	"ce-no-policy":                  runNoRule,
	"ca-no-policy":                  runNoRule,
	"ca-deny-override":              runDeny,
	"ce-explicit-deny":              runDeny,
	"lf-cancel-before":              runVeto,
	"tr-exception-before":           runPanicBefore,
	"au-must-authorize":             runUnguardedRoute,
	"st-two-guards-true-is-a-fault": runRefusedDefinition,
	"sy-def-to-unknown":             runRefusedDefinition,
	"sy-new-subject-gets-initial":   runPersistedInitial,
	"sy-audit-order":                runHistory,
	"st-unhandled-callback":         runAttempt,
	"au-missing-authorizer":         runMissingRule,
	"sy-marking-blocker-code":       runBlockerCode,
	"di-200-version-plus-one":       runVersionGrows,
	"di-409-wrong-version":          runStaleVersion,
	"di-422-no-version":             runNoVersion,
	"di-403-unknown-action":         runNotOffered,
}

var ann = interlock.Actor{ID: "ann"}

// runImpossibleState: the application's column holds a state that the machine lacks.
func runImpossibleState(t *testing.T, row behaviour) error {
	t.Helper()
	ctx := t.Context()
	store := openBound(t, machineName, instanceID, row.Steps[0].State)
	m, err := fsm.Parse("row.yaml", append(definitionOf(row, newScripted()).yaml(), head...))
	if err != nil {
		return err
	}
	g, err := interlock.New(interlock.Config{Logger: quiet, Machines: []*fsm.Machine{m}, Store: store})
	if err != nil {
		return err
	}
	defer g.Close(ctx)
	ref := interlock.Ref{Machine: machineName, ID: instanceID}
	if menu, err := g.Available(ctx, ann, ref); err == nil {
		return fmt.Errorf("a menu of %d options", len(menu.Options))
	}
	if it, err := g.Get(ctx, ann, ref); err == nil {
		return fmt.Errorf("read as in state %s, version %d", it.State, it.Version)
	}
	return nil
}

const oneEdge = `
machine: row
initial: a
states: {a: {}, b: {}}
create: {requires: [anyone]}
read: {requires: [anyone]}
events: {go: {from: a, to: b%s}}
`

func one(t *testing.T, who string, rules interlock.Policy) (*interlock.Gate, error) {
	t.Helper()
	m, err := fsm.Parse("row.yaml", fmt.Appendf(nil, oneEdge, who))
	if err != nil {
		return nil, err
	}
	g, err := interlock.New(interlock.Config{Logger: quiet, Machines: []*fsm.Machine{m}, Policy: rules, Store: openSQLite(t)})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	_, err = g.Create(t.Context(), ann, interlock.CreateRequest{Machine: "row", ID: instanceID})
	return g, err
}

// denied fires the only event and wants the policy's no.
func denied(ctx context.Context, g *interlock.Gate, actor interlock.Actor) error {
	_, err := g.Fire(ctx, actor, interlock.Request{Machine: "row", ID: instanceID, Event: "go"})
	if !errors.Is(err, &interlock.Refusal{Stage: interlock.StagePolicy}) {
		return fmt.Errorf("not denied: %w", err)
	}
	return nil
}

// runNoRule: where nothing says who may, nobody may, whatever his roles.
func runNoRule(t *testing.T, _ behaviour) error {
	t.Helper()
	g, err := one(t, "", nil)
	if err != nil {
		return err
	}
	if err := denied(t.Context(), g, interlock.Actor{ID: "root", Roles: []string{"admin", "manager"}}); err != nil {
		return err
	}
	return denied(t.Context(), g, interlock.SystemActor("", "job"))
}

// runDeny: one allow and one explicit deny.
func runDeny(t *testing.T, _ behaviour) error {
	t.Helper()
	rules := newScripted()
	g, err := one(t, ", requires: [writer]", rules)
	if err != nil {
		return err
	}
	alice := interlock.Actor{ID: "alice", Roles: []string{"writer"}}
	if _, err := g.Fire(t.Context(), alice, interlock.Request{Machine: "row", ID: instanceID, Event: "go", DryRun: true}); err != nil {
		return fmt.Errorf("not allowed without the deny: %w", err)
	}
	rules.deny = []interlock.Reason{{Code: "not_alice", Message: "Alice may not"}} // of events; of reads it would hide the instance
	if err := g.Reload(t.Context()); err != nil {
		return err
	}
	return denied(t.Context(), g, alice)
}

func runVeto(t *testing.T, row behaviour) error {
	t.Helper()
	return withHook(t, row, func(interlock.Transition) error { return errors.New("cancelled") })
}

// runPanicBefore: a hook that fails, by an error or by a panic, stops the event.
func runPanicBefore(t *testing.T, row behaviour) error {
	t.Helper()
	broken := row
	broken.Steps = []step{row.Steps[0]}
	broken.Steps[0].Result = "denied:guard" // an error of a hook is a veto
	if err := withHook(t, broken, func(interlock.Transition) error { return errors.New("a hook broke") }); err != nil {
		return err
	}
	s, err := start(t, row, newScripted(), func(cfg *interlock.Config) {
		cfg.Before = []func(context.Context, interlock.Transition) error{func(_ context.Context, tr interlock.Transition) error {
			if tr.Event == row.Steps[0].Event {
				panic("a hook broke")
			}
			return nil
		}}
	})
	if err != nil {
		return err
	}
	err = func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%v", p)
			}
		}()
		_, err = s.fire(t.Context(), ann, row.Steps[0].Event)
		return err
	}()
	if at, bad := s.state(t.Context()); err == nil || bad != nil || at != row.Steps[0].StateAfter {
		return fmt.Errorf("state %s, %w, after %w", at, bad, err)
	}
	return nil
}

// withHook plays the row with a hook before the commit, and wants the attempt observed.
func withHook(t *testing.T, row behaviour, hook func(interlock.Transition) error) error {
	t.Helper()
	s, err := start(t, row, newScripted(), func(cfg *interlock.Config) {
		cfg.Before = []func(context.Context, interlock.Transition) error{func(_ context.Context, tr interlock.Transition) error {
			if tr.Event != row.Steps[0].Event {
				return nil
			}
			return hook(tr)
		}}
	})
	if err != nil {
		return err
	}
	if err := s.play(t.Context(), 0, &row.Steps[0]); err != nil {
		return err
	}
	if len(s.told()) != 1 {
		return fmt.Errorf("observed %+v", s.observed)
	}
	return nil
}

// runUnguardedRoute: a changing route of a guarded group that passes no gate is
// an error before the application runs, and its handler never does.
func runUnguardedRoute(t *testing.T, row behaviour) error {
	t.Helper()
	g, err := one(t, ", requires: [anyone]", nil)
	if err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	r, ran := gin.New(), false
	il := middleware.New(g, middleware.Config{Actor: func(*gin.Context) (interlock.Actor, error) { return ann, nil }, Logger: quiet})
	things := il.Group(r.Group("/things/:id"), "row")
	things.POST("/go", il.FireEvent("go"))
	if err := il.Validate(r.Routes()...); err != nil {
		return fmt.Errorf("a guarded route: %w", err)
	}
	things.POST("/other", func(*gin.Context) { ran = true })
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/things/it/other", nil))
	if err := il.Validate(r.Routes()...); err == nil || ran || w.Code < 500 {
		return fmt.Errorf("mounted, ran: %v, status %d", ran, w.Code)
	}
	return nil
}

// runRefusedDefinition: the loader says no, so that nothing ever runs on it.
func runRefusedDefinition(t *testing.T, row behaviour) error {
	t.Helper()
	_, err := start(t, row, newScripted(), nil)
	var load *fsm.LoadError
	if !errors.As(err, &load) {
		return fmt.Errorf("loaded: %w", err)
	}
	t.Log(load.Findings[0].Message)
	return nil
}

// runPersistedInitial: what was created is there for another gate over the same store.
func runPersistedInitial(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	m, _ := s.gate.Machine(machineName)
	other, err := interlock.New(interlock.Config{Logger: quiet, Machines: []*fsm.Machine{m}, Store: s.store})
	if err != nil {
		return err
	}
	defer other.Close(t.Context())
	it, err := other.Get(t.Context(), ann, s.ref())
	if err != nil || it.State != row.Steps[0].ExpectState {
		return fmt.Errorf("state %q, %w", it.State, err)
	}
	return nil
}

// runHistory: one row holds what was left, by which event, and what was entered.
func runHistory(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	if _, err := s.fire(t.Context(), ann, row.Steps[0].Event); err != nil {
		return err
	}
	rows, err := s.gate.History(t.Context(), ann, s.ref(), 1, 0)
	if err != nil || len(rows) != 1 {
		return fmt.Errorf("%d rows, %w", len(rows), err)
	}
	return same(row.Steps[0].Audit, []string{"leave " + rows[0].From, "transition " + rows[0].Event, "enter " + rows[0].To})
}

// runAttempt: a refused attempt is kept with the state and the event.
func runAttempt(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	if err := s.play(t.Context(), 0, &row.Steps[0]); err != nil {
		return err
	}
	kept, err := s.gate.Attempts(t.Context(), interlock.SystemActor("", "auditor"), s.ref(), 10)
	if err != nil || len(kept) != 1 {
		return fmt.Errorf("%d attempts, %w", len(kept), err)
	}
	want := row.Steps[0].Report
	if kept[0].State != want["state"] || kept[0].Event != want["event"] {
		return fmt.Errorf("kept %+v", kept[0])
	}
	return nil
}

// runMissingRule: a machine that names a condition, and no policy that has it.
func runMissingRule(t *testing.T, _ behaviour) error {
	t.Helper()
	_, err := one(t, ", requires: [anyone], checks: [nowhere]", nil)
	if err == nil {
		return errors.New("started without the rule")
	}
	t.Log(err)
	return nil
}

// runBlockerCode: the graph's no has one code, whatever the event.
func runBlockerCode(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	_, err = s.fire(t.Context(), ann, row.Steps[0].Event)
	if !errors.Is(err, &interlock.Refusal{Stage: interlock.StageGraph, Code: "illegal_event"}) {
		return fmt.Errorf("got %w", err)
	}
	return nil
}

func runVersionGrows(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	ctx := t.Context()
	if _, err := s.gate.Create(ctx, ann, interlock.CreateRequest{Machine: machineName, ID: "other"}); err != nil {
		return err
	}
	before, err := s.gate.Get(ctx, ann, s.ref())
	if err != nil {
		return err
	}
	res, err := s.fire(ctx, ann, "approve_user")
	if err != nil || res.Instance.Version != before.Version+1 {
		return fmt.Errorf("version %d, %w", res.Instance.Version, err)
	}
	other, err := s.gate.Get(ctx, ann, interlock.Ref{Machine: machineName, ID: "other"})
	if err != nil || other.Version != 1 {
		return fmt.Errorf("the other item has version %d, %w", other.Version, err)
	}
	return nil
}

// runStaleVersion: what was read at version 1 is acted on at version 3.
func runStaleVersion(t *testing.T, row behaviour) error {
	t.Helper()
	row.Steps = append(row.Steps, step{Op: "force_state", State: "pending"})
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	if _, err := s.fire(t.Context(), ann, "approve_user"); err != nil {
		return err
	}
	if err := s.setTo(t.Context(), "pending"); err != nil {
		return err
	}
	return wantStatus(s, row, "delete_user")
}

func runNoVersion(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	return wantStatus(s, row, "approve_user")
}

func runNotOffered(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return err
	}
	return wantStatus(s, row, "explode")
}

// wantStatus fires and compares the status that the middleware would answer.
func wantStatus(s *stage, row behaviour, event string) error {
	_, err := s.fire(context.Background(), ann, event)
	status := http.StatusOK
	if err != nil {
		w := httptest.NewRecorder()
		gin.SetMode(gin.ReleaseMode)
		c, _ := gin.CreateTestContext(w)
		c.Request = httptest.NewRequest(http.MethodPost, "/", nil)
		middleware.WriteProblem(c, err)
		status = w.Code
	}
	if status != row.Steps[0].Status {
		return fmt.Errorf("status %d, not %d", status, row.Steps[0].Status)
	}
	return nil
}
