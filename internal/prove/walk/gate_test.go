package walk

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
)

// desk is one walk: papers at the gate, and in the model.
type desk struct {
	gate   *interlock.Gate
	tenant string
	papers map[string]*paper
}

func (d *desk) as(p person) interlock.Actor {
	return interlock.Actor{Tenant: d.tenant, ID: p.id, Person: p.person, Roles: p.roles}
}

func drawStaff(rt *rapid.T) person { return rapid.SampledFrom(staff).Draw(rt, "who") }

func drawID(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"1", "2", "nowhere"}).Draw(rt, "id")
}

func drawAmount(rt *rapid.T) int { return rapid.SampledFrom([]int{5, 5, 500, -1}).Draw(rt, "amount") }

// drawRequest mostly draws what can be meant; the rest comes by chance.
func drawRequest(rt *rapid.T, p *paper, id string) interlock.Request {
	req := interlock.Request{Machine: "paper", ID: id, Event: rapid.SampledFrom(append(slices.Clone(events), "nonsense")).Draw(rt, "event")}
	if p != nil && rapid.IntRange(0, 3).Draw(rt, "legal") > 0 {
		legal := slices.DeleteFunc(slices.Clone(events), func(e string) bool { _, ok := edgeOf(p.state, e); return !ok })
		if len(legal) > 0 {
			req.Event = rapid.SampledFrom(legal).Draw(rt, "legal event")
		}
	}
	req.To = rapid.SampledFrom([]string{"", "", "sent", "checked", "paid", "draft", "elsewhere"}).Draw(rt, "to")
	req.Note = rapid.SampledFrom([]string{"", "because", " "}).Draw(rt, "note")
	switch rapid.SampledFrom([]string{"none", "none", "text", "empty", "other"}).Draw(rt, "form") {
	case "text":
		req.Input = map[string]any{"text": "words"}
	case "empty":
		req.Input = map[string]any{"text": ""}
	case "other":
		req.Input = map[string]any{"text": "words", "state": "paid"}
	}
	if req.Event == "remark" && rapid.Bool().Draw(rt, "with text") {
		req.To, req.Input = "", map[string]any{"text": "words"}
	}
	return req
}

func (d *desk) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"create": d.create, "fire": d.fire, "fire again": d.fire, "fire once more": d.fire, "edit": d.edit, "menu": d.menu, "": d.same,
	}
}

func (d *desk) create(rt *rapid.T) {
	who, id, amount := drawStaff(rt), drawID(rt), drawAmount(rt)
	want, next := newPaper(who, amount)
	if want == "" && d.papers[id] != nil {
		want, next = "conflict exists", nil
	}
	if id == "nowhere" { // stays free
		return
	}
	res, err := d.gate.Create(rt.Context(), d.as(who), interlock.CreateRequest{Machine: "paper", ID: id, Facts: map[string]any{"amount": amount}})
	d.became(rt, id, want, next, res, err)
}

func (d *desk) fire(rt *rapid.T) {
	who, id := drawStaff(rt), drawID(rt)
	p := d.papers[id]
	req := drawRequest(rt, p, id)
	req.DryRun = rapid.IntRange(0, 4).Draw(rt, "dry") == 0
	want, next := p.fire(who, req.Event, req.To, req.Note, req.Input)
	res, err := d.gate.Fire(rt.Context(), d.as(who), req)
	if req.DryRun {
		require.Equal(rt, want, verdict(err), "%+v by %s on %+v", req, who.id, p)
		return
	}
	d.became(rt, id, want, next, res, err)
}

func (d *desk) edit(rt *rapid.T) {
	who, id, amount := drawStaff(rt), drawID(rt), drawAmount(rt)
	want, next := d.papers[id].edit(who, amount)
	res, err := d.gate.EditFacts(rt.Context(), d.as(who), interlock.FactsRequest{Machine: "paper", ID: id, Patch: map[string]any{"amount": amount}})
	d.became(rt, id, want, next, res, err)
}

// became compares the answers, and takes what the model became.
func (d *desk) became(rt *rapid.T, id, want string, next *paper, res interlock.Result, err error) {
	require.Equal(rt, want, verdict(err), "%s: %+v", id, d.papers[id])
	if want != "" {
		return
	}
	require.Equal(rt, next.state, res.Instance.State)
	require.Equal(rt, next.version, res.Instance.Version)
	require.Equal(rt, next.rows[len(next.rows)-1], rowOf(res.Transition))
	d.papers[id] = next
}

func rowOf(t interlock.Transition) string {
	return strings.Join([]string{t.Event, t.From, t.To, t.Actor, t.Person}, " ")
}

// menu: which events there are, and which targets may be had, by whom.
func (d *desk) menu(rt *rapid.T) {
	who, id := drawStaff(rt), drawID(rt)
	p := d.papers[id]
	got, err := d.gate.Available(rt.Context(), d.as(who), interlock.Ref{Machine: "paper", ID: id})
	if p == nil || !who.has("guest") && !who.has("clerk") {
		require.Equal(rt, "graph not_found", verdict(err))
		return
	}
	require.NoError(rt, err)
	var offered, want []string
	for _, o := range got.Options {
		for _, to := range o.To {
			offered = append(offered, fmt.Sprint(o.Event, " ", to.State, " ", to.Allowed))
		}
	}
	for _, event := range events {
		if e, ok := edgeOf(p.state, event); ok {
			for _, to := range e.to {
				want = append(want, fmt.Sprint(event, " ", to, " ", len(p.missing(who, e, to)) == 0))
			}
		}
	}
	slices.Sort(offered)
	slices.Sort(want)
	require.Equal(rt, want, offered, "%s at %+v", who.id, p)
}

// same compares what is stored with the model, after each step.
func (d *desk) same(rt *rapid.T) {
	reader := interlock.SystemActor(d.tenant, "reader")
	for id, p := range d.papers {
		ref := interlock.Ref{Machine: "paper", ID: id}
		inst, err := d.gate.Get(rt.Context(), reader, ref)
		require.NoError(rt, err)
		require.Equal(rt, fmt.Sprintf("%s %d %d", p.state, p.version, p.amount), fmt.Sprintf("%s %d %s", inst.State, inst.Version, inst.Facts["amount"]))
		rows, err := d.gate.History(rt.Context(), reader, ref, 0, 200)
		require.NoError(rt, err)
		var got []string
		for _, r := range rows {
			got = append(got, rowOf(r))
		}
		require.Equal(rt, p.rows, got)
	}
}

// Whatever was asked before, the gate says of each request what the model says,
// for the same reasons, and what it stores is what the model holds.
func TestGateWalksAsTheModel(t *testing.T) {
	g := gate(t, memory(t), nil)
	walks(t, "rapid/gate", 4_000, func(rt *rapid.T, steps *atomic.Int64) {
		d := &desk{gate: g, tenant: tenant(), papers: map[string]*paper{}}
		rt.Repeat(counted(steps, d.actions()))
	})
}
