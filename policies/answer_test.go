package policies

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

// Nobody waits elsewhere for topdown's yes to a light rule: it ends in time by itself.
func TestAYesEndsInTime(t *testing.T) {
	r := checkRules(t, `ok if { some a in input.actor.claims.list; some b in input.actor.claims.list; some c in input.actor.claims.list; a + b + c > 9999999 }`, Timeout(30*time.Millisecond), Shadow(1<<40))
	list := make([]any, 3000)
	for i := range list {
		list[i] = i
	}
	in := checkInput()
	in.Actor.Claims = map[string]any{"list": list}
	r.opts.wall = patience // who is asked for everything, since time was up before topdown began, ends by himself, too
	q := ask(interlock.Query{Input: in})
	swap(t, r, q, `answer = [[[true]], [[]], [], [], []]`)
	p, err := r.machines["m"].query(q, r.opts)
	require.NoError(t, err)
	require.True(t, p.light && p.program.Prompt())
	for _, cancelled := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if cancelled {
			cancel()
		}
		began := time.Now()
		v, err := r.Decide(ctx, q)
		cancel()
		require.ErrorIs(t, err, ErrTimeout)
		require.Empty(t, v)
		require.Less(t, time.Since(began), patience)
		require.Zero(t, r.source.Leaked())
	}
}

// A yes that took long or would have, that may make what is large, or is to a large
// input, may have to be given up.
func TestWhoWaitsForAYes(t *testing.T) {
	const yes = `answer = [[[true]], [[]], [], [], []]`
	for name, tt := range map[string]struct{ rules, answer string }{
		"heavy":  {"ok if test.stuck(\"x\")\n\nok if {\n" + doubled(17, "[x%[2]d, x%[2]d]") + "}", yes},
		"spared": {"ok if test.stuck(\"x\")", yes + `; count([1 | some a in input.actor.claims.list; some b in input.actor.claims.list; a == b]) > 0`},
		"large":  {"ok if { count(input.actor.claims.texts) > 0; test.stuck(\"x\") }", yes},
		"long":   {"ok if test.stuck(\"x\")", yes + `; count([1 | some a in input.actor.claims.list; some b in input.actor.claims.list; a + b > 1]) > 0`},
	} {
		t.Run(name, func(t *testing.T) {
			release, ctx := make(chan struct{}), newExpiring()
			r := checkRules(t, tt.rules, Shadow(1<<40), stuck(release, ctx.expire))
			in := checkInput()
			in.Actor.Claims = map[string]any{"list": make([]any, 70), "texts": make([]string, 6000)}
			for i := range 70 {
				in.Actor.Claims["list"].([]any)[i] = i
			}
			q := ask(interlock.Query{Input: in})
			p := compiledTo(t, r, q, tt.answer)
			require.Equal(t, name != "heavy", p.light)
			result := make(chan error, 1)
			go func() {
				_, err := r.Decide(ctx, q)
				result <- err
			}()
			select {
			case err := <-result:
				require.ErrorContains(t, err, "abandoned")
			case <-time.After(10 * time.Second):
				t.Error("it is waited for")
			}
			close(release)
			require.Eventually(t, func() bool { return r.source.Leaked() == 0 }, patience, time.Millisecond)
		})
	}
}

// compiledTo is the query with an answer of compiled rules that call nothing slow.
func compiledTo(t *testing.T, r *Rules, q *interlock.Query, answer string) *query {
	t.Helper()
	p, err := r.machines["m"].query(q, r.opts)
	require.NoError(t, err)
	plan, err := compiled.Plan(context.Background(), rego.Query(answer))
	require.NoError(t, err)
	p.program, err = compiled.Compile(plan, compiled.Options{})
	require.NoError(t, err)
	require.True(t, p.program.Prompt())
	return p
}

