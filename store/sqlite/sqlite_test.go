package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

func TestSmoke(t *testing.T) {
	for _, path := range []string{":memory:", filepath.Join(t.TempDir(), "a b?c.db")} {
		ctx := context.Background()
		s, err := sqlite.Open(path, sqlite.Table("loan", "loans", "id", "status", "amount", "ok"))
		require.NoError(t, err)
		require.NoError(t, s.Write(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec(`CREATE TABLE loans (id INTEGER PRIMARY KEY, status TEXT, amount INTEGER, ok BOOLEAN); INSERT INTO loans VALUES (7, 'new', 9007199254740993, 1)`)
			return err
		}))
		require.NoError(t, s.Migrate(ctx))
		require.NoError(t, s.Migrate(ctx))
		epoch, err := s.Epoch(ctx)
		require.NoError(t, err)
		rev := interlock.Revision{Machine: "loan", ID: "r1", States: []string{"new", "old"}}
		require.NoError(t, s.Activate(ctx, rev, time.Hour))
		f, err := s.Load(ctx, "default", interlock.Ref{Machine: "loan", ID: "7"}, []string{"a", "b"})
		require.NoError(t, err)
		require.NotNil(t, f.Bound)
		t.Log(f.Bound)
		now := time.Now()
		c := &interlock.Commit{Epoch: epoch, Revision: rev, Instance: &interlock.InstanceChange{
			Next:       interlock.Instance{Tenant: "default", Machine: "loan", ID: "7", State: "new", Version: 1, Head: []byte("h"), CreatedAt: now},
			NextDigest: []byte("d"), Record: interlock.Record{Transition: interlock.Transition{Tenant: "default", Machine: "loan", Instance: "7", Seq: 1, ID: "x", Note: "hi"}, Salt: []byte("s")},
		}, Bound: &interlock.BoundChange{From: "new", To: "old"}}
		require.NoError(t, s.Commit(ctx, c))
		require.ErrorIs(t, s.Commit(ctx, c), interlock.ErrExists)
		h, err := s.History(ctx, "default", interlock.Ref{Machine: "loan", ID: "7"}, 0, 10)
		require.NoError(t, err)
		require.Len(t, h, 1)
		require.Equal(t, "hi", h[0].Note)
		fs, err := s.List(ctx, interlock.ListQuery{Tenant: "default", Machine: "loan", Limit: 10})
		require.NoError(t, err)
		require.Len(t, fs, 1)
		require.Equal(t, "old", fs[0].Bound.State)
		require.NoError(t, s.Close())
	}
}
