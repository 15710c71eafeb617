package policies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// checkMachine names one check and one grant.
const checkMachine = `machine: m
initial: a
attrs: {schema: {type: object, properties: {limit: {type: integer}}}}
facts: {schema: {type: object, properties: {amount: {type: integer}, any: {}}}}
states: {a: {}, b: {}}
events:
  go: {from: a, to: b, requires: [user, $granted], checks: [ok]}
  stray: {from: a, to: [a, b], requires: [user]}
`

func checkInput() *interlock.Input {
	return &interlock.Input{
		Machine: "m", Event: "go",
		Transition: interlock.InputTransition{From: "a", To: "b"},
		Instance: interlock.InputInstance{
			ID: "1", Tenant: "default", State: "a", Version: 1,
			Entered: map[string][]string{"a": {"p"}, "b": nil},
			Did:     map[string][]string{"go": nil, "stray": nil},
			Last:    map[string]interlock.InputLast{"go": {}, "stray": {}},
		},
		Actor: interlock.InputActor{ID: "x", Person: "p", Kind: interlock.User, Roles: []string{"user"}},
	}
}

// checkRules compiles the package body with a grant that never holds, unless it has its own.
func checkRules(t testing.TB, body string, opts ...Option) *Rules {
	t.Helper()
	if !strings.Contains(body, "granted") {
		body += "\ngranted if input.note == \"grant\"\n"
	}
	opts = append([]Option{Timeout(patience)}, opts...)
	r, err := Sources(map[string]string{"m.rego": "package interlock.machine.m\n\n" + body}, opts...).
		Compile(context.Background(), []*fsm.Machine{machine(t, checkMachine)})
	require.NoError(t, err)
	return r.(*Rules)
}

func ask(q interlock.Query) *interlock.Query {
	if q.Input == nil {
		q.Input = checkInput()
	}
	if q.Checks == nil {
		q.Checks = []string{"ok"}
	}
	q.Deny, q.Target = true, true
	return &q
}

// ways are all in which a query may be answered; none may answer otherwise.
var ways = map[string][]Option{
	"both":             nil,
	"both, no index":   {WithIndexing(false)},
	"topdown":          {WithCompiled(false)},
	"topdown no index": {WithCompiled(false), WithIndexing(false)},
	draft:              {Shadow(1 << 40)},
}

const draft = "compiled"

