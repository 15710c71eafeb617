package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
)

var (
	adventureland = map[string]string{"proposes": "park", "name": "Adventureland"}
	dragon        = map[string]string{"proposes": "ride", "name": "Dragon", "park": "Adventureland"}
	sunset        = map[string]string{"park": "Adventureland", "url": "/photos/sunset.jpg"}
)

// TestMachines: five machines, declared by metadata per state; their events
// come from the metadata.
func TestMachines(t *testing.T) {
	machines, err := fsm.LoadFS(definitions, "machines")
	require.NoError(t, err)
	names := []string{}
	for _, m := range machines {
		names = append(names, m.Name())
		assert.Empty(t, m.Findings(), m.Name())
		text, err := definitions.ReadFile("machines/" + m.Name() + ".yaml")
		require.NoError(t, err)
		var declared struct {
			States map[string]struct {
				CanTransitionTo   []string `yaml:"can_transition_to"`
				RequiresModerator bool     `yaml:"requires_moderator"`
				IsFinal           bool     `yaml:"is_final"`
			}
		}
		require.NoError(t, yaml.Unmarshal(text, &declared))
		edges := 0
		for name, s := range declared.States {
			from, ok := m.StateByName(name)
			require.True(t, ok, "%s: %s", m.Name(), name)
			assert.Equal(t, s.IsFinal, m.State(from).Final, "%s: %s", m.Name(), name)
			for _, target := range s.CanTransitionTo {
				edges++
				event, ok := m.EventByName("transition_to_" + strings.ToLower(target))
				require.True(t, ok, "%s: %s to %s", m.Name(), name, target)
				step := m.Step(from, event)
				require.Len(t, step, 1, "%s: %s to %s", m.Name(), name, target)
				assert.Equal(t, target, m.State(step[0].To).Name)
				want := []string{"anyone"}
				if declared.States[target].RequiresModerator {
					want = []string{"MODERATOR", "ADMIN", "SUPERUSER"}
				}
				assert.ElementsMatch(t, want, step[0].Requires, "%s: %s to %s", m.Name(), name, target)
			}
		}
		assert.Len(t, m.Edges(), edges, m.Name())
	}
	assert.Equal(t, []string{"bulk-operation", "edit-submission", "moderation-queue", "moderation-report", "photo-submission"}, names)
}

// TestPolicies runs the Rego tests.
func TestPolicies(t *testing.T) {
	machines, err := fsm.LoadFS(definitions, "machines")
	require.NoError(t, err)
	policies.RunTests(t, "policies", machines...)
}

// TestNoAssignment: no code of the application sets a status; there is no way
// round the gate, and so none to fall back on.
func TestNoAssignment(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	require.NotEmpty(t, sources)
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.NotContains(t, strings.ToUpper(string(text)), "UPDATE ", name)
		assert.NotContains(t, strings.ToUpper(string(text)), "SET STATUS", name)
	}
}

// TestHelpers: can it go to X? what is available? is it final? how is it shown?
func TestHelpers(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		park := s.create("uma", "/submissions", adventureland)

		assert.Equal(t, []any{"ESCALATED"}, s.get("uma", park)["available"], "a user may only escalate")
		assert.Equal(t, []any{"ESCALATED", "APPROVED", "REJECTED"}, s.get("mona", park)["available"])
		assert.Equal(t, true, s.get("mona", park+"/can/APPROVED")["can"])
		no := s.get("uma", park+"/can/APPROVED")
		assert.Equal(t, false, no["can"])
		assert.Equal(t, "role_required", no["reasons"].([]any)[0].(map[string]any)["code"])
		assert.Equal(t, false, s.get("mona", park+"/can/PENDING")["can"], "nothing leads there")

		assert.Equal(t, map[string]any{"value": "PENDING", "title": "Pending review", "color": "yellow", "icon": "clock",
			"final": false, "next": []any{"ESCALATED", "APPROVED", "REJECTED"}}, s.get("uma", park)["display"])
		s.moves("mona", park, "approved")
		shown := s.get("uma", park)
		assert.Equal(t, "APPROVED", shown["status"])
		assert.Equal(t, true, shown["display"].(map[string]any)["final"])
		assert.Equal(t, []any{}, shown["available"])
		assert.True(t, s.states.final("edit-submission", "APPROVED"))
		assert.False(t, s.states.final("photo-submission", "REJECTED"))

		all := s.get("uma", "/states/moderation-report")["states"].([]any)
		titles := []string{}
		for _, st := range all {
			titles = append(titles, st.(map[string]any)["title"].(string))
		}
		assert.Equal(t, []string{"Pending", "Under review", "Resolved", "Dismissed"}, titles)
	})
}

