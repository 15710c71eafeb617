package interlock_test

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

func (a *alarms) count(alarm string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, is := range a.all {
		if is == alarm {
			n++
		}
	}
	return n
}

func (a *alarms) wait(t *testing.T, alarm string) {
	t.Helper()
	require.Eventually(t, func() bool { return a.count(alarm) > 0 }, patience, 2*time.Millisecond, alarm)
}

// deploy is one store, a replica of the former rules, and what it is told.
type deploy struct {
	st     *sqlite.Store
	former *interlock.Gate
	heard  *alarms
}

func newDeploy(t *testing.T) deploy {
	t.Helper()
	d := deploy{st: memory(t), heard: &alarms{}}
	d.former = d.replica(t, "", func(c *interlock.Config) { c.Observer = d.heard })
	newLoan(t, d.former, "17")
	return d
}

func (d deploy) replica(t *testing.T, revision string, change func(*interlock.Config)) *interlock.Gate {
	t.Helper()
	return newGate(t, func(c *interlock.Config) {
		r := loanRules()
		r.revision = revision
		c.Store, c.Policy, c.Poll = d.st, r, 10*time.Millisecond
		if change != nil {
			change(c)
		}
	})
}

// load comments on instances of its own through a gate until stop, which says
// how often it was let, and with what it was refused.
func (d deploy) load(t *testing.T, g *interlock.Gate, prefix string) (stop func() (int64, []error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var done atomic.Int64
	var refused []error
	for n := range 3 {
		id := prefix + strconv.Itoa(n)
		newLoan(t, d.former, id)
		wg.Go(func() {
			for last := false; !last; {
				last = ctx.Err() != nil // so one is asked after all that the test did
				_, err := g.Fire(t.Context(), employee("erin"), interlock.Request{Machine: "loan", ID: id, Event: "comment", Input: map[string]any{"text": "x"}})
				if err == nil {
					done.Add(1)
					continue
				}
				mu.Lock()
				refused = append(refused, err)
				mu.Unlock()
			}
		})
	}
	require.Eventually(t, func() bool { return done.Load() > 3 }, patience, time.Millisecond)
	return func() (int64, []error) {
		cancel()
		wg.Wait()
		return done.Load(), refused
	}
}

func (d deploy) rows(t *testing.T, revision string) (n int) {
	t.Helper()
	require.NoError(t, d.st.DB().QueryRow(`SELECT count(*) FROM interlock_history WHERE revision = ?`, revision).Scan(&n))
	return n
}

// endGrace is what time does.
func (d deploy) endGrace(t *testing.T) {
	t.Helper()
	require.NoError(t, d.st.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE interlock_revision SET until_us = 1 WHERE status = 'accepting'`)
		return err
	}))
}

// While the grace lasts, replicas of both rules commit and nobody is refused;
// each row says by which. When it has ended, the former commit nothing and say so.
func TestRollingDeploy(t *testing.T) {
	d := newDeploy(t)
	stop := d.load(t, d.former, "former")
	next := d.replica(t, "2", nil)
	d.heard.wait(t, "revision_superseded")
	require.NoError(t, d.former.InForce())
	stopNext := d.load(t, next, "next")
	_, refused := stopNext()
	require.Empty(t, refused, "an outage of the new")
	done, refused := stop()
	require.Empty(t, refused, "an outage of the former")
	require.Positive(t, done)
	former := d.former.Revision("loan")
	require.NotEqual(t, former, next.Revision("loan"))
	require.Positive(t, d.rows(t, former))
	require.Positive(t, d.rows(t, next.Revision("loan")))
	require.Zero(t, d.heard.count("revision_retired"))

	stop = d.load(t, d.former, "late")
	d.endGrace(t)
	rows := d.rows(t, former)
	d.heard.wait(t, "revision_retired")
	_, refused = stop()
	for _, err := range refused {
		refusal(t, err, interlock.StageUnavailable, "revision_retired")
	}
	require.Equal(t, rows, d.rows(t, former), "nothing of the former after the grace")
	require.Error(t, d.former.InForce())
	require.Equal(t, 1, d.heard.count("revision_superseded"))
	require.Equal(t, 1, d.heard.count("revision_retired"), "told once")
	fire(t, next, employee("erin"), "17", "submit")
}

// What a replica of retired rules answers, whatever it is asked: a menu or a
// read by rules that no longer hold would be a lie.
func TestRetiredReplicaAnswers(t *testing.T) {
	d := newDeploy(t)
	d.replica(t, "2", func(c *interlock.Config) { c.Grace = -1 })
	d.heard.wait(t, "revision_retired")
	ref := interlock.Ref{Machine: "loan", ID: "17"}
	for name, ask := range map[string]func() error{
		"fire": func() error { _, err := d.former.Fire(t.Context(), employee("erin"), loan("submit")); return err },
		"create": func() error {
			_, err := d.former.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", Facts: map[string]any{"amount": 1}})
			return err
		},
		"do": func() error {
			_, _, err := interlock.Do(t.Context(), d.former, employee("erin"), loan("submit"), func(context.Context, *sql.Tx, interlock.Transition) (any, error) {
				return nil, errors.New("the handler must not run")
			})
			return err
		},
		"facts": func() error {
			_, err := d.former.EditFacts(t.Context(), employee("erin"), interlock.FactsRequest{Machine: "loan", ID: "17", Patch: map[string]any{"amount": 2}})
			return err
		},
		"available": func() error { _, err := d.former.Available(t.Context(), employee("erin"), ref); return err },
		"many": func() error {
			_, err := d.former.AvailableMany(t.Context(), employee("erin"), []interlock.Ref{ref})
			return err
		},
		"get": func() error { _, err := d.former.Get(t.Context(), employee("erin"), ref); return err },
		"list": func() error {
			_, _, err := d.former.List(t.Context(), employee("erin"), interlock.ListRequest{Machine: "loan"})
			return err
		},
		"in force": func() error { return d.former.InForce() },
	} {
		t.Run(name, func(t *testing.T) { refusal(t, ask(), interlock.StageUnavailable, "revision_retired") })
	}
	require.EqualValues(t, 1, d.rows(t, d.former.Revision("loan")))

	// New rules make it whole again.
	r := loanRules()
	r.revision = "2"
	require.NoError(t, d.former.Activate(t.Context(), nil, r, nil))
	require.NoError(t, d.former.InForce())
	fire(t, d.former, employee("erin"), "17", "submit")
}

// A strict activation has answered: from then on nothing of the former commits,
// before its replica has heard of it, too.
func TestStrictActivationIsFinal(t *testing.T) {
	d := newDeploy(t)
	deaf := d.replica(t, "", func(c *interlock.Config) { c.Poll = time.Hour })
	stop := d.load(t, deaf, "former")
	next := d.replica(t, "2", func(c *interlock.Config) { c.Grace = -1 })
	rows := d.rows(t, deaf.Revision("loan"))
	_, err := deaf.Fire(t.Context(), employee("erin"), comment("late"))
	refusal(t, err, interlock.StageUnavailable, "revision_retired")
	_, refused := stop()
	require.NotEmpty(t, refused)
	for _, err := range refused {
		refusal(t, err, interlock.StageUnavailable, "revision_retired")
	}
	require.Equal(t, rows, d.rows(t, deaf.Revision("loan")))
	fire(t, next, employee("erin"), "17", "submit")
}

// A gate that activates strictly itself decides again, by the new rules, what
// the activation overtook.
func TestOwnStrictActivation(t *testing.T) {
	g, st := spied(t, func(c *interlock.Config) { c.Grace = -1 })
	newLoan(t, g, "17")
	next := loanRules()
	next.revision = "2"
	st.once(func() { require.NoError(t, g.Activate(t.Context(), nil, next, nil)) })
	res, err := g.Fire(t.Context(), employee("erin"), loan("submit"))
	require.NoError(t, err)
	require.Equal(t, g.Revision("loan"), res.Transition.Revision)
	next = loanRules()
	next.revision = "3"
	next.deny = func(in *interlock.Input) (why []interlock.Reason) {
		if in.Event == "review" {
			why = append(why, interlock.Reason{Code: "closed", Message: "closed"})
		}
		return why
	}
	st.once(func() { require.NoError(t, g.Activate(t.Context(), nil, next, nil)) })
	_, err = g.Fire(t.Context(), employee("erin"), loan("review"))
	require.Equal(t, []string{"closed"}, codes(refusal(t, err, interlock.StagePolicy, "denied").Reasons))
}

// A store that is put back under a running gate: nothing is answered from it
// until its operator has begun a new epoch.
func TestStorePutBackUnderARunningGate(t *testing.T) {
	d := newDeploy(t)
	require.NoError(t, d.st.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM interlock_mark`)
		return err
	}))
	d.heard.wait(t, "store_rewound")
	_, err := d.former.Fire(t.Context(), employee("erin"), loan("submit"))
	no := refusal(t, err, interlock.StageUnavailable, "store_rewound")
	var rewound *interlock.RewoundError
	require.ErrorAs(t, no, &rewound)
	require.Error(t, d.former.InForce())
	_, err = d.former.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	refusal(t, err, interlock.StageUnavailable, "store_rewound")
	_, err = d.st.BumpEpoch(t.Context(), "known")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return d.former.InForce() == nil }, patience, time.Millisecond)
	fire(t, d.former, employee("erin"), "17", "submit")
}

