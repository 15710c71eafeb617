package interlock_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// spoil replaces what the cache holds of a loan by what change makes of it.
func (c *memoryCache) spoil(t *testing.T, id string, change func(entry map[string]any)) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[instKey(id)]
	var entry map[string]any
	require.NoError(t, json.Unmarshal(e.Payload, &entry))
	change(entry)
	var err error
	e.Payload, err = json.Marshal(entry)
	require.NoError(t, err)
	c.entries[instKey(id)] = e
	c.frozen = true
}

// What a cache says of the application's columns isn't in the instance's
// digest: of a machine without a table it must not count at all, and of one
// with a table it stands in the commit's predicate, also when it says nothing.
func TestPoisonedColumnsCommitNothing(t *testing.T) {
	approve := interlock.Request{Machine: "loan", ID: "17", Event: "approve"}
	for name, bound := range map[string]map[string]any{
		"columns of no table":        {"bound": map[string]any{"state": "verified", "facts": map[string]any{"amount": 1}}},
		"columns of a made-up table": {"bound": map[string]any{"state": "verified", "facts": map[string]any{"amount": 1}}, "is_bound": true},
	} {
		t.Run(name, func(t *testing.T) {
			cache := newCache()
			g := newGate(t, func(c *interlock.Config) { c.Cache = cache })
			limit(t, g, "mark", 500)
			newLoan(t, g, "17") // 1000
			fire(t, g, employee("erin"), "17", "submit", "review", "verify")
			_, err := g.Fire(t.Context(), manager("mark"), approve)
			require.Equal(t, []string{"within_limit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
			cache.has(t, actKey("mark"), 1)
			cache.has(t, instKey("17"), 4)
			cache.spoil(t, "17", func(entry map[string]any) {
				for k, v := range bound {
					entry[k] = v
				}
			})
			_, err = g.Fire(t.Context(), manager("mark"), approve)
			require.Equal(t, []string{"within_limit"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
			_, err = g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "x"}})
			require.NoError(t, err, "a poisoned cache costs no answer")
		})
	}
}

func TestPoisonedAbsenceOfColumnsCommitsNothing(t *testing.T) {
	for name, change := range map[string]func(entry map[string]any){
		"no facts":  func(entry map[string]any) { entry["bound"].(map[string]any)["facts"] = nil },
		"no row":    func(entry map[string]any) { delete(entry, "bound") },
		"not bound": func(entry map[string]any) { delete(entry, "bound"); delete(entry, "is_bound") },
	} {
		t.Run(name, func(t *testing.T) {
			cache := newCache()
			pol := &rules{conditions: map[string]func(*interlock.Input) any{
				"free": func(in *interlock.Input) any { _, there := in.Instance.Facts["amount"]; return !there },
			}}
			src := `
machine: loan
initial: created
create: {requires: [employee]}
read: {requires: [employee]}
facts: {schema: {type: object, properties: {amount: {type: integer}}}}
attrs: {schema: {type: object, properties: {limit: {type: integer}}}}
states: {created: {}, submitted: {}}
events:
  submit: {from: created, to: submitted, requires: [$free]}
  comment: {from: created, stay: true, requires: [employee]}
`
			a := newApp(t, func(c *interlock.Config) { c.Cache, c.Policy, c.Machines = cache, pol, machines(t, src) })
			a.exec(t, `INSERT INTO loans VALUES (17, 'created', 1000)`)
			fire(t, a.Gate, employee("erin"), "17", "comment")
			submit := interlock.Request{Machine: "loan", ID: "17", Event: "submit"}
			_, err := a.Fire(t.Context(), employee("erin"), submit)
			refusal(t, err, interlock.StagePolicy, "denied")
			cache.has(t, instKey("17"), 2)
			cache.has(t, actKey("erin"), 1)
			cache.spoil(t, "17", change)
			_, err = a.Fire(t.Context(), employee("erin"), submit)
			refusal(t, err, interlock.StagePolicy, "denied")
			require.Equal(t, "created", a.one(t, `SELECT status FROM loans WHERE id = 17`))
			fire(t, a.Gate, employee("erin"), "17", "comment")
		})
	}
}

// Two persons for whom the policy chooses different targets: nobody is meant,
// and naming a third one is no way round.
func TestTargetOfTwoPersonsWhoDisagree(t *testing.T) {
	src := `
machine: loan
initial: created
create: {requires: [employee]}
read: {requires: [employee]}
states: {created: {}, a: {}, b: {}, c: {}}
events: {go: {from: created, to: [a, b, c], requires: [employee]}}
`
	pol := &rules{}
	choice := map[string]string{}
	pol.target = func(in *interlock.Input) string { return choice[in.Actor.Person] }
	g := newGate(t, func(c *interlock.Config) { c.Policy, c.Machines = pol, machines(t, src) })
	_, err := g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	both := interlock.Actor{ID: "bot", Kind: interlock.Service, Roles: []string{"employee"}, OnBehalfOf: &interlock.Actor{ID: "mark"}}
	for _, test := range []struct{ bot, mark, to, want string }{
		{"a", "b", "c", ""}, {"a", "b", "a", ""}, {"a", "b", "b", ""}, {"a", "b", "", ""},
		{"a", "", "", ""}, {"", "a", "", ""}, {"a", "", "b", ""}, {"", "a", "b", ""},
		{"a", "a", "", "a"}, {"a", "a", "a", "a"}, {"a", "a", "b", ""}, {"", "", "c", "c"},
	} {
		choice["bot"], choice["mark"] = test.bot, test.mark
		res, err := g.Fire(t.Context(), both, interlock.Request{Machine: "loan", ID: "17", Event: "go", To: test.to, DryRun: true})
		if test.want == "" {
			require.Error(t, err, "%+v", test)
		} else {
			require.NoError(t, err, "%+v", test)
			require.Equal(t, test.want, res.Transition.To)
		}
		menu, err := g.Available(t.Context(), both, interlock.Ref{Machine: "loan", ID: "17"})
		require.NoError(t, err)
		for _, target := range menu.Options[0].To {
			_, err := g.Fire(t.Context(), both, interlock.Request{Machine: "loan", ID: "17", Event: "go", To: target.State, DryRun: true})
			require.Equal(t, target.Allowed, err == nil, "%+v: %+v", test, target)
		}
	}
}

// A key is one request's: the same body for another person is another request.
func TestKeyOfAnotherPerson(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	for_ := func(id, person string) interlock.Actor {
		return interlock.Actor{ID: "bot", Kind: interlock.Service, Roles: []string{"employee"}, OnBehalfOf: &interlock.Actor{ID: id, Person: person}}
	}
	req := interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "signed"}, IdempotencyKey: "k"}
	_, err := g.Fire(t.Context(), for_("ann", "ann"), req)
	require.NoError(t, err)
	_, err = g.Fire(t.Context(), for_("ben", "ben"), req)
	refusal(t, err, interlock.StageInput, "key_reused")
	again, err := g.Fire(t.Context(), for_("ann", "ann"), req)
	require.NoError(t, err)
	require.True(t, again.Replayed)
}