// TestGuards: MODERATOR, ADMIN and SUPERUSER, each including those before.
func TestGuards(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		for _, moderator := range []string{"mona", "adam", "sue"} {
			report := s.create("uma", "/reports", map[string]string{"about": "parks/1", "reason": "spam"})
			status, no := s.move("uma", report, "under_review")
			assert.Equal(t, http.StatusForbidden, status, "%v", no)
			assert.Equal(t, "role_required", no["reasons"].([]any)[0].(map[string]any)["code"])
			status, _ = s.move("umberto", report, "under_review")
			assert.Equal(t, http.StatusNotFound, status, "another user doesn't even see it")
			status, _ = s.move("", report, "under_review")
			assert.Equal(t, http.StatusUnauthorized, status)
			assert.Equal(t, "PENDING", s.status("moderation_reports", report))

			s.moves(moderator, report, "under_review")
			s.moves(moderator, report, "resolved")
			assert.Equal(t, "RESOLVED", s.status("moderation_reports", report))
		}
		for user, want := range map[string]int{"uma": 403, "mona": 403, "adam": 201, "sue": 201} {
			status, b := s.do(user, http.MethodPost, "/bulk", map[string]string{"action": "delete spam"})
			assert.Equal(t, want, status, "%s: %v", user, b)
		}
		for user, want := range map[string]int{"": 401, "uma": 403, "mona": 200, "adam": 200} {
			status, b := s.do(user, http.MethodGet, "/reports", nil)
			assert.Equal(t, want, status, "%s: %v", user, b)
		}
	})
}

// TestARoleTakenAway: a role that the application takes away is gone at once.
func TestARoleTakenAway(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		report := s.create("uma", "/reports", map[string]string{"about": "parks/1", "reason": "spam"})
		s.moves("mona", report, "under_review")
		s.users.users.Store("mona", "USER")
		status, b := s.move("mona", report, "resolved")
		assert.Equal(t, http.StatusNotFound, status, "%v", b) // who is no moderator doesn't see it
		s.users.forget("mona")
		s.moves("mona", report, "resolved")
	})
}

// TestOtherMachines walks those of which nothing is published.
func TestOtherMachines(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		item := s.create("mona", "/queue", map[string]string{"about": "submissions/1"})
		for _, event := range []string{"in_progress", "pending", "in_progress", "completed"} {
			s.moves("mona", item, event)
		}
		assert.Equal(t, "COMPLETED", s.status("queue_items", item))
		status, b := s.move("mona", item, "pending")
		assert.Equal(t, http.StatusConflict, status)
		assert.Equal(t, "illegal_event", b["code"])
		assert.Equal(t, []any{}, b["legal_events"])

		bulk := s.create("adam", "/bulk", map[string]string{"action": "delete spam"})
		for _, event := range []string{"running", "failed", "pending", "running", "completed"} {
			s.moves("adam", bulk, event)
		}
		assert.Equal(t, "COMPLETED", s.status("bulk_operations", bulk))

		report := s.create("uma", "/reports", map[string]string{"about": "parks/1", "reason": "spam"})
		status, b = s.move("mona", report, "resolved")
		assert.Equal(t, http.StatusConflict, status, "nobody resolves what nobody has looked at")
		assert.Equal(t, []any{"transition_to_under_review", "transition_to_dismissed"}, b["legal_events"])
		s.moves("mona", report, "dismissed")
	})
}