// growing is a store whose log grows, while it says so.
type growing struct {
	*sqlite.Store
	asked atomic.Int64
	err   atomic.Pointer[error]
}

func (g *growing) Checkpointed() error {
	g.asked.Add(1)
	if err := g.err.Load(); err != nil {
		return *err
	}
	return nil
}

// A log that grows is an alarm once, until it has shrunk and grows again; the gate
// goes on.
func TestALogThatGrowsIsAnAlarm(t *testing.T) {
	st, heard := &growing{Store: memory(t)}, &alarms{}
	g := newGate(t, func(c *interlock.Config) { c.Store, c.Poll, c.Observer = st, 2*time.Millisecond, heard })
	newLoan(t, g, "17")
	looks := func() {
		t.Helper()
		n := st.asked.Load()
		require.Eventually(t, func() bool { return st.asked.Load() > n+3 }, patience, time.Millisecond)
	}
	full := errors.New("no room")
	for n := range 2 {
		looks()
		require.Equal(t, n, heard.count("log_grows"))
		st.err.Store(&full)
		looks()
		fire(t, g, employee("erin"), "17", []string{"submit", "review"}[n])
		require.Equal(t, n+1, heard.count("log_grows"))
		st.err.Store(nil)
	}
}

// A gate leaves a mark when it ends, if it committed anything.
func TestCloseMarksTheStore(t *testing.T) {
	st := memory(t)
	marks := func() (n int) {
		require.NoError(t, st.DB().QueryRow(`SELECT count(*) FROM interlock_mark`).Scan(&n))
		return n
	}
	for _, commits := range []bool{true, false} {
		g, err := interlock.New(interlock.Config{Machines: machines(t, loanYAML), Policy: loanRules(), Store: st, Logger: quiet()})
		require.NoError(t, err)
		began := marks()
		if commits {
			newLoan(t, g, "17")
		}
		require.NoError(t, g.Close(t.Context()))
		require.Equal(t, commits, marks() > began)
	}
}

// A revocation whose floor doesn't reach the cache holds for writes all the
// same, and somebody hears of it: menus may show the old for a while.
func TestRevokeWithoutTheCache(t *testing.T) {
	cache, heard := newCache(), &alarms{}
	g := newGate(t, func(c *interlock.Config) { c.Cache, c.Observer = cache, heard })
	_, err := g.Grant(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	newLoan(t, g, "17")
	require.Zero(t, heard.count("cache_not_dropped"))
	cache.fail()
	revoked, err := g.Revoke(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	require.True(t, revoked.ReadsLag, "the answer says so")
	require.Equal(t, 1, heard.count("cache_not_dropped"))
	_, err = g.Fire(t.Context(), granted("evan"), loan("submit"))
	require.Error(t, err)
	cache.mend()
	revoked, err = g.Revoke(t.Context(), root, "evan", "employee", interlock.Scope{})
	require.NoError(t, err)
	require.False(t, revoked.ReadsLag, "asked again, the cache is told")
	cache.mu.Lock()
	defer cache.mu.Unlock()
	require.Equal(t, revoked.Version, cache.entries[actKey("evan")].Version)
}
