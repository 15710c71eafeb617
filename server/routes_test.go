package server_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var wireTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)

func TestCreateAndRead(t *testing.T) {
	onEach(t, func(w *world) {
		a := w.must(201, "erin", "POST", "/v1/machines/loan/instances", `{"id":"L1","facts":{"amount":9007199254740993},"note":"first"}`, "X-Request-Id", "req-1")
		assert.Equal(w.t, "/v1/machines/loan/instances/L1", a.Header.Get("Location"))
		assert.Equal(w.t, "1", a.Header.Get("Interlock-Sequence"))
		assert.NotEmpty(w.t, a.Header.Get("Interlock-Transition"))
		assert.NotEmpty(w.t, a.Header.Get("Interlock-Revision"))
		assert.Equal(w.t, "req-1", a.Header.Get("X-Request-Id"))
		assert.Equal(w.t, "created", a.json["state"])
		assert.Equal(w.t, json.Number("9007199254740993"), a.json["facts"].(map[string]any)["amount"], "no number passes through a float")
		for _, name := range []string{"created_at", "since", "updated_at"} {
			assert.Regexp(w.t, wireTime, a.json[name])
		}

		got := w.must(200, "evan", "GET", a.Header.Get("Location"), "")
		assert.Equal(w.t, a.raw, got.raw, "create answers with what GET returns")
		assert.Equal(w.t, a.Header.Get("ETag"), got.Header.Get("ETag"))
		assert.Regexp(w.t, `^"[A-Z2-7]{26}-1-[0-9a-f]{8}"$`, got.Header.Get("ETag"))

		again := w.must(409, "evan", "POST", "/v1/machines/loan/instances", `{"id":"L1","facts":{"amount":1}}`)
		assert.Equal(w.t, "exists", again.code())
		made := w.must(201, "erin", "POST", "/v1/machines/loan/instances", `{"facts":{"amount":1}}`)
		assert.Regexp(w.t, `^[0-9a-f-]{36}$`, made.json["id"])
		assert.Equal(w.t, "facts_invalid", w.must(422, "erin", "POST", "/v1/machines/loan/instances", `{"facts":{"amount":"5"}}`).code())
		assert.Equal(w.t, "denied", w.must(403, "uma", "POST", "/v1/machines/loan/instances", `{"facts":{"amount":5}}`).code())
	})
}

func TestLoanStory(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("17", "1000", "erin submit", "erin review")
		fired := w.must(200, "erin", "POST", path+"/events", `{"event":"verify","note":"seen the papers"}`)
		assert.Equal(w.t, "verified", fired.json["state"])
		assert.Equal(w.t, "4", fired.Header.Get("Interlock-Sequence"))
		read := w.must(200, "erin", "GET", path, "")
		assert.Equal(w.t, fired.raw, read.raw, "fire answers with what GET returns")
		assert.Equal(w.t, fired.Header.Get("ETag"), read.Header.Get("ETag"))

		illegal := w.must(409, "erin", "POST", path+"/events", `{"event":"submit"}`)
		assert.Equal(w.t, "illegal_event", illegal.code())
		assert.Equal(w.t, []any{"approve", "deny", "override"}, illegal.json["legal_events"])
		assert.Equal(w.t, "verified", illegal.json["state"])

		for _, user := range []string{"erin", "erin2"} {
			no := w.must(403, user, "POST", path+"/events", `{"event":"approve"}`)
			assert.Equal(w.t, "policy", no.json["stage"])
			assert.Contains(w.t, no.raw, `"four_eyes"`, user)
			assert.Contains(w.t, no.raw, "Somebody else must approve what you verified")
		}
		assert.Equal(w.t, "note_required", w.must(422, "evan", "POST", path+"/events", `{"event":"deny"}`).code())
		assert.Equal(w.t, "target_required", w.must(422, "mark", "POST", path+"/events", `{"event":"override","note":"x"}`).code())
		assert.Equal(w.t, "undeclared_target", w.must(409, "mark", "POST", path+"/events", `{"event":"override","note":"x","to":"denied"}`).code())
		assert.Equal(w.t, "unknown_event", w.must(409, "mark", "POST", path+"/events", `{"event":"steal"}`).code())

		dry := w.must(200, "evan", "POST", path+"/events?dry_run=true", `{"event":"approve"}`)
		assert.Equal(w.t, "approved", dry.json["state"], "as the event would leave it")
		assert.Equal(w.t, json.Number("5"), dry.json["version"])
		assert.Equal(w.t, read.raw, w.must(200, "erin", "GET", path, "").raw, "a dry run changes nothing")
		assert.Empty(w.t, dry.Header.Get("Interlock-Transition"))
		assert.Empty(w.t, dry.Header.Get("ETag"))
		w.must(403, "erin", "POST", path+"/events?dry_run=true", `{"event":"approve"}`)

		done := w.must(200, "evan", "POST", path+"/events", `{"event":"approve"}`)
		assert.Equal(w.t, "approved", done.json["state"])
		closed := w.must(409, "mark", "POST", path+"/events", `{"event":"override","note":"x","to":"submitted"}`)
		assert.Equal(w.t, []any{}, closed.json["legal_events"])
	})
}