// TestPublishing: approving creates what is proposed in the same transaction.
func TestPublishing(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		ride, photo := s.create("uma", "/submissions", dragon), s.create("umberto", "/photos", sunset)
		for path, table := range map[string]string{ride: "edit_submissions", photo: "photo_submissions"} {
			status, b := s.move("mona", path, "approved")
			assert.Equal(t, http.StatusConflict, status)
			assert.Equal(t, "cannot_publish", b["code"], "%v", b)
			assert.Equal(t, "PENDING", s.status(table, path), "what can't be made isn't approved")
			assert.Len(t, s.get("mona", path+"/history")["history"], 1)
		}

		park := s.create("uma", "/submissions", adventureland)
		s.moves("uma", park, "escalated")
		s.moves("mona", park, "approved")
		s.moves("mona", ride, "approved")
		s.moves("mona", photo, "rejected")
		s.moves("adam", photo, "pending")
		s.moves("adam", photo, "approved")
		assert.Equal(t, body{"parks": []any{"Adventureland"}, "rides": []any{"Dragon"}, "photos": []any{"/photos/sunset.jpg"}}, s.get("uma", "/catalogue"))
		assert.Equal(t, []string{filepath.Base(park)}, s.texts(`SELECT id FROM parks`))

		again := s.create("umberto", "/submissions", adventureland)
		status, _ := s.move("mona", again, "approved")
		assert.Equal(t, http.StatusConflict, status, "there is one already")
		s.moves("mona", again, "rejected")
		assert.Len(t, s.texts(`SELECT id FROM parks`), 1, "what is rejected makes nothing")
	})
}

// TestOnce: of two who approve at the same time one does, and there is one park.
func TestOnce(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		park := s.create("uma", "/submissions", adventureland)
		statuses := make([]int, 8)
		var wg sync.WaitGroup
		for i := range statuses {
			wg.Go(func() { statuses[i], _ = s.move([]string{"mona", "adam"}[i%2], park, "approved") })
		}
		wg.Wait()
		slices.Sort(statuses)
		assert.Equal(t, http.StatusOK, statuses[0])
		for _, status := range statuses[1:] {
			assert.Equal(t, http.StatusConflict, status, "%v", statuses)
		}
		assert.Len(t, s.texts(`SELECT id FROM parks`), 1)
		assert.Len(t, s.get("mona", park+"/history")["history"], 2)
	})
}

// TestHistory: time, by, transition, source and target state, for each instance.
func TestHistory(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		begun := time.Now().Add(-time.Second)
		park, other := s.create("uma", "/submissions", adventureland), s.create("umberto", "/submissions", adventureland)
		s.moves("uma", park, "escalated")
		status, _ := s.do("mona", http.MethodPost, park+"/actions", map[string]string{"event": "transition_to_rejected", "note": "no such place"})
		require.Equal(t, http.StatusOK, status)
		lines := s.get("uma", park+"/history")["history"].([]any)
		for _, line := range lines {
			at, err := time.Parse(time.RFC3339Nano, line.(map[string]any)["time"].(string))
			require.NoError(t, err)
			assert.WithinRange(t, at, begun, time.Now().Add(time.Second))
			delete(line.(map[string]any), "time")
		}
		assert.Equal(t, []any{
			map[string]any{"by": "uma", "transition": "$create", "source": "PENDING", "target": "PENDING"},
			map[string]any{"by": "uma", "transition": "transition_to_escalated", "source": "PENDING", "target": "ESCALATED"},
			map[string]any{"by": "mona", "transition": "transition_to_rejected", "source": "ESCALATED", "target": "REJECTED", "note": "no such place"},
		}, lines)
		assert.Len(t, s.get("umberto", other+"/history")["history"], 1)
		status, _ = s.do("umberto", http.MethodGet, park+"/history", nil)
		assert.Equal(t, http.StatusNotFound, status, "not his")
	})
}