// Whatever isn't exactly true is a failed check; whatever went wrong is an error.
func TestContract(t *testing.T) {
	for name, tt := range map[string]struct {
		rego   string
		passed bool
		err    string
	}{
		"true":                      {rego: `ok if input.event == "go"`, passed: true},
		"undefined":                 {rego: `ok if input.event == "stray"`},
		"false":                     {rego: `ok := false`},
		"null":                      {rego: `ok := null`},
		"text":                      {rego: `ok := "yes"`},
		"text true":                 {rego: `ok := "true"`},
		"number":                    {rego: `ok := 1`},
		"list":                      {rego: `ok := [true]`},
		"set":                       {rego: `ok := {true}`},
		"object":                    {rego: `ok := {"ok": true}`},
		"default false":             {rego: "default ok := false\n\nok if input.event == \"stray\""},
		"missing fact":              {rego: `ok if input.instance.facts.amount < 5`},
		"missing attr":              {rego: `ok if 5 < input.actor.attrs.limit`},
		"missing claim":             {rego: `ok if input.actor.claims.level > 1`},
		"division by zero":          {rego: `ok if 1 / count(input.actor.claims) > 0`, err: "divide by zero"},
		"built-in error":            {rego: `ok if to_number(input.note) > 0`, err: "to_number"},
		"built-in error, negated":   {rego: `ok if not to_number(input.note) > 0`, err: "to_number"},
		"built-in error in helper":  {rego: "ok if not bad\n\nbad if time.parse_rfc3339_ns(input.note) > 0", err: "parse_rfc3339_ns"},
		"conflict":                  {rego: "ok := true if input.event == \"go\"\n\nok := false if input.actor.id == \"x\"", err: "conflict"},
		"conflict of true and text": {rego: "ok if input.event == \"go\"\n\nok := \"no\" if input.actor.id == \"x\"", err: "conflict"},
		"else":                      {rego: "ok := false if input.event == \"go\"\n\nelse := true"},
		"target unasked state":      {rego: "ok if input.event == \"go\"\n\ntarget := input.actor.id", passed: true},
		"target of no text":         {rego: "ok if input.event == \"go\"\n\ntarget := 7", err: "target is number"},
		"target empty":              {rego: "ok if input.event == \"go\"\n\ntarget := input.note", err: "target is"},
		"targets in conflict":       {rego: "ok if input.event == \"go\"\n\ntarget := \"a\" if input.event == \"go\"\n\ntarget := \"b\" if input.event == \"go\"", err: "conflict"},
		"deny, no object":           {rego: "ok if input.event == \"go\"\n\ndeny contains x if some x in [\"late\"]", err: "want an object"},
		"deny without message":      {rego: "ok if input.event == \"go\"\n\ndeny contains x if some x in [{\"code\": \"late\"}]", err: "code and a message"},
		"deny with empty code":      {rego: "ok if input.event == \"go\"\n\ndeny contains {\"code\": input.note, \"message\": \"m\"} if input.event == \"go\"", err: "code is wrong"},
		"deny with a stranger":      {rego: "ok if input.event == \"go\"\n\ndeny contains x if some x in [{\"code\": \"late\", \"message\": \"m\", \"allow\": true}]", err: `unknown member "allow"`},
		"deny, params of no object": {rego: "ok if input.event == \"go\"\n\ndeny contains {\"code\": \"c\", \"message\": \"m\", \"params\": 1} if input.event == \"go\"", err: "params is wrong"},
		"deny built-in error":       {rego: "ok if input.event == \"go\"\n\ndeny contains {\"code\": \"c\", \"message\": \"m\"} if to_number(input.note) > 1", err: "to_number"},
		"params of no object":       {rego: "ok if input.event == \"stray\"\n\nparams[\"ok\"] := 3", err: "want an object"},
		"params error, check holds": {rego: "ok if input.event == \"go\"\n\nparams[\"ok\"] := {\"n\": to_number(input.note)}", passed: true},
		"params error, check fails": {rego: "ok if input.event == \"stray\"\n\nparams[\"ok\"] := {\"n\": to_number(input.note)}", err: "to_number"},
	} {
		for way, opts := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				v, err := checkRules(t, tt.rego, opts...).Decide(context.Background(), ask(interlock.Query{Draft: way == draft}))
				if tt.err != "" {
					require.ErrorContains(t, err, tt.err)
					require.Equal(t, interlock.Verdict{}, v, "an error comes with the verdict that grants nothing")
					return
				}
				require.NoError(t, err)
				if tt.passed {
					require.Equal(t, []string{"ok"}, v.Passed)
					require.Empty(t, v.Failed)
				} else {
					require.Empty(t, v.Passed)
					require.Equal(t, []interlock.Reason{{Code: "ok", Message: "The condition ok doesn't hold"}}, v.Failed)
				}
				require.Empty(t, v.Deny)
			})
		}
	}
}

// One name that is undefined or false doesn't empty the others.
func TestEveryNameIsAnsweredByItself(t *testing.T) {
	r := checkRules(t, `ok if input.event == "stray"

# METADATA
# title: Second
two if input.event == "go"

three := false

granted if input.actor.person == "p"

deny contains {"code": "late", "message": "Too late", "params": {"by": 3}} if input.event == "go"

deny contains {"code": "early", "message": "Too early"} if input.event == "go"

target := "b" if input.event == "go"
`)
	v, err := r.Decide(context.Background(), ask(interlock.Query{Checks: []string{"ok", "two", "three"}, Grants: []string{"granted"}}))
	require.NoError(t, err)
	assert.Equal(t, []string{"two"}, v.Passed)
	assert.Equal(t, []string{"granted"}, v.Granted)
	assert.Equal(t, "b", v.Target)
	assert.Equal(t, []interlock.Reason{
		{Code: "ok", Message: "The condition ok doesn't hold"},
		{Code: "three", Message: "The condition three doesn't hold"},
	}, v.Failed)
	assert.Equal(t, []interlock.Reason{
		{Code: "early", Message: "Too early"},
		{Code: "late", Message: "Too late", Params: map[string]any{"by": json.Number("3")}},
	}, v.Deny)

	v, err = r.Decide(context.Background(), &interlock.Query{Input: checkInput(), Checks: []string{"two"}})
	require.NoError(t, err)
	assert.Equal(t, interlock.Verdict{Passed: []string{"two"}}, v, "neither deny nor target nor grants were asked for")
}

