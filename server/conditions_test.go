package server_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/server"
)

const keyHeader = "Idempotency-Key"

// A retry after a lost answer is answered as the first time was, in every byte
// and every header that says what was done; nothing is applied again.
func TestKeyedWritesAreAnsweredAgain(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("L1", "1000")
		for name, call := range map[string]struct {
			method, path, body string
			status             int
		}{
			"create":         {"POST", "/v1/machines/loan/instances", `{"facts":{"amount":5},"note":"n"}`, 201},
			"create by name": {"POST", "/v1/machines/loan/instances", `{"id":"L2","facts":{"amount":5}}`, 201},
			"facts":          {"PATCH", path + "/facts", `{"amount":9007199254740993}`, 200},
		} {
			key := `"key of ` + name + `"`
			first := w.must(call.status, "erin", call.method, call.path, call.body, keyHeader, key)
			again := w.must(call.status, "erin", call.method, call.path, call.body, keyHeader, key)
			same(w, name, first, again)
			assert.Equal(w.t, "key_reused", w.must(422, "erin", call.method, call.path, `{"id":"L9","facts":{"amount":6}}`, keyHeader, key).code(), name)
		}
		first := w.must(200, "erin", "POST", path+"/events", `{"event":"submit","note":"n"}`, keyHeader, "8e03978e-40d5-43dd-bc93-6894a57f9324")
		w.must(200, "evan", "POST", path+"/events", `{"event":"review"}`)
		again := w.must(200, "erin", "POST", path+"/events", `{ "note": "n", "event": "submit" }`, keyHeader, `"8e03978e-40d5-43dd-bc93-6894a57f9324"`)
		same(w, "fire", first, again)
		assert.Equal(w.t, "submitted", again.json["state"], "as it was then")
		assert.Equal(w.t, "reviewed", w.must(200, "erin", "GET", path, "").json["state"])
		assert.Equal(w.t, "not_found", w.must(404, "uma", "POST", path+"/events", `{"event":"submit","note":"n"}`, keyHeader, "8e03978e-40d5-43dd-bc93-6894a57f9324").code(), "another actor's key tells nothing")
		assert.Len(w.t, w.must(200, "erin", "GET", path+"/history", "").json["history"], 4)
	})
}

func same(w *world, name string, a, b answered) {
	w.t.Helper()
	assert.Equal(w.t, a.raw, b.raw, name)
	for _, h := range []string{"ETag", "Location", "Interlock-Transition", "Interlock-Sequence", "Interlock-Revision", "Content-Type"} {
		assert.Equal(w.t, a.Header.Values(h), b.Header.Values(h), "%s: %s", name, h)
	}
}

// Of requests under one key that come at once one is applied; the others are
// told to ask again, or get its answer.
func TestKeyedRequestsAtOnce(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("L1", "1000")
		for round := range 5 {
			key := `"round ` + string(rune('a'+round)) + `"`
			var wg sync.WaitGroup
			var mu sync.Mutex
			ids := map[string]int{}
			for range 8 {
				wg.Go(func() {
					a := w.ask("mark", "POST", path+"/events", `{"event":"override","to":"submitted","note":"again"}`, keyHeader, key)
					mu.Lock()
					defer mu.Unlock()
					if a.StatusCode == 409 {
						assert.Equal(w.t, "key_in_progress", a.code())
						assert.Equal(w.t, "1", a.Header.Get("Retry-After"))
						return
					}
					assert.Equal(w.t, 200, a.StatusCode, a.raw)
					ids[a.Header.Get("Interlock-Transition")]++
				})
			}
			wg.Wait()
			assert.Len(w.t, ids, 1)
		}
		assert.Len(w.t, w.must(200, "erin", "GET", path+"/history", "").json["history"], 6)
	})
}

func TestIfMatch(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("L1", "1000")
		read := w.must(200, "erin", "GET", path, "")
		old := read.Header.Get("ETag")
		menu := w.must(200, "erin", "GET", path+"/events", "")
		assert.Equal(w.t, old, menu.Header.Get("Interlock-ETag"))
		assert.Empty(w.t, menu.Header.Get("ETag"), "it changes with roles and rules, too")

		fired := w.must(200, "erin", "POST", path+"/events", `{"event":"submit"}`, "If-Match", `"other" , `+old)
		now := fired.Header.Get("ETag")
		assert.NotEqual(w.t, old, now)

		// The answer was lost: asked again it isn't that version any more, whatever would be legal now.
		for _, call := range [][3]string{{"POST", "/events", `{"event":"submit"}`}, {"POST", "/events", `{"event":"review"}`}, {"PATCH", "/facts", `{"amount":2}`}} {
			for _, tag := range []string{old, "W/" + now, `"x"`} {
				a := w.must(412, "erin", call[0], path+call[1], call[2], "If-Match", tag)
				assert.Equal(w.t, "precondition_failed", a.code())
				assert.Equal(w.t, now, a.Header.Get("ETag"), "the current one")
				assert.Equal(w.t, "submitted", a.json["state"])
			}
		}
		assert.Equal(w.t, now, w.must(200, "erin", "GET", path, "").Header.Get("ETag"), "nothing was applied")
		// With the key of the first try it is answered.
		w.must(200, "evan", "POST", path+"/events", `{"event":"review"}`, "If-Match", now, keyHeader, "r")
		assert.Equal(w.t, "reviewed", w.must(200, "evan", "POST", path+"/events", `{"event":"review"}`, "If-Match", now, keyHeader, "r").json["state"])

		// Who may not see it learns nothing by a condition; the star asks only that it is there.
		assert.Equal(w.t, "not_found", w.must(404, "uma", "POST", path+"/events", `{"event":"verify"}`, "If-Match", now).code())
		assert.Equal(w.t, "not_found", w.must(404, "erin", "POST", "/v1/machines/loan/instances/none/events", `{"event":"verify"}`, "If-Match", "*").code())
		dry := w.must(200, "evan", "POST", path+"/events?dry_run=true", `{"event":"verify"}`, "If-Match", "*")
		assert.Empty(w.t, dry.Header.Get("ETag"))
		w.must(412, "evan", "POST", path+"/events?dry_run=true", `{"event":"verify"}`, "If-Match", old)
		w.must(200, "evan", "POST", path+"/events", `{"event":"verify"}`, "If-Match", "*")
	})
}

