package policies

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies/compiled"
)

// To a rule every declared state and event is a key, whoever made the input.
func TestWhoIsLeftOutIsNobody(t *testing.T) {
	e := rulesOf(t, loanRules).machines["loan"].encoder
	whole, sparse := loanInput(), loanInput()
	in := &sparse.Instance
	in.Entered = map[string][]string{"created": {"carl"}, "submitted": {"carl"}, "verified": {"vera"}, "forgotten": {"dora"}}
	in.Did = map[string][]string{"submit": {"carl"}, "verify": {"vera"}}
	in.Last = map[string]interlock.InputLast{"submit": in.Last["submit"]}
	want, err := encode(e, terms{}, whole)
	require.NoError(t, err)
	got, err := encode(e, terms{}, sparse)
	require.NoError(t, err)
	require.Equal(t, want.String(), got.String())
	mine, err := encode(e, own{new(compiled.Builder)}, sparse)
	require.NoError(t, err)
	require.Equal(t, want.String(), compiled.ToAST(mine).String())
}

// An instance is translated once, for whoever decides on it, and by the rules that
// did; what is wrong with it stays wrong.
func TestAnInstanceIsTranslatedOnce(t *testing.T) {
	ctx := context.Background()
	r := rulesOf(t, loanRules)
	later := strings.NewReplacer("  approved:  {closed", "  archived:  {}\n  approved:  {closed", "[submitted, verified, approved]", "[submitted, verified, approved, archived]").Replace(loanMachine)
	newer, err := Sources(map[string]string{"loan.rego": strings.ReplaceAll(loanRules, "input.instance.created_by == input.actor.id", "count(input.instance.entered.archived) == 0")},
		Timeout(patience)).Compile(ctx, []*fsm.Machine{machine(t, later)})
	require.NoError(t, err)
	other := newer.(*Rules)
	ask := func(r *Rules, in *interlock.Input, draft bool) []string {
		v, err := r.Decide(ctx, &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Grants: []string{"owner"}, Draft: draft})
		require.NoError(t, err)
		return append(v.Passed, v.Granted...)
	}
	in := loanInput()
	in.Instance.Memo = new(interlock.Memo)
	for range 3 {
		for _, draft := range []bool{true, false} {
			require.Equal(t, []string{"four_eyes", "within_limit"}, ask(r, in, draft))
			require.Equal(t, []string{"four_eyes", "within_limit", "owner"}, ask(other, in, draft))
		}
	}
	in.Instance.Facts["amount"] = 9000
	require.Equal(t, []string{"four_eyes", "within_limit"}, ask(r, in, true), "it was not to change")
	in.Instance.Memo = new(interlock.Memo)
	require.Equal(t, []string{"four_eyes"}, ask(r, in, true))

	in.Instance.Facts["amount"], in.Instance.Memo = "a lot", new(interlock.Memo)
	for range 2 {
		for _, draft := range []bool{true, false} {
			_, err := r.Decide(ctx, &interlock.Query{Input: in, Checks: []string{"within_limit"}, Draft: draft})
			require.ErrorContains(t, err, `has a string as "amount"`)
		}
	}
	in = loanInput()
	in.Instance.Facts["text"], in.Instance.Memo = long(12), new(interlock.Memo)
	ask(r, in, true)
	in.Form = map[string]any{"text": long(8)} // both together are too much
	_, err = r.Decide(ctx, &interlock.Query{Input: in, Checks: []string{"four_eyes"}, Draft: true})
	require.ErrorContains(t, err, "larger than 64 KiB")
}

