package interlock_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// listening notes of what the rules are asked as a draft.
type listening struct {
	interlock.Policy
	mu     sync.Mutex
	drafts []string // events
	all    int
}

type heardRules struct {
	interlock.Rules
	l *listening
}

func (l *listening) Compile(ctx context.Context, machines []*fsm.Machine) (interlock.Rules, error) {
	r, err := l.Policy.Compile(ctx, machines)
	return heardRules{r, l}, err
}

func (r heardRules) Decide(ctx context.Context, q *interlock.Query) (interlock.Verdict, error) {
	r.l.mu.Lock()
	r.l.all++
	if q.Draft {
		r.l.drafts = append(r.l.drafts, q.Input.Event)
	}
	r.l.mu.Unlock()
	return r.Rules.Decide(ctx, q)
}

func (l *listening) taken() (drafts []string, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	drafts, all = l.drafts, l.all
	l.drafts, l.all = nil, 0
	return drafts, all
}

// Drafts are menus, and what dry runs say of events, and nothing else: not whether
// somebody is shown an instance or an explanation, and nothing that somebody goes by.
func TestOnlyMenusAndDryRunsAreDrafts(t *testing.T) {
	asked := loanRules()
	asked.deny = func(*interlock.Input) []interlock.Reason { return nil } // so that all is asked of the policy
	heard := &listening{Policy: asked}
	g := newGate(t, func(c *interlock.Config) { c.Policy = heard })
	newLoan(t, g, "17")
	limit(t, g, "erin", 5000)
	heard.taken()
	ctx, erin, ref := t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}
	submit := interlock.Request{Machine: "loan", ID: "17", Event: "submit"}
	tried := submit
	tried.DryRun = true
	for _, c := range []struct {
		name   string
		drafts bool
		ask    func() error
	}{
		{"read", false, func() error { _, err := g.Get(ctx, erin, ref); return err }},
		{"menu", true, func() error { _, err := g.Available(ctx, erin, ref); return err }},
		{"menu to go by", false, func() error { _, err := g.Available(interlock.Strong(ctx), erin, ref); return err }},
		{"dry run", true, func() error { _, err := g.Fire(ctx, erin, tried); return err }},
		{"dry run to go by", false, func() error { _, err := g.Fire(interlock.Strong(ctx), erin, tried); return err }},
		{"explain", false, func() error { _, err := g.Explain(ctx, manager("mary"), submit, false); return err }},
		{"create", false, func() error {
			_, err := g.Create(ctx, erin, interlock.CreateRequest{Machine: "loan", ID: "18", Facts: map[string]any{"amount": 1}})
			return err
		}},
		{"fire", false, func() error { _, err := g.Fire(ctx, erin, submit); return err }},
	} {
		err := c.ask()
		drafts, all := heard.taken()
		require.Positive(t, all, "%s: %v", c.name, err)
		require.Equal(t, c.drafts, len(drafts) > 0, "%s: %v", c.name, err)
		if c.name == "menu" {
			require.Len(t, drafts, all, "all of it")
			continue
		}
		require.False(t, slices.ContainsFunc(drafts, func(event string) bool { return strings.HasPrefix(event, "$") }), drafts)
	}
	// What is decided before a transaction commits in it, and is no draft.
	review := interlock.Request{Machine: "loan", ID: "17", Event: "review"}
	_, _, err := interlock.Do(ctx, g, erin, review, func(context.Context, *sql.Tx, interlock.Transition) (any, error) { return nil, nil })
	require.NoError(t, err)
	drafts, all := heard.taken()
	require.Empty(t, drafts)
	require.Equal(t, 2, all, "to read it and to review it, once")
}