func TestHistoryPages(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("h", "1000", "erin submit", "erin review")
		deny := w.must(200, "evan", "POST", path+"/events", `{"event":"deny","note":"no papers"}`)
		w.must(403, "erin", "POST", path+"/events", `{"event":"override","note":"x","to":"submitted"}`)

		all := w.must(200, "erin", "GET", path+"/history?attempts=true", "")
		rows := all.json["history"].([]any)
		require.Len(w.t, rows, 4)
		assert.Nil(w.t, all.json["next_cursor"])
		last := rows[3].(map[string]any)
		assert.Equal(w.t, deny.Header.Get("Interlock-Transition"), last["id"])
		assert.Equal(w.t, "no papers", last["note"])
		assert.Regexp(w.t, wireTime, last["time"])
		attempts := all.json["attempts"].([]any)
		require.Len(w.t, attempts, 1)
		assert.Equal(w.t, "override", attempts[0].(map[string]any)["event"])

		var events []string
		next := path + "/history?limit=3"
		for page := range 2 {
			a := w.must(200, "erin", "GET", next, "")
			for _, row := range a.json["history"].([]any) {
				events = append(events, row.(map[string]any)["event"].(string))
			}
			if page == 0 {
				cursor := a.json["next_cursor"].(string)
				next = path + "/history?limit=3&cursor=" + url.QueryEscape(cursor)
				assert.Contains(w.t, a.Header.Get("Link"), `rel="next"`)
				assert.Contains(w.t, a.Header.Get("Link"), url.QueryEscape(cursor))
			} else {
				assert.Nil(w.t, a.json["next_cursor"])
				assert.Empty(w.t, a.Header.Get("Link"))
			}
		}
		assert.Equal(w.t, []string{"$create", "submit", "review", "deny"}, events)
	})
}

func TestListPages(t *testing.T) {
	onEach(t, func(w *world) {
		for i := range 5 {
			w.loan(fmt.Sprintf("l%d", i), "1000")
		}
		w.must(200, "evan", "POST", "/v1/machines/loan/instances/l3/events", `{"event":"submit"}`)
		ids := func(user, query string) []string {
			out := []string{}
			next := "/v1/machines/loan/instances" + query
			for next != "" {
				a := w.must(200, user, "GET", next, "")
				for _, row := range a.json["instances"].([]any) {
					out = append(out, row.(map[string]any)["id"].(string))
				}
				link := a.Header.Get("Link")
				next = ""
				if link != "" {
					next = link[1:strings.IndexByte(link, '>')]
				}
			}
			return out
		}
		all := []string{"l0", "l1", "l2", "l3", "l4"}
		assert.Equal(w.t, all, ids("erin", ""))
		assert.Equal(w.t, all, ids("erin", "?limit=2"))
		assert.Equal(w.t, []string{"l3"}, ids("erin", "?state=submitted"))
		assert.Equal(w.t, []string{"l3"}, ids("erin", "?actor=evan"))
		assert.Empty(w.t, ids("erin", "?updated_since=2099-01-01T00:00:00Z"))
		assert.Equal(w.t, all, ids("erin", "?updated_since=2001-01-01T00:00:00%2B01:00&limit=200"))
		assert.Empty(w.t, ids("alien", ""), "another tenant has nothing here")
		assert.Empty(w.t, ids("uma", ""), "who may not read sees none")
	})
}

