package fsm_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

// named are edges by name: "from --event--> to".
func named(m *fsm.Machine, edges []fsm.Edge) []string {
	texts := make([]string, len(edges))
	for i, e := range edges {
		texts[i] = fmt.Sprintf("%s --%s--> %s", m.State(e.From).Name, m.Event(e.Event).Name, m.State(e.To).Name)
	}
	return texts
}

func ids(t testing.TB, m *fsm.Machine, state, event string) (fsm.StateID, fsm.EventID) {
	t.Helper()
	s, ok := m.StateByName(state)
	require.True(t, ok, state)
	e, ok := m.EventByName(event)
	require.True(t, ok, event)
	return s, e
}

func step(t testing.TB, m *fsm.Machine, state, event string) []fsm.Edge {
	t.Helper()
	return m.Step(ids(t, m, state, event))
}

func legal(t testing.TB, m *fsm.Machine, state string) []string {
	t.Helper()
	id, ok := m.StateByName(state)
	require.True(t, ok)
	names := []string{}
	for _, e := range m.Legal(id) {
		names = append(names, m.Event(e).Name)
	}
	return names
}

func TestLoan(t *testing.T) {
	m := load(t, "loan")
	require.Equal(t, "loan", m.Name())
	require.Equal(t, "Loan application", m.Title())
	require.Equal(t, "created", m.State(m.Initial()).Name)
	require.Equal(t, []string{"employee", "manager"}, m.Roles())
	require.Equal(t, []string{"four_eyes", "within_limit"}, m.Checks())
	require.Empty(t, m.Grants())
	require.Equal(t, []string{"submit", "override"}, legal(t, m, "created"))
	require.Equal(t, []string{"approve", "deny", "override"}, legal(t, m, "verified"))

	t.Run("entry checks are asked on every edge that enters, overrides too", func(t *testing.T) {
		for _, e := range m.Edges() {
			if m.State(e.To).Name == "approved" {
				require.Equal(t, []string{"four_eyes", "within_limit"}, e.Checks, named(m, []fsm.Edge{e}))
			} else {
				require.Empty(t, e.Checks)
			}
		}
	})
	t.Run("nothing leaves what is closed, and only overrides what is final", func(t *testing.T) {
		require.Empty(t, legal(t, m, "approved"))
		require.Equal(t, []string{"override"}, legal(t, m, "denied"))
	})
	t.Run("several targets keep their order", func(t *testing.T) {
		require.Equal(t, []string{
			"denied --override--> submitted", "denied --override--> reviewed",
			"denied --override--> verified", "denied --override--> approved",
		}, named(m, step(t, m, "denied", "override")))
	})
	t.Run("illegal is no edge", func(t *testing.T) {
		require.Empty(t, step(t, m, "created", "approve"))
		require.Empty(t, step(t, m, "approved", "override"))
	})
	t.Run("an edge knows what made it", func(t *testing.T) {
		deny := step(t, m, "verified", "deny")[0]
		require.Equal(t, 33, deny.Source.Line)
		require.True(t, strings.HasSuffix(deny.Source.File, "loan.yaml"))
	})
	require.True(t, m.Event(step(t, m, "denied", "override")[0].Event).Override)
	require.True(t, step(t, m, "denied", "override")[0].Override)
	require.Equal(t, fsm.NoteRequired, m.Event(5).Note)
	require.Equal(t, fsm.NoteOptional, m.Event(0).Note)
	require.Equal(t, fsm.Access{Requires: []string{"employee"}}, m.Create())
	require.Equal(t, fsm.Access{Requires: []string{"employee"}}, m.Read())
	require.Equal(t, fsm.Access{Requires: []string{"interlock:admin"}}, m.Explain())
	require.Equal(t, fsm.Access{Requires: []string{"employee"}, States: []fsm.StateID{0}}, m.FactsEdit())
	require.Equal(t, []string{"amount"}, m.FactsSchema().Properties())
	require.Equal(t, []string{"limit"}, m.AttrsSchema().Properties())
}