func TestIfNoneMatch(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("L1", "1000")
		tag := w.must(200, "erin", "GET", path, "").Header.Get("ETag")
		for _, given := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			a := w.must(304, "erin", "GET", path, "", "If-None-Match", given)
			assert.Empty(w.t, a.raw)
			assert.Equal(w.t, tag, a.Header.Get("ETag"))
		}
		w.must(200, "erin", "GET", path, "", "If-None-Match", `"x"`)
		w.must(200, "erin", "GET", path, "", "If-Modified-Since", "Sat, 01 Jan 2028 00:00:00 GMT")
		w.must(400, "erin", "GET", path, "", "If-None-Match", tag[1:])
		w.must(404, "uma", "GET", path, "", "If-None-Match", tag)
		w.must(412, "erin", "GET", path, "", "If-Match", `"x"`, "If-None-Match", tag)
		w.must(304, "erin", "GET", path, "", "If-Match", tag, "If-None-Match", tag)
		w.must(200, "erin", "POST", path+"/events", `{"event":"submit"}`)
		w.must(200, "erin", "GET", path, "", "If-None-Match", tag)

		body := `{"id":"L1","facts":{"amount":1}}`
		assert.Equal(w.t, "exists", w.must(409, "erin", "POST", "/v1/machines/loan/instances", body).code())
		assert.Equal(w.t, "precondition_failed", w.must(412, "erin", "POST", "/v1/machines/loan/instances", body, "If-None-Match", "*").code())
		assert.Equal(w.t, "denied", w.must(403, "uma", "POST", "/v1/machines/loan/instances", body, "If-None-Match", "*").code())
		w.must(201, "erin", "POST", "/v1/machines/loan/instances", `{"id":"L2","facts":{"amount":1}}`, "If-None-Match", "*")
	})
}

// A machine may demand that one says which version one means.
func TestMachineThatDemandsIfMatch(t *testing.T) {
	const careful = `
machine: careful
initial: open
if_match: required
facts: {schema: {type: object, properties: {n: {type: integer}}}, edit: {requires: [employee], states: [open]}}
create: {requires: [employee]}
states: {open: {}, done: {final: true}}
events: {finish: {from: open, to: done, requires: [employee]}}
`
	m, err := fsm.Parse("careful.yaml", []byte(careful))
	require.NoError(t, err)
	st := openSQLite(t)
	g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: st})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close(context.Background())) })
	s, err := server.New(server.Config{Gate: g, Identity: server.DemoIdentity(users)})
	require.NoError(t, err)
	w := &world{t: t, gate: g, server: s, url: serve(t, s)}
	w.check = newContract(t, w.url)

	const path = "/v1/machines/careful/instances/c1"
	tag := w.must(201, "erin", "POST", "/v1/machines/careful/instances", `{"id":"c1"}`).Header.Get("ETag")
	option := w.must(200, "erin", "GET", path+"/events", "").json["events"].([]any)[0].(map[string]any)
	assert.Equal(t, []any{"if_match"}, option["needs"])
	for _, call := range [][3]string{{"POST", "/events", `{"event":"finish"}`}, {"PATCH", "/facts", `{"n":1}`}} {
		a := w.must(428, "erin", call[0], path+call[1], call[2])
		assert.Equal(t, "precondition_required", a.code())
		assert.Contains(t, a.json["detail"], "If-Match")
		assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		w.must(404, "uma", call[0], path+call[1], call[2])
		w.must(428, "erin", call[0], path+call[1], call[2], "If-Match", "*") // whatever it is now: that is what isn't wanted
	}
	w.must(200, "erin", "POST", path+"/events?dry_run=true", `{"event":"finish"}`)
	tag = w.must(200, "erin", "PATCH", path+"/facts", `{"n":1}`, "If-Match", tag).Header.Get("ETag")
	w.must(200, "erin", "POST", path+"/events", `{"event":"finish"}`, "If-Match", tag)
	_, err = g.Fire(t.Context(), users["erin"], interlock.Request{Machine: "careful", ID: "c1", Event: "finish"})
	require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageGraph, Code: "illegal_event"})
}