// A yes that comes after its deadline is none, whoever waited for it.
func TestALateYes(t *testing.T) {
	const limit = 50 * time.Millisecond
	release, asked := make(chan struct{}), false
	close(release)
	r := checkRules(t, `ok if test.stuck("x")`, Timeout(limit), Shadow(1<<40), stuck(release, func() {
		asked = true
		time.Sleep(2 * limit) // its deadline is over
	}))
	q := ask(interlock.Query{})
	require.True(t, compiledTo(t, r, q, `answer = [[[true]], [[]], [], [], []]`).light)
	for began := time.Now(); !asked; { // a busy machine may be late before that
		require.Less(t, time.Since(began), patience)
		v, err := r.Decide(context.Background(), q)
		require.ErrorIs(t, err, ErrTimeout)
		require.NotContains(t, err.Error(), "abandoned")
		require.Empty(t, v)
	}
	require.NoError(t, late(time.Now().Add(time.Hour)))
}

// Who was given up reads nothing that the caller may change from then on.
func TestGivenUpEvaluationsReadNothingOfTheirCallers(t *testing.T) {
	release, ctx := make(chan struct{}), newExpiring()
	r := checkRules(t, `ok if { test.stuck("x"); input.actor.claims.a == "b"; count(input.input) > 0 }`, Shadow(1<<40), stuck(release, ctx.expire))
	in := checkInput()
	in.Actor.Claims, in.Form = map[string]any{"a": "b"}, map[string]any{"c": "d"}
	q := ask(interlock.Query{Input: in})
	_, err := r.Decide(ctx, q)
	require.ErrorContains(t, err, "abandoned")
	close(release)
	for i := range 1000 {
		q.Deny, q.Target = !q.Deny, !q.Target
		in.Actor.Claims[fmt.Sprint(i%7)], in.Form[fmt.Sprint(i%7)] = i, i
	}
	require.Eventually(t, func() bool { return r.source.Leaked() == 0 }, patience, time.Millisecond)
}

// What topdown is asked to confirm with is the input, but for what no rule reads.
func TestNarrowInput(t *testing.T) {
	whole := rulesOf(t, loanRules+"\nall if count(input) > 0\n").machines["loan"].encoder
	in := loanInput()
	in.Form, in.Note, in.Request.ID = map[string]any{"reference": "r"}, "n", "q"
	in.Actor.Claims, in.Transition.Metadata = map[string]any{"c": 1}, map[string]any{"d": true}
	want, err := encode(whole, terms{}, in)
	require.NoError(t, err)
	for range 2 {
		got, _, err := narrow(whole, in)
		require.NoError(t, err)
		require.Equal(t, want.String(), got.String())
		in.Instance.Memo = new(interlock.Memo)
	}
	for rule, want := range map[string]string{
		`input.note == "x"; input.now.ns > 0`:                               `{"note": "n", "now": {"ns": 1}}`,
		`input.actor.claims.c == 1; input.actor["roles"][0] == input.note`:  `{"actor": {"claims": {"c": 1}, "roles": ["r1"]}, "note": "n"}`,
		`input.transition.override; count(input.request) == 1`:              `{"request": {"id": "q"}, "transition": {"override": false}}`,
		`input.actor.on_behalf_of == input.machine`:                         `{"actor": {"on_behalf_of": ""}, "machine": "m"}`,
		`count(input.input) == 1 with input.transition.from as input.event`: `{"event": "go", "input": {"c": "d"}, "transition": {"from": "a"}}`,
	} {
		r := checkRules(t, "ok if { "+rule+" }\n\ngranted if false")
		in := checkInput()
		in.Form, in.Note, in.Request.ID, in.Now.NS = map[string]any{"c": "d"}, "n", "q", 1
		in.Actor.Claims, in.Actor.Roles = map[string]any{"c": 1}, []string{"r1"}
		got, _, err := narrow(r.machines["m"].encoder, in)
		require.NoError(t, err)
		require.Equal(t, want, got.String(), rule)
	}
	in.Actor.Attrs["limit"] = "much"
	_, _, err = narrow(whole, in)
	require.ErrorContains(t, err, `has a string as "limit"`)
}

// Many confirm at once.
func TestManyAskForOneYes(t *testing.T) {
	r := rulesOf(t, loanRules, Shadow(1<<40))
	memo := new(interlock.Memo)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 30 {
				in := loanInput()
				in.Instance.Memo = memo
				v, err := r.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Grants: []string{"owner"}, Deny: true})
				if err != nil || len(v.Passed) != 2 {
					t.Errorf("%v, %v", v, err)
				}
			}
		})
	}
	all.Wait()
}
