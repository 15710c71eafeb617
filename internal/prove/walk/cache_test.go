package walk

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
)

// pair is one walk of two gates on one store: one believes a liar as far as a
// gate believes a cache, the other has none.
type pair struct {
	store     interlock.Store
	lied      *interlock.Gate
	plain     *interlock.Gate
	cache     *liar
	tenant    string
	instances map[string][]interlock.Instance // every version there was
}

func (p *pair) actor(id string) interlock.Actor { return interlock.Actor{Tenant: p.tenant, ID: id} }

var clerks = []string{"ann", "ben", "cat", "gus"}

func (p *pair) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"roles": p.roles, "create": p.create, "fire": p.fire, "fire again": p.fire, "fire once more": p.fire, "edit": p.edit, "read": p.read, "": p.learn,
	}
}

// roles change at the gate without a cache: nothing is told to the other's.
func (p *pair) roles(rt *rapid.T) {
	id := rapid.SampledFrom(clerks).Draw(rt, "of")
	system := interlock.SystemActor(p.tenant, "setup")
	role := rapid.SampledFrom([]string{"clerk", "clerk", "chief", "guest"}).Draw(rt, "role")
	var err error
	switch rapid.SampledFrom([]string{"grant", "grant", "revoke", "off", "on"}).Draw(rt, "change") {
	case "grant":
		_, err = p.plain.Grant(rt.Context(), system, id, role, interlock.Scope{})
	case "revoke":
		_, err = p.plain.Revoke(rt.Context(), system, id, role, interlock.Scope{})
	case "off":
		off := false
		_, err = p.plain.SetActor(rt.Context(), system, id, nil, &off)
	case "on":
		on := true
		_, err = p.plain.SetActor(rt.Context(), system, id, nil, &on)
	}
	require.NoError(rt, err)
}

// alike asks the plain gate what it would do, and then lets the other do it.
func (p *pair) alike(rt *rapid.T, ask func(g *interlock.Gate, dry bool) (interlock.Result, error)) {
	want, wantErr := ask(p.plain, true)
	p.cache.next = drawLie(rt)
	got, err := ask(p.lied, false)
	require.Equal(rt, verdict(wantErr), verdict(err), "%+v", p.cache.next)
	if err != nil {
		return
	}
	stored, err := p.plain.Get(rt.Context(), interlock.SystemActor(p.tenant, "reader"), interlock.Ref{Machine: "paper", ID: got.Instance.ID})
	require.NoError(rt, err)
	require.Equal(rt, content(got.Instance), content(stored))
	require.Equal(rt, got.Instance.Head, stored.Head)
	require.Equal(rt, content(want.Instance), content(got.Instance), "%+v", p.cache.next)
	require.Equal(rt, want.Transition.From, got.Transition.From)
}

// content is an instance without its times and its chain.
func content(i interlock.Instance) []any {
	counts := map[string]int64{}
	for event, last := range i.Last {
		counts[event+" "+last.Person] = last.Count
	}
	return []any{i.State, i.Version, i.Facts, i.Entered, i.Did, i.Actors, counts, i.CreatedBy}
}

func (p *pair) fire(rt *rapid.T) {
	who, id := rapid.SampledFrom(clerks).Draw(rt, "who"), drawID(rt)
	var known *paper
	if all := p.instances[id]; len(all) > 0 {
		known = &paper{state: all[len(all)-1].State}
	}
	req := drawRequest(rt, known, id)
	p.alike(rt, func(g *interlock.Gate, dry bool) (interlock.Result, error) {
		req.DryRun = dry
		return g.Fire(rt.Context(), p.actor(who), req)
	})
}

func (p *pair) create(rt *rapid.T) {
	who, amount := rapid.SampledFrom(clerks).Draw(rt, "who"), drawAmount(rt)
	req := interlock.CreateRequest{Machine: "paper", ID: rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "id"), Facts: map[string]any{"amount": amount}}
	p.alike(rt, func(g *interlock.Gate, dry bool) (interlock.Result, error) {
		req.DryRun = dry
		return g.Create(rt.Context(), p.actor(who), req)
	})
}

func (p *pair) edit(rt *rapid.T) {
	who, amount := rapid.SampledFrom(clerks).Draw(rt, "who"), drawAmount(rt)
	req := interlock.FactsRequest{Machine: "paper", ID: drawID(rt), Patch: map[string]any{"amount": amount}}
	p.alike(rt, func(g *interlock.Gate, dry bool) (interlock.Result, error) {
		req.DryRun = dry
		return g.EditFacts(rt.Context(), p.actor(who), req)
	})
}

// read shows what is, or what was: an entry that is merely old is shown as it is.
func (p *pair) read(rt *rapid.T) {
	who, id := rapid.SampledFrom(clerks).Draw(rt, "who"), drawID(rt)
	p.cache.next = drawLie(rt)
	p.cache.next.instance = rapid.SampledFrom([]string{"miss", "current", "old", "foreign", "garbage", "wrong version"}).Draw(rt, "not forged")
	got, err := p.lied.Get(rt.Context(), p.actor(who), interlock.Ref{Machine: "paper", ID: id})
	if err != nil {
		return // who may read is the actor's entry to say, which may be forged here
	}
	require.True(rt, slices.ContainsFunc(p.instances[id], func(i interlock.Instance) bool {
		return i.Version == got.Version && i.State == got.State && string(i.Head) == string(got.Head)
	}), "%+v was never so: %+v", got, p.cache.next)
}

// learn tells the liar what is true after each step.
func (p *pair) learn(rt *rapid.T) {
	for _, id := range []string{"1", "2"} {
		facts, err := p.store.Load(rt.Context(), p.tenant, interlock.Ref{Machine: "paper", ID: id}, clerks)
		require.NoError(rt, err)
		p.cache.learn(rt, facts)
		if in := facts.Instance; in != nil && int64(len(p.instances[id])) < in.Version {
			p.instances[id] = append(p.instances[id], *in)
		}
	}
}

// Whatever a cache answers, the gate behind it decides each request as the one
// without a cache, and stores the same.
func TestLiesOfACacheChangeNoDecision(t *testing.T) {
	st, cache := memory(t), newLiar(t)
	plain := gate(t, st, nil)
	lied := gate(t, st, func(c *interlock.Config) { c.Cache = cache })
	walks(t, "rapid/cache", 4_000, func(rt *rapid.T, steps *atomic.Int64) {
		p := &pair{store: st, lied: lied, plain: plain, cache: cache, tenant: tenant(), instances: map[string][]interlock.Instance{}}
		for _, id := range []string{"ann", "ben", "cat"} {
			role := map[string]string{"cat": "chief"}[id]
			if role == "" {
				role = "clerk"
			}
			_, err := plain.Grant(rt.Context(), interlock.SystemActor(p.tenant, "setup"), id, role, interlock.Scope{})
			require.NoError(rt, err)
		}
		rt.Repeat(counted(steps, p.actions()))
	})
	require.Greater(t, cache.served, 20, "the liar was hardly asked")
	t.Logf("%d entries were served, of %d keys", cache.served, len(slices.Collect(maps.Keys(cache.past))))
}
