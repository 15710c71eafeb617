package policies

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// framedRules are random rules for the checks of the loan's machine.
func framedRules(rnd *rand.Rand) string {
	conditions := []string{
		`input.event == "approve"`, `input.event in {"verify", "override"}`, `input.transition.to == "approved"`, `input.transition.metadata.kind == "final"`,
		`input.transition.override`, `input.instance.facts.amount < 2000`, `input.instance.state == "verified"`, `input.actor.person in input.instance.did.verify`,
		`input.actor.attrs.limit >= input.instance.facts.amount`, `"manager" in input.actor.roles`, `input.actor.person == "anna"`, `input.note == ""`,
		`input.input.reference == "r1"`, `count(input.actor.roles) == 1`, `input[name] == "approve"; name in {"event", "note"}`, `shared`, `other(input.event)`, `other("approve")`,
		`with_it`, `10 / count(input.actor.roles) > 5`, `input.now.ns > 0`, `some name, _ in input.instance.last; name == input.event`,
	}
	var b strings.Builder
	b.WriteString("package interlock.machine.loan\n\nshared if input.instance.facts.amount > 500\nother(event) if event == \"approve\"\n" +
		"other(_) if input.actor.person == \"vera\"\nasks if input.event == \"approve\"\nwith_it if asks with input.event as \"approve\"\n")
	some := func() string {
		var list []string
		for range 1 + rnd.IntN(3) {
			c := conditions[rnd.IntN(len(conditions))]
			if !strings.Contains(c, ";") && !strings.Contains(c, "some ") && rnd.IntN(2) == 0 {
				c = "not " + c
			}
			list = append(list, c)
		}
		return strings.Join(list, "; ")
	}
	for _, name := range []string{"four_eyes", "within_limit", "owner"} {
		for range 1 + rnd.IntN(2) {
			fmt.Fprintf(&b, "%s if { %s }\n", name, some())
		}
	}
	fmt.Fprintf(&b, "params[\"within_limit\"] := {\"limit\": input.actor.attrs.limit, \"event\": input.event}\n")
	fmt.Fprintf(&b, "deny contains {\"code\": \"no\", \"message\": input.event} if { %s }\ntarget := \"approved\" if { %s }\n", some(), some())
	return b.String()
}

// framed is a random question among those that are asked in a row, after last.
func framed(rnd *rand.Rand, last *interlock.Query, held *interlock.Memo) *interlock.Query {
	in := loanInput()
	in.Memo, in.Instance.Memo = new(interlock.Memo), new(interlock.Memo)
	in.Instance.Facts["amount"] = []int{100, 1000, 3000}[rnd.IntN(3)]
	in.Actor.Person = []string{"anna", "vera", "carl"}[rnd.IntN(3)]
	in.Actor.Roles = [][]string{{"employee"}, {"employee", "manager"}, {}}[rnd.IntN(3)]
	in.Actor.Attrs["limit"] = []int{50, 1000, 5000}[rnd.IntN(3)]
	if rnd.IntN(2) == 0 {
		in.Form = map[string]any{"reference": "r1"}
	}
	if rnd.IntN(20) == 0 {
		in.Instance.Facts["amount"] = "many" // no input is made of it
	}
	if last != nil {
		if rnd.IntN(4) > 0 {
			in.Instance = last.Input.Instance
		}
		if rnd.IntN(4) > 0 {
			in.Actor, in.Form, in.Note, in.Memo = last.Input.Actor, last.Input.Form, last.Input.Note, last.Input.Memo
		}
	}
	in.Event = []string{"submit", "verify", "approve", "override", "$read"}[rnd.IntN(5)]
	in.Transition.To = []string{"verified", "approved"}[rnd.IntN(2)]
	in.Transition.Override = rnd.IntN(2) == 0
	in.Transition.Metadata = []map[string]any{{}, {"kind": "final"}}[rnd.IntN(2)]
	q := &interlock.Query{Input: in, Draft: true, Held: held, Deny: rnd.IntN(2) == 0, Target: rnd.IntN(4) == 0}
	for _, name := range []string{"four_eyes", "within_limit"} {
		if rnd.IntN(3) > 0 {
			q.Checks = append(q.Checks, name)
		}
	}
	if rnd.IntN(3) == 0 {
		q.Grants = []string{"owner"}
	}
	return q
}

// Questions that are asked in a row are answered as each by itself is, and as topdown
// answers them, whatever has changed from one to the next.
func TestQuestionsInARowAreAsEachAlone(t *testing.T) {
	asked, yes, failed, kepts := 0, 0, 0, 0
	for seed := range uint64(24) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		rules := framedRules(rnd)
		r := rulesOf(t, rules, Shadow([]int{1 << 40, 4}[seed%2]), OnDifference(func(d Difference) { t.Errorf("%+v\n%s", d, rules) }))
		slow := rulesOf(t, rules, WithCompiled(false))
		var q *interlock.Query
		held := new(interlock.Memo)
		for range 60 {
			q = framed(rnd, q, held)
			got, err := r.Decide(context.Background(), q)
			alone := *q
			alone.Held, alone.Input = nil, new(interlock.Input)
			*alone.Input = *q.Input
			alone.Input.Memo, alone.Input.Instance.Memo = nil, nil
			for _, by := range []*Rules{r, slow} {
				want, wantErr := by.Decide(context.Background(), &alone)
				require.Equal(t, wantErr, err, "%s\n%+v", rules, q)
				require.Equal(t, want, got, "%s\n%+v", rules, q)
			}
			asked++
			yes += len(got.Passed) + len(got.Granted)
			if err != nil {
				failed++
			}
		}
		kept, ok := held.Load(r)
		require.True(t, ok)
		f, ok := kept.(*frame)
		require.True(t, ok)
		kepts += len(f.held) // none, where the last question was shadowed
		f.Release()
		require.Empty(t, f.held)
		require.Zero(t, r.source.Differences())
		_, err := r.Decide(context.Background(), framed(rnd, nil, held)) // after the end, each stands alone
		if err == nil {
			require.Empty(t, f.held)
		}
	}
	t.Logf("%d questions, %d conditions that hold, %d refusals", asked, yes, failed)
	require.Greater(t, yes, asked/4)
	require.Positive(t, failed)
	require.Positive(t, kepts)
}