// A cursor is sealed to its question: tenant, machine, filters, route.
func TestCursorsBelongToTheirQuestion(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("c1", "1000", "erin submit")
		w.loan("c2", "1000")
		cursor := url.QueryEscape(w.must(200, "erin", "GET", "/v1/machines/loan/instances?limit=1", "").json["next_cursor"].(string))
		history := url.QueryEscape(w.must(200, "erin", "GET", path+"/history?limit=1", "").json["next_cursor"].(string))
		w.must(200, "evan", "GET", "/v1/machines/loan/instances?limit=2&cursor="+cursor, "")
		for _, tc := range []struct{ user, path string }{
			{"alien", "/v1/machines/loan/instances?cursor=" + cursor},
			{"erin", "/v1/machines/ticket/instances?cursor=" + cursor},
			{"erin", "/v1/machines/loan/instances?state=created&cursor=" + cursor},
			{"erin", "/v1/machines/loan/instances?actor=erin&cursor=" + cursor},
			{"erin", "/v1/machines/loan/instances?cursor=" + history},
			{"erin", path + "/history?cursor=" + cursor},
			{"erin", "/v1/machines/loan/instances/c2/history?cursor=" + history},
			{"erin", "/v1/machines/loan/instances?cursor=A" + cursor},
			{"erin", "/v1/machines/loan/instances?cursor=" + cursor[:len(cursor)-4]},
			{"erin", "/v1/machines/loan/instances?cursor=YzE"},
		} {
			assert.Equal(w.t, "malformed", w.must(400, tc.user, "GET", tc.path, "").code(), tc.path)
		}
	})
}

// What isn't there and what one may not read are one answer, but for the address and the trace.
func TestUnknownAndUnreadableAreAlike(t *testing.T) {
	onEach(t, func(w *world) {
		w.loan("secret", "1000", "erin submit")
		same := func(a answered) map[string]any {
			delete(a.json, "instance")
			delete(a.json, "trace_id")
			return a.json
		}
		for _, suffix := range []string{"", "?events=true", "/events", "/history", "/history?attempts=true", "/explain?event=review"} {
			want := same(w.must(404, "erin", "GET", "/v1/machines/loan/instances/absent"+suffix, ""))
			for _, user := range []string{"uma", "alien"} {
				assert.Equal(w.t, want, same(w.must(404, user, "GET", "/v1/machines/loan/instances/secret"+suffix, "")), user+suffix)
			}
		}
		for _, body := range []string{`{"event":"review"}`, `{"event":"nonsense"}`, `{"event":"deny"}`} {
			want := same(w.must(404, "erin", "POST", "/v1/machines/loan/instances/absent/events", body))
			assert.Equal(w.t, want, same(w.must(404, "uma", "POST", "/v1/machines/loan/instances/secret/events", body)))
			assert.Equal(w.t, want, same(w.must(404, "alien", "POST", "/v1/machines/loan/instances/secret/events", body)))
		}
		want := same(w.must(404, "erin", "PATCH", "/v1/machines/loan/instances/absent/facts", `{"amount":2}`))
		assert.Equal(w.t, want, same(w.must(404, "uma", "PATCH", "/v1/machines/loan/instances/secret/facts", `{"amount":2}`)))
		many := w.must(200, "uma", "POST", "/v1/available", `{"instances":[{"machine":"loan","id":"secret"},{"machine":"loan","id":"absent"},{"machine":"none","id":"x"}]}`)
		for _, entry := range many.json["available"].([]any) {
			e := entry.(map[string]any)
			assert.Nil(w.t, e["events"])
			assert.Nil(w.t, e["state"])
		}
	})
}

func TestFacts(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("f", "1000")
		a := w.must(200, "evan", "PATCH", path+"/facts", `{"amount":2000}`, "Content-Type", "application/merge-patch+json")
		assert.Equal(w.t, json.Number("2000"), a.json["facts"].(map[string]any)["amount"])
		assert.Equal(w.t, "2", a.Header.Get("Interlock-Sequence"))
		assert.Equal(w.t, a.raw, w.must(200, "erin", "GET", path, "").raw)
		no := w.must(422, "evan", "PATCH", path+"/facts", `{"amount":null}`)
		assert.Equal(w.t, "facts_invalid", no.code())
		assert.Contains(w.t, no.raw, `"pointer":"/amount"`)
		w.must(200, "erin", "POST", path+"/events", `{"event":"submit"}`)
		assert.Equal(w.t, "facts_locked", w.must(409, "erin", "PATCH", path+"/facts", `{"amount":1}`).code())
	})
}

