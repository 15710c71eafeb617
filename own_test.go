package interlock_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/lent"
)

// spoil writes to all that an instance holds.
func spoil(i interlock.Instance) {
	i.Facts["amount"], i.Facts["mine"] = "spoilt", true
	for _, list := range []map[string][]string{i.Entered, i.Did} {
		for name := range list {
			list[name][0] = "spoilt"
		}
		list["spoilt"] = nil
	}
	if i.Last != nil {
		i.Last["spoilt"] = interlock.Last{}
	}
	i.Actors[0] = "spoilt"
	if len(i.Head) > 0 {
		i.Head[0]++
	}
}

func spoilRow(t interlock.Transition) {
	for _, m := range []map[string]any{t.Input, t.Facts} {
		if m != nil {
			m["spoilt"] = true
		}
	}
	if len(t.Hash) > 0 {
		t.Hash[0]++
		t.Prev[0]++
	}
}

// What a caller, a hook or a handler does to what he was given is nothing to the
// rows that are kept for everybody.
func TestWhatIsAnsweredIsOnesOwn(t *testing.T) {
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) {
		c.Store = st
		c.Before = append(c.Before, func(_ context.Context, t interlock.Transition) error { spoilRow(t); return nil })
		c.After = append(c.After, func(_ context.Context, t interlock.Transition) { spoilRow(t) })
	})
	erin, ref := employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}
	res, err := g.Create(t.Context(), erin, interlock.CreateRequest{Machine: "loan", ID: "17", Facts: map[string]any{"amount": 1000}})
	require.NoError(t, err)
	spoil(res.Instance)
	for name, ask := range map[string]func(context.Context) error{
		"get": func(ctx context.Context) error {
			i, err := g.Get(ctx, erin, ref)
			spoil(i)
			return err
		},
		"menu": func(ctx context.Context) error {
			m, err := g.Available(ctx, erin, ref)
			spoil(m.Instance)
			return err
		},
		"menus": func(ctx context.Context) error {
			m, err := g.AvailableMany(ctx, erin, []interlock.Ref{ref, ref})
			spoil(m[0].Instance)
			return err
		},
		"list": func(ctx context.Context) error {
			page, _, err := g.List(ctx, erin, interlock.ListRequest{Machine: "loan"})
			spoil(page[0])
			return err
		},
		"dry run": func(ctx context.Context) error {
			res, err := g.Fire(ctx, erin, interlock.Request{Machine: "loan", ID: "17", Event: "submit", DryRun: true})
			spoil(res.Instance)
			spoilRow(res.Transition)
			return err
		},
		"comment": func(ctx context.Context) error {
			res, err := g.Fire(ctx, erin, interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "so"}})
			spoil(res.Instance)
			spoilRow(res.Transition)
			return err
		},
		"facts": func(ctx context.Context) error {
			res, err := g.EditFacts(ctx, erin, interlock.FactsRequest{Machine: "loan", ID: "17", Patch: map[string]any{"amount": 7}})
			spoil(res.Instance)
			spoilRow(res.Transition)
			return err
		},
		"refusal": func(ctx context.Context) error {
			_, err := g.Fire(ctx, erin, interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
			spoil(*refusal(t, err, interlock.StageGraph, "illegal_event").Instance)
			return nil
		},
		"handler": func(ctx context.Context) error {
			res, _, err := interlock.Do(ctx, g, erin, interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "so"}},
				func(_ context.Context, _ *sql.Tx, t interlock.Transition) (any, error) { spoilRow(t); return nil, nil })
			require.NotContains(t, res.Instance.Facts, "spoilt")
			spoil(res.Instance)
			return err
		},
		"actor": func(ctx context.Context) error {
			a, err := g.SetActor(ctx, root, "erin", map[string]any{"limit": 5}, nil)
			a.Attrs["spoilt"], a.Head[0] = true, a.Head[0]+1
			if err == nil {
				a, err = g.Actor(ctx, erin, "erin")
				a.Attrs["spoilt"], a.Head[0] = true, a.Head[0]+1
			}
			return err
		},
	} {
		for range 2 { // of the first nothing may be kept yet
			_, err := st.Load(t.Context(), interlock.DefaultTenant, ref, []string{"erin"})
			require.NoError(t, err)
		}
		require.NoError(t, ask(t.Context()), name)
		kept, err := st.Load(t.Context(), interlock.DefaultTenant, ref, []string{"erin"})
		require.NoError(t, err)
		read, err := st.Load(interlock.Strong(t.Context()), interlock.DefaultTenant, ref, []string{"erin"})
		require.NoError(t, err)
		require.Equal(t, read.Instance, kept.Instance, name)
		require.Equal(t, read.Actors, kept.Actors, name)
	}
	report, err := interlock.Verify(t.Context(), st, nil)
	require.NoError(t, err)
	require.Empty(t, report.Bad)
}