// What goes wrong with one question leaves nothing to the next, and who comes while
// another is still at it stands alone.
func TestAQuestionThatFails(t *testing.T) {
	r := rulesOf(t, loanRules, Shadow(1<<40))
	held := new(interlock.Memo)
	q := &interlock.Query{Input: loanInput(), Checks: []string{"four_eyes", "within_limit"}, Draft: true, Held: held}
	want, err := r.Decide(context.Background(), q)
	require.NoError(t, err)
	require.Len(t, want.Passed, 2)

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = r.Decide(ended, q)
	require.ErrorIs(t, err, ErrTimeout)
	bad := *q
	bad.Input = loanInput()
	bad.Input.Instance.Last = nil
	_, err = r.Decide(context.Background(), &bad)
	require.ErrorContains(t, err, "instance.last is missing")
	got, err := r.Decide(context.Background(), q)
	require.NoError(t, err)
	require.Equal(t, want, got)

	kept, _ := held.Load(r)
	f := kept.(*frame)
	f.mu.Lock()
	f.held[0].query = nil // whoever touches it fails
	got, err = r.Decide(context.Background(), q)
	require.NoError(t, err)
	require.Equal(t, want, got)
	f.Release() // leaves what is in use to who uses it
	require.NotEmpty(t, f.held)
	f.mu.Unlock()
}

// The evaluation that goes on from another is the one that is shadowed.
func TestAQuestionInARowIsShadowed(t *testing.T) {
	told := 0
	r := checkRules(t, refuses, Shadow(1), OnDifference(func(Difference) { told++ }))
	q := ask(interlock.Query{Draft: true, Held: new(interlock.Memo)})
	swap(t, r, q, otherYes)
	v, err := r.Decide(context.Background(), q)
	require.ErrorIs(t, err, ErrDifference)
	require.Equal(t, interlock.Verdict{}, v)
	require.Equal(t, 1, told)
}

// A shadowed question has the time of its own, not what the question before had left.
func TestAShadowedQuestionHasItsOwnTime(t *testing.T) {
	r := checkRules(t, refuses, Shadow(1))
	q := ask(interlock.Query{Draft: true, Held: new(interlock.Memo)})
	f := r.frame(q)
	h, err := f.hold(r.machines[q.Input.Machine], q)
	require.NoError(t, err)
	require.NoError(t, f.prepare(h, q.Input, time.Now()))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	h.quick.ctx, h.quick.deadline = over, time.Now().Add(-time.Hour)
	f.mu.Unlock()
	_, err = r.Decide(t.Context(), q)
	require.NoError(t, err)
}

// What the compiled rules took is given back once, whether anybody is asked or not.
func TestAClaimIsReleasedOnce(t *testing.T) {
	r := checkRules(t, refuses)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx   context.Context
		spoil func(*interlock.Input)
		fails bool
	}{
		"asked":             {ctx: t.Context()},
		"no time":           {ctx: ended, fails: true},
		"no input":          {ctx: t.Context(), spoil: func(in *interlock.Input) { in.Instance.Last = nil }, fails: true},
		"neither, nor time": {ctx: ended, spoil: func(in *interlock.Input) { in.Instance.Last = nil }, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			q := ask(interlock.Query{Draft: true})
			m := r.machines[q.Input.Machine]
			p, err := m.query(q, r.opts)
			require.NoError(t, err)
			mine, err := r.quick(m, p, q.Input, time.Now())
			require.NoError(t, err)
			if tt.spoil != nil {
				tt.spoil(q.Input)
			}
			released := 0
			_, err = r.slowly(tt.ctx, m, p, q, time.Now(), &claim{mine.ask, func() { released++; mine.machine.Release() }})
			require.Equal(t, tt.fails, err != nil, "%v", err)
			require.Equal(t, 1, released)
		})
	}
}

// What was made for one asker after the other, as in a batch where the roles change
// from instance to instance, is let go of before it is many.
func TestAskersInARowAreLetGo(t *testing.T) {
	r := checkRules(t, refuses, Shadow(1<<40))
	held := new(interlock.Memo)
	for range 10 * mostCommon {
		q := ask(interlock.Query{Draft: true, Held: held})
		q.Input.Memo = new(interlock.Memo)
		for range 3 {
			_, err := r.Decide(t.Context(), q)
			require.NoError(t, err)
		}
		kept, ok := held.Load(r)
		require.True(t, ok)
		f := kept.(*frame)
		require.LessOrEqual(t, len(f.common), mostCommon)
		require.LessOrEqual(t, f.asked, 3*mostCommon, "since it began anew")
	}
}
