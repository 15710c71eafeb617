package interlock_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// heldStore keeps what its first look found, once armed, until it is let go.
type heldStore struct {
	*sqlite.Store
	armed          atomic.Bool
	looks          atomic.Int64
	found, release chan struct{}
	err            error  // of the held look
	exit           bool   // it ends its goroutine
	wrote          func() // after refused attempts were written; nil: nothing
}

func (s *heldStore) AddAttempts(ctx context.Context, a []interlock.Attempt, c []interlock.AttemptCount, keep int) error {
	err := s.Store.AddAttempts(ctx, a, c, keep)
	if err == nil && s.wrote != nil {
		s.wrote()
	}
	return err
}

func (s *heldStore) Load(ctx context.Context, tenant string, ref interlock.Ref, actors []string) (interlock.Facts, error) {
	first := s.armed.Load() && s.looks.Add(1) == 1
	facts, err := s.Store.Load(ctx, tenant, ref, actors)
	if first {
		close(s.found)
		<-s.release
		if s.exit {
			runtime.Goexit()
		}
		err = errors.Join(err, s.err)
	}
	return facts, err
}

func holding(t *testing.T, opts ...sqlite.Option) *heldStore {
	t.Helper()
	return &heldStore{Store: memory(t, opts...), found: make(chan struct{}), release: make(chan struct{})}
}

// moment is a gate whose cache never has anything, at a store that is held in a
// look that somebody asked for.
type moment struct {
	*interlock.Gate
	t     *testing.T
	store *heldStore
	cache *memoryCache
	ref   interlock.Ref
	all   sync.WaitGroup
	ctx   context.Context // who waits for ever fails the test
}

func momentOf(t *testing.T, who interlock.Actor, change func(*interlock.Config)) *moment {
	t.Helper()
	m := &moment{t: t, store: holding(t), cache: newCache(), ref: interlock.Ref{Machine: "loan", ID: "17"}}
	m.Gate = newGate(t, func(c *interlock.Config) {
		c.Store, c.Cache = m.store, m.cache
		if change != nil {
			change(c)
		}
	})
	m.JoinLooksFor(time.Hour) // a busy machine is no test of the bound
	m.cache.fail()
	newLoan(t, m.Gate, "17")
	var cancel context.CancelFunc
	m.ctx, cancel = context.WithTimeout(t.Context(), patience)
	t.Cleanup(func() { cancel(); m.end() }) // before the gate is closed
	m.hold(m.ctx, who)
	return m
}

func (m *moment) hold(ctx context.Context, who interlock.Actor) {
	m.store.armed.Store(true)
	m.all.Go(func() { _, _ = m.Available(ctx, who, m.ref) })
	<-m.store.found
}

// join lets n ask, and waits until all of them wait for a look.
func (m *moment) join(n int, ask func(n int)) {
	m.t.Helper()
	for i := range n {
		m.all.Go(func() { joiner(ask, i) })
	}
	require.Eventually(m.t, func() bool {
		return goroutines(" [select", "interlock.(*flights).load(", "interlock_test.joiner(") == n
	}, patience, time.Millisecond, "who asks shares the look that is under way")
}

// joiner is what join's askers are known by.
//
//go:noinline
func joiner(ask func(n int), n int) { ask(n) }

// goroutines counts those whose stacks have all these parts.
func goroutines(parts ...string) (n int) {
	stacks := make([]byte, 1<<20)
	size := runtime.Stack(stacks, true)
	for size == len(stacks) {
		stacks = make([]byte, 2*len(stacks))
		size = runtime.Stack(stacks, true)
	}
	for stack := range strings.SplitSeq(string(stacks[:size]), "\n\n") {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(stack, part) }) {
			n++
		}
	}
	return n
}

func (m *moment) end() {
	select {
	case <-m.store.release: // it has ended
	default:
		close(m.store.release)
	}
	m.all.Wait()
}

// All who miss the same at the same moment cost the store one look.
func TestMissesShareOneLook(t *testing.T) {
	m := momentOf(t, employee("erin"), nil)
	m.join(32, func(int) {
		_, err := m.Available(m.ctx, employee("erin"), m.ref)
		assert.NoError(t, err)
	})
	m.end()
	require.EqualValues(t, 1, m.store.looks.Load(), "of 33")
}

// A look takes callers for a short while only: a store that is slow makes nothing old.
func TestOldLooksAreNotShared(t *testing.T) {
	m := momentOf(t, employee("erin"), nil)
	m.JoinLooksFor(0)
	_, err := m.Available(m.ctx, employee("erin"), m.ref)
	require.NoError(t, err, "beside the look that is held")
	m.end()
}