func TestDecideRefusesWhatItCannotKnow(t *testing.T) {
	r := checkRules(t, `ok if input.event == "go"`)
	for name, tt := range map[string]struct {
		change func(*interlock.Query)
		want   string
	}{
		"no input":         {func(q *interlock.Query) { q.Input = nil }, "needs an input"},
		"unknown machine":  {func(q *interlock.Query) { q.Input.Machine = "other" }, "no rules were compiled"},
		"unknown check":    {func(q *interlock.Query) { q.Checks = []string{"ok", "missing"} }, `no rule "missing"`},
		"unknown grant":    {func(q *interlock.Query) { q.Grants = []string{"missing"} }, `no rule "missing"`},
		"entered left out": {func(q *interlock.Query) { q.Input.Instance.Entered = nil }, "instance.entered is missing"},
		"did left out":     {func(q *interlock.Query) { q.Input.Instance.Did = nil }, "instance.did is missing"},
		"last left out":    {func(q *interlock.Query) { q.Input.Instance.Last = nil }, "instance.last is missing"},
		"long string":      {func(q *interlock.Query) { q.Input.Note = strings.Repeat("x", maxStringBytes+1) }, "at most 4096 go"},
		"long string inside": {func(q *interlock.Query) {
			q.Input.Form = map[string]any{"a": []any{strings.Repeat("x", maxStringBytes+1)}}
		}, "at most 4096 go"},
		"large input":       {func(q *interlock.Query) { q.Input.Form = map[string]any{"a": long(17)} }, "larger than 64 KiB"},
		"a crowd":           {func(q *interlock.Query) { q.Input.Instance.Did["go"] = crowd(30000) }, "larger than 1024 KiB"},
		"many small things": {func(q *interlock.Query) { q.Input.Form = map[string]any{"a": make([]any, 20000)} }, "larger than 64 KiB"},
		"deep input":        {func(q *interlock.Query) { q.Input.Form = deep(40) }, "nested more than 32"},
		"not UTF-8":         {func(q *interlock.Query) { q.Input.Note = "\xff" }, "UTF-8"},
		"huge exponent":     {func(q *interlock.Query) { q.Input.Form = map[string]any{"a": json.Number("1e999999999")} }, "JSON number"},
		"no number":         {func(q *interlock.Query) { q.Input.Form = map[string]any{"a": json.Number("true")} }, "JSON number"},
		"not finite":        {func(q *interlock.Query) { q.Input.Form = map[string]any{"a": 1 / zero} }, "finite"},
		"a Go value":        {func(q *interlock.Query) { q.Input.Form = map[string]any{"a": struct{}{}} }, "want what JSON has"},
	} {
		t.Run(name, func(t *testing.T) {
			q := ask(interlock.Query{})
			tt.change(q)
			v, err := r.Decide(context.Background(), q)
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, interlock.Verdict{}, v)
		})
	}
}

var zero float64

func long(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = strings.Repeat("x", maxStringBytes-10)
	}
	return out
}

func deep(n int) map[string]any {
	out := map[string]any{}
	for range n {
		out = map[string]any{"a": out}
	}
	return out
}

// Numbers stay exact: float64 would round this one down to its neighbour.
func TestNumbersAreExact(t *testing.T) {
	r := checkRules(t, `ok if input.instance.facts.amount == 9007199254740993`)
	for _, n := range []any{json.Number("9007199254740993"), int64(9007199254740993), 9007199254740993} {
		in := checkInput()
		in.Instance.Facts = map[string]any{"amount": n}
		v, err := r.Decide(context.Background(), ask(interlock.Query{Input: in}))
		require.NoError(t, err)
		require.Equal(t, []string{"ok"}, v.Passed)
	}
	in := checkInput()
	in.Instance.Facts = map[string]any{"amount": json.Number("9007199254740992")}
	v, err := r.Decide(context.Background(), ask(interlock.Query{Input: in}))
	require.NoError(t, err)
	require.Empty(t, v.Passed)
}

// The clock is the input's, and nothing else's.
func TestTimeComesFromTheInput(t *testing.T) {
	r := checkRules(t, `ok if time.weekday(input.now.ns) == "Tuesday"`)
	in := checkInput()
	in.Now.NS = time.Date(2024, 2, 27, 12, 0, 0, 0, time.UTC).UnixNano()
	v, err := r.Decide(context.Background(), ask(interlock.Query{Input: in}))
	require.NoError(t, err)
	require.Equal(t, []string{"ok"}, v.Passed)
}

