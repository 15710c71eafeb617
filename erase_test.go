package interlock_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// written is a gate with an administrator, and a loan that two people wrote on.
func written(t *testing.T) (*interlock.Gate, *sqlite.Store) {
	t.Helper()
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store = st })
	_, err := g.Grant(t.Context(), root, "adam", interlock.AdminRole, interlock.Scope{})
	require.NoError(t, err)
	newLoan(t, g, "17")
	newLoan(t, g, "18")
	for _, id := range []string{"erin", "evan", "erin"} {
		_, err := g.Fire(t.Context(), employee(id), comment("secret of "+id))
		require.NoError(t, err)
	}
	return g, st
}

var adam = interlock.Actor{ID: "adam"}

func verified(t *testing.T, st interlock.Store) interlock.VerifyReport {
	t.Helper()
	r, err := interlock.Verify(t.Context(), st, nil)
	require.NoError(t, err)
	return r
}

// everything is all that the store's tables hold, as text.
func everything(t *testing.T, st *sqlite.Store) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"history", "texts", "outbox", "instance", "attempt", "idempotency"} {
		writeTable(t, &b, st, table)
	}
	return b.String()
}

func writeTable(t *testing.T, b *strings.Builder, st *sqlite.Store, table string) {
	t.Helper()
	rows, err := st.DB().QueryContext(t.Context(), `SELECT * FROM interlock_`+table)
	require.NoError(t, err)
	defer rows.Close()
	names, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		values, dest := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		require.NoError(t, rows.Scan(dest...))
		for _, v := range values {
			switch v := v.(type) {
			case string:
				b.WriteString(v)
			case []byte:
				b.Write(v)
			}
			b.WriteByte('\n')
		}
	}
	require.NoError(t, rows.Err())
}