func TestEverything(t *testing.T) {
	m := load(t, "everything")

	t.Run("checks of machine, event, edge and entry, in that order and once each", func(t *testing.T) {
		edge := step(t, m, "first_review", "review")[0]
		require.Equal(t, []string{"office_open", "quiet", "second", "complete", "four_eyes"}, edge.Checks)
		require.Equal(t, []string{"office_open"}, step(t, m, "draft", "open")[0].Checks)
		require.Equal(t, []string{"office_open", "four_eyes"}, step(t, m, "first_review", "finish")[0].Checks)
	})
	t.Run("a transition's own requires stand instead of the event's", func(t *testing.T) {
		require.Equal(t, []string{"lead"}, step(t, m, "first_review", "review")[0].Requires)
		require.Equal(t, []string{"member"}, step(t, m, "open", "review")[1].Requires)
	})
	t.Run("stay is recorded and enters nobody", func(t *testing.T) {
		edge := step(t, m, "open", "touch")[0]
		require.True(t, edge.Stay)
		require.Equal(t, edge.From, edge.To)
		self := step(t, m, "second_review", "review")[0]
		require.False(t, self.Stay)
		require.Equal(t, self.From, self.To)
		require.Contains(t, self.Checks, "four_eyes", "a self-edge enters")
	})
	t.Run("a normal wildcard skips final and closed, an override's only closed", func(t *testing.T) {
		require.NotContains(t, legal(t, m, "done"), "finish")
		require.NotContains(t, legal(t, m, "void"), "rescue")
		require.Contains(t, legal(t, m, "done"), "rescue")
		require.NotContains(t, legal(t, m, "open"), "finish", "except")
	})
	t.Run("metadata reaches machine, state, event and edge", func(t *testing.T) {
		require.Equal(t, "#123456", m.Meta()["color"])
		require.Equal(t, json.Number("3"), m.Meta()["order"])
		require.Equal(t, []any{"a", "b"}, m.Meta()["tags"])
		require.Equal(t, map[string]any{
			"team": "core", "since": "2026-01-31", "floor": json.Number("-2.5e3"), "empty": nil, "on": "yes",
		}, m.Meta()["x-owner"])
		require.Equal(t, "One of each, and several where several may stand", m.Meta()["description"])
		id, _ := m.StateByName("open")
		require.Equal(t, fsm.Metadata{"title": "Open", "tags": []any{"work"}}, m.State(id).Meta)
		edge := step(t, m, "open", "review")[0]
		require.Equal(t, fsm.Metadata{"x-hint": "the policy picks"}, edge.Meta)
		require.Equal(t, fsm.Metadata{"activity": "Review the thing"}, m.Event(edge.Event).Meta)
	})
	require.Equal(t, []string{"author"}, m.Grants())
	require.Equal(t, []string{"complete", "four_eyes", "may_create", "not_frozen", "office_open", "quiet", "second"}, m.Checks())
	require.Equal(t, []string{"auditor", "guest", "lead", "member"}, m.Roles())
	require.Equal(t, fsm.Access{Requires: []string{"anyone"}, Checks: []string{"may_create"}}, m.Create())
	require.Equal(t, fsm.Access{Requires: []string{"member", "$author"}, Checks: []string{"not_frozen"}, States: []fsm.StateID{1, 2, 3}}, m.FactsEdit())
	require.Equal(t, []string{"auditor"}, m.Explain().Requires)
}

