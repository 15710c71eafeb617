package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The phases of a run.
const (
	Before = iota
	During
	After
	phases
)

// Plan is one run of load with a fault in its middle.
type Plan struct {
	Instances int // as seeded
	Workers   int // besides one for each of Swingers; 0: 6
	Seed      uint64

	Requests [phases]int // of each phase, at least
	AtLeast  [phases]time.Duration
	AtMost   time.Duration // of each phase; 0: 2 min

	// A fault that nobody felt proves nothing: it goes on until somebody was told
	// that the gate is unavailable, and until Felt says so.
	Unavailable bool
	Felt        func() bool // nil: there is nothing else to wait for
	ReadsGoOn   bool        // until somebody read, too, after somebody was told so
	// Recovers: the phase After goes on until so many requests, one after the other,
	// were answered as ever; 0: that isn't looked at.
	Recovers int

	Break func() error // begins the fault, under load; nil: none
	Heal  func() error // ends it
}

// Traffic is a running load.
type Traffic struct {
	plan   Plan
	client *Client
	token  string
	serial atomic.Int64
	phase  atomic.Int32
	counts [phases]atomic.Int64
	stop   atomic.Bool
	all    sync.WaitGroup

	unavailable atomic.Bool  // somebody was told so
	read        atomic.Bool  // somebody did, of those who asked after that
	done        atomic.Int64 // transitions that were answered

	mu        sync.Mutex
	ops       []Op
	well      int // of the phase After: the last so many were answered
	recovered bool
}

// Run drives the server at url through the plan's phases.
func Run(url string, p Plan) (*Ledger, error) {
	t := Start(url, p)
	err := t.through(Before)
	if err == nil && p.Break != nil {
		t.phase.Store(During)
		if err = p.Break(); err == nil {
			err = t.through(During)
		}
		if healed := p.Heal(); err == nil {
			err = healed
		}
		t.phase.Store(After)
		if err == nil {
			err = t.through(After)
		}
	}
	return t.End(), err
}

// Start begins the load, in the phase Before.
func Start(url string, p Plan) *Traffic {
	if p.Workers == 0 {
		p.Workers = 6
	}
	if p.AtMost == 0 {
		p.AtMost = 2 * time.Minute
	}
	t := &Traffic{plan: p, client: NewClient(url), token: fmt.Sprintf("t%x-", rand.Uint64())}
	for i := range p.Workers {
		t.all.Go(func() { t.work(rand.New(rand.NewPCG(p.Seed, uint64(i)))) })
	}
	for i, who := range Swingers {
		t.all.Go(func() { t.swing(who, rand.New(rand.NewPCG(p.Seed, uint64(1000+i)))) })
	}
	return t
}

