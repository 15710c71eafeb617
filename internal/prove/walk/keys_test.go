package walk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// frail is a store whose gate may die, or be so slow that its lease runs out.
type frail struct {
	*sqlite.Store
	fault
}

// fault is what happens to the next request.
type fault struct {
	lapse bool   // leases run out at once
	dies  bool   // the gate hears nothing after it has reserved a key
	thief string // somebody takes the key over, under this token, before the next commit
	key   *interlock.Idempotency
}

func (s *frail) Reserve(ctx context.Context, k interlock.Idempotency, now time.Time, lease time.Duration) (*interlock.Idempotency, error) {
	if s.lapse {
		lease = 0
	}
	held, err := s.Store.Reserve(ctx, k, now, lease)
	if err == nil && held == nil {
		s.key = &k
	}
	if s.dies {
		return nil, errors.New("the gate has died")
	}
	return held, err
}

func (s *frail) Commit(ctx context.Context, c *interlock.Commit) error {
	if s.thief != "" && s.key != nil && c.Idempotency != nil {
		k := *s.key
		k.Token = s.thief
		if held, err := s.Store.Reserve(ctx, k, time.Now(), time.Hour); err != nil || held != nil {
			return fmt.Errorf("the thief got nothing: %v, %w", held, err)
		}
		s.key = nil
	}
	return s.Store.Commit(ctx, c)
}

// counter is one walk of requests under keys.
type counter struct {
	desk  desk
	store *frail
	now   *time.Time
	keys  map[string]*used
}

// used is the model of a key.
type used struct {
	request string
	answer  *interlock.Result // nil: reserved
	lapsed  bool
	until   time.Time
}

func (c *counter) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){"ask": c.ask, "ask again": c.ask, "ask once more": c.ask, "later": c.later, "": c.desk.same}
}

func (c *counter) later(rt *rapid.T) {
	*c.now = c.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(rt, "hours")) * time.Hour)
}

var keyed = []interlock.Request{
	{Event: "send"}, {Event: "check"}, {Event: "back", Note: "because"}, {Event: "back", Note: "because of this"},
	{Event: "remark", Input: map[string]any{"text": "words"}}, {Event: "remark", Input: map[string]any{"text": "words"}}, {Event: "pay"},
}

func (c *counter) ask(rt *rapid.T) {
	who := rapid.SampledFrom(staff[:3]).Draw(rt, "who")
	req := rapid.SampledFrom(keyed).Draw(rt, "request")
	req.Machine, req.ID = "paper", rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "id")
	req.IdempotencyKey = rapid.SampledFrom([]string{"", "k1", "k1", "k2"}).Draw(rt, "key")
	what := rapid.SampledFrom([]string{"", "", "", "", "dies", "dies and its lease ends", "is too slow"}).Draw(rt, "the gate")
	c.store.fault = fault{dies: what == "dies" || what == "dies and its lease ends", lapse: what == "dies and its lease ends" || what == "is too slow"}
	if what == "is too slow" {
		c.store.thief = "thief"
	}
	res, err := c.desk.gate.Fire(rt.Context(), c.desk.as(who), req)
	slot := who.id + " " + req.IdempotencyKey
	text := fmt.Sprint(req.ID, req.Event, req.Note, req.Input)
	if req.IdempotencyKey == "" {
		want, next := c.desk.papers[req.ID].fire(who, req.Event, "", req.Note, req.Input)
		c.desk.became(rt, req.ID, want, next, res, err)
		return
	}
	k := c.keys[slot]
	if k != nil && (k.answer == nil && k.lapsed || k.answer != nil && !k.until.After(*c.now)) {
		k = nil // free again
	}
	switch {
	case c.store.dies:
		require.Equal(rt, "unavailable store_failed", verdict(err))
		if k == nil {
			c.keys[slot] = &used{request: text, lapsed: c.store.lapse}
		}
	case k != nil && k.request != text:
		require.Equal(rt, "input key_reused", verdict(err))
	case k != nil && k.answer == nil:
		require.Equal(rt, "conflict key_in_progress", verdict(err))
	case k != nil:
		require.Equal(rt, "", verdict(err))
		require.True(rt, res.Replayed)
		res.Replayed = false
		require.JSONEq(rt, asJSON(rt, *k.answer), asJSON(rt, res))
	default:
		c.decided(rt, slot, text, who, req, res, err)
	}
}

// decided: the key was free, so it is asked as without one; a yes keeps it.
func (c *counter) decided(rt *rapid.T, slot, text string, who person, req interlock.Request, res interlock.Result, err error) {
	want, next := c.desk.papers[req.ID].fire(who, req.Event, "", req.Note, req.Input)
	if want == "" && c.store.thief != "" {
		require.Equal(rt, "conflict key_in_progress", verdict(err), "nothing is committed under somebody else's key")
		c.keys[slot] = &used{request: text}
		return
	}
	c.desk.became(rt, req.ID, want, next, res, err)
	require.False(rt, res.Replayed)
	delete(c.keys, slot)
	if want == "" {
		c.keys[slot] = &used{request: text, answer: &res, until: c.now.Add(24 * time.Hour)}
	}
}

func asJSON(rt *rapid.T, v any) string {
	b, err := json.Marshal(v)
	require.NoError(rt, err)
	return string(b)
}

// Under a key a request applies once, whatever comes between: other requests,
// other actors' keys, gates that die, leases that run out, days that pass.
func TestKeysWalkAsTheModel(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	st := &frail{Store: memory(t)}
	g := gate(t, st, func(c *interlock.Config) { c.Now = func() time.Time { return now } })
	walks(t, "rapid/idempotency", 4_000, func(rt *rapid.T, steps *atomic.Int64) {
		st.fault = fault{}
		c := &counter{desk: desk{gate: g, tenant: tenant(), papers: map[string]*paper{}}, store: st, now: &now, keys: map[string]*used{}}
		for _, id := range []string{"1", "2"} {
			want, p := newPaper(staff[0], 5)
			res, err := g.Create(rt.Context(), c.desk.as(staff[0]), interlock.CreateRequest{Machine: "paper", ID: id, Facts: map[string]any{"amount": 5}})
			c.desk.became(rt, id, want, p, res, err)
		}
		rt.Repeat(counted(steps, c.actions()))
	})
}
