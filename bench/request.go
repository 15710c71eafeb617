package main

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/interlock-go/interlock"
)

// deskMachines share one graph and one policy; some of its rules look at the machine's name.
var deskMachines = []string{"loan", "expense", "purchase", "contract", "refund"}

var (
	deskStates = []string{"draft", "submitted", "approved", "rejected", "paid"}
	deskEvents = []string{"submit", "withdraw", "approve", "reject", "escalate", "pay", "reopen"}
)

// request is what every engine is asked: may this actor do this event to this case?
type request struct {
	machine, event, note string
	amount, risk, days   int64
	region, supplier     string
	frozen               bool
	tags                 []string
	submitted, approved  []string // persons who did that
	actor                clerk
}

type clerk struct {
	person, region string
	limit          int64
	trained        bool
	roles          []string // with what they include, sorted
}

var (
	clerkRoles    = []string{"clerk"}
	managerRoles  = []string{"clerk", "manager"}
	directorRoles = []string{"clerk", "director", "manager"}
)

// samples are the eight requests that are timed: two are allowed, the others
// are refused for one to four reasons.
func samples() []request {
	ann := clerk{person: "ann", region: "north", limit: 50_000, trained: true, roles: managerRoles}
	bob := clerk{person: "bob", region: "south", limit: 1_000, trained: true, roles: clerkRoles}
	eve := clerk{person: "eve", region: "south", limit: 500, trained: false, roles: clerkRoles}
	plain := request{machine: "loan", event: "approve", amount: 20_000, risk: 10, days: 3, region: "north", supplier: "initrode",
		tags: []string{"legal", "new"}, submitted: []string{"bob"}, actor: ann}
	with := func(change func(*request)) request {
		r := plain
		change(&r)
		return r
	}
	return []request{
		plain,
		with(func(r *request) { r.machine, r.event = "expense", "submit" }),
		with(func(r *request) { r.submitted = []string{"ann"} }),
		with(func(r *request) { r.amount = 200_000 }),
		with(func(r *request) { r.machine, r.event, r.days, r.actor = "expense", "submit", 200, bob }),
		with(func(r *request) { r.machine, r.supplier, r.risk, r.actor = "purchase", "globex", 90, eve }),
		with(func(r *request) { r.machine, r.tags, r.frozen = "contract", nil, true }),
		with(func(r *request) { r.machine, r.event, r.approved = "refund", "pay", []string{"ann", "bob"} }),
	}
}

// randomRequests are drawn so that each rule holds about as often as not.
func randomRequests(n int, seed uint64) []request {
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	people := func() (list []string) {
		for _, p := range []string{"ann", "bob", "eve"} {
			if r.IntN(3) == 0 {
				list = append(list, p)
			}
		}
		return list
	}
	out := make([]request, n)
	for i := range out {
		q := request{machine: pick(deskMachines...), event: pick(deskEvents...), note: pick("", "because"),
			amount: r.Int64N(200_000), risk: 60 + r.Int64N(40), days: 50 + r.Int64N(80), region: pick("north", "south"),
			supplier: pick("acme", "globex", "initech", "initrode", "hooli"), frozen: r.IntN(4) == 0,
			submitted: people(), approved: people(),
			actor: clerk{person: pick("ann", "bob", "eve"), region: pick("north", "south"), limit: r.Int64N(200_000), trained: r.IntN(4) > 0,
				roles: [][]string{clerkRoles, managerRoles, directorRoles}[r.IntN(3)]}}
		for _, t := range []string{"legal", "new", "vip"} {
			if r.IntN(2) == 0 {
				q.tags = append(q.tags, t)
			}
		}
		out[i] = q
	}
	return out
}

// deskNow is the clock of all requests: none of the rules looks at it.
var deskNow = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// facts are as the gate holds them: JSON values, with exact numbers.
func (r *request) facts() map[string]any {
	tags := make([]any, len(r.tags))
	for i, t := range r.tags {
		tags[i] = t
	}
	return map[string]any{"amount": number(r.amount), "risk": number(r.risk), "days": number(r.days), "region": r.region,
		"supplier": r.supplier, "frozen": r.frozen, "tags": tags}
}

func (c *clerk) attrs() map[string]any {
	return map[string]any{"limit": number(c.limit), "region": c.region, "trained": c.trained}
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// input is the request as the gate puts it before its policy.
func (r *request) input() *interlock.Input {
	from, to := "submitted", "approved"
	in := &interlock.Input{Machine: r.machine, Event: r.event, Note: r.note, Form: map[string]any{},
		Transition: interlock.InputTransition{From: from, To: to, Metadata: map[string]any{}},
		Now:        interlock.InputTime{RFC3339: deskNow.Format(time.RFC3339Nano), NS: deskNow.UnixNano()},
		Request:    interlock.InputRequest{ID: "r-1"},
		Actor: interlock.InputActor{ID: r.actor.person, Person: r.actor.person, Kind: interlock.User, Roles: r.actor.roles,
			Attrs: r.actor.attrs(), Claims: map[string]any{}},
		Instance: interlock.InputInstance{ID: "case-1", Tenant: interlock.DefaultTenant, State: from, Version: 3, Facts: r.facts(),
			CreatedBy: "bob", CreatedAt: deskNow.Add(-time.Hour), Since: deskNow.Add(-time.Minute), Actors: []string{"ann", "bob"},
			Entered: map[string][]string{}, Did: map[string][]string{}, Last: map[string]interlock.InputLast{}, Memo: new(interlock.Memo)}}
	for _, s := range deskStates {
		in.Instance.Entered[s] = []string{}
	}
	for _, e := range deskEvents {
		in.Instance.Did[e], in.Instance.Last[e] = []string{}, interlock.InputLast{}
	}
	in.Instance.Did["submit"], in.Instance.Did["approve"] = list(r.submitted), list(r.approved)
	return in
}

func list(l []string) []string { return append([]string{}, l...) }

// document is the same input as plain JSON values, for engines that take those.
func document(in *interlock.Input) (map[string]any, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(b, &out)
}