func TestDefaultsOfAccess(t *testing.T) {
	m := parse(t, "machine: m", "initial: a", "states: {a: , b: {final: true}}",
		"create: {requires: [clerk]}",
		"events:", "  go: {from: a, to: b, requires: [$owner, boss]}", "  undo: {override: true, from: b, to: a, requires: [boss, system]}")
	require.Equal(t, fsm.Access{Requires: []string{"$owner", "boss", "clerk", "system"}}, m.Read(), "whoever meets any requires")
	require.Equal(t, fsm.Access{Requires: []string{"interlock:admin"}}, m.Explain())
	require.Equal(t, fsm.Access{}, m.FactsEdit(), "nobody")
	require.Nil(t, m.FactsSchema())
	require.Equal(t, []string{"boss", "clerk"}, m.Roles())

	m = parse(t, "machine: m", "initial: a", "states: {a: {final: true}}", "events: {}")
	require.Equal(t, fsm.Access{}, m.Create(), "nobody")
	require.Empty(t, m.Read().Requires, "nobody")
	require.Equal(t, "m", m.Title())
}

func TestNames(t *testing.T) {
	m := load(t, "names")
	require.Equal(t, "Antrag (Bürger)", m.Name())
	require.Equal(t, "antrag_b_rger_", m.Slug())
	require.Equal(t, "Eingereicht", m.State(1).Title)
	require.Equal(t, "in_pr_fung_2_", m.State(2).Slug)
	event, _ := m.EventByName("Einreichen & weiter")
	require.Equal(t, "einreichen_weiter", m.Event(event).Slug)
	require.Equal(t, []string{"Rôle", "System Manager", "x:y"}, m.Roles())
	_, ok := m.StateByName("ARCHIV")
	require.False(t, ok, "names keep their letter case")
}

func TestSlug(t *testing.T) {
	for name, want := range map[string]string{
		"loan": "loan", "edit-submission": "edit-submission", "In Review": "in_review", "A  b": "a_b", "PENDING": "pending",
		"[x]": "_x_", "日本": "_", "10": "10", "ÄB": "_b", "a_b-c": "a_b-c", "\u212aelvin": "_elvin", "": "",
	} {
		require.Equal(t, want, fsm.Slug(name), name)
	}
}

func TestMetadataForm(t *testing.T) {
	m := load(t, "metadata-cycle")
	require.Equal(t, "moderation-queue", m.Name())
	require.Equal(t, []string{
		"PENDING --transition_to_in_progress--> IN_PROGRESS",
		"IN_PROGRESS --transition_to_pending--> PENDING",
		"IN_PROGRESS --transition_to_in_progress--> IN_PROGRESS",
		"IN_PROGRESS --transition_to_well done--> Well Done",
	}, named(m, m.Edges()))
	require.Equal(t, []string{"MODERATOR", "ADMIN", "SUPERUSER"}, step(t, m, "IN_PROGRESS", "transition_to_in_progress")[0].Requires)
	require.Equal(t, []string{"anyone"}, step(t, m, "IN_PROGRESS", "transition_to_pending")[0].Requires, "it is the target that asks")
	done, _ := m.StateByName("Well Done")
	require.True(t, m.State(done).Final)

	edge := step(t, m, "IN_PROGRESS", "transition_to_well done")[0]
	require.Equal(t, "testdata/good/metadata-cycle.yaml:11:47", edge.Source.String(), "the entry that made it")

	t.Run("without `states` and `machine`", func(t *testing.T) {
		bare := load(t, "metadata-bare")
		require.Equal(t, "metadata-bare", bare.Name(), "the file's name")
		require.Equal(t, []string{"transition_to_escalated", "transition_to_approved", "transition_to_rejected"}, legal(t, bare, "PENDING"))
		require.Equal(t, "models.py", bare.Meta()["x-source"])
		require.Equal(t, "yellow", bare.State(0).Meta["color"])

		approved, _ := bare.EventByName("transition_to_approved")
		require.Equal(t, "Approved", bare.Event(approved).Title, "the state's title")
		rejected, _ := bare.EventByName("transition_to_rejected")
		require.Equal(t, "transition_to_rejected", bare.Event(rejected).Title, "the state has none")
	})
}

