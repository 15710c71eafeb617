package policies

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

const loanMachine = `machine: loan
title: Loan application
initial: created
roles:
  manager: [employee]
facts:
  schema:
    type: object
    properties:
      amount: {type: integer, minimum: 0}
      branch: {type: string}
      rating: {type: [integer, "null"]}
    required: [amount]
attrs:
  schema: {type: object, properties: {limit: {type: integer, minimum: 0}}}
create: {requires: [employee]}
states:
  created:   {}
  submitted: {}
  verified:  {}
  approved:  {closed: true, entry: [four_eyes, within_limit]}
events:
  submit:  {from: created,   to: submitted, requires: [employee]}
  verify:  {from: submitted, to: verified,  requires: [employee, $owner]}
  approve:
    from: verified
    to: approved
    requires: [employee]
    input: {type: object, properties: {reference: {type: string}, amount: {type: integer}}}
  override:
    override: true
    note: required
    requires: [manager]
    from: {any: true}
    to: [submitted, verified, approved]
`

const loanRules = `package interlock.machine.loan

# METADATA
# title: Somebody else must approve what you verified
four_eyes if {
	count(input.instance.entered.verified) > 0
	every person in input.instance.entered.verified { person != input.actor.person }
}

# METADATA
# title: The amount is above your limit
within_limit if input.instance.facts.amount <= input.actor.attrs.limit

params["within_limit"] := {"limit": input.actor.attrs.limit}

owner if input.instance.created_by == input.actor.id
`

func machine(t testing.TB, text string) *fsm.Machine {
	t.Helper()
	m, err := fsm.Parse("machine.yaml", []byte(text))
	require.NoError(t, err)
	return m
}

// patience is for whatever would be another answer on a busy machine.
const patience = 30 * time.Second

// rulesOf compiles loanRules' machine with the given Rego and a generous time limit.
func rulesOf(t testing.TB, rego string, opts ...Option) *Rules {
	t.Helper()
	opts = append([]Option{Timeout(patience)}, opts...)
	r, err := Sources(map[string]string{"loan.rego": rego}, opts...).Compile(context.Background(), []*fsm.Machine{machine(t, loanMachine)})
	require.NoError(t, err)
	return r.(*Rules)
}

// loanInput is a complete input: vera verified, anna asks to approve.
func loanInput() *interlock.Input {
	at := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	none := interlock.InputLast{}
	return &interlock.Input{
		Machine:    "loan",
		Event:      "approve",
		Transition: interlock.InputTransition{From: "verified", To: "approved", Metadata: map[string]any{}},
		Instance: interlock.InputInstance{
			ID: "17", Tenant: "default", State: "verified", Version: 3,
			Facts: map[string]any{"amount": 1000}, CreatedBy: "carl", CreatedAt: at, Since: at,
			Entered: map[string][]string{"created": {"carl"}, "submitted": {"carl"}, "verified": {"vera"}, "approved": {}},
			Did:     map[string][]string{"submit": {"carl"}, "verify": {"vera"}, "approve": {}, "override": {}},
			Actors:  []string{"carl", "vera"},
			Last: map[string]interlock.InputLast{
				"submit": {Person: "carl", At: "2026-03-02T09:00:00Z", Count: 1}, "verify": none, "approve": none, "override": none,
			},
		},
		Actor: interlock.InputActor{ID: "anna", Person: "anna", Kind: interlock.User, Roles: []string{"employee"}, Attrs: map[string]any{"limit": 5000}, Claims: map[string]any{}},
		Form:  map[string]any{},
		Now:   interlock.InputTime{RFC3339: "2026-03-02T09:30:00Z", NS: at.UnixNano()},
	}
}

func TestDecide(t *testing.T) {
	r := rulesOf(t, loanRules)
	in := loanInput()
	v, err := r.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Grants: []string{"owner"}, Target: true})
	require.NoError(t, err)
	require.Equal(t, interlock.Verdict{
		Passed: []string{"four_eyes", "within_limit"},
		Failed: []interlock.Reason{{Code: "owner", Message: "The condition owner doesn't hold"}},
	}, v)

	in.Actor.Person, in.Actor.ID = "vera", "carl"
	in.Instance.Facts["amount"] = 9000
	v, err = r.Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Grants: []string{"owner"}, Trace: true})
	require.NoError(t, err)
	require.NotEmpty(t, v.Trace)
}

func TestDecideGivesParametersOfFailedChecks(t *testing.T) {
	in := loanInput()
	in.Instance.Facts["amount"] = 9000
	v, err := rulesOf(t, loanRules).Decide(context.Background(), &interlock.Query{Input: in, Checks: []string{"within_limit"}, Trace: true})
	require.NoError(t, err)
	require.Equal(t, []interlock.Reason{{Code: "within_limit", Message: "The amount is above your limit", Params: map[string]any{"limit": json.Number("5000")}}}, v.Failed)
}