// So is what all questions of one decision share.
func TestWhatIsAskedIsTranslatedOnce(t *testing.T) {
	ctx := context.Background()
	r := rulesOf(t, loanRules)
	in := loanInput()
	in.Memo, in.Instance.Memo = new(interlock.Memo), new(interlock.Memo)
	for _, event := range []string{"approve", "submit", "approve"} {
		for _, draft := range []bool{true, false} {
			in.Event = event
			v, err := r.Decide(ctx, &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Draft: draft})
			require.NoError(t, err)
			require.Equal(t, []string{"four_eyes", "within_limit"}, v.Passed)
			plain := loanInput()
			plain.Event = event
			want, err := encode(r.machines["loan"].encoder, terms{}, plain)
			require.NoError(t, err)
			got, err := encode(r.machines["loan"].encoder, terms{}, in)
			require.NoError(t, err)
			require.Equal(t, want.String(), got.String())
		}
	}
	for name, spoil := range map[string]func(*interlock.Input){
		"at most 4096 go":      func(in *interlock.Input) { in.Note = strings.Repeat("x", maxStringBytes+1) },
		`has a string as "lim`: func(in *interlock.Input) { in.Actor.Attrs["limit"] = "much" },
		"larger than 64 KiB": func(in *interlock.Input) {
			in.Form, in.Transition.Metadata = map[string]any{"text": long(10)}, map[string]any{"text": long(10)}
		},
	} {
		in := loanInput()
		in.Memo = new(interlock.Memo)
		spoil(in)
		for range 2 {
			for _, draft := range []bool{true, false} {
				_, err := r.Decide(ctx, &interlock.Query{Input: in, Checks: []string{"within_limit"}, Draft: draft})
				require.ErrorContains(t, err, name)
			}
		}
	}
}

// An object of OPA's sorts itself when it is first gone through: one that several
// evaluations share has done so before.
func TestSharedObjectsAreSorted(t *testing.T) {
	r := rulesOf(t, strings.NewReplacer("owner if input.instance.created_by == input.actor.id", `owner if { every k, _ in input.instance.facts { k != "" } }`,
		"within_limit if input", `within_limit if count(input.instance.facts) == 31 with input.note as "x"

unused if input`).Replace(loanRules), WithCompiled(false))
	e := r.machines["loan"].encoder
	for range 50 {
		in := loanInput()
		for i := range 30 {
			in.Instance.Facts[fmt.Sprint("fact", (i*7)%30)] = i
		}
		in.Instance.Memo = new(interlock.Memo)
		whole, err := encode(e, terms{}, in)
		require.NoError(t, err)
		facts, err := whole.Value.Find(ast.MustParseRef("x.instance.facts")[1:])
		require.NoError(t, err)
		copied := facts.(ast.Object).Copy() // goes through the keys as they lie
		var names []string
		copied.Foreach(func(k, _ *ast.Term) { names = append(names, k.String()) })
		require.Len(t, names, 31)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				q := &interlock.Query{Input: in, Grants: []string{"owner"}}
				if i%2 == 0 {
					q = &interlock.Query{Input: in, Checks: []string{"within_limit"}}
				}
				if v, err := r.Decide(context.Background(), q); err != nil || len(v.Granted)+len(v.Passed) != 1 {
					t.Errorf("%v, %v", v, err)
				}
			})
		}
		all.Wait()
	}
}

func TestManyDecideOnOneInstance(t *testing.T) {
	r := rulesOf(t, loanRules)
	memo := new(interlock.Memo)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				in := loanInput()
				in.Instance.Memo = memo
				v, err := r.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Deny: true, Draft: (i+n)%2 == 0})
				if err != nil || len(v.Passed) != 2 {
					t.Errorf("%v, %v", v, err)
				}
			}
		})
	}
	all.Wait()
}

