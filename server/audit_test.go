package server_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/server"
)

// audited is a world with an auditor, some history and a refused attempt.
func audited(w *world) {
	_, err := w.gate.Grant(w.t.Context(), interlock.SystemActor("", "setup"), "uma", interlock.AuditorRole, interlock.Scope{})
	require.NoError(w.t, err)
	path := w.loan("17", "1000", "erin submit", "erin review")
	w.must(200, "evan", "POST", path+"/events", `{"event":"deny","note":"=HYPERLINK(\"http://evil.example\")"}`)
	w.must(403, "erin", "POST", path+"/events", `{"event":"override","note":"x","to":"submitted"}`)
	w.must(201, "alien", "POST", "/v1/machines/loan/instances", `{"id":"17","facts":{"amount":1}}`)
}

func TestAudit(t *testing.T) {
	onEach(t, func(w *world) {
		audited(w)
		rows := func(user, query string) []any {
			w.t.Helper()
			return w.must(200, user, "GET", "/v1/audit"+query, "").json["rows"].([]any)
		}
		assert.Len(w.t, rows("uma", "?machine=loan"), 5)
		assert.Len(w.t, rows("adam", "?machine=loan&id=17&outcome=committed"), 4)
		assert.Len(w.t, rows("uma", "?outcome=refused"), 1)
		assert.Len(w.t, rows("uma", "?actor=evan&machine=loan"), 1)
		assert.Len(w.t, rows("uma", "?event=submit"), 1)
		assert.Len(w.t, rows("uma", "?check=denied"), 1)
		assert.Len(w.t, rows("uma", "?check=role_required"), 1)
		assert.Empty(w.t, rows("uma", "?until=2001-01-01T00:00:00Z"))
		assert.NotEmpty(w.t, rows("uma", "?machine=interlock:actor"))
		for _, user := range []string{"erin", "mark", "alien"} {
			assert.Equal(w.t, "denied", w.must(403, user, "GET", "/v1/audit", "").code(), user)
			assert.Equal(w.t, "denied", w.must(403, user, "GET", "/v1/audit/checkpoints", "").code(), user)
		}
		for _, bad := range []string{"?outcome=maybe", "?from=yesterday", "?format=xml", "?id=17", "?machine=", "?actor=a/b", "?limit=0", "?what=1"} {
			assert.Equal(w.t, "malformed", w.must(400, "uma", "GET", "/v1/audit"+bad, "").code(), bad)
		}

		// Pages: as many rows in all, and a cursor is of its question alone.
		n, next := 0, "/v1/audit?machine=loan&limit=2"
		var cursors []string
		for next != "" {
			a := w.must(200, "uma", "GET", next, "")
			n += len(a.json["rows"].([]any))
			next = ""
			if link := a.Header.Get("Link"); link != "" {
				next = link[1:strings.IndexByte(link, '>')]
				cursors = append(cursors, a.json["next_cursor"].(string))
			}
		}
		assert.Equal(w.t, 5, n)
		require.NotEmpty(w.t, cursors)
		cursor := cursors[0]
		flipped := "A" + cursor[1:]
		if cursor[0] == 'A' {
			flipped = "B" + cursor[1:]
		}
		for _, bad := range []string{"?machine=loan&cursor=" + flipped, "?machine=ticket&cursor=" + cursor, "?cursor=" + cursor} {
			assert.Equal(w.t, "malformed", w.must(400, "uma", "GET", "/v1/audit"+bad, "").code(), bad)
		}
		_, err := w.gate.Grant(w.t.Context(), interlock.SystemActor("elsewhere", "setup"), "erin", interlock.AuditorRole, interlock.Scope{})
		require.NoError(w.t, err)
		w.must(400, "alien", "GET", "/v1/audit?machine=loan&cursor="+url.QueryEscape(cursor), "")
		assert.Len(w.t, rows("alien", "?machine=loan"), 1, "only his tenant's")
	})
}