func TestMenu(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("m", "100000", "erin submit", "erin review", "erin verify")
		menu := w.must(200, "evan", "GET", path+"/events", "")
		events := menu.json["events"].([]any)
		require.Len(w.t, events, 3)
		approve := events[0].(map[string]any)
		assert.Equal(w.t, "approve", approve["event"])
		assert.Equal(w.t, false, approve["allowed"])
		assert.Contains(w.t, menu.raw, `"reasons":[{"code":"within_limit","message":"The amount is above your limit","params":{`)
		whole := w.must(200, "evan", "GET", path+"?events=true", "")
		assert.Equal(w.t, menu.json["events"], whole.json["events"])
		assert.Equal(w.t, "verified", whole.json["state"])
		assert.Empty(w.t, whole.Header.Get("ETag"), "a menu changes without a commit")

		few := w.must(200, "evan", "GET", path+"/events?denied=false", "")
		for _, e := range few.json["events"].([]any) {
			assert.Equal(w.t, true, e.(map[string]any)["allowed"])
		}
		assert.Len(w.t, few.json["events"], 1)
		many := w.must(200, "evan", "POST", "/v1/available", `{"instances":[{"machine":"loan","id":"m"},{"machine":"loan","id":"x"},{"machine":"loan","id":"m"}]}`)
		entries := many.json["available"].([]any)
		require.Len(w.t, entries, 3)
		assert.Equal(w.t, menu.json["events"], entries[0].(map[string]any)["events"])
		assert.Equal(w.t, "verified", entries[0].(map[string]any)["state"])
		assert.Nil(w.t, entries[1].(map[string]any)["events"])
		assert.Empty(w.t, w.must(200, "evan", "POST", "/v1/available", `{"instances":[]}`).json["available"])

		done := w.loan("m2", "1", "erin submit", "erin review", "erin verify", "evan approve")
		assert.JSONEq(w.t, `{"events":[]}`, w.must(200, "erin", "GET", done+"/events", "").raw)
	})
}

func TestExplain(t *testing.T) {
	onEach(t, func(w *world) {
		path := w.loan("e", "1000", "erin submit", "erin review", "erin verify")
		assert.Equal(w.t, "denied", w.must(403, "erin", "GET", path+"/explain?event=approve", "").code())
		w.must(200, "adam", "PUT", "/v1/actors/erin/roles/interlock:admin", "")
		how := w.must(200, "erin", "GET", path+"/explain?event=approve", "")
		assert.Equal(w.t, false, how.json["allowed"])
		assert.Contains(w.t, how.raw, `"four_eyes"`)
		assert.NotEmpty(w.t, how.json["steps"])
		assert.NotContains(w.t, how.json, "trace")
		traced := w.must(200, "erin", "GET", path+"/explain?event=override&to=approved&trace=true", "")
		assert.NotNil(w.t, traced.json["refusal"])
	})
}

func TestActorsAndRoles(t *testing.T) {
	onEach(t, func(w *world) {
		own := w.must(200, "uma", "GET", "/v1/actors/uma", "")
		assert.Equal(w.t, json.Number("0"), own.json["version"])
		assert.Nil(w.t, own.json["person"])
		assert.Equal(w.t, "denied", w.must(403, "uma", "GET", "/v1/actors/erin", "").code())
		w.must(403, "uma", "PUT", "/v1/actors/erin/roles/employee", "")

		path := w.loan("r", "1000")
		w.must(404, "uma", "GET", path, "")
		got := w.must(200, "adam", "PUT", "/v1/actors/uma/roles/employee?scope=instance:loan/r", "")
		role := got.json["roles"].([]any)[0].(map[string]any)
		assert.Equal(w.t, "instance:loan/r", role["scope"])
		assert.Equal(w.t, "adam", role["by"])
		assert.Regexp(w.t, wireTime, role["since"])
		assert.Equal(w.t, true, got.json["cache_invalidated"])
		w.must(200, "uma", "POST", path+"/events", `{"event":"submit"}`)
		w.must(200, "adam", "DELETE", "/v1/actors/uma/roles/employee?scope=instance:loan/r", "")
		w.must(404, "uma", "POST", path+"/events", `{"event":"review"}`)
		assert.Equal(w.t, []any{}, w.must(200, "adam", "GET", "/v1/actors/uma", "").json["roles"])

		w.must(200, "adam", "PUT", "/v1/actors/uma/roles/employee?scope=machine:loan", "")
		w.must(200, "adam", "PATCH", "/v1/actors/uma", `{"attrs":{"limit":5}}`, "Content-Type", "application/merge-patch+json")
		off := w.must(200, "adam", "PATCH", "/v1/actors/uma", `{"active":false}`)
		assert.Equal(w.t, false, off.json["active"])
		assert.Equal(w.t, json.Number("5"), off.json["attrs"].(map[string]any)["limit"])
		assert.Equal(w.t, "inactive", w.must(403, "uma", "GET", path, "").code())

		assert.Equal(w.t, "input_invalid", w.must(422, "adam", "PUT", "/v1/actors/uma/roles/emploiee", "").code())
		assert.Equal(w.t, "input_invalid", w.must(422, "adam", "PATCH", "/v1/actors/uma", `{"attrs":{"colour":"red"}}`).code())
		w.must(403, "adam", "PUT", "/v1/actors/adam/roles/employee", "")
		w.must(403, "adam", "DELETE", "/v1/actors/adam/roles/interlock:admin", "")
	})
}

