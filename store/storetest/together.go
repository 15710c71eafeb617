package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// togetherTests are about commits that a store may write as one.
var togetherTests = append(predicatesTogether(), []namedTest{
	{"one step wins", func(f *fixture) {
		i := f.have(tenant, "doc", "d")
		f.oneWins(interlock.ErrStale, func(int) *interlock.Commit { return f.step(i, "open") })
	}},
	{"one use of a key wins", func(f *fixture) {
		k := f.keyOf(f.step(f.have(tenant, "doc", "d"), "open"), "k")
		_, err := f.reserve(*k, time.Hour)
		require.NoError(f, err)
		f.oneWins(interlock.ErrKeyUsed, func(n int) *interlock.Commit {
			c, mine := f.step(f.have(tenant, "doc", fmt.Sprint("d", n)), "open"), *k
			mine.Instance, c.Idempotency = c.Instance.Next.ID, &mine
			return c
		})
	}},
	{"a third against some predicate", aThirdMisses},
	{"left by their callers", leftByCallers},
	{"rows of each are its own", rowsTogether},
}...)

// together makes the commits at once; as one, where the store under test shows
// its tests how: CommitTogether returns their errors in their order.
func (f *fixture) together(commits []*interlock.Commit) []error {
	if s, ok := f.store.(interface {
		CommitTogether(context.Context, []*interlock.Commit) []error
	}); ok {
		return s.CommitTogether(f.ctx, commits)
	}
	errs := make([]error, len(commits))
	var wg sync.WaitGroup
	for n, c := range commits {
		wg.Go(func() { errs[n] = f.store.Commit(f.ctx, c) })
	}
	wg.Wait()
	return errs
}

func predicatesTogether() (tests []namedTest) {
	for _, s := range stepShapes {
		tests = append(tests, namedTest{"predicates, " + s.name, func(f *fixture) { f.predicatesTogether(s) }})
	}
	return tests
}

// predicatesTogether: all violations at once, each gets its error and nothing is
// written; then with good ones among them, which are.
func (f *fixture) predicatesTogether(s shape) {
	f.formerRules()
	for _, good := range []bool{false, true} {
		var commits []*interlock.Commit
		var names []string
		var want []error
		for _, v := range stepViolations {
			c := s.make(f)
			if !v.applies(c) {
				continue
			}
			v.spoil(f, c)
			commits, names, want = append(commits, c), append(names, v.name), append(want, v.want)
			if good {
				commits, names, want = append(commits, s.make(f)), append(names, "good beside "+v.name), append(want, nil)
			}
		}
		before := f.dump()
		for n, err := range f.together(commits) {
			assert.ErrorIs(f, err, want[n], names[n])
			if want[n] == nil {
				f.isWritten(commits[n], names[n])
			}
		}
		if !good {
			require.Equal(f, before, f.dump())
		}
	}
}

func (f *fixture) isWritten(c *interlock.Commit, name string) {
	f.Helper()
	next := c.Instance.Next
	facts, err := f.store.Load(f.ctx, next.Tenant, interlock.Ref{Machine: next.Machine, ID: next.ID}, nil)
	require.NoError(f, err)
	assert.Equal(f, &next, facts.Instance, name)
	f.chained(next)
}

// chained: an instance's history is whole, and its head is the instance's.
func (f *fixture) chained(i interlock.Instance) {
	f.Helper()
	rows, err := f.store.History(f.ctx, i.Tenant, interlock.Ref{Machine: i.Machine, ID: i.ID}, 0, 100)
	require.NoError(f, err)
	require.Len(f, rows, int(i.Version))
	for n, r := range rows {
		assert.Equal(f, int64(n+1), r.Seq)
		if n > 0 {
			assert.Equal(f, rows[n-1].Hash, r.Prev)
		}
	}
	assert.Equal(f, i.Head, rows[len(rows)-1].Hash)
}

func (f *fixture) oneWins(others error, make func(n int) *interlock.Commit) {
	f.Helper()
	var commits []*interlock.Commit
	for n := range racers {
		commits = append(commits, make(n))
	}
	won := 0
	for n, err := range f.together(commits) {
		if err == nil {
			won++
			f.isWritten(commits[n], "winner")
			continue
		}
		assert.ErrorIs(f, err, others)
	}
	assert.Equal(f, 1, won, "winners")
}