// through waits until the phase has all its requests.
func (t *Traffic) through(phase int) error {
	began := time.Now()
	for {
		done, took := int(t.counts[phase].Load()), time.Since(began)
		if done >= t.plan.Requests[phase] && took >= t.plan.AtLeast[phase] && (phase != During || t.wasFelt()) && (phase != After || t.hasRecovered()) {
			return nil
		}
		if took > t.plan.AtMost {
			return fmt.Errorf("only %d of %d requests ended in %s of phase %d, or nobody felt the fault, or it is felt still", done, t.plan.Requests[phase], took, phase)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (t *Traffic) wasFelt() bool {
	return (!t.plan.Unavailable || t.unavailable.Load()) && (!t.plan.ReadsGoOn || t.read.Load()) && (t.plan.Felt == nil || t.plan.Felt())
}

func (t *Traffic) hasRecovered() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.recovered || t.plan.Recovers == 0
}

// Acknowledged is how many transitions were answered.
func (t *Traffic) Acknowledged() int { return int(t.done.Load()) }

// Done is how many requests of the phase have ended.
func (t *Traffic) Done(phase int) int { return int(t.counts[phase].Load()) }

// End stops the load and waits for what runs.
func (t *Traffic) End() *Ledger {
	t.stop.Store(true)
	t.all.Wait()
	t.client.Close()
	return &Ledger{Ops: t.ops, Instances: t.plan.Instances}
}

// do asks, and keeps what came of it.
func (t *Traffic) do(o Op, ask func(*Op)) Op {
	o.Phase = int(t.phase.Load())
	reads := o.Phase == During && o.Kind == "read" && t.unavailable.Load()
	ask(&o)
	if reads && o.Status == http.StatusOK {
		t.read.Store(true)
	}
	if now := int(t.phase.Load()); now != o.Phase {
		o.Phase = During
	}
	t.counts[o.Phase].Add(1)
	failed := o.Status == 0 || o.Status == http.StatusServiceUnavailable
	t.mu.Lock()
	t.ops = append(t.ops, o)
	if t.well++; failed || o.Phase != After {
		t.well = 0
	}
	t.recovered = t.recovered || t.well >= t.plan.Recovers
	t.mu.Unlock()
	if o.Status == http.StatusOK && o.Transition != "" {
		t.done.Add(1)
	}
	if failed {
		if o.Phase == During {
			t.unavailable.Store(true)
		}
		time.Sleep(time.Millisecond) // a client that is turned away doesn't come back at once
	}
	return o
}

func (t *Traffic) next() string { return fmt.Sprintf("%s%d", t.token, t.serial.Add(1)) }

// onward is what a manager may ask for in each state.
var onward = map[string][][2]string{
	"created":       {{"submit"}},
	"submitted":     {{"review"}, {"return"}, {"override", "verified"}},
	"reviewed":      {{"verify"}, {"deny"}, {"return"}},
	"second_review": {{"verify"}, {"deny"}},
	"verified":      {{"return"}, {"deny"}, {"approve"}, {"override", "submitted"}},
	"approved":      {{"reopen"}},
	"denied":        {{"reopen"}},
}

// work asks as managers do: half of it nothing but a tick, which any state lets
// through, so that a no is wrong; the rest by what it last saw of the instance.
func (t *Traffic) work(rng *rand.Rand) {
	seen := map[string]string{}
	for !t.stop.Load() {
		o := Op{Kind: "write", Actor: Managers[rng.IntN(len(Managers))], ID: fmt.Sprintf("l%d", rng.IntN(t.plan.Instances)), Token: t.next()}
		switch n := rng.IntN(100); {
		case n < 35:
			o.Event = "tick"
			o = t.do(o, func(o *Op) { t.client.Fire(o, "") })
		case n < 65:
			choice := [2]string{"override", []string{"submitted", "reviewed", "verified"}[rng.IntN(3)]}
			if next := onward[seen[o.ID]]; next != nil {
				choice = next[rng.IntN(len(next))]
			}
			o.Event = choice[0]
			o = t.do(o, func(o *Op) { t.client.Fire(o, choice[1]) })
		case n < 85:
			o.Kind = "read"
			o = t.do(o, t.client.Read)
		case n < 95:
			o.Kind = "menu"
			t.do(o, t.client.Menu)
		default:
			o.Kind, o.Actor, o.Event = "stranger", Stranger, "tick"
			t.do(o, func(o *Op) { t.client.Fire(o, "") })
		}
		if o.State != "" {
			seen[o.ID] = o.State
		}
	}
}

// swing is given its role and loses it, and asks after each: on an instance that
// nobody else moves, so that only the role can be what has changed.
func (t *Traffic) swing(who string, rng *rand.Rand) {
	for !t.stop.Load() {
		for _, step := range []struct{ kind, method, then string }{
			{"grant", http.MethodPut, "granted"}, {"revoke", http.MethodDelete, "revoked"},
		} {
			o := t.do(Op{Kind: step.kind, Actor: Admin, ID: who}, func(o *Op) { t.client.Role(o, step.method, "clerk") })
			then := step.then
			if o.Status != http.StatusOK {
				then = "swung" // what holds now, nobody knows
			}
			for range 3 {
				t.do(Op{Kind: then, Actor: who, ID: quiet(who), Event: "tick", Token: t.next()}, func(o *Op) { t.client.Fire(o, "") })
				time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond) // time for the cache to be filled, and spoilt
			}
		}
	}
}

// quiet is the instance that only the swinger moves.
func quiet(who string) string { return "only-" + who }

// Until asks f again and again until it is true; it is false when ctx ends first.
func Until(ctx context.Context, f func() bool) bool {
	for !f() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}