// TestNoQueryBesidesTheCommit: users and facts are cached, so that an allowed
// transition asks the database nothing else.
func TestNoQueryBesidesTheCommit(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		report := s.create("uma", "/reports", map[string]string{"about": "parks/1", "reason": "spam"})
		s.moves("mona", report, "under_review")
		s.warm("mona", report)
		reads, commits, users := s.store.reads.Load(), s.store.commits.Load(), s.users.reads.Load()
		s.moves("mona", report, "resolved")
		assert.Zero(t, s.store.reads.Load()-reads, "looks at the store")
		assert.Zero(t, s.users.reads.Load()-users, "looks at the users")
		assert.EqualValues(t, 1, s.store.commits.Load()-commits)
		assert.Equal(t, "RESOLVED", s.status("moderation_reports", report))

		// With writes of the application's, all is in the one transaction.
		park := s.create("uma", "/submissions", adventureland)
		s.warm("mona", park)
		reads, commits, withins := s.store.reads.Load(), s.store.commits.Load(), s.store.withins.Load()
		s.moves("mona", park, "approved")
		assert.Zero(t, s.store.reads.Load()-reads, "looks at the store")
		assert.Zero(t, s.users.reads.Load()-users, "looks at the users")
		assert.Zero(t, s.store.commits.Load()-commits)
		assert.EqualValues(t, 1, s.store.withins.Load()-withins)
	})
}

// TestNoFallback: where the gate can't answer, the answer is no.
func TestNoFallback(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		park := s.create("uma", "/submissions", adventureland)
		report := s.create("uma", "/reports", map[string]string{"about": "parks/1", "reason": "spam"})
		refused := func(user, path, event, table, code string) {
			t.Helper()
			status, b := s.move(user, path, event)
			assert.Equal(t, http.StatusServiceUnavailable, status, "%v", b)
			assert.Equal(t, code, b["code"])
			assert.Equal(t, "PENDING", s.status(table, path))
		}
		s.rules.failing.Store(true)
		refused("uma", park, "escalated", "edit_submissions", "policy_failed")
		s.rules.failing.Store(false)

		s.store.readsFail.Store(true)
		refused("sue", park, "approved", "edit_submissions", "store_failed")
		refused("sue", report, "dismissed", "moderation_reports", "store_failed")
		s.store.readsFail.Store(false)

		s.store.commitsFail.Store(true)
		refused("sue", park, "approved", "edit_submissions", "store_failed")
		refused("sue", report, "dismissed", "moderation_reports", "store_failed")
		s.store.commitsFail.Store(false)

		assert.Empty(t, s.texts(`SELECT id FROM parks`))
		assert.Len(t, s.get("sue", park+"/history")["history"], 1)
		s.moves("sue", park, "approved")
		s.moves("sue", report, "dismissed")
	})
}

// TestOwnTables: the status columns stay where they are, and all queries on
// them go on working, also on rows that were there before the gate.
func TestOwnTables(t *testing.T) {
	onBoth(t, func(s *site) {
		t := s.T
		s.own(`INSERT INTO edit_submissions (id, submitted_by, proposes, name) VALUES ('old-1', 'uma', 'park', 'Oldland')`)
		s.own(`INSERT INTO edit_submissions (id, submitted_by, proposes, name, status) VALUES ('old-2', 'uma', 'park', 'Doneland', 'APPROVED')`)
		park := s.create("uma", "/submissions", adventureland)
		s.moves("mona", park, "rejected")

		listed := s.get("mona", "/submissions?status=REJECTED")["submissions"].([]any)
		require.Len(t, listed, 1)
		assert.Equal(t, filepath.Base(park), listed[0].(map[string]any)["id"])
		assert.Len(t, s.get("mona", "/submissions")["submissions"], 3)
		assert.Equal(t, []string{"1", "1", "1"}, s.texts(`SELECT count(*) FROM edit_submissions GROUP BY status ORDER BY status`))

		s.moves("mona", "/submissions/old-1", "approved")
		assert.Equal(t, "APPROVED", s.status("edit_submissions", "old-1"))
		assert.Equal(t, []string{"Oldland"}, s.texts(`SELECT name FROM parks`))

		// What the gate didn't put there it doesn't believe.
		status, b := s.move("mona", "/submissions/old-2", "rejected")
		assert.Equal(t, http.StatusConflict, status)
		assert.Equal(t, "drift", b["code"])
		s.own(`UPDATE edit_submissions SET status = 'PENDING' WHERE id = 'old-1'`)
		status, b = s.move("mona", "/submissions/old-1", "approved")
		assert.Equal(t, http.StatusConflict, status)
		assert.Equal(t, "drift", b["code"])
		assert.Len(t, s.texts(`SELECT name FROM parks`), 1)
	})
}
