package main

import (
	"encoding/json"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The life of a loan, as the people at the desk see it.
func TestStory(t *testing.T) {
	onBoth(t, func(d *desk) {
		d.step("created, submitted, reviewed, verified, approved", func(d *desk) {
			d.created("L1", 20_000)
			require.Equal(d, "created", d.status("L1"))
			d.must("erin", "L1", "submit")
			require.Equal(d, "submitted", d.status("L1"))
			d.must("evan", "L1", "review")
			d.must("erin", "L1", "verify")
			code, body := d.does("evan", "L1", "approve")
			require.Equal(d, 200, code, body)
			require.JSONEq(d, `{"id": "L1", "applicant": "Ada", "amount": 20000, "status": "approved"}`, body)
			_, read := d.ask("evan", "GET", "/loans/L1", "")
			require.Equal(d, read, body, "an action answers what a read answers")
			require.Equal(d, 1, d.count(`SELECT count(*) FROM bookings WHERE loan = 'L1' AND amount = 20000 AND booked_by = 'evan'`))
		})
		d.step("denied from review and from verification, from nowhere else", func(d *desk) {
			d.created("L2", 100)
			d.refused("erin", "L2", "deny", "no income", 409, `"legal_events":["submit","override"]`)
			d.must("erin", "L2", "submit")
			d.refused("erin", "L2", "deny", "no income", 409, "illegal_event")
			d.must("erin", "L2", "review")
			d.must("evan", "L2", "deny", "no income")
			require.Equal(d, "denied", d.status("L2"))
			d.verified("L3", "erin")
			d.must("erin", "L3", "deny", "forged papers")
		})
		d.step("no change without a note where one is required", func(d *desk) {
			d.verified("L4", "erin")
			d.refused("erin", "L4", "deny", "", 422, "note_required", `"/note"`)
			d.refused("erin", "L4", "deny", "  ", 422, "note_required")
			d.refused("mark", "L4", "override:reviewed", "", 422, "note_required")
		})
		d.step("only managers override: back, forward, out of denied", func(d *desk) {
			d.verified("L5", "erin")
			d.refused("evan", "L5", "override:submitted", "back", 403, "role_required")
			d.must("mark", "L5", "override:submitted", "papers are missing")
			require.Equal(d, "submitted", d.status("L5"))
			d.must("mark", "L5", "override:verified", "they were there")
			d.must("evan", "L5", "deny", "forged")
			d.refused("erin", "L5", "override:reviewed", "reopen", 403, "role_required")
			d.must("mark", "L5", "override:reviewed", "not forged after all")
			require.Equal(d, "reviewed", d.status("L5"))
			d.refused("mark", "L5", "override", "somewhere", 422, "target_required")
			d.refused("mark", "L5", "override:denied", "no", 409, "undeclared_target")
		})
		d.step("a manager approves by override, and it is booked all the same", func(d *desk) {
			d.created("L6", 400_000)
			d.must("erin", "L6", "submit")
			d.must("evan", "L6", "review")
			d.must("erin", "L6", "verify")
			d.refused("evan", "L6", "approve", "", 403, "within_limit")
			d.must("mark", "L6", "override:approved", "within mine")
			require.Equal(d, 1, d.count(`SELECT count(*) FROM bookings WHERE loan = 'L6' AND booked_by = 'mark'`))
		})
		d.step("approved is beyond override", func(d *desk) {
			d.refused("mark", "L1", "override:reviewed", "once more", 409, `"legal_events":[]`)
		})
		d.step("who is nobody's employee", func(d *desk) {
			code, body := d.ask("", "GET", "/loans/L1", "")
			require.Equal(d, 401, code, body)
			code, body = d.ask("stranger", "POST", "/loans/L5/actions", `{"event": "verify"}`)
			require.Equal(d, 401, code, body)
			code, body = d.ask("erin", "GET", "/loans/none", "")
			require.Equal(d, 404, code, body)
		})
		d.step("a booking that fails leaves the loan as it was", func(d *desk) {
			d.verified("L7", "erin")
			err := d.app.db.exec(d.Context(), `ALTER TABLE bookings RENAME TO elsewhere`)
			require.NoError(d, err)
			d.refused("evan", "L7", "approve", "", 500)
			err = d.app.db.exec(d.Context(), `ALTER TABLE elsewhere RENAME TO bookings`)
			require.NoError(d, err)
			require.Len(d, d.history("L7"), 4, "created, submitted, reviewed, verified")
			d.must("evan", "L7", "approve")
		})
		d.step("the amount is edited while it is created, and who did it is recorded", func(d *desk) {
			d.created("L8", 100)
			code, body := d.ask("evan", "PATCH", "/loans/L8", `{"amount": 250}`)
			require.Equal(d, 200, code, body)
			require.JSONEq(d, `{"id": "L8", "applicant": "Ada", "amount": 250, "status": "created"}`, body)
			require.Equal(d, 250, d.count(`SELECT amount FROM loans WHERE id = 'L8'`))
			require.Equal(d, 1, d.count(`SELECT count(*) FROM amount_changes WHERE loan = 'L8' AND amount = 250 AND changed_by = 'evan'`))
			code, body = d.ask("evan", "PATCH", "/loans/L8", `{"amount": -1}`)
			require.Equal(d, 422, code, body)
			d.must("evan", "L8", "submit")
			code, body = d.ask("evan", "PATCH", "/loans/L8", `{"amount": 300}`)
			require.Equal(d, 409, code, body)
		})
		d.step("the same loan twice", func(d *desk) {
			code, body := d.ask("evan", "POST", "/loans", `{"id": "L8", "applicant": "Bob", "amount": 1}`)
			require.Equal(d, 409, code, body)
			_, read := d.ask("evan", "GET", "/loans/L8", "")
			require.Contains(d, read, "Ada")
		})
		d.step("every change is recorded with who", func(d *desk) {
			var got [][3]any
			for _, row := range d.history("L5") {
				got = append(got, [3]any{row["actor"], row["event"], row["to"]})
			}
			require.Equal(d, [][3]any{
				{"erin", "$create", "created"}, {"erin", "submit", "submitted"}, {"evan", "review", "reviewed"},
				{"erin", "verify", "verified"}, {"mark", "override", "submitted"}, {"mark", "override", "verified"},
				{"evan", "deny", "denied"}, {"mark", "override", "reviewed"},
			}, got)
			require.Equal(d, "papers are missing", d.history("L5")[4]["note"])
		})
		d.step("the application's own queries go on working", func(d *desk) {
			_, body := d.ask("erin", "GET", "/loans?status=denied", "")
			require.JSONEq(d, `{"loans": [
				{"id": "L2", "applicant": "Ada", "amount": 100, "status": "denied"},
				{"id": "L3", "applicant": "Ada", "amount": 20000, "status": "denied"}]}`, body)
			require.Equal(d, 3, d.count(`SELECT count(*) FROM loans WHERE status = 'approved'`))
		})
	})
}

// However many approve at the same time, one does, and it is booked once.
func TestApprovingAtOnce(t *testing.T) {
	onBoth(t, func(d *desk) {
		d.verified("A1", "erin")
		codes, answers := make([]int, 8), make([]string, 8)
		var group sync.WaitGroup
		for i := range codes {
			who := []string{"evan", "mark"}[i%2]
			group.Go(func() { codes[i], answers[i] = d.does(who, "A1", "approve") })
		}
		group.Wait()
		slices.Sort(codes)
		require.Equal(d, []int{200, 409, 409, 409, 409, 409, 409, 409}, codes, answers)
		require.Equal(d, 1, d.count(`SELECT count(*) FROM bookings`))
		require.Len(d, d.history("A1"), 5)
	})
}

// Who lost the role overrides nothing any more, and a lowered limit approves nothing.
func TestRolesAndLimitsHoldFromNowOn(t *testing.T) {
	onBoth(t, func(d *desk) {
		d.verified("R1", "erin")
		err := d.app.db.exec(d.Context(), `UPDATE employees SET role = 'employee' WHERE id = 'mark'`)
		require.NoError(d, err)
		d.refused("mark", "R1", "override:submitted", "back", 403, "role_required")
		require.NoError(d, d.app.setLimit(d.Context(), "evan", 10))
		d.refused("evan", "R1", "approve", "", 403, "within_limit")
	})
}

// The form shows what this employee may do with this loan now.
func TestForm(t *testing.T) {
	onBoth(t, func(d *desk) {
		d.verified("F1", "erin")
		d.step("the menu says why not", func(d *desk) {
			_, body := d.ask("erin", "GET", "/loans/F1/actions", "")
			var menu struct {
				Events []struct {
					Event   string   `json:"event"`
					Allowed bool     `json:"allowed"`
					Needs   []string `json:"needs"`
				} `json:"events"`
			}
			require.NoError(d, json.Unmarshal([]byte(body), &menu))
			allowed := map[string]bool{}
			for _, e := range menu.Events {
				allowed[e.Event] = e.Allowed
			}
			require.Equal(d, map[string]bool{"approve": false, "deny": true, "override": false}, allowed, body)
			require.Contains(d, body, "Somebody else must approve what you verified")
		})
		d.step("greyed out, with the reason", func(d *desk) {
			_, page := d.ask("erin", "GET", "/loans/F1/form", "")
			require.Regexp(d, `(?s)<fieldset disabled>\s*<legend>Approve</legend>.*?Somebody else must approve what you verified`, page)
			require.Regexp(d, `(?s)<fieldset >\s*<legend>Deny</legend>`, page)
			_, page = d.ask("evan", "GET", "/loans/F1/form", "")
			require.Regexp(d, `(?s)<fieldset >\s*<legend>Approve</legend>`, page)
		})
		d.step("a button works, and its refusal is shown", func(d *desk) {
			code, page := d.ask("evan", "POST", "/loans/F1/form", url.Values{"event": {"deny"}, "to": {"denied"}}.Encode())
			require.Equal(d, 422, code)
			require.Contains(d, page, "deny needs a note")
			code, page = d.ask("erin", "POST", "/loans/F1/form", url.Values{"event": {"approve"}, "to": {"approved"}}.Encode())
			require.Equal(d, 422, code)
			require.Contains(d, page, "you may not approve: Somebody else must approve what you verified")
			code, page = d.ask("evan", "POST", "/loans/F1/form", url.Values{"event": {"approve"}, "to": {"approved"}}.Encode())
			require.Equal(d, 200, code, page)
			require.Equal(d, "approved", d.status("F1"))
			require.Equal(d, 1, d.count(`SELECT count(*) FROM bookings WHERE loan = 'F1'`))
		})
		d.step("no actions available is an answer", func(d *desk) {
			_, body := d.ask("mark", "GET", "/loans/F1/actions", "")
			require.JSONEq(d, `{"events": []}`, body)
			_, page := d.ask("mark", "GET", "/loans/F1/form", "")
			require.Contains(d, page, "No actions available.")
		})
	})
}

// history reads the rows of a loan, oldest first.
func (d *desk) history(id string) []map[string]any {
	d.Helper()
	code, body := d.ask("erin", "GET", "/loans/"+id+"/history", "")
	require.Equal(d, 200, code, body)
	var answer struct {
		History []map[string]any `json:"history"`
	}
	require.NoError(d, json.Unmarshal([]byte(body), &answer))
	return answer.History
}
