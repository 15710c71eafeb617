package server_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// bodies are what a caller could think of sending for an event, good and bad.
func bodies(event string, targets []string, form bool) []string {
	notes := []any{nil, "please"}
	forms := []any{nil}
	if form {
		forms = append(forms, map[string]any{}, map[string]any{"word": "ab"}, map[string]any{"word": "abcdefgh"}, map[string]any{"text": "hi", "hours": 3})
	}
	var out []string
	for _, to := range append([]string{""}, targets...) {
		for _, note := range notes {
			for _, form := range forms {
				body := map[string]any{"event": event}
				if to != "" {
					body["to"] = to
				}
				if note != nil {
					body["note"] = note
				}
				if form != nil {
					body["input"] = form
				}
				data, _ := json.Marshal(body)
				out = append(out, string(data))
			}
		}
	}
	return out
}

func names(list any, member string) []string {
	var out []string
	items, _ := list.([]any)
	for _, item := range items {
		out = append(out, item.(map[string]any)[member].(string))
	}
	return out
}

// The menu and Fire can't drift: `allowed: false` means that no body succeeds on
// the same facts, `allowed: true` with empty `needs` that the bare event does,
// and `allowed: true` with needs that some body does.
func TestMenuPromisesWhatFireKeeps(t *testing.T) {
	// A check asks some hundred times over HTTP: few of the usual number will do.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		require.NoError(t, checks.Value.Set("15"))
		defer func() { require.NoError(t, checks.Value.Set(checks.DefValue)) }()
	}
	onEach(t, func(w *world) {
		run := 0
		rapid.Check(w.t, func(rt *rapid.T) {
			run++
			kind := rapid.SampledFrom([]string{"loan", "ticket"}).Draw(rt, "machine")
			amount := rapid.SampledFrom([]string{"10", "60000", "900000"}).Draw(rt, "amount")
			facts := `{"amount":` + amount + `}`
			if kind == "ticket" {
				facts = `{}`
			}
			id := fmt.Sprintf("p%d", run)
			path := "/v1/machines/" + kind + "/instances/" + id
			w.must(201, "erin", "POST", "/v1/machines/"+kind+"/instances", `{"id":"`+id+`","facts":`+facts+`}`)
			for range rapid.IntRange(0, 5).Draw(rt, "steps") {
				user := rapid.SampledFrom([]string{"erin", "evan", "erin2", "mark"}).Draw(rt, "user")
				menu := w.must(200, user, "GET", path+"/events", "")
				var next []string
				for _, item := range menu.json["events"].([]any) {
					o := item.(map[string]any)
					event := o["event"].(string)
					good := w.succeeding(user, path, event, names(o["to"], "state"), o["input_schema"] != nil)
					switch bare := fmt.Sprintf(`{"event":%q}`, event); {
					case o["allowed"] == false && len(good) > 0:
						rt.Fatalf("%s may not %s from here, says the menu, and %s succeeds: %s", user, event, good[0], menu.raw)
					case o["allowed"] == true && len(o["needs"].([]any)) == 0 && !slices.Contains(good, bare):
						rt.Fatalf("%s may %s, says the menu, and the bare event fails: %s", user, event, w.ask(user, "POST", path+"/events?dry_run=true", bare).raw)
					case o["allowed"] == true && len(good) == 0:
						rt.Fatalf("%s may %s, says the menu, and nothing that was tried succeeds: %s", user, event, menu.raw)
					}
					next = append(next, good...)
				}
				for _, event := range []string{"submit", "approve", "answer", "route", "expire"} {
					if !slices.Contains(names(menu.json["events"], "event"), event) && len(w.succeeding(user, path, event, nil, true)) > 0 {
						rt.Fatalf("%s is not in the menu and succeeds: %s", event, menu.raw)
					}
				}
				if len(next) > 0 {
					w.must(200, user, "POST", path+"/events", rapid.SampledFrom(next).Draw(rt, "body"))
				}
			}
		})
	})
}

// succeeding are the bodies that would be committed now.
func (w *world) succeeding(user, path, event string, targets []string, form bool) []string {
	w.t.Helper()
	var good []string
	for _, body := range bodies(event, targets, form) {
		req, err := http.NewRequestWithContext(w.t.Context(), "POST", w.url+path+"/events?dry_run=true", strings.NewReader(body))
		require.NoError(w.t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer demo-"+user)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(w.t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(w.t, resp.Body.Close())
		if resp.StatusCode == http.StatusOK {
			good = append(good, body)
		}
	}
	return good
}