// What a refusal or a menu tells of a machine isn't the machine's own.
func TestWhatIsToldOfAMachineIsOnesOwn(t *testing.T) {
	g := newGate(t, nil)
	limit(t, g, "mark", 5000)
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review")
	erin, ref := employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}
	override := interlock.Request{Machine: "loan", ID: "17", Event: "override", To: "verified", Note: "x"}
	before, err := g.Available(t.Context(), erin, ref)
	require.NoError(t, err)
	want, err := json.Marshal(before)
	require.NoError(t, err)
	for range 2 {
		_, err := g.Fire(t.Context(), erin, override)
		refusal(t, err, interlock.StagePolicy, "denied").Reasons[0].Params["any_of"].([]string)[0] = "employee"
		e, err := g.Explain(t.Context(), root, override, false)
		require.NoError(t, err)
		for _, s := range e.Steps {
			for _, v := range s.Detail {
				if list, ok := v.([]string); ok && len(list) > 0 {
					list[0] = "spoilt"
				}
			}
		}
		menu, err := g.Available(t.Context(), erin, ref)
		require.NoError(t, err)
		got, err := json.Marshal(menu)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
		for _, o := range menu.Options {
			if len(o.InputSchema) > 0 {
				o.InputSchema[0] = 'x'
			}
			for k := range o.UI {
				o.UI[k] = "spoilt"
			}
			for _, to := range o.To {
				for _, r := range to.Reasons {
					for _, v := range r.Params {
						if list, ok := v.([]string); ok {
							list[0] = "employee"
						}
					}
				}
			}
		}
	}
}

// A policy that writes to what it is given, which it mustn't, at least leaves nothing in another's form.
func TestAFormIsOfOneQuestion(t *testing.T) {
	policy := loanRules()
	policy.deny = func(in *interlock.Input) []interlock.Reason { in.Form["left"] = true; return nil }
	g := newGate(t, func(c *interlock.Config) { c.Policy = policy })
	newLoan(t, g, "17")
	_, err := g.Available(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	seen := false
	policy.deny = func(in *interlock.Input) []interlock.Reason {
		_, left := in.Form["left"]
		seen = seen || left
		return nil
	}
	fire(t, g, employee("erin"), "17", "submit")
	require.False(t, seen)
}

// Who asked with a promise not to write passes none of it on: what hooks and
// handlers ask with the context that they were given is their own.
func TestWhatIsLentIsLentToOneAlone(t *testing.T) {
	st := memory(t)
	var g *interlock.Gate
	erin, ref := employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}
	asked := 0
	spoiling := func(ctx context.Context) {
		asked++
		i, err := g.Get(ctx, erin, ref)
		require.NoError(t, err)
		spoil(i)
	}
	hooked := false
	g = newGate(t, func(c *interlock.Config) {
		c.Store = st
		c.Before = append(c.Before, func(ctx context.Context, _ interlock.Transition) error {
			if hooked {
				spoiling(ctx)
			}
			return nil
		})
		c.After = append(c.After, func(ctx context.Context, _ interlock.Transition) {
			if hooked {
				spoiling(ctx)
			}
		})
	})
	newLoan(t, g, "17")
	hooked = true
	ctx := lent.To(t.Context())
	_, err := g.EditFacts(ctx, erin, interlock.FactsRequest{Machine: "loan", ID: "17", Patch: map[string]any{"amount": 7}})
	require.NoError(t, err)
	_, err = g.Fire(ctx, erin, interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
	require.NoError(t, err)
	_, err = g.Fire(ctx, erin, interlock.Request{Machine: "loan", ID: "17", Event: "review", DryRun: true})
	require.NoError(t, err)
	_, err = g.Create(ctx, erin, interlock.CreateRequest{Machine: "loan", ID: "18", Facts: map[string]any{"amount": 1000}})
	require.NoError(t, err)
	_, _, err = interlock.Do(ctx, g, erin, interlock.Request{Machine: "loan", ID: "17", Event: "review"},
		func(ctx context.Context, _ *sql.Tx, _ interlock.Transition) (any, error) {
			spoiling(ctx)
			return nil, nil
		})
	require.NoError(t, err)
	require.GreaterOrEqual(t, asked, 10)
	i, err := g.Get(ctx, erin, ref)
	require.NoError(t, err)
	fresh, err := g.Get(interlock.Strong(t.Context()), erin, ref)
	require.NoError(t, err)
	require.Equal(t, fresh.Facts, i.Facts)
	require.Equal(t, fresh.Entered, i.Entered)
}

// A row that many decide on at once is written to by nobody: the race detector looks.
func TestManyDecideOnOneRow(t *testing.T) {
	g := newGate(t, nil)
	limit(t, g, "mark", 5000)
	newLoan(t, g, "17")
	fire(t, g, employee("erin"), "17", "submit", "review", "verify")
	ref := interlock.Ref{Machine: "loan", ID: "17"}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			ctx := t.Context()
			if n%2 == 0 {
				ctx = lent.To(ctx)
			}
			for range 20 {
				_, err := g.Fire(ctx, manager("mark"), interlock.Request{Machine: "loan", ID: "17", Event: "approve", DryRun: true})
				if err != nil {
					t.Error(err)
				}
				if _, err := g.AvailableMany(ctx, manager("mark"), []interlock.Ref{ref, ref}); err != nil {
					t.Error(err)
				}
				i, err := g.Get(t.Context(), manager("mark"), ref)
				if err != nil {
					t.Error(err)
				}
				spoil(i)
				_, _ = g.Fire(ctx, employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "so"}})
			}
		})
	}
	all.Wait()
}