func TestErase(t *testing.T) {
	g, st := written(t)
	require.Contains(t, everything(t, st), "secret of erin")
	before, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	done, err := g.Erase(t.Context(), adam, interlock.EraseRequest{Machine: "loan", ID: "17", Actor: "erin", Reason: "asked for it, case 7"})
	require.NoError(t, err)
	require.Equal(t, interlock.Erased{Rows: 3, Chains: 1}, done, "her creation and two comments")
	all := everything(t, st)
	require.NotContains(t, all, "secret of erin", "nowhere: not in the texts, not in the outbox")
	require.Contains(t, all, "secret of evan")

	rows, err := g.History(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"}, 0, 0)
	require.NoError(t, err)
	last := rows[len(rows)-1]
	require.Equal(t, []any{"$erase", "adam", "asked for it, case 7", "created", "created"}, []any{last.Event, last.Actor, last.Note, last.From, last.To})
	require.Equal(t, "1-2,4", last.Input["rows"])
	after, err := g.Get(t.Context(), employee("erin"), interlock.Ref{Machine: "loan", ID: "17"})
	require.NoError(t, err)
	require.Equal(t, before.Facts, after.Facts, "what is true now stays")
	require.Equal(t, []any{before.Did, before.Last, before.Actors, before.Version + 1}, []any{after.Did, after.Last, after.Actors, after.Version}, "nobody did anything to it")
	r := verified(t, st)
	require.Empty(t, r.Bad)
	require.EqualValues(t, 3, r.Erased)
	_, err = g.Fire(t.Context(), employee("erin"), loan("submit"))
	require.NoError(t, err, "it goes on from there")

	// The second time there is nothing left of her, and no second row.
	done, err = g.Erase(t.Context(), adam, interlock.EraseRequest{Machine: "loan", ID: "17", Actor: "erin", Seqs: []int64{1, 2, 3, 4}, Reason: "again"})
	require.NoError(t, err)
	require.Zero(t, done)
	done, err = g.Erase(t.Context(), adam, interlock.EraseRequest{Machine: "loan", ID: "17", Reason: "all of it"})
	require.NoError(t, err)
	require.EqualValues(t, 2, done.Rows, "evan's comment and the submission; a $erase keeps its own")
	require.Empty(t, verified(t, st).Bad)
}

func TestEraseEverywhere(t *testing.T) {
	g, st := written(t)
	off := false
	_, err := g.SetActor(t.Context(), adam, "erin", nil, &off)
	require.NoError(t, err)
	done, err := interlock.Erase(t.Context(), st, interlock.SystemActor("", "operator"), interlock.EraseRequest{Actor: "erin", Reason: "case 8"})
	require.NoError(t, err)
	require.EqualValues(t, 3, done.Chains, "two loans and her own")
	all := everything(t, st)
	require.NotContains(t, all, "secret of erin")
	require.Contains(t, all, "secret of evan")
	require.Empty(t, verified(t, st).Bad)
	done, err = interlock.Erase(t.Context(), st, interlock.SystemActor("", "operator"), interlock.EraseRequest{Actor: "nobody", Reason: "case 9"})
	refusal(t, err, interlock.StageGraph, "not_found")
	require.ErrorContains(t, err, "no row names this actor")
	require.Zero(t, done)
}

func TestEraseIsForAdministrators(t *testing.T) {
	g, st := written(t)
	uma := interlock.Actor{ID: "uma"}
	req := interlock.EraseRequest{Machine: "loan", ID: "17", Reason: "because"}
	for _, by := range []interlock.Actor{uma, manager("mark"), {ID: "erin", Roles: []string{"employee", interlock.AdminRole}}, {ID: "adam", OnBehalfOf: &uma}, {ID: "adam", Tenant: "elsewhere"}} {
		_, err := g.Erase(t.Context(), by, req)
		refusal(t, err, interlock.StagePolicy, "denied")
	}
	_, err := g.Erase(t.Context(), interlock.Actor{}, req)
	refusal(t, err, interlock.StageIdentity, "unauthenticated")
	for name, bad := range map[string]interlock.EraseRequest{
		"no reason":    {Machine: "loan", ID: "17", Reason: " "},
		"no instance":  {Machine: "loan", Reason: "because"},
		"nothing":      {Reason: "because"},
		"no machine":   {ID: "17", Actor: "erin", Reason: "because"},
		"a long story": {Machine: "loan", ID: "17", Reason: strings.Repeat("x", 4097)},
	} {
		_, err := g.Erase(t.Context(), adam, bad)
		require.ErrorIs(t, err, &interlock.Refusal{Stage: interlock.StageInput, Code: "input_invalid"}, name)
	}
	req.ID = "none"
	_, err = g.Erase(t.Context(), adam, req)
	refusal(t, err, interlock.StageGraph, "not_found")
	require.Contains(t, everything(t, st), "secret of erin")
}

// An administrator whose role is taken away while he erases erases nothing.
func TestEraseUnderTheAdministratorsOwnRow(t *testing.T) {
	g, st := governed(t)
	newLoan(t, g, "17")
	st.once(func() {
		_, err := g.Revoke(t.Context(), root, "adam", interlock.AdminRole, interlock.Scope{})
		require.NoError(t, err)
	})
	_, err := g.Erase(t.Context(), adam, interlock.EraseRequest{Machine: "loan", ID: "17", Reason: "because"})
	refusal(t, err, interlock.StagePolicy, "denied")
	require.Zero(t, verified(t, st).Erased)
}

// Texts that are gone without a $erase, and texts that are back after one.
func TestVerifyTellsErasureFromDeletion(t *testing.T) {
	g, st := written(t)
	by := func(query string) {
		t.Helper()
		require.NoError(t, st.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), query)
			return err
		}))
	}
	by(`CREATE TABLE kept AS SELECT * FROM interlock_texts WHERE instance = '17'`)
	by(`DELETE FROM interlock_texts WHERE instance = '17' AND seq = 2`)
	bad := verified(t, st).Bad
	require.Len(t, bad, 1)
	require.Equal(t, "default/loan/17 row 2: its texts are gone, and no erasure in its chain speaks of them", bad[0].String())
	_, err := g.Erase(t.Context(), adam, interlock.EraseRequest{Machine: "loan", ID: "17", Reason: "because"})
	require.NoError(t, err)
	require.Len(t, verified(t, st).Bad, 1, "a later erasure doesn't cover what was gone before it")
	by(`INSERT INTO interlock_texts SELECT * FROM kept WHERE seq = 3`)
	bad = verified(t, st).Bad
	require.Len(t, bad, 2)
	require.Contains(t, bad[0].Problem+bad[1].Problem, "says that its texts were erased, and they are there")
	by(`DELETE FROM interlock_texts WHERE instance = '17'`)
	bad = verified(t, st).Bad
	require.Len(t, bad, 5, "without the $erase's own texts nothing speaks for the four rows, nor for itself")
}

