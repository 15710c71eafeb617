package main

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// The life of an account, from before the invitation to its end.
func TestStory(t *testing.T) {
	onBoth(t, func(o *office) {
		o.step("an account's instance exists as soon as the account does", func(o *office) {
			code, body := o.ask(o.admin, "POST", "/users", `{"id": "uma", "email": "Uma@Example.org", "name": "Uma"}`)
			require.Equal(o, 201, code, body)
			require.JSONEq(o, `{"id": "uma", "email": "uma@example.org", "name": "Uma", "role": "user", "status": "new"}`, body)
			require.Equal(o, []string{"$create"}, o.events("uma"))
			code, body = o.ask(o.admin, "POST", "/users", `{"id": "uma", "email": "other@example.org", "name": "Other"}`)
			require.Equal(o, 409, code, body)
			// A row that can't be written leaves no instance either.
			code, body = o.ask(o.admin, "POST", "/users", `{"id": "uma2", "email": "uma@example.org", "name": "Uma"}`)
			require.Equal(o, 409, code, body)
			_, err := o.app.gate.Get(o.Context(), interlock.SystemActor("", "test"), interlock.Ref{Machine: "account", ID: "uma2"})
			require.ErrorIs(o, err, &interlock.Refusal{Stage: interlock.StageGraph, Code: "not_found"})
		})
		o.step("activating before inviting is illegal", func(o *office) {
			o.refused(o.admin, "uma", `{"event": "activate"}`, 409, `"legal_events":["invite","delete"]`)
			require.Empty(o, o.login("uma@example.org", goodPassword))
		})
		o.step("an administrator invites", func(o *office) {
			o.done(o.admin, "uma", `{"event": "invite"}`)
			require.Equal(o, "invited", o.row("uma").Status)
		})
		o.step("inviting again changes that user and makes no second one", func(o *office) {
			before := o.mails["uma@example.org"]
			users := o.count(`SELECT count(*) FROM users`)
			code, body := o.ask(o.admin, "POST", "/invitations", `{"id": "other", "email": " UMA@example.org ", "name": "Uma Umbra"}`)
			require.Equal(o, 200, code, body)
			require.Equal(o, row{"uma@example.org", "Uma Umbra", "invited", true}, o.row("uma"))
			require.Equal(o, users, o.count(`SELECT count(*) FROM users`))
			require.Equal(o, []string{"$create", "invite", "invite"}, o.events("uma"))
			o.refused(before, "uma", `{"event": "activate"}`, 401)
		})
		o.step("only the invited person accepts", func(o *office) {
			o.refused(o.admin, "uma", `{"event": "activate"}`, 403, "self")
			uma := o.mails["uma@example.org"]
			o.refused(uma, "uma", `{"event": "unlock"}`, 409, "illegal_event")
			o.refused(uma, "uma", `{"event": "activate"}`, 409, "password_missing")
			for token, want := range map[string]int{uma: 422, o.admin: 403, "": 401} {
				code, body := o.ask(token, "PUT", "/users/uma/password", `{"password": "short"}`)
				require.Equal(o, want, code, body)
			}
			o.accepts(uma, "uma")
			require.Equal(o, row{"uma@example.org", "Uma Umbra", "active", false}, o.row("uma"))
			require.NotEmpty(o, o.login("uma@example.org", goodPassword))
			o.refused(uma, "uma", `{"event": "activate"}`, 401)
			require.Zero(o, o.count(`SELECT count(*) FROM messages WHERE NOT sent OR message <> ''`), "invitations aren't kept")
		})
		o.step("inviting an active one again is illegal", func(o *office) {
			o.refused(o.admin, "uma", `{"event": "invite"}`, 409, "illegal_event")
			code, body := o.ask(o.admin, "POST", "/invitations", `{"email": "uma@example.org", "name": "Somebody"}`)
			require.Equal(o, 409, code, body)
			require.Equal(o, "Uma Umbra", o.row("uma").Name)
		})
		o.step("a user is no administrator", func(o *office) {
			uma := o.login("uma@example.org", goodPassword)
			for _, event := range []string{"deactivate", "delete"} {
				o.refused(uma, "uma", `{"event": "`+event+`"}`, 403, "role_required")
			}
			code, body := o.ask(uma, "GET", "/users/uma", "")
			require.Equal(o, 200, code, body)
			code, body = o.ask(uma, "GET", "/users/adam", "")
			require.Equal(o, 404, code, body)
			code, body = o.ask(uma, "POST", "/users", `{"id": "x", "email": "x@example.org", "name": "X"}`)
			require.Equal(o, 403, code, body)
			code, body = o.ask("", "GET", "/users/uma", "")
			require.Equal(o, 401, code, body)
		})
		o.step("deactivated: no way in, no lock, no invitation", func(o *office) {
			token := o.active("dan")
			o.done(o.admin, "dan", `{"event": "deactivate"}`)
			require.True(o, o.row("dan").Disabled)
			require.Empty(o, o.login("dan@example.org", goodPassword))
			code, body := o.ask(token, "GET", "/users/dan", "")
			require.Equal(o, 401, code, body)
			o.guess("dan", 6)
			require.Equal(o, "deactivated", o.row("dan").Status)
			err := o.lock("dan")
			require.ErrorIs(o, err, &interlock.Refusal{Stage: interlock.StageGraph, Code: "illegal_event"})
			o.refused(o.admin, "dan", `{"event": "invite"}`, 409)
			o.refused(o.admin, "dan", `{"event": "unlock"}`, 409)
		})
		o.step("delete is an event", func(o *office) {
			code, _ := o.ask(o.admin, "DELETE", "/users/dan", "")
			require.Contains(o, []int{404, 405}, code)
			o.done(o.admin, "dan", `{"event": "delete"}`)
			require.Equal(o, row{"", "", "deleted", true}, o.row("dan"))
			o.refused(o.admin, "dan", `{"event": "invite"}`, 409, `"legal_events":[]`)
			_, menu := o.ask(o.admin, "GET", "/users/dan/actions", "")
			require.JSONEq(o, `{"events": []}`, menu)
			require.Equal(o, []string{"$create", "invite", "activate", "deactivate", "delete"}, o.events("dan"))
			// The address is free for a new account.
			o.invited("dan2")
		})
		o.step("the application's own queries go on working", func(o *office) {
			_, body := o.ask(o.admin, "GET", "/users?status=active", "")
			require.JSONEq(o, `{"users": [
				{"id": "adam", "email": "adam@example.org", "name": "Adam", "role": "admin", "status": "active"},
				{"id": "uma", "email": "uma@example.org", "name": "Uma Umbra", "role": "user", "status": "active"}]}`, body)
		})
	})
}