// A machine of many states costs its instances only those that a rule can read.
func TestOnlyWhatRulesReadIsTranslated(t *testing.T) {
	var b strings.Builder
	b.WriteString("machine: many\ninitial: s0\nstates:\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  s%d: {}\n", i)
	}
	b.WriteString("events:\n")
	for i := range 39 {
		fmt.Fprintf(&b, "  go%d: {from: s%d, to: s%d, requires: [anyone], checks: [ok]}\n", i, i, i+1)
	}
	m := machine(t, b.String())
	for _, tt := range []struct {
		name, rule            string
		entered, did, last    int
		enteredNames, lastOne string
	}{
		{name: "nothing", rule: `input.actor.id != ""`},
		{name: "by name", rule: `"ann" in input.instance.entered.s3; not "bob" in input.instance.entered["s5"]; input.instance.last.go1.count == 0`, entered: 2, last: 1, enteredNames: "s3 s5", lastOne: "go1"},
		{name: "whole", rule: `count(input.instance.entered) == 40`, entered: 40},
		{name: "by a computed name", rule: `count(input.instance.did[input.event]) == 0`, did: 39},
		{name: "by a variable", rule: `some state; "ann" in input.instance.entered[state]`, entered: 40},
		{name: "the instance by itself", rule: `i := input.instance; count(i.last) == 39`, entered: 40, did: 39, last: 39},
		{name: "the input by itself", rule: `walk(input, [_, "ann"])`, entered: 40, did: 39, last: 39},
		{name: "the input by a computed name", rule: `some k; count(input[k].entered) > 0`, entered: 40, did: 39, last: 39},
		{name: "in a function", rule: `f(input.instance.did)`, did: 39},
		{name: "in a comprehension", rule: `count([1 | input.instance.last.go1.count == 0; input.instance.last.go2]) == 1`, last: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "package interlock.machine.many\n\n# METADATA\n# title: It is so\nok if { " + tt.rule + " }\n\nf(x) if count(x) > 0\n"
			rules, err := Sources(map[string]string{"many.rego": text}, Timeout(patience)).Compile(context.Background(), []*fsm.Machine{m})
			require.NoError(t, err)
			e := rules.(*Rules).machines["many"].encoder
			require.Len(t, e.states.list, tt.entered)
			require.Len(t, e.did.list, tt.did)
			require.Len(t, e.last.list, tt.last)
			if tt.enteredNames != "" {
				require.Equal(t, strings.Fields(tt.enteredNames), e.states.list)
				require.Equal(t, strings.Fields(tt.lastOne), e.last.list)
			}
			in := loanInput()
			in.Machine, in.Event, in.Transition.From, in.Transition.To, in.Instance.State = "many", "go3", "s3", "s4", "s3"
			in.Instance.Entered, in.Instance.Did, in.Instance.Last = map[string][]string{"s3": {"ann"}}, map[string][]string{}, map[string]interlock.InputLast{}
			in.Instance.Facts, in.Actor.Attrs = map[string]any{}, map[string]any{}
			for _, draft := range []bool{true, false} {
				v, err := rules.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"ok"}, Draft: draft})
				require.NoError(t, err)
				require.Equal(t, []string{"ok"}, v.Passed)
			}
		})
	}
}

// A draft that nobody waits for in a goroutine of its own ends in time all the same.
func TestDraftsEndInTime(t *testing.T) {
	r := checkRules(t, `ok if count([1 | some a in input.actor.claims.list; some b in input.actor.claims.list; some c in input.actor.claims.list; a + b + c > 9999999]) > 0`, Timeout(30*time.Millisecond), Shadow(1<<40))
	list := make([]any, 3000)
	for i := range list {
		list[i] = i
	}
	in := checkInput()
	in.Actor.Claims = map[string]any{"list": list}
	q := ask(interlock.Query{Input: in, Draft: true})
	p, err := r.machines["m"].query(q, r.opts)
	require.NoError(t, err)
	require.True(t, p.program.Prompt())
	for _, cancelled := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if cancelled {
			cancel()
		}
		began := time.Now()
		_, err = r.Decide(ctx, q)
		cancel()
		require.ErrorIs(t, err, ErrTimeout)
		require.Less(t, time.Since(began), patience)
		require.Zero(t, r.source.Leaked())
	}
}

// Nobody waits for a draft that can't be stopped.
func TestTheWallOfDrafts(t *testing.T) {
	release, ctx := make(chan struct{}), newExpiring()
	r := checkRules(t, `ok if input.event == "go"`, Shadow(1<<40), stuck(release, ctx.expire))
	q := ask(interlock.Query{Draft: true})
	p, err := r.machines["m"].query(q, r.opts)
	require.NoError(t, err)
	decl := &rego.Function{Name: "test.stuck", Decl: r.opts.decls[0].Decl}
	plan, err := compiled.Plan(context.Background(), rego.Query(`answer = [[[test.stuck("x")]], [[]], [], [], []]`), rego.Function1(decl, nil))
	require.NoError(t, err)
	p.program, err = compiled.Compile(plan, compiled.Options{Builtins: r.opts.builtins})
	require.NoError(t, err)
	result := make(chan error, 1)
	go func() {
		_, err := r.Decide(ctx, q)
		result <- err
	}()
	select {
	case err := <-result:
		require.ErrorContains(t, err, "abandoned")
	case <-time.After(patience):
		t.Error("it is waited for")
	}
	close(release)
	require.Eventually(t, func() bool { return r.source.Leaked() == 0 }, patience, time.Millisecond)
}
