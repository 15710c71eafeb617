package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/postgres"
)

// The role that migrates is no superuser, for whom rights don't count: it may
// archive, and change or delete nothing else of history.
func TestRoleThatMigratesMayArchive(t *testing.T) {
	address := testservice.Postgres(t)
	super := newPool(t, address)
	u, err := url.Parse(address)
	require.NoError(t, err)
	database := strings.TrimPrefix(u.Path, "/")
	role := database + "_owner" // a role is the server's, not the database's
	as := strings.NewReplacer("ROLE_NAME", role, "DATABASE_NAME", database)
	_, err = super.Exec(t.Context(), as.Replace(`CREATE ROLE ROLE_NAME LOGIN; GRANT CREATE ON DATABASE DATABASE_NAME TO ROLE_NAME`))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := super.Exec(context.Background(), as.Replace(`DROP OWNED BY ROLE_NAME CASCADE; DROP ROLE ROLE_NAME`))
		require.NoError(t, err)
	})
	u.User = url.User(role)
	pool := newPool(t, u.String())
	st := postgres.New(pool)
	m, err := fsm.Parse("lamp.yaml", []byte(`
machine: lamp
initial: dark
create: {requires: [anyone]}
states: {dark: {}}
events: {flicker: {from: dark, stay: true, requires: [anyone]}}
`))
	require.NoError(t, err)
	then := time.Now().Add(-1000 * 24 * time.Hour)
	g, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{m}, Store: st, Now: func() time.Time { return then }})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Close(context.Background())) }()
	ann := interlock.Actor{ID: "ann"}
	_, err = g.Create(t.Context(), ann, interlock.CreateRequest{Machine: "lamp", ID: "1"})
	require.NoError(t, err)
	for range 3 {
		_, err = g.Fire(t.Context(), ann, interlock.Request{Machine: "lamp", ID: "1", Event: "flicker"})
		require.NoError(t, err)
	}
	_, err = super.Exec(t.Context(), `ALTER TABLE interlock.history DISABLE TRIGGER history_no_change; UPDATE interlock.history SET stamp_us = time_us;
		ALTER TABLE interlock.history ENABLE ALWAYS TRIGGER history_no_change`)
	require.NoError(t, err)

	folder := t.TempDir()
	req := interlock.ArchiveRequest{Machine: "lamp", Before: time.Now().Add(-100 * 24 * time.Hour)}
	done, err := interlock.Archive(t.Context(), st, interlock.SystemActor("", "operator~olga"), req,
		func(rows []interlock.Record) (interlock.ArchiveFile, error) { return archive.Write(folder, rows) })
	require.NoError(t, err)
	require.EqualValues(t, 3, done.Rows)
	for query, why := range map[string]string{
		`DELETE FROM interlock.history`:                   "history is append-only",
		`DELETE FROM interlock.history WHERE seq > 4`:     "history is append-only",
		`UPDATE interlock.history SET actor = 'somebody'`: "permission denied",
		`TRUNCATE interlock.history`:                      "permission denied",
	} {
		_, err := pool.Exec(t.Context(), query)
		require.ErrorContains(t, err, why, query)
	}
	kept, err := archive.Read(folder)
	require.NoError(t, err)
	report, err := interlock.Verify(t.Context(), kept.Over(st), nil)
	require.NoError(t, err)
	require.Empty(t, report.Bad)
}