// A machine has a name and a slug; a retry may use the other one.
func TestKeyByNameAndSlug(t *testing.T) {
	src := `
machine: "Loan Application"
initial: created
create: {requires: [employee]}
read: {requires: [employee]}
states: {created: {}, done: {}}
events: {finish: {from: created, to: done, requires: [employee]}}
`
	g := newGate(t, func(c *interlock.Config) { c.Machines = machines(t, src) })
	m := g.Machines()[0]
	require.NotEqual(t, m.Name(), m.Slug())
	_, err := g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: m.Slug(), ID: "17"})
	require.NoError(t, err)
	req := interlock.Request{Machine: m.Slug(), ID: "17", Event: "finish", IdempotencyKey: "k"}
	_, err = g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	for _, name := range []string{m.Slug(), m.Name()} {
		req.Machine = name
		res, err := g.Fire(t.Context(), employee("erin"), req)
		require.NoError(t, err, name)
		require.True(t, res.Replayed)
	}
}

// A scope of an instance that names no machine is a mistake, not the tenant.
func TestGrantInAScopeWithoutMachine(t *testing.T) {
	g := newGate(t, nil)
	for _, role := range []string{"employee", interlock.AdminRole} {
		_, err := g.Grant(t.Context(), root, "evan", role, interlock.Scope{ID: "17"})
		refusal(t, err, interlock.StageInput, "input_invalid")
	}
	rec, err := g.Actor(t.Context(), root, "evan")
	require.NoError(t, err)
	require.Empty(t, rec.Grants)
}

