package walk

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
)

// liar is a cache that answers what a test has told it to: whatever was true
// once, or never. Writes to it are lost.
type liar struct {
	past   map[interlock.CacheKey][][]byte // payloads, by version less one
	next   lie
	served int // entries that say something
}

// lie is how the next reads are answered.
type lie struct {
	call     string // fails, short, or ""
	instance string
	actor    string
	back     int // versions, for what is old
}

func drawLie(rt *rapid.T) lie {
	what := []string{"miss", "current", "old", "old", "foreign", "renamed", "garbage", "wrong version", "forged", "forged", "forged otherwise", "forged old"}
	return lie{
		call:     rapid.SampledFrom([]string{"", "", "", "", "", "fails", "short"}).Draw(rt, "cache"),
		instance: rapid.SampledFrom(what).Draw(rt, "of the instance"),
		actor:    rapid.SampledFrom(what).Draw(rt, "of the actor"),
		back:     rapid.IntRange(1, 4).Draw(rt, "versions back"),
	}
}

func (l *liar) Put(context.Context, string, []interlock.CacheEntry) error { return nil }

func (l *liar) Floor(context.Context, string, []interlock.CacheEntry) error {
	return errors.New("lost")
}

func (l *liar) Get(_ context.Context, _ string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	switch l.next.call {
	case "fails":
		return nil, errors.New("down")
	case "short":
		return make([]interlock.CacheEntry, len(keys)-1), nil
	}
	out := make([]interlock.CacheEntry, len(keys))
	for i, k := range keys {
		what := l.next.actor
		if k.Kind == "instance" {
			what = l.next.instance
		}
		out[i] = l.entry(k, what)
		if out[i].Version > 0 {
			l.served++
		}
	}
	return out, nil
}

// learn takes what is true now.
func (l *liar) learn(tb require.TestingT, facts interlock.Facts) {
	keep := func(k interlock.CacheKey, version int64, v any) {
		payload, err := json.Marshal(v)
		require.NoError(tb, err)
		for int64(len(l.past[k])) < version {
			l.past[k] = append(l.past[k], payload)
		}
	}
	if in := facts.Instance; in != nil {
		keep(interlock.CacheKey{Kind: "instance", Tenant: in.Tenant, Machine: in.Machine, ID: in.ID}, in.Version, map[string]any{"instance": in})
	}
	for _, a := range facts.Actors {
		keep(interlock.CacheKey{Kind: "actor", Tenant: a.Tenant, ID: a.ID}, a.Version, a)
	}
}

func (l *liar) entry(k interlock.CacheKey, what string) interlock.CacheEntry {
	past := l.past[k]
	version := len(past)
	if version == 0 || what == "miss" {
		return interlock.CacheEntry{}
	}
	if what == "old" || what == "forged old" {
		version = max(1, version-l.next.back)
	}
	e := interlock.CacheEntry{Key: k, Version: int64(version), Payload: past[version-1]}
	switch what {
	case "garbage":
		e.Payload = []byte(`{"instance":{"version":`)
	case "wrong version":
		e.Version++
	case "foreign", "renamed":
		for other, payloads := range l.past { // there is one other at most: the order is no matter
			if other.Kind == k.Kind && other.Tenant == k.Tenant && other.ID != k.ID && (other.ID == "1" || other.ID == "2" || other.ID == "cat") {
				e.Payload = payloads[len(payloads)-1]
			}
		}
		if what == "renamed" {
			e.Payload = forge(e.Payload, k, e.Version, func(*interlock.Instance) {}, func(*interlock.ActorRecord) {})
		}
	case "forged", "forged old":
		e.Payload = forge(e.Payload, k, e.Version,
			func(i *interlock.Instance) {
				i.Facts, i.Entered = map[string]any{"amount": 1}, map[string][]string{"checked": {"nobody"}}
			},
			func(a *interlock.ActorRecord) { a.Active, a.Grants = true, []interlock.Grant{{Role: "chief"}} })
	case "forged otherwise":
		e.Payload = forge(e.Payload, k, e.Version,
			func(i *interlock.Instance) { i.State = "checked" },
			func(a *interlock.ActorRecord) { a.Active, a.Grants = !a.Active, nil })
	}
	return e
}

// forge changes what an entry says, and lets it speak of the key and the version.
func forge(payload []byte, k interlock.CacheKey, version int64, instance func(*interlock.Instance), actor func(*interlock.ActorRecord)) []byte {
	var v any
	if k.Kind == "instance" {
		var c struct {
			Instance interlock.Instance `json:"instance"`
		}
		if json.Unmarshal(payload, &c) != nil {
			return payload
		}
		c.Instance.ID, c.Instance.Version = k.ID, version
		instance(&c.Instance)
		v = c
	} else {
		var a interlock.ActorRecord
		if json.Unmarshal(payload, &a) != nil {
			return payload
		}
		a.ID, a.Version = k.ID, version
		actor(&a)
		v = a
	}
	out, err := json.Marshal(v)
	if err != nil {
		return payload
	}
	return out
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	return &liar{past: map[interlock.CacheKey][][]byte{}}
}