func TestAuditForms(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	audited(w)
	a := w.must(200, "uma", "GET", "/v1/audit?machine=loan", "", "Accept", "text/csv")
	require.Equal(t, "text/csv; charset=utf-8", a.Header.Get("Content-Type"))
	require.Equal(t, "attachment", a.Header.Get("Content-Disposition"))
	records, err := csv.NewReader(strings.NewReader(a.raw)).ReadAll()
	require.NoError(t, err)
	require.Len(t, records, 6)
	require.Equal(t, `'=HYPERLINK("http://evil.example")`, records[4][slices.Index(records[0], "note")])
	a = w.must(200, "uma", "GET", "/v1/audit?machine=loan&format=ndjson", "", "Accept", "text/csv")
	require.Equal(t, "application/x-ndjson", a.Header.Get("Content-Type"))
	for line := range strings.Lines(a.raw) {
		var row map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		require.Contains(t, []any{"committed", "refused"}, row["outcome"])
	}
	a = w.must(200, "uma", "GET", "/v1/audit?machine=loan&format=csv&limit=2", "")
	link := a.Header.Get("Link")
	second := w.must(200, "uma", "GET", link[1:strings.IndexByte(link, '>')], "")
	require.NotContains(t, second.raw, "outcome", "the names of the columns stand there once")
	w.must(406, "uma", "GET", "/v1/audit", "", "Accept", "text/html")
}

func TestErasures(t *testing.T) {
	onEach(t, func(w *world) {
		audited(w)
		erase := func(status int, user, body string) answered {
			w.t.Helper()
			return w.must(status, user, "POST", "/v1/audit/erasures", body)
		}
		const request = `{"machine":"loan","id":"17","attempts":true,"reason":"case 7"}`
		for _, user := range []string{"uma", "erin", "mark", "alien"} {
			assert.Equal(w.t, "denied", erase(403, user, request).code(), user)
		}
		assert.Equal(w.t, "input_invalid", erase(422, "adam", `{"machine":"loan","id":"17","reason":""}`).code())
		assert.Equal(w.t, "not_found", erase(404, "adam", `{"machine":"loan","id":"none","reason":"x"}`).code())
		assert.Contains(w.t, erase(404, "adam", `{"actor":"nobody","reason":"x"}`).raw, "no row names this actor")
		erase(400, "adam", `{"machine":"loan","id":"17","reason":"x","tenant":"elsewhere"}`)
		done := erase(200, "adam", request)
		assert.Equal(w.t, json.Number("4"), done.json["rows"])
		all := w.must(200, "erin", "GET", "/v1/machines/loan/instances/17/history?attempts=true", "")
		assert.NotContains(w.t, all.raw, "HYPERLINK")
		assert.Empty(w.t, all.json["attempts"])
		rows := all.json["history"].([]any)
		last := rows[len(rows)-1].(map[string]any)
		assert.Equal(w.t, []any{"$erase", "adam", "case 7", "1-4"}, []any{last["event"], last["actor"], last["note"], last["input"].(map[string]any)["rows"]})
		assert.Len(w.t, w.must(200, "adam", "GET", "/v1/audit?event=$create&machine=loan", "").json["rows"], 1)
	})
}

func TestCheckpointsAreAnswered(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	require.Equal(t, "not_found", w.must(404, "adam", "GET", "/v1/audit/checkpoints", "").code())
	many := make([]string, 150)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	s, err := server.New(server.Config{Gate: w.gate, Identity: server.DemoIdentity(users), Checkpoints: func(context.Context) ([]string, error) { return many, nil }})
	require.NoError(t, err)
	w.url = serve(t, s)
	a := w.must(200, "adam", "GET", "/v1/audit/checkpoints", "")
	list := a.json["checkpoints"].([]any)
	require.Len(t, list, 100)
	require.Equal(t, many[149], list[99])
	_, err = w.gate.Grant(t.Context(), interlock.SystemActor("elsewhere", "setup"), "erin", interlock.AuditorRole, interlock.Scope{})
	require.NoError(t, err)
	w.must(404, "alien", "GET", "/v1/audit/checkpoints", "")
}