// Rows that are read before they are erased, while others write, are no fault.
func TestVerifyBesideErasure(t *testing.T) {
	g, st := written(t)
	done := make(chan error, 1)
	go func() {
		for range 20 {
			if _, err := g.Fire(context.Background(), employee("erin"), comment("again")); err != nil {
				done <- err
				return
			}
			if _, err := g.Erase(context.Background(), adam, interlock.EraseRequest{Machine: "loan", ID: "17", Reason: "because"}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		require.Empty(t, verified(t, st).Bad)
		select {
		case err := <-done:
			require.NoError(t, err)
			require.Empty(t, verified(t, st).Bad)
			return
		default:
		}
	}
}

func TestAudit(t *testing.T) {
	g, _ := written(t)
	_, err := g.Grant(t.Context(), adam, "audra", interlock.AuditorRole, interlock.Scope{})
	require.NoError(t, err)
	_, err = g.Grant(t.Context(), adam, "audra", interlock.AuditorRole, interlock.Scope{Machine: "loan"})
	refusal(t, err, interlock.StageInput, "input_invalid")
	for range 3 {
		_, err = g.Fire(t.Context(), employee("evan"), loan("approve"))
		refusal(t, err, interlock.StageGraph, "illegal_event")
	}
	audra := interlock.Actor{ID: "audra"}
	for _, by := range []interlock.Actor{employee("erin"), manager("mark"), {ID: "x", Roles: []string{interlock.AuditorRole}}, {ID: "audra", OnBehalfOf: &adam}, {ID: "audra", Tenant: "elsewhere"}} {
		_, err := g.Audit(t.Context(), by, interlock.AuditQuery{})
		refusal(t, err, interlock.StagePolicy, "denied")
	}
	_, err = g.Grant(t.Context(), audra, "uma", "employee", interlock.Scope{})
	refusal(t, err, interlock.StagePolicy, "denied")
	_, err = g.Erase(t.Context(), audra, interlock.EraseRequest{Machine: "loan", ID: "17", Reason: "because"})
	refusal(t, err, interlock.StagePolicy, "denied")

	walk := func(q interlock.AuditQuery) (rows, attempts int) {
		t.Helper()
		for pages := 0; ; pages++ {
			require.Less(t, pages, 100)
			p, err := g.Audit(t.Context(), audra, q)
			require.NoError(t, err)
			require.LessOrEqual(t, len(p.Rows)+len(p.Attempts), 2)
			rows, attempts = rows+len(p.Rows), attempts+len(p.Attempts)
			if q.After = p.Next; p.Next == "" {
				return rows, attempts
			}
		}
	}
	for _, c := range []struct {
		q              interlock.AuditQuery
		rows, attempts int
	}{
		{interlock.AuditQuery{Machine: "loan"}, 5, 3},
		{interlock.AuditQuery{Machine: "loan", ID: "17"}, 4, 3},
		{interlock.AuditQuery{Machine: "loan", Actor: "evan"}, 1, 3},
		{interlock.AuditQuery{Outcome: interlock.Committed, Event: "comment"}, 3, 0},
		{interlock.AuditQuery{Outcome: interlock.Refused}, 0, 3},
		{interlock.AuditQuery{Check: "illegal_event"}, 0, 3},
		{interlock.AuditQuery{Check: "illegal_event", Outcome: interlock.Committed}, 0, 0},
		{interlock.AuditQuery{Until: time.Now().Add(-time.Hour)}, 0, 0},
		{interlock.AuditQuery{From: time.Now().Add(-time.Hour), Event: "comment"}, 3, 0},
		{interlock.AuditQuery{Tenant: "elsewhere", Event: "comment"}, 3, 0}, // the actor's tenant, whatever is asked for
	} {
		c.q.Limit = 2
		rows, attempts := walk(c.q)
		require.Equal(t, []int{c.rows, c.attempts}, []int{rows, attempts}, "%+v", c.q)
	}
	_, err = g.Audit(t.Context(), audra, interlock.AuditQuery{After: "nowhere"})
	refusal(t, err, interlock.StageInput, "input_invalid")
}

// A flood of refusals costs a bounded number of rows; the counters miss none.
func TestFloodOfRefusedAttempts(t *testing.T) {
	st := memory(t)
	g := newGate(t, func(c *interlock.Config) { c.Store, c.KeepAttempts = st, 50 })
	newLoan(t, g, "17")
	const flood = 6000 // more than are held for writing
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			for range flood / cap(errs) {
				if _, err := g.Fire(context.Background(), employee("erin"), loan("approve")); err == nil {
					errs <- nil
					return
				}
			}
			errs <- context.Canceled
		}()
	}
	for range cap(errs) {
		require.Error(t, <-errs)
	}
	kept, err := g.Attempts(t.Context(), root, interlock.Ref{Machine: "loan", ID: "17"}, 500)
	require.NoError(t, err)
	require.Len(t, kept, 50)
	counts, err := st.AttemptCounts(t.Context(), interlock.DefaultTenant)
	require.NoError(t, err)
	require.Len(t, counts, 1)
	require.EqualValues(t, flood, counts[0].Count)
}

// A quoted name of a machine may hold slashes: pages go on behind it all the same,
// and so does an erasure that needs more than one.
func TestAuditPagesOfAMachineWithSlashesInItsName(t *testing.T) {
	g := newGate(t, func(c *interlock.Config) {
		c.Machines, c.Policy = machines(t, `
machine: "gate/north/1"
initial: shut
create: {requires: [anyone]}
states: {shut: {}}
events:
  ring: {from: shut, to: shut, requires: [anyone]}
`), nil
	})
	ann, ref := interlock.Actor{ID: "ann"}, interlock.Ref{Machine: "gate/north/1", ID: "1"}
	_, err := g.Create(t.Context(), ann, interlock.CreateRequest{Machine: ref.Machine, ID: ref.ID})
	require.NoError(t, err)
	_, err = g.Fire(t.Context(), ann, interlock.Request{Machine: ref.Machine, ID: ref.ID, Event: "ring"})
	require.NoError(t, err)
	var seqs []int64
	query := interlock.AuditQuery{Machine: ref.Machine, Outcome: interlock.Committed, Limit: 1}
	for range 3 {
		page, err := g.Audit(t.Context(), root, query)
		require.NoError(t, err)
		for _, row := range page.Rows {
			seqs = append(seqs, row.Seq)
		}
		if query.After = page.Next; page.Next == "" {
			break
		}
	}
	require.Equal(t, []int64{1, 2}, seqs)
}