// A menu keeps what it asks of each person apart.
func TestMenuMemos(t *testing.T) {
	memos := map[string]*interlock.Memo{}
	pol := loanRules()
	pol.conditions["four_eyes"] = func(in *interlock.Input) any {
		if known := memos[in.Actor.Person]; known != nil && known != in.Memo {
			t.Errorf("%s has another", in.Actor.Person)
		}
		memos[in.Actor.Person] = in.Memo
		return true
	}
	g := newGate(t, func(c *interlock.Config) { c.Policy = pol })
	limit(t, g, "bot", 500000)
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	bot := interlock.Actor{ID: "bot", Kind: interlock.Service, Roles: []string{"employee"}, OnBehalfOf: &interlock.Actor{ID: "mark"}}
	_, err := g.Available(t.Context(), bot, interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.Len(t, memos, 2)
	require.NotNil(t, memos["bot"])
	require.NotNil(t, memos["mark"])
	require.NotSame(t, memos["bot"], memos["mark"])
}

// Menus that are asked for together tell rules what they have in common, and that is
// nobody else's: an actor with other roles on another instance is another.
func TestMenusInARowMemos(t *testing.T) {
	roles := map[*interlock.Memo][]string{}
	asked := map[string]*interlock.Memo{}
	var held []*interlock.Memo
	pol := &heldRules{rules: loanRules(), of: func(q *interlock.Query) {
		if q.Input.Event == "review" {
			held = append(held, q.Held)
		}
	}}
	pol.deny = func(in *interlock.Input) []interlock.Reason {
		if known, ok := roles[in.Memo]; ok {
			require.Equal(t, known, in.Actor.Roles)
		}
		roles[in.Memo], asked[in.Instance.ID] = in.Actor.Roles, in.Memo
		return nil
	}
	g := newGate(t, func(c *interlock.Config) { c.Policy = pol })
	for _, id := range []string{"16", "17", "18", "19"} {
		newLoan(t, g, id)
		fire(t, g, employee("erin"), id, "submit")
	}
	limit(t, g, "carl", 500)
	_, err := g.Grant(t.Context(), root, "carl", "manager", interlock.Scope{Machine: "loan", ID: "18"})
	require.NoError(t, err)
	var refs []interlock.Ref
	for _, id := range []string{"16", "17", "18", "19"} {
		refs = append(refs, interlock.Ref{Machine: "loan", ID: id})
	}
	clear(roles)
	held = nil
	menus, err := g.AvailableMany(t.Context(), employee("carl"), refs)
	require.NoError(t, err)
	for _, m := range menus {
		require.NotNil(t, m)
	}
	require.Same(t, asked["16"], asked["17"])
	require.NotSame(t, asked["17"], asked["18"])
	require.NotSame(t, asked["18"], asked["19"])
	require.Contains(t, roles[asked["18"]], "manager")
	require.NotContains(t, roles[asked["19"]], "manager")
	require.Len(t, held, len(refs))
	require.NotNil(t, held[0])
	for _, one := range held {
		require.Same(t, held[0], one)
	}
	require.Equal(t, 1, pol.released)
}

// heldRules hold something from one question to the next.
type heldRules struct {
	*rules
	of       func(*interlock.Query)
	released int
}

func (r *heldRules) Compile(context.Context, []*fsm.Machine) (interlock.Rules, error) { return r, nil }

func (r *heldRules) Decide(ctx context.Context, q *interlock.Query) (interlock.Verdict, error) {
	if q.Held != nil {
		if _, ok := q.Held.Load(r); !ok {
			q.Held.Store(r, (*heldOnce)(r))
		}
		r.of(q)
	}
	return r.rules.Decide(ctx, q)
}

type heldOnce heldRules

// Release is the end of the questions.
func (r *heldOnce) Release() { r.released++ }

// A menu asks for what is final and for what is open in one evaluation, but for
// where an error in either would decide the other, and where somebody goes by it.
func TestAMenuAsksOnce(t *testing.T) {
	pol := &rules{readsNote: []string{"noted"}, conditions: map[string]func(*interlock.Input) any{}}
	pol.conditions["fixed"], pol.conditions["noted"] = func(*interlock.Input) any { return true }, func(*interlock.Input) any { return true }
	heard := &listening{Policy: pol}
	g := newGate(t, func(c *interlock.Config) {
		c.Policy = heard
		c.Machines = machines(t, `
machine: m
initial: a
create: {requires: [anyone]}
read: {requires: [anyone]}
states: {a: {}, b: {}}
events:
  go: {from: a, to: b, note: optional, requires: [anyone], checks: [fixed, noted]}
`)
	})
	_, err := g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "m", ID: "1"})
	require.NoError(t, err)
	failed := errors.New("a rule failed")
	for _, tt := range []struct {
		name         string
		fixed, noted any
		strong       bool
		asked        int
		allowed      bool
		needs        []string
		reasons      []string
	}{
		{"all holds", true, true, false, 1, true, []string{}, nil},
		{"a note may do it", true, false, false, 1, true, []string{"note"}, nil},
		{"no note can do it", false, true, false, 1, false, []string{}, []string{"fixed"}},
		{"what is open is no reason", false, false, false, 1, false, []string{}, []string{"fixed"}},
		{"an error in what is open", true, failed, false, 3, true, []string{"note"}, nil},
		{"an error in what is final", failed, true, false, 2, false, []string{}, []string{"policy_failed"}},
		{"to go by", true, false, true, 2, true, []string{"note"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pol.conditions["fixed"], pol.conditions["noted"] = func(*interlock.Input) any { return tt.fixed }, func(*interlock.Input) any { return tt.noted }
			heard.taken()
			ctx := t.Context()
			if tt.strong {
				ctx = interlock.Strong(ctx)
			}
			menu, err := g.Available(ctx, employee("erin"), interlock.Ref{Machine: "m", ID: "1"})
			require.NoError(t, err)
			_, asked := heard.taken()
			require.Equal(t, tt.asked, asked)
			require.Len(t, menu.Options, 1)
			option := menu.Options[0]
			require.Equal(t, tt.allowed, option.Allowed)
			require.Equal(t, tt.needs, option.Needs)
			var codes []string
			for _, why := range option.To[0].Reasons {
				codes = append(codes, why.Code)
			}
			require.Equal(t, tt.reasons, codes)
		})
	}
}