// However many invite the same person at the same time, there is one user.
func TestInvitingAtOnce(t *testing.T) {
	onBoth(t, func(o *office) {
		codes := make([]int, 8)
		var group sync.WaitGroup
		for i := range codes {
			group.Go(func() {
				codes[i], _ = o.ask(o.admin, "POST", "/invitations", `{"email": "uma@example.org", "name": "Uma"}`)
			})
		}
		group.Wait()
		for _, code := range codes {
			require.Contains(o, []int{200, 409}, code) // 409: it moved from new to invited meanwhile
		}
		require.Contains(o, codes, 200)
		require.Equal(o, 1, o.count(`SELECT count(*) FROM users WHERE email = 'uma@example.org' AND status = 'invited'`))
		require.Equal(o, 2, o.count(`SELECT count(*) FROM users`), "adam and uma")
	})
}

// The state is never editable: only events move it.
func TestStateIsNotEditable(t *testing.T) {
	onBoth(t, func(o *office) {
		o.active("uma")
		for _, method := range []string{"PUT", "PATCH", "POST"} {
			code, body := o.ask(o.admin, method, "/users/uma", `{"status": "deleted"}`)
			require.Contains(o, []int{404, 405}, code, "%s: %s", method, body)
		}
		o.refused(o.admin, "uma", `{"status": "deleted"}`, 400, "/status")
		o.refused(o.admin, "uma", `{"event": "deactivate", "status": "deleted"}`, 400)
		o.refused(o.admin, "uma", `{"event": "deleted"}`, 409, "unknown_event")
		code, body := o.ask(o.admin, "POST", "/users", `{"id": "eve", "email": "eve@example.org", "name": "Eve", "status": "active"}`)
		require.Equal(o, 400, code, body)
		// Whoever writes the column by hand is found out, and nothing moves until it is mended.
		_, err := o.app.db.exec(o.Context(), `UPDATE users SET status = 'locked' WHERE id = 'uma'`)
		require.NoError(o, err)
		o.refused(o.admin, "uma", `{"event": "unlock"}`, 409, "drift")
	})
}

