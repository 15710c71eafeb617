package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

var keyTests = []namedTest{
	{"a key is reserved, completed, and told", keyLife},
	{"a key is one actor's", keyScope},
	{"one of many reserves a key", oneReserves},
	{"a lease that ran out is taken over", leaseRunsOut},
	{"a commit that is under way keeps its key", takeoverWaits},
	{"an expired key is free", expiredKey},
	{"only what is reserved is given back", keyRelease},
	{"an answer is written with the application's rows", keyAnswer},
	{"sweeping deletes expired keys, so many at a time", keySweep},
	{"a key that can't be is an error", badKeys},
}

func (f *fixture) reserve(k interlock.Idempotency, lease time.Duration) (*interlock.Idempotency, error) {
	return f.store.Reserve(f.ctx, k, time.Now(), lease)
}

// runOut ends a lease.
func (f *fixture) runOut(k *interlock.Idempotency) {
	f.Helper()
	f.exec(`UPDATE ` + f.prefix + `idempotency SET lease_us = 0 WHERE tenant = '` + k.Tenant + `' AND key = '` + k.Key + `'`)
}

func (f *fixture) keyed(id, key string) *interlock.Commit {
	c := f.creation(tenant, "doc", id)
	c.Idempotency = f.keyOf(c, key)
	return c
}

// stored is the key as the store tells it.
func (f *fixture) stored(key string) *interlock.Idempotency {
	f.Helper()
	k, err := f.store.Idempotent(f.ctx, tenant, "ann", key)
	require.NoError(f, err)
	return k
}

func keyLife(f *fixture) {
	c := f.keyed("d", "k")
	require.ErrorIs(f, f.store.Commit(f.ctx, c), interlock.ErrKeyUsed, "nobody reserved it")
	f.key(c, "k")
	reserved := *c.Idempotency
	reserved.Seq, reserved.Image, reserved.Answer = 0, nil, nil
	assert.Equal(f, &reserved, f.stored("k"))
	other := f.keyOf(c, "k")
	held, err := f.reserve(*other, time.Hour)
	require.NoError(f, err)
	assert.Equal(f, &reserved, held, "it is somebody's, who isn't done")
	f.must(c)
	assert.Equal(f, c.Idempotency, f.stored("k"))
	held, err = f.reserve(*other, time.Hour)
	require.NoError(f, err)
	assert.Equal(f, c.Idempotency, held, "it is done")
	assert.Equal(f, c.Idempotency, f.stored("k"), "asking changed nothing")
}

func keyScope(f *fixture) {
	mine := f.keyOf(f.creation(tenant, "doc", "d"), "k")
	for _, who := range []struct{ tenant, actor, key string }{{tenant, "ann", "k"}, {tenant, "bob", "k"}, {"other", "ann", "k"}, {tenant, "ann", "K"}, {tenant, "ann", "k "}} {
		k := *mine
		k.Tenant, k.Actor, k.Key, k.Token = who.tenant, who.actor, who.key, f.fresh("t")
		held, err := f.reserve(k, time.Hour)
		require.NoError(f, err)
		require.Nil(f, held, "%v", who)
	}
}

func oneReserves(f *fixture) {
	for round := range 5 {
		key := fmt.Sprintf("k%d", round)
		k := f.keyOf(f.creation(tenant, "doc", "d"), key)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var got []string
		for n := range racers {
			mine := *k
			mine.Token = fmt.Sprintf("t%d", n)
			wg.Go(func() {
				held, err := f.reserve(mine, time.Hour)
				mu.Lock()
				defer mu.Unlock()
				assert.NoError(f, err)
				if err == nil && held == nil {
					got = append(got, mine.Token)
				}
			})
		}
		wg.Wait()
		require.Len(f, got, 1)
		assert.Equal(f, got[0], f.stored(key).Token)
	}
}

func leaseRunsOut(f *fixture) {
	first, second := f.keyed("one", "k"), f.keyed("two", "k")
	held, err := f.reserve(*first.Idempotency, time.Millisecond)
	require.NoError(f, err)
	require.Nil(f, held)
	// By the store's own clock, whatever the gate's says.
	require.Eventually(f, func() bool {
		held, err = f.store.Reserve(f.ctx, *second.Idempotency, time.Unix(0, 0), time.Hour)
		return err == nil && held == nil
	}, patience, time.Millisecond)
	require.ErrorIs(f, f.store.Commit(f.ctx, first), interlock.ErrKeyUsed, "the second has it")
	require.NoError(f, f.store.Release(f.ctx, *first.Idempotency))
	f.must(second)
	assert.Equal(f, second.Idempotency, f.stored("k"))
	one, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: "doc", ID: "one"}, nil)
	require.NoError(f, err)
	assert.Nil(f, one.Instance, "exactly one was applied")
}