func TestMachines(t *testing.T) {
	onEach(t, func(w *world) {
		w.loan("a", "1")
		w.loan("b", "1", "erin submit")
		list := w.must(200, "erin", "GET", "/v1/machines", "").json["machines"].([]any)
		require.Len(w.t, list, 2)
		loan := list[0].(map[string]any)
		assert.Equal(w.t, "loan", loan["machine"])
		assert.Equal(w.t, json.Number("1"), loan["counts"].(map[string]any)["submitted"])
		assert.Nil(w.t, w.must(200, "uma", "GET", "/v1/machines/loan", "").json["counts"], "who may not read them may not count them")

		one := w.must(200, "erin", "GET", "/v1/machines/ticket", "")
		assert.Len(w.t, one.json["states"], 4)
		assert.Contains(w.t, one.raw, `"from":"open","to":"open","stay":true`)
		assert.Equal(w.t, "not_found", w.must(404, "erin", "GET", "/v1/machines/none", "").code())

		for _, tc := range []struct{ query, accept, media, begins string }{
			{"", "", "application/json", "{"},
			{"", "*/*", "application/json", "{"},
			{"", "application/vnd.mermaid", "application/vnd.mermaid", "stateDiagram"},
			{"", "text/vnd.graphviz, */*;q=0.1", "text/vnd.graphviz", "digraph"},
			{"", "application/json;q=0.2, application/vnd.mermaid;q=0.7", "application/vnd.mermaid", "stateDiagram"},
			{"?format=dot", "application/json", "text/vnd.graphviz", "digraph"},
			{"?format=mermaid", "", "application/vnd.mermaid", "stateDiagram"},
			{"?format=json", "", "application/json", "{"},
		} {
			headers := []string{}
			if tc.accept != "" {
				headers = []string{"Accept", tc.accept}
			}
			a := w.must(200, "uma", "GET", "/v1/machines/loan/graph"+tc.query, "", headers...)
			assert.Equal(w.t, tc.media, a.Header.Get("Content-Type"))
			assert.Contains(w.t, a.raw[:40], tc.begins, tc.media)
		}
	})
}

func TestOpenPages(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	assert.JSONEq(t, `{"status":"ok"}`, w.must(200, "", "GET", "/healthz", "").raw)
	assert.Regexp(t, `^{"status":"ready","checks":\[{"name":"store","ok":true,"age_ms":[0-9]+}\]}$`, w.must(200, "", "GET", "/readyz", "").raw)
	docs := w.must(200, "", "GET", "/docs", "")
	assert.Contains(t, docs.raw, "/v1/available")
	assert.NotContains(t, docs.raw, "<script")
	for _, link := range regexp.MustCompile(`href="(/problems/[^"]+)"`).FindAllStringSubmatch(docs.raw, -1) {
		w.must(200, "", "GET", link[1], "")
	}
	no := w.must(401, "", "GET", "/v1/machines", "")
	page := w.must(200, "", "GET", no.json["type"].(string), "", "Accept", "text/html")
	assert.Contains(t, page.raw, "unauthenticated")
	w.must(404, "", "GET", "/problems/nonsense", "")
}