// Locking comes from repeated wrong passwords, disables the password in the
// same transaction, and an administrator is told.
func TestLocking(t *testing.T) {
	onBoth(t, func(o *office) {
		token := o.active("uma")
		o.step("nobody locks by hand", func(o *office) {
			o.refused(o.admin, "uma", `{"event": "lock"}`, 403, "role_required")
			require.ErrorIs(o, o.lock("uma"), &interlock.Refusal{Stage: interlock.StagePolicy})
		})
		o.step("four wrong passwords and a right one don't", func(o *office) {
			o.guess("uma", 4)
			require.NotEmpty(o, o.login("uma@example.org", goodPassword))
			o.guess("uma", 4)
			require.Equal(o, row{"uma@example.org", "uma", "active", false}, o.row("uma"))
			require.Empty(o, *o.notice)
		})
		o.step("a lock that can't be completed is no lock", func(o *office) {
			o.exec(`ALTER TABLE messages RENAME TO elsewhere`)
			code, body := o.ask("", "POST", "/login", `{"email": "uma@example.org", "password": "wrong"}`)
			require.Equal(o, 500, code, body)
			require.Equal(o, row{"uma@example.org", "uma", "active", false}, o.row("uma"))
			o.exec(`ALTER TABLE elsewhere RENAME TO messages`)
			require.NotContains(o, o.events("uma"), "lock")
		})
		o.step("the next wrong one locks, and an administrator is told", func(o *office) {
			o.guess("uma", 1)
			require.Equal(o, row{"uma@example.org", "uma", "locked", true}, o.row("uma"))
			require.Equal(o, []string{"account uma was locked after too many wrong passwords"}, *o.notice)
			_, body := o.ask(o.admin, "GET", "/notices", "")
			require.JSONEq(o, `{"notices": ["account uma was locked after too many wrong passwords"]}`, body)
			require.Empty(o, o.login("uma@example.org", goodPassword), "the right password is of no use")
			code, answer := o.ask(token, "GET", "/users/uma", "")
			require.Equal(o, 401, code, answer)
			require.Equal(o, "lock", o.events("uma")[3])
		})
		o.step("guessing on changes nothing", func(o *office) {
			o.guess("uma", 6)
			require.Len(o, *o.notice, 1)
		})
		o.step("an administrator unlocks", func(o *office) {
			o.done(o.admin, "uma", `{"event": "unlock"}`)
			require.Equal(o, row{"uma@example.org", "uma", "active", false}, o.row("uma"))
			require.NotEmpty(o, o.login("uma@example.org", goodPassword))
			code, body := o.ask(token, "GET", "/users/uma", "")
			require.Equal(o, 401, code, "the session before stays ended: %s", body)
			o.guess("uma", 4)
			require.Equal(o, "active", o.row("uma").Status, "the count began anew")
		})
		o.step("a locked account can be deactivated", func(o *office) {
			o.guess("uma", 1)
			require.Equal(o, "locked", o.row("uma").Status)
			o.done(o.admin, "uma", `{"event": "deactivate"}`)
		})
	})
}

// A message that could not be sent when it was written is sent at the next start.
func TestMessagesOutliveTheProcess(t *testing.T) {
	onBoth(t, func(o *office) {
		o.exec(`INSERT INTO messages (transition, recipient, message) VALUES ('t1', 'administrators', 'account eve was locked')`)
		require.NoError(o, o.app.send(o.Context()))
		require.NoError(o, o.app.send(o.Context()))
		require.Equal(o, []string{"account eve was locked"}, *o.notice)
	})
}

func (o *office) exec(query string) {
	o.Helper()
	_, err := o.app.db.exec(o.Context(), query)
	require.NoError(o, err)
}

// lock asks for what the login asks for.
func (o *office) lock(id string) error {
	err := o.app.fire(o.Context(), interlock.SystemActor("", "login"), id, "lock")
	var no *interlock.Refusal
	require.True(o, errors.As(err, &no), "%v", err)
	return no
}

// events are the events of an account's history, oldest first.
func (o *office) events(id string) (events []string) {
	o.Helper()
	code, body := o.ask(o.admin, "GET", "/users/"+id+"/history", "")
	require.Equal(o, 200, code, body)
	var answer struct {
		History []struct {
			Event string `json:"event"`
			Actor string `json:"actor"`
		} `json:"history"`
	}
	require.NoError(o, json.Unmarshal([]byte(body), &answer))
	for _, row := range answer.History {
		require.NotEmpty(o, row.Actor)
		events = append(events, row.Event)
	}
	return events
}
