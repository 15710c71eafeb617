package replayer_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/prove/replayer"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/sqlite"
)

// desk has one loan, L, which clara made and submitted, olga reviewed and otto verified.
type desk struct {
	*testing.T
	*fixture.World
}

// prepared are desks that are set up once, without and with the application's
// table; each test works on a copy.
var prepared = map[bool][]byte{}

func newDesk(t *testing.T, cfg fixture.Config) desk {
	t.Helper()
	path := filepath.Join(t.TempDir(), "desk.db")
	if before, ok := prepared[cfg.Bound]; ok {
		require.NoError(t, os.WriteFile(path, before, 0o600))
		return desk{t, fixture.SQLite(t, path, cfg)}
	}
	d := desk{t, fixture.SQLite(t, path, cfg)}
	_, err := d.Door().Create(t.Context(), fixture.As("clara"), interlock.CreateRequest{Machine: fixture.Machine, ID: "L", Facts: map[string]any{"amount": 1000}})
	require.NoError(t, err)
	for _, step := range [][2]string{{"submit", "clara"}, {"review", "olga"}, {"verify", "otto"}} {
		d.fire(step[0], step[1])
	}
	d.finds("")
	require.NoError(t, d.Close()) // all of it is in the file then
	prepared[cfg.Bound], err = os.ReadFile(path)
	require.NoError(t, err)
	return desk{t, fixture.SQLite(t, path, cfg)}
}

func (d desk) fire(event, who string) {
	d.Helper()
	_, err := d.Door().Fire(d.Context(), fixture.As(who), interlock.Request{Machine: fixture.Machine, ID: "L", Event: event, IdempotencyKey: event + " " + who})
	require.NoError(d, err)
}

func (d desk) source() replayer.Source {
	return replayer.Source{DB: d.DB, Prefix: d.Prefix, Rules: map[string]*replayer.Rules{d.Gate.Revision(fixture.Machine): fixture.Rules()}, Systems: []string{fixture.System.ID}}
}

// exec writes past the store, with its triggers out of the way.
func (d desk) exec(query string, args ...any) error {
	return d.Store.(*sqlite.Store).Write(context.Background(), func(tx *sql.Tx) error {
		for _, trigger := range []string{"history_no_update", "history_no_delete", "history_no_replace", "texts_no_update", "epoch_no_update"} {
			if _, err := tx.Exec("DROP TRIGGER IF EXISTS interlock_" + trigger); err != nil {
				return err
			}
		}
		_, err := tx.Exec(query, args...)
		return err
	})
}

func (d desk) sql(query string) {
	d.Helper()
	require.NoError(d, d.exec(query))
}

// Each forgery is whole: chain, digests, instance and message fit. What is wrong
// with it only who decides again can tell.
func TestForgedRowsAreFound(t *testing.T) {
	approve := replayer.Forgery{Instance: "L", Event: "approve", To: "approved"}
	by := func(f replayer.Forgery, actor string) replayer.Forgery { f.Actor = actor; return f }
	for name, c := range map[string]struct {
		forge  replayer.Forgery
		before func(desk)
		want   string // "" : nothing wrong with it
	}{
		"what mara may":                    {forge: by(approve, "mara"), before: func(d desk) { d.fire("tick", "mara") }},
		"an edge that isn't there":         {forge: replayer.Forgery{Instance: "L", Event: "approve", To: "denied", Actor: "mara"}, want: "doesn't lead"},
		"an event that isn't there":        {forge: replayer.Forgery{Instance: "L", Event: "wave", To: "approved", Actor: "mara"}, want: "doesn't lead"},
		"not from here":                    {forge: replayer.Forgery{Instance: "L", Event: "submit", To: "submitted", Actor: "carl"}, want: "doesn't lead"},
		"a role that isn't held":           {forge: by(approve, "carl"), want: "needs one of [officer]"},
		"nobody's":                         {forge: by(approve, "stan"), want: "of whom nothing is stored"},
		"by who verified it":               {forge: by(approve, "otto"), want: "four_eyes doesn't hold"},
		"without a note":                   {forge: replayer.Forgery{Instance: "L", Event: "override", To: "submitted", Actor: "mara", Override: true}, want: "has no note"},
		"an override that isn't called so": {forge: replayer.Forgery{Instance: "L", Event: "override", To: "submitted", Actor: "mara", Note: "n"}, want: "marked as an override"},
		"facts that are locked":            {forge: replayer.Forgery{Instance: "L", Event: "$facts", To: "verified", Actor: "carl", Input: map[string]any{"amount": 3}}, want: "changes facts in state"},
		"a second beginning":               {forge: replayer.Forgery{Instance: "L", Event: "$create", To: "created", Actor: "carl"}, want: "begins what is there"},
		"a policy's other target": {before: func(d desk) { d.fire("return", "olga"); d.fire("submit", "carl") },
			forge: replayer.Forgery{Instance: "L", Event: "review", To: "second_review", Actor: "olga"}, want: `where the policy says "reviewed"`},
		"above the limit": {forge: by(approve, "mara"), want: "within_limit doesn't hold", before: func(d desk) {
			_, err := d.Gate.SetActor(d.Context(), fixture.System, "mara", map[string]any{"limit": 10}, nil)
			require.NoError(d, err)
		}},
		"on a role that was revoked": {forge: replayer.Forgery{Instance: "L", Event: "approve", To: "approved", Actor: "mara", Saw: 1}, want: "wasn't in force any more",
			before: func(d desk) {
				_, err := d.Gate.Revoke(d.Context(), fixture.System, "mara", "manager", interlock.Scope{})
				require.NoError(d, err)
			}},
		"by who is switched off": {forge: by(approve, "mara"), want: "switched off", before: func(d desk) {
			off := false
			_, err := d.Gate.SetActor(d.Context(), fixture.System, "mara", nil, &off)
			require.NoError(d, err)
		}},
		"a role granted by no administrator": {want: "who never held a role",
			forge: replayer.Forgery{Machine: "interlock:actor", Instance: "carl", Event: "$grant", To: "active", Actor: "zoe", Input: map[string]any{"role": "manager", "scope": "tenant"}}},
		"a role granted by a manager": {want: "was no administrator then",
			forge: replayer.Forgery{Machine: "interlock:actor", Instance: "carl", Event: "$grant", To: "active", Actor: "milo", Input: map[string]any{"role": "manager", "scope": "tenant"}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, fixture.Config{})
			if c.before != nil {
				c.before(d)
			}
			require.NoError(t, replayer.Forge(t.Context(), d.source(), d.exec, c.forge))
			d.finds(c.want)
		})
	}
}