// A shared look may be older than a change that another gate acknowledged before
// one of those who share it asked: its no is decided once more.
func TestSharedRefusalIsDecidedOnceMore(t *testing.T) {
	m := momentOf(t, granted("evan"), nil)
	other := newGate(t, func(c *interlock.Config) { c.Store = m.store.Store })
	_, err := other.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	m.join(1, func(int) { _, err = m.Available(m.ctx, granted("evan"), m.ref) })
	m.end()
	require.NoError(t, err)
}

// Who asks after a change that this gate has answered sees it.
func TestNoLookOfBeforeAChangeIsShared(t *testing.T) {
	for name, change := range map[string]func(m *moment) error{
		"revoke": func(m *moment) error {
			_, err := m.Revoke(m.ctx, root, "evan", "employee", interlock.Scope{})
			return err
		},
		"commit": func(m *moment) error {
			_, err := m.Fire(m.ctx, employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "submit"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := momentOf(t, employee("nobody"), nil)
			_, err := m.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
			require.NoError(t, err)
			m.end()
			m.store.looks.Store(0)
			m.store.found, m.store.release = make(chan struct{}), make(chan struct{})
			m.hold(m.ctx, granted("evan"))
			require.NoError(t, change(m))
			inst, err := m.Get(m.ctx, granted("evan"), m.ref)
			if name == "revoke" {
				refusal(t, err, interlock.StageGraph, "not_found")
			} else {
				require.NoError(t, err)
				require.Equal(t, "submitted", inst.State)
			}
			m.end()
		})
	}
}

// Two clicks on one event are one step and a refusal: what commits asked of the
// state that its own look found.
func TestOnlyReadsShareALook(t *testing.T) {
	const steps = `
machine: loan
initial: a
create: {requires: [employee]}
read: {requires: [employee]}
states: {a: {}, b: {}, c: {final: true}}
facts: {schema: {type: object, properties: {amount: {type: integer}}}}
events:
  next:
    transitions:
      - {from: a, to: b, requires: [employee]}
      - {from: b, to: c, requires: [employee]}
`
	m := momentOf(t, employee("erin"), func(c *interlock.Config) { c.Machines, c.Policy = machines(t, steps), nil })
	m.end()
	m.store.looks.Store(0)
	m.store.found, m.store.release = make(chan struct{}), make(chan struct{})
	var errs [2]error
	click := func(i int) {
		_, errs[i] = m.Fire(m.ctx, employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "next"})
	}
	m.all.Go(func() { click(0) })
	<-m.store.found
	click(1) // while the other one still looks
	require.NoError(t, errs[1])
	m.end()
	refusal(t, errs[0], interlock.StageConflict, "state_changed")
	inst, err := m.Get(m.ctx, employee("erin"), m.ref)
	require.NoError(t, err)
	require.Equal(t, "b", inst.State)
}

// A strong read shares nobody's look.
func TestStrongReadsLookThemselves(t *testing.T) {
	m := momentOf(t, granted("evan"), nil)
	menu, err := m.Available(interlock.Strong(m.ctx), employee("erin"), m.ref)
	require.NoError(t, err)
	require.NotEmpty(t, menu.Options)
	m.end()
}

// What one caller does to his answer is nothing to the others.
func TestSharersOwnWhatTheyGet(t *testing.T) {
	m := momentOf(t, employee("erin"), nil)
	var got [2]interlock.Instance
	m.join(2, func(n int) { got[n], _ = m.Get(m.ctx, employee("erin"), m.ref) })
	m.end()
	require.NotEmpty(t, got[0].Facts)
	got[0].Facts["mine"] = true
	require.NotContains(t, got[1].Facts, "mine")
}

// Nobody gets what another actor, or an actor of that name in another tenant, asked for.
func TestALookIsSharedByItsQuestionAlone(t *testing.T) {
	m := momentOf(t, employee("erin"), nil)
	behalf := granted("evan")
	behalf.OnBehalfOf = &interlock.Actor{ID: "erin"}
	for name, who := range map[string]interlock.Actor{
		"another actor": granted("evan"), "another tenant": {ID: "erin", Tenant: "elsewhere", Roles: []string{"employee"}}, "on behalf": behalf,
	} {
		_, err := m.Available(m.ctx, who, m.ref)
		refusal(t, err, interlock.StageGraph, "not_found")
		require.NoError(t, m.ctx.Err(), "%s waits for somebody else's look", name)
	}
	_, err := m.Available(m.ctx, employee("erin"), interlock.Ref{Machine: "loan", ID: "18"})
	refusal(t, err, interlock.StageGraph, "not_found")
	m.end()
}