// takeoverWaits: the first commit has taken its key when the lease runs out.
// Who takes it over then either waits, or finds it taken: never both.
func takeoverWaits(f *fixture) {
	first := f.keyed("one", "k")
	f.key(first, "k")
	second := f.keyOf(first, "k")
	answered := make(chan *interlock.Idempotency, 1)
	require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) error {
		if err := execIn(f.ctx, tx, `UPDATE `+f.prefix+`idempotency SET lease_us = 0`); err != nil {
			return err
		}
		if err := tx.Apply(f.ctx, first); err != nil {
			return err
		}
		go func() {
			held, err := f.reserve(*second, time.Hour)
			assert.NoError(f, err)
			answered <- held
		}()
		select {
		case <-answered:
			return errors.New("the key changed hands under an open commit")
		case <-time.After(100 * time.Millisecond): // it waits
		}
		return nil
	}))
	select {
	case held := <-answered:
		assert.Equal(f, first.Idempotency, held)
	case <-time.After(patience):
		f.Fatal("no answer")
	}
}

func expiredKey(f *fixture) {
	first := f.keyed("one", "k")
	first.Idempotency.Expires = first.Instance.Record.Time.Add(time.Hour)
	f.key(first, "k")
	f.must(first)
	second := f.keyed("two", "k")
	before := first.Idempotency.Expires.Add(-time.Microsecond)
	held, err := f.store.Reserve(f.ctx, *second.Idempotency, before, time.Hour)
	require.NoError(f, err)
	require.NotNil(f, held)
	held, err = f.store.Reserve(f.ctx, *second.Idempotency, first.Idempotency.Expires, time.Hour)
	require.NoError(f, err)
	require.Nil(f, held, "to the very moment, by the clock that made it")
	now := f.stored("k")
	assert.Zero(f, now.Seq)
	assert.Nil(f, now.Image)
	assert.Nil(f, now.Answer, "nothing of the first is left")
	f.must(second)
	assert.Equal(f, second.Idempotency, f.stored("k"))
}

func keyRelease(f *fixture) {
	c := f.keyed("d", "k")
	f.key(c, "k")
	other := *c.Idempotency
	other.Token = "another"
	require.NoError(f, f.store.Release(f.ctx, other))
	require.NotNil(f, f.stored("k"))
	f.must(c)
	require.NoError(f, f.store.Release(f.ctx, *c.Idempotency))
	require.Equal(f, c.Idempotency, f.stored("k"), "what is completed stays")
	d := f.keyed("e", "l")
	f.key(d, "l")
	require.NoError(f, f.store.Release(f.ctx, *d.Idempotency))
	require.Nil(f, f.stored("l"))
	require.NoError(f, f.store.Release(f.ctx, *d.Idempotency))
}

func keyAnswer(f *fixture) {
	for _, end := range []error{errors.New("rolled back"), nil} {
		c := f.keyed(f.fresh("d"), f.fresh("k"))
		c.Idempotency.Answer = nil
		k := *c.Idempotency
		held, err := f.reserve(k, time.Hour)
		require.NoError(f, err)
		require.Nil(f, held)
		err = f.store.Within(f.ctx, func(tx interlock.Tx) error {
			if err := tx.Apply(f.ctx, c); err != nil {
				return err
			}
			if err := tx.Answer(f.ctx, k, []byte(`{"row":"7"}`)); err != nil {
				return err
			}
			return end
		})
		require.Equal(f, end, err)
		got := f.stored(k.Key)
		if end != nil {
			assert.Zero(f, got.Seq)
			assert.Nil(f, got.Answer)
			continue
		}
		assert.Equal(f, []byte(`{"row":"7"}`), got.Answer)
		k.Token = "another"
		require.ErrorIs(f, f.store.Within(f.ctx, func(tx interlock.Tx) error { return tx.Answer(f.ctx, k, []byte(`1`)) }), interlock.ErrKeyUsed)
	}
}

func keySweep(f *fixture) {
	now := time.Now()
	for n := range 7 {
		k := f.keyOf(f.creation(tenant, "doc", "d"), fmt.Sprintf("k%d", n))
		k.Expires = now.Add(time.Duration(n-5) * time.Hour).Truncate(time.Microsecond)
		held, err := f.reserve(*k, time.Hour)
		require.NoError(f, err)
		require.Nil(f, held)
	}
	for _, want := range []int{4, 2, 0} {
		n, err := f.store.SweepKeys(f.ctx, now, 4)
		require.NoError(f, err)
		require.Equal(f, want, n)
	}
	require.Nil(f, f.stored("k5"))
	require.NotNil(f, f.stored("k6"))
}

func badKeys(f *fixture) {
	before := f.dump()
	for name, spoil := range map[string]func(*interlock.Idempotency){
		"NUL":           func(k *interlock.Idempotency) { k.Key = "a\x00" },
		"invalid UTF-8": func(k *interlock.Idempotency) { k.Actor = "\xff" },
		"no token":      func(k *interlock.Idempotency) { k.Token = "" },
	} {
		k := f.keyOf(f.creation(tenant, "doc", "d"), "k")
		spoil(k)
		_, err := f.reserve(*k, time.Hour)
		require.Error(f, err, name)
		require.NoError(f, f.store.Release(f.ctx, *k), name)
	}
	require.Equal(f, before, f.dump())
}