func (d desk) finds(want string) {
	d.Helper()
	report, err := d.Replay(d.Context())
	require.NoError(d, err)
	if want == "" {
		assert.Empty(d, report.Findings)
		return
	}
	require.NotEmpty(d, report.Findings, "nothing was found")
	assert.Contains(d, fmt.Sprint(report.Findings), want)
}

// What doesn't fit is found in every table.
func TestTamperedTablesAreFound(t *testing.T) {
	for name, c := range map[string]struct{ query, want string }{
		"a note":                  {`UPDATE interlock_texts SET note = 'x' WHERE machine = 'loan' AND seq = 2`, "its texts"},
		"texts gone":              {`DELETE FROM interlock_texts WHERE machine = 'loan' AND seq = 2`, "its texts are gone"},
		"a column":                {`UPDATE interlock_history SET actor = 'milo' WHERE machine = 'loan' AND seq = 2`, "its bytes"},
		"the bytes":               {`UPDATE interlock_history SET bytes = x'00' WHERE machine = 'loan' AND seq = 2`, "can't be read"},
		"the hash":                {`UPDATE interlock_history SET hash = x'00' WHERE machine = 'loan' AND seq = 2`, "its hash"},
		"a row in the middle":     {`DELETE FROM interlock_history WHERE machine = 'loan' AND seq = 2`, "isn't chained"},
		"the newest row":          {`DELETE FROM interlock_history WHERE machine = 'loan' AND seq = 4`, "isn't what its history says"},
		"all rows":                {`DELETE FROM interlock_history WHERE machine = 'loan'`, "and no history"},
		"the state":               {`UPDATE interlock_instance SET state = 'approved'`, "isn't what its history says"},
		"facts":                   {`UPDATE interlock_instance SET facts = '{"amount":1}'`, "isn't what its history says"},
		"the digest":              {`UPDATE interlock_instance SET content_digest = x'00'`, "isn't what its history says"},
		"an instance gone":        {`DELETE FROM interlock_instance`, "and no instance"},
		"a role":                  {`UPDATE interlock_actor SET grants = replace(grants, 'clerk', 'manager') WHERE id = 'carl'`, "isn't what its history says"},
		"an administrator's mark": {`UPDATE interlock_actor SET admin = 1 WHERE id = 'carl'`, "mark of an administrator"},
		"an actor without rows":   {`DELETE FROM interlock_history WHERE instance = 'carl'`, "and no history"},
		"a message gone":          {`DELETE FROM interlock_outbox WHERE seq = 3`, "3 messages for 4 rows"},
		"a message of nothing":    {`UPDATE interlock_outbox SET id = 'x' WHERE seq = 3`, "is of no row"},
		"a message of another":    {`UPDATE interlock_outbox SET message = (SELECT message FROM interlock_outbox WHERE seq = 1) WHERE seq = 3`, "says something else"},
		"a key of another":        {`UPDATE interlock_idempotency SET seq = 2 WHERE key = 'verify otto'`, "another request than its row"},
		"a key of nothing":        {`UPDATE interlock_idempotency SET seq = 9 WHERE key = 'verify otto'`, "a row that isn't there"},
		"another store's":         {`UPDATE interlock_epoch SET epoch = 'x'`, "is of an epoch"},
		"other rules":             {`DELETE FROM interlock_revision`, "that nobody has"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, fixture.Config{})
			d.sql(c.query)
			d.finds(c.want)
		})
	}
	for name, c := range map[string]struct{ query, want string }{
		"the application's row gone":    {`DELETE FROM ledger WHERE seq = 3`, "has no row of the application's"},
		"the application's row alone":   {`UPDATE ledger SET id = 'x' WHERE seq = 3`, "is of no transition"},
		"the application's row changed": {`UPDATE ledger SET event = 'tick' WHERE seq = 3`, "something else than its transition"},
		"the column":                    {`UPDATE loans SET status = 'approved'`, "the application's column says"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, fixture.Config{Bound: true})
			d.sql(c.query)
			d.finds(c.want)
		})
	}
}

// PostgreSQL's tables are read by the same queries.
func TestPostgresIsReadAlike(t *testing.T) {
	w := fixture.Postgres(t, testservice.Postgres(t), fixture.Config{})
	_, err := w.Gate.Create(t.Context(), fixture.As("clara"), interlock.CreateRequest{Machine: fixture.Machine, ID: "L", Facts: map[string]any{"amount": 1000}})
	require.NoError(t, err)
	_, err = w.DB.Exec(`UPDATE "interlock".instance SET state = 'approved'`)
	require.NoError(t, err)
	desk{t, w}.finds("isn't what its history says")
}