// aThirdMisses: of commits of all shapes that come as they come, each third
// violates one predicate; each of these gets its error, and all others are there.
func aThirdMisses(f *fixture) {
	f.formerRules()
	seed := uint64(time.Now().UnixNano())
	f.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var wg sync.WaitGroup
	start := make(chan struct{})
	var commits []*interlock.Commit
	errs, want := [60]error{}, [60]error{}
	for n := range errs {
		c := stepShapes[random.IntN(len(stepShapes))].make(f)
		for n%3 == 0 && want[n] == nil {
			if v := stepViolations[random.IntN(len(stepViolations))]; v.applies(c) {
				v.spoil(f, c)
				want[n] = v.want
			}
		}
		commits = append(commits, c)
		wg.Go(func() {
			<-start
			errs[n] = f.store.Commit(f.ctx, c)
		})
	}
	close(start)
	wg.Wait()
	for n, err := range errs {
		assert.ErrorIs(f, err, want[n], "%d", n)
		if want[n] == nil {
			f.isWritten(commits[n], fmt.Sprint(n))
		}
	}
}

// leftByCallers: a context may end at any moment. An error that doesn't say that
// the outcome is unknown says that nothing was written.
func leftByCallers(f *fixture) {
	var commits []*interlock.Commit
	for n := range 64 {
		commits = append(commits, f.step(f.have(tenant, "doc", fmt.Sprint("d", n)), "open"))
	}
	errs := make([]error, len(commits))
	var wg sync.WaitGroup
	for n, c := range commits {
		ctx, cancel := context.WithCancel(f.ctx)
		if n%2 == 0 {
			time.AfterFunc(time.Duration(n)*200*time.Microsecond, cancel)
		}
		wg.Go(func() {
			defer cancel()
			errs[n] = f.store.Commit(ctx, c)
		})
	}
	wg.Wait()
	for n, c := range commits {
		err := errs[n]
		var unknown *interlock.UnknownOutcome
		switch i := f.get(tenant, "doc", fmt.Sprint("d", n)); {
		case err == nil:
			f.isWritten(c, fmt.Sprint(n))
		case n%2 == 1:
			assert.NoError(f, err, "nobody left it")
		case !errors.As(err, &unknown):
			assert.Equal(f, int64(1), i.Version, "%d: %v", n, err)
		}
	}
}

// rowsTogether: what stands beside an instance is that of its own commit.
func rowsTogether(f *fixture) {
	var commits []*interlock.Commit
	for n := range 12 {
		c := plainStep(f)
		rec := &c.Instance.Record
		rec.Note, rec.Input = fmt.Sprint("note ", n), map[string]any{"n": fmt.Sprint(n)}
		c.Outbox = []byte(fmt.Sprint("message ", n))
		c.Idempotency.Answer = fmt.Appendf(nil, `{"n":%d}`, n)
		switch n % 4 {
		case 1:
			c.Outbox, c.Idempotency.Answer = nil, nil
		case 2:
			rec.Note, rec.Input, rec.Facts, rec.Salt = "", nil, nil, nil
		case 3:
			require.NoError(f, f.store.Release(f.ctx, *c.Idempotency))
			c.Idempotency, c.Actors = nil, nil
		}
		commits = append(commits, c)
	}
	for n, err := range f.together(commits) {
		c := commits[n]
		require.NoError(f, err)
		f.isWritten(c, fmt.Sprint(n))
		rec := c.Instance.Record
		rows, err := f.store.History(f.ctx, tenant, interlock.Ref{Machine: rec.Machine, ID: rec.Instance}, 1, 10)
		require.NoError(f, err)
		require.Len(f, rows, 1)
		rows[0].Stamp = time.Time{}
		assert.Equal(f, rec, rows[0])
		where := fmt.Sprintf(`FROM %soutbox WHERE id = '%s' AND tenant = '%s' AND machine = '%s' AND instance = '%s' AND seq = %d AND message = `,
			f.prefix, rec.ID, rec.Tenant, rec.Machine, rec.Instance, rec.Seq)
		if c.Outbox == nil {
			assert.Empty(f, f.query(`SELECT 1 FROM `+f.prefix+`outbox WHERE id = '`+rec.ID+`'`))
		} else {
			assert.Len(f, f.query(`SELECT 1 `+where+fmt.Sprintf(f.blob(), c.Outbox)), 1)
		}
		if c.Idempotency != nil {
			key, err := f.store.Idempotent(f.ctx, tenant, "ann", c.Idempotency.Key)
			require.NoError(f, err)
			assert.Equal(f, c.Idempotency, key)
		}
	}
}

// blob is the format of bytes in SQL.
func (f *fixture) blob() string {
	if f.postgres {
		return `'\x%x'`
	}
	return `x'%x'`
}