func TestTimeouts(t *testing.T) {
	for name, rego := range map[string]string{
		"comprehensions": `ok if count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000); a + b + c == 0]) == 0`,
		"range":          `ok if count(numbers.range(1, 10000000000)) > 0`,
		"regular expressions": `ok if {
	long := concat("", [s | some _ in numbers.range(1, 3000); s := "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])
	every _ in numbers.range(1, 100000) { not regex.match("(a|aa|aaa)+(a|b)*(ab|ba|aa)*c$", long) }
}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := checkRules(t, rego, Timeout(30*time.Millisecond))
			begin := time.Now()
			v, err := r.Decide(context.Background(), ask(interlock.Query{}))
			require.ErrorIs(t, err, ErrTimeout)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, interlock.Verdict{}, v)
			require.Less(t, time.Since(begin), patience)
			require.Eventually(t, func() bool { return r.source.Leaked() == 0 }, patience, time.Millisecond, "it ended after all")
		})
	}
}

func TestCancelledCallerGetsAnError(t *testing.T) {
	r := checkRules(t, `ok if input.event == "go"`)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := r.Decide(ctx, ask(interlock.Query{}))
	require.ErrorIs(t, err, context.Canceled)
}

// stuck is a built-in that ends only when the channel is closed, as a heavy one
// does that never looks at the deadline.
func stuck(release <-chan struct{}, before func()) Option {
	decl := &ast.Builtin{Name: "test.stuck", Decl: types.NewFunction(types.Args(types.S), types.B)}
	return func(o *options) {
		o.wall = 20 * time.Millisecond
		o.decls = append(o.decls, decl)
		o.builtins = map[string]*topdown.Builtin{decl.Name: {Decl: decl, Func: func(_ topdown.BuiltinContext, _ []*ast.Term, iter func(*ast.Term) error) error {
			before()
			<-release
			return iter(ast.BooleanTerm(true))
		}}}
	}
}

// expiring is a context whose deadline is over when somebody says so, such as the
// built-in that an evaluation is stuck in from then on.
type expiring struct {
	context.Context
	over chan struct{}
	once sync.Once
}

func newExpiring() *expiring {
	return &expiring{Context: context.Background(), over: make(chan struct{})}
}

func (c *expiring) Done() <-chan struct{} { return c.over }

func (c *expiring) Err() error {
	select {
	case <-c.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func (c *expiring) expire() { c.once.Do(func() { close(c.over) }) }

// Evaluations that can't be stopped don't hold up the caller, and there are
// never more than a few of them.
func TestTheWall(t *testing.T) {
	release, reached := make(chan struct{}), func() {}
	r := checkRules(t, `ok if test.stuck(input.note)`, stuck(release, func() { reached() }))
	begin := time.Now()
	for i := range maxLeaked + 1 {
		ctx := newExpiring()
		reached = ctx.expire
		_, err := r.Decide(ctx, ask(interlock.Query{}))
		require.ErrorIs(t, err, ErrTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "abandoned")
		require.Equal(t, i+1, r.source.Leaked())
	}
	require.Less(t, time.Since(begin), patience)
	reached = func() {}
	_, err := r.Decide(context.Background(), ask(interlock.Query{}))
	require.ErrorIs(t, err, ErrBusy)
	require.ErrorIs(t, r.source.Ready(context.Background()), ErrBusy)

	// Rules compiled anew from the same source are behind the same count.
	again, err := r.source.Compile(context.Background(), []*fsm.Machine{machine(t, checkMachine)})
	require.NoError(t, err)
	_, err = again.Decide(context.Background(), ask(interlock.Query{}))
	require.ErrorIs(t, err, ErrBusy)

	close(release)
	require.Eventually(t, func() bool { return r.source.Leaked() == 0 }, patience, time.Millisecond)
	require.NoError(t, r.source.Ready(context.Background()))
	v, err := r.Decide(context.Background(), ask(interlock.Query{}))
	require.NoError(t, err)
	require.Equal(t, []string{"ok"}, v.Passed)
}

func TestPanicIsAnError(t *testing.T) {
	r := checkRules(t, `ok if test.stuck(input.note)`, stuck(nil, func() { panic("boom") }))
	_, err := r.Decide(context.Background(), ask(interlock.Query{}))
	require.ErrorContains(t, err, "boom")
	require.Zero(t, r.source.Leaked())
}

func TestLoadErrorIsAnErrorOfItsOwn(t *testing.T) {
	_, err := Sources(map[string]string{"m.rego": "package nowhere\n"}).Compile(context.Background(), nil)
	var load *LoadError
	require.True(t, errors.As(err, &load))
	require.Equal(t, "m.rego", load.Diagnostics[0].File)
	require.ErrorContains(t, err, "m.rego:1:1: package nowhere is refused")
}

func crowd(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("person-%029d", i)
	}
	return list
}

// Whoever lets many people act on an instance can't make its conditions unaskable
// for those who come after them.
func TestDecideAmongACrowd(t *testing.T) {
	r := rulesOf(t, loanRules)
	in := loanInput()
	in.Instance.Did["submit"], in.Instance.Actors = crowd(5000), crowd(5000)
	v, err := r.Decide(t.Context(), &interlock.Query{Input: in, Checks: []string{"four_eyes"}})
	require.NoError(t, err)
	require.Equal(t, []string{"four_eyes"}, v.Passed)
}