// Who may not see an instance, who is of another tenant, and who asks for one
// that isn't there get the same answer, byte for byte, at every address.
func TestUnreadableForeignAndMissingAreAlike(t *testing.T) {
	onEach(t, func(w *world) {
		w.loan("secret", "1000", "erin submit")
		for _, test := range []struct{ method, path, body string }{
			{"GET", "", ""},
			{"GET", "?events=true", ""},
			{"GET", "/events", ""},
			{"GET", "/events?denied=false", ""},
			{"POST", "/events", `{"event":"review"}`},
			{"POST", "/events", `{"event":"approve","note":"x"}`},
			{"POST", "/events", `{"event":"invented"}`},
			{"POST", "/events", `{"event":"override","to":"nowhere"}`},
			{"POST", "/events?dry_run=true", `{"event":"review"}`},
			{"PATCH", "/facts", `{"amount":2}`},
			{"PATCH", "/facts", `{"amount":"no number"}`},
			{"GET", "/history", ""},
			{"GET", "/history?attempts=true", ""},
			{"GET", "/explain?event=review", ""},
			{"GET", "/explain?event=invented&trace=true", ""},
		} {
			type seen struct {
				header http.Header
				body   string
			}
			var first seen
			for i, c := range []struct{ user, id string }{
				{"erin", "absent"},  // may read what is there
				{"uma", "absent"},   // a stranger, of what isn't there
				{"uma", "secret"},   // of what is
				{"alien", "secret"}, // of another tenant, with the right role there
				{"alien", "absent"},
			} {
				a := w.must(404, c.user, test.method, "/v1/machines/loan/instances/"+c.id+test.path, test.body, "X-Request-Id", "the-same")
				a.Header.Del("Date")
				got := seen{a.Header, strings.ReplaceAll(a.raw, c.id, "ID-OF-IT")}
				if i == 0 {
					first = got
					require.Equal(w.t, "not_found", a.code())
					for _, leak := range []string{"erin", "submitted", "employee", "created", "rego", "data."} {
						require.NotContains(w.t, a.raw, leak)
					}
				}
				require.Equal(w.t, first, got, "%s %s as %s of %s", test.method, test.path, c.user, c.id)
			}
		}

		menus := w.must(200, "uma", "POST", "/v1/available", `{"instances":[{"machine":"loan","id":"secret"},{"machine":"loan","id":"absent"}]}`)
		raw := strings.NewReplacer("secret", "ID", "absent", "ID").Replace(menus.raw)
		var out struct {
			Available []map[string]any `json:"available"`
		}
		require.NoError(w.t, json.Unmarshal([]byte(raw), &out))
		require.Len(w.t, out.Available, 2)
		require.Equal(w.t, out.Available[0], out.Available[1])
		require.Equal(w.t, []any{}, w.must(200, "uma", "GET", "/v1/machines/loan/instances", "").json["instances"])
		require.Equal(w.t, []any{}, w.must(200, "alien", "GET", "/v1/machines/loan/instances", "").json["instances"])
		require.NotContains(w.t, w.must(200, "uma", "GET", "/v1/machines/loan", "").raw, `"submitted":1`, "nor as a count")
	})
}

// A refusal speaks of the machine and of the caller, never of others or of the
// policy's own text.
func TestRefusalsDoNotLeak(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	path := w.loan("17", "1000", "erin submit", "erin review", "erin verify")
	for _, c := range []struct{ user, body string }{
		{"erin", `{"event":"approve"}`}, {"erin2", `{"event":"approve"}`}, {"evan", `{"event":"override","note":"x","to":"submitted"}`},
		{"mark", `{"event":"submit"}`}, {"evan", `{"event":"invented"}`},
	} {
		a := w.ask(c.user, "POST", path+"/events", c.body)
		require.GreaterOrEqual(t, a.StatusCode, 400)
		for _, leak := range []string{"mark", "adam", "evan", "data.", "rego", "input.", "goroutine", "SELECT", ".go:"} {
			require.NotContains(t, a.raw, leak, "%s %s", c.user, c.body)
		}
	}
}