// An activation that fails half-way leaves the rules that decide in force.
func TestFailedActivationRetiresNothing(t *testing.T) {
	other := `
machine: account
initial: new
create: {requires: [employee]}
read: {requires: [employee]}
states: {new: {}, locked: {}}
events: {lock: {from: new, to: locked, requires: [employee]}}
`
	g := newGate(t, func(c *interlock.Config) { c.Grace, c.Machines = -1, machines(t, loanYAML, other) })
	newLoan(t, g, "17")
	_, err := g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "account", ID: "1"})
	require.NoError(t, err)
	changed := `
machine: account
initial: new
create: {requires: [employee]}
read: {requires: [employee]}
states: {new: {}, locked: {}, gone: {}}
events: {lock: {from: new, to: locked, requires: [employee]}}
`
	lacking := `
machine: loan
initial: opened
create: {requires: [employee]}
read: {requires: [employee]}
states: {opened: {}}
events: {touch: {from: opened, stay: true, requires: [employee]}}
`
	var in *interlock.StatesInUse
	require.ErrorAs(t, g.Activate(t.Context(), machines(t, changed, lacking), nil, nil), &in)
	_, err = g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "account", ID: "1", Event: "lock"})
	require.NoError(t, err)
	fire(t, g, employee("erin"), "17", "submit")
}

// A replica that still has the former rules must not bring an instance into a
// state that the active ones don't know: nothing could move it any more.
func TestFormerRulesDontLeadIntoDroppedStates(t *testing.T) {
	st := memory(t)
	former := newGate(t, func(c *interlock.Config) { c.Store = st })
	newLoan(t, former, "17")
	fire(t, former, employee("erin"), "17", "submit")
	lacking := machines(t, `
machine: loan
initial: created
create: {requires: [employee]}
read: {requires: [employee]}
states: {created: {}, submitted: {}}
events: {submit: {from: created, to: submitted, requires: [employee]}, back: {from: submitted, to: created, requires: [employee]}}
facts: {schema: {type: object}}
`)
	g := newGate(t, func(c *interlock.Config) { c.Store, c.Machines, c.Policy = st, lacking, nil })
	_, err := former.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "review"})
	refusal(t, err, interlock.StageUnavailable, "revision_retired")
	fire(t, g, employee("erin"), "17", "back")

	// The same states: both go on.
	more := newGate(t, func(c *interlock.Config) { c.Store, c.Machines = st, machines(t, loanYAML) })
	fire(t, g, employee("erin"), "17", "submit")
	fire(t, more, employee("erin"), "17", "review")
}

// For whom somebody acts is one person of the same tenant, never the host's own
// code, and nobody is left out of a longer chain.
func TestOnBehalfOfWhom(t *testing.T) {
	g := newGate(t, nil)
	newLoan(t, g, "17")
	for name, behalf := range map[string]interlock.Actor{
		"the system":          {ID: "erin", Kind: interlock.System},
		"another tenant's":    {ID: "erin", Tenant: "other"},
		"who acts for others": {ID: "evan", OnBehalfOf: &interlock.Actor{ID: "erin"}},
		"nobody":              {},
	} {
		bot := interlock.Actor{ID: "bot", Kind: interlock.Service, Roles: []string{"employee"}, OnBehalfOf: &behalf}
		_, err := g.Fire(t.Context(), bot, interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
		require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageIdentity}, name)
	}
}

// An expired key must not make a refusal look like what was done under it.
func TestExpiredKeyIsNoAnswer(t *testing.T) {
	now := time.Now()
	g := newGate(t, func(c *interlock.Config) { c.Now = func() time.Time { return now } })
	newLoan(t, g, "17")
	req := interlock.Request{Machine: "loan", ID: "17", Event: "submit", IdempotencyKey: "k"}
	_, err := g.Fire(t.Context(), employee("erin"), req)
	require.NoError(t, err)
	for range 2 {
		now = now.Add(24 * time.Hour) // to the very moment, and after it
		_, err = g.Fire(t.Context(), employee("erin"), req)
		refusal(t, err, interlock.StageGraph, "illegal_event")
		_, _, err = interlock.Do(t.Context(), g, employee("erin"), req, func(context.Context, *sql.Tx, interlock.Transition) (any, error) { return nil, nil })
		refusal(t, err, interlock.StageGraph, "illegal_event")
	}
}