func TestExpand(t *testing.T) {
	m := load(t, "everything")
	for _, c := range []struct{ roles, want []string }{
		{[]string{"lead"}, []string{"guest", "lead", "member"}},
		{[]string{"member", "lead", "member"}, []string{"guest", "lead", "member"}},
		{[]string{"stranger", "auditor"}, []string{"auditor", "stranger"}},
		{[]string{"interlock:admin"}, []string{"interlock:admin"}},
		{nil, []string{}},
	} {
		require.Equal(t, c.want, m.Expand(c.roles), c.roles)
	}
	roles := []string{"lead"}
	m.Expand(roles)[0] = "broken"
	require.Equal(t, []string{"guest", "lead", "member"}, m.Expand(roles), "the answer is the caller's own")
}

func TestPath(t *testing.T) {
	m := load(t, "loan")
	at := func(name string) fsm.StateID { id, _ := m.StateByName(name); return id }

	path, ok := m.Path(at("created"), at("approved"), false)
	require.True(t, ok)
	require.Equal(t, []string{
		"created --submit--> submitted", "submitted --review--> reviewed", "reviewed --verify--> verified", "verified --approve--> approved",
	}, named(m, path))
	path, ok = m.Path(at("created"), at("approved"), true)
	require.True(t, ok)
	require.Equal(t, []string{"created --override--> approved"}, named(m, path))

	path, ok = m.Path(at("denied"), at("denied"), false)
	require.True(t, ok)
	require.Empty(t, path)
	require.NotNil(t, path)
	path, ok = m.Path(at("denied"), at("verified"), false)
	require.False(t, ok)
	require.Nil(t, path)

	require.Equal(t, []fsm.StateID{at("denied")}, m.Reachable(at("denied"), false))
	require.Len(t, m.Reachable(at("denied"), true), 5, "all but created")
}

// Ids that are not the machine's are illegal, never a panic.
func TestForeignIDs(t *testing.T) {
	m := load(t, "loan")
	for _, id := range []int32{-1, 6, 1 << 30} {
		require.Empty(t, m.Step(fsm.StateID(id), 0))
		require.Empty(t, m.Step(0, fsm.EventID(id)))
		require.Empty(t, m.Legal(fsm.StateID(id)))
		require.Empty(t, m.Reachable(fsm.StateID(id), true))
		_, ok := m.Path(fsm.StateID(id), 0, true)
		require.False(t, ok)
		_, ok = m.Path(0, fsm.StateID(id), true)
		require.False(t, ok)
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	m := load(t, "loan")
	state, event := ids(t, m, "verified", "approve")
	require.Len(t, m.Step(state, event), 1)
	var sum int
	allocated := testing.AllocsPerRun(1000, func() { sum += len(m.Step(state, event)) + len(m.Legal(state)) })
	require.Zero(t, allocated)
	require.Positive(t, sum)
}

func BenchmarkStep(b *testing.B) {
	m := load(b, "loan")
	state, event := ids(b, m, "verified", "approve")
	b.ReportAllocs()
	for b.Loop() {
		m.Step(state, event)
	}
}

func BenchmarkExpand(b *testing.B) {
	m := load(b, "loan")
	roles := []string{"manager"}
	b.ReportAllocs()
	for b.Loop() {
		m.Expand(roles)
	}
}

// large is a machine of n states and n events.
func large(n int) []byte {
	var b strings.Builder
	b.WriteString("machine: large\ninitial: s0\nstates:\n")
	for i := range n {
		fmt.Fprintf(&b, "  s%d: {title: State %d}\n", i, i)
	}
	b.WriteString("events:\n")
	for i := range n {
		fmt.Fprintf(&b, "  e%d: {from: s%d, to: [s%d, s%d], requires: [r%d]}\n", i, i, (i+1)%n, i*7%n, i%9)
	}
	return []byte(b.String())
}

func BenchmarkParse1000States(b *testing.B) {
	source := large(1000)
	b.ReportAllocs()
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		if _, err := fsm.Parse("large.yaml", source); err != nil {
			b.Fatal(err)
		}
	}
}