// The look goes on when the first who asked has left, and the cache gets it.
func TestALookOutlivesWhoBeganIt(t *testing.T) {
	m := momentOf(t, employee("nobody"), nil)
	m.end()
	m.store.looks.Store(0)
	m.store.found, m.store.release = make(chan struct{}), make(chan struct{})
	ctx, leave := context.WithCancel(m.ctx)
	m.hold(ctx, employee("erin"))
	leave()
	m.all.Wait()
	var err error
	m.join(1, func(int) { _, err = m.Available(m.ctx, employee("erin"), m.ref) })
	m.cache.mend()
	m.end()
	require.NoError(t, err)
	m.cache.has(t, instKey("17"), 1)
	require.EqualValues(t, 1, m.store.looks.Load())
}

// A sharer whose look fails, or never ends, looks for himself.
func TestAFailedLookIsOneCallersOnly(t *testing.T) {
	for name, spoil := range map[string]func(*heldStore){
		"error": func(s *heldStore) { s.err = errors.New("connection reset") }, "no end": func(s *heldStore) { s.exit = true },
	} {
		t.Run(name, func(t *testing.T) {
			m := momentOf(t, employee("nobody"), nil)
			m.end()
			m.store.looks.Store(0)
			m.store.found, m.store.release = make(chan struct{}), make(chan struct{})
			spoil(m.store)
			var first, second error
			m.store.armed.Store(true)
			m.all.Go(func() { _, first = m.Available(m.ctx, employee("erin"), m.ref) })
			<-m.store.found
			m.join(1, func(int) { _, second = m.Available(m.ctx, employee("erin"), m.ref) })
			m.end()
			refusal(t, first, interlock.StageUnavailable, "store_failed")
			require.NoError(t, second)
		})
	}
}

// Who shares a look names the instance as who made it.
func TestSharersTagTheSame(t *testing.T) {
	st, cache := holding(t, sqlite.Table("loan", "loans", "id", "status", "amount")), newCache()
	write := func(q string) {
		require.NoError(t, st.Write(t.Context(), func(tx *sql.Tx) error { _, err := tx.Exec(q); return err }))
	}
	write(`CREATE TABLE loans (id INTEGER PRIMARY KEY, status TEXT NOT NULL, amount INTEGER)`)
	write(`INSERT INTO loans VALUES (7, 'created', 1000)`)
	first := newGate(t, func(c *interlock.Config) { c.Store = st.Store })
	limit(t, first, "erin", 500000)
	fire(t, first, employee("erin"), "7", "submit")
	m := &moment{t: t, store: st, cache: cache, ref: interlock.Ref{Machine: "loan", ID: "7"}, ctx: t.Context()}
	m.Gate = newGate(t, func(c *interlock.Config) { c.Store, c.Cache = st, cache }) // a process that has just started
	m.JoinLooksFor(time.Hour)
	cache.fail()
	ctx, leave := context.WithCancel(t.Context())
	m.hold(ctx, employee("erin"))
	leave()
	m.all.Wait()
	var inst interlock.Instance
	var err error
	m.join(1, func(int) { inst, err = m.Get(m.ctx, employee("erin"), m.ref) })
	m.end()
	require.NoError(t, err)
	_, err = m.Fire(m.ctx, employee("erin"), interlock.Request{Machine: "loan", ID: "7", Event: "review", IfMatch: []string{m.ETag(inst)}})
	require.NoError(t, err)
}

// Closing a gate ends its looks, and lets one that doesn't end take nothing from
// what has to be written.
func TestCloseIsNotHeldUpByALook(t *testing.T) {
	st, cache := holding(t), newCache()
	g, err := interlock.New(interlock.Config{Machines: machines(t, loanYAML), Policy: loanRules(), Store: st, Cache: cache, Logger: quiet()})
	require.NoError(t, err)
	cache.fail()
	newLoan(t, g, "17")
	m := &moment{Gate: g, t: t, store: st, cache: cache, ref: interlock.Ref{Machine: "loan", ID: "17"}}
	ctx, leave := context.WithCancel(t.Context())
	m.hold(ctx, employee("other"))
	leave()
	m.all.Wait()
	short, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	st.wrote = cancel
	_, err = g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: "17", Event: "approve"})
	require.Error(t, err)
	require.ErrorContains(t, g.Close(short), "a look at the store doesn't end")
	list, err := st.Attempts(t.Context(), "default", m.ref, 10)
	require.NoError(t, err)
	require.Len(t, list, 1, "the refused attempt was written")
	m.end()
	require.NoError(t, g.Close(t.Context()), "asked again")
	_, err = g.Get(t.Context(), employee("erin"), m.ref)
	require.NoError(t, err, "who still asks looks for himself")
}
