package postgres_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/postgres"
)

// next is a step of the instance that c left, with texts and a message.
func next(c *interlock.Commit) *interlock.Commit {
	ch := *c.Instance
	n := ch.Next
	n.Version++
	rec := ch.Record
	rec.Seq, rec.ID, rec.From, rec.To = n.Version, n.ID+"/"+strconv.FormatInt(n.Version, 10), n.State, n.State
	rec.Note, rec.Salt, rec.Bytes = "because", []byte("salt"), make([]byte, 300)
	return &interlock.Commit{Epoch: c.Epoch, Revision: c.Revision, Actors: c.Actors, Outbox: []byte("told"), Instance: &interlock.InstanceChange{
		PrevVersion: ch.Next.Version, PrevState: ch.Next.State, PrevDigest: ch.NextDigest, PrevHead: ch.Next.Head, Next: n, NextDigest: ch.NextDigest, Record: rec,
	}}
}

// hire makes the actor of an instance's commits.
func hire(t testing.TB, s interlock.Store, c *interlock.Commit) {
	t.Helper()
	a := interlock.ActorRecord{Tenant: "default", ID: "of-" + c.Instance.Next.ID, Active: true, Version: 1}
	require.NoError(t, s.Commit(t.Context(), &interlock.Commit{Epoch: c.Epoch, Actor: &interlock.ActorChange{Next: a, NextDigest: []byte("digest"),
		Record: interlock.Record{Transition: interlock.Transition{ID: a.ID, Tenant: "default", Machine: interlock.ActorMachine, Instance: a.ID, Seq: 1, Time: time.UnixMicro(1)}}}}))
	c.Actors = []interlock.ActorCheck{{ID: a.ID, Version: 1, Digest: []byte("digest")}}
}

// steps are commits of instances of these names, each by an actor of its own.
func steps(t testing.TB, s interlock.Store, names ...string) (commits []*interlock.Commit) {
	t.Helper()
	for _, name := range names {
		c := creation(t, s, name)
		require.NoError(t, s.Commit(t.Context(), c))
		hire(t, s, c)
		commits = append(commits, next(c))
	}
	return commits
}

// under reserves a key for a commit.
func under(t testing.TB, s interlock.Store, c *interlock.Commit, key string) {
	t.Helper()
	n := c.Instance.Next
	c.Idempotency = &interlock.Idempotency{Tenant: n.Tenant, Actor: "ann", Key: key, Token: "mine", Fingerprint: []byte("print"),
		Machine: n.Machine, Instance: n.ID, Seq: n.Version, Expires: time.Now().Add(time.Hour)}
	held, err := s.Reserve(t.Context(), *c.Idempotency, time.Now(), time.Hour)
	require.NoError(t, err)
	require.Nil(t, held)
}

// waiting makes commits that wait; open lets them go.
func waiting(t *testing.T, s *postgres.Store, commits ...*interlock.Commit) (answers []chan error, open func()) {
	t.Helper()
	open = s.HoldPlaces()
	for _, c := range commits {
		answers = append(answers, background(func() error { return s.Commit(t.Context(), c) }))
	}
	require.Eventually(t, func() bool { return s.Waiting() == len(commits) }, patience, time.Millisecond)
	return answers, open
}

const patience = 30 * time.Second

func soon(t *testing.T, answer chan error, name string) error {
	t.Helper()
	select {
	case err := <-answer:
		return err
	case <-time.After(patience):
		t.Fatal(name, "hasn't been answered")
		return nil
	}
}

func version(t *testing.T, s interlock.Store, id string) int64 {
	t.Helper()
	f, err := s.Load(t.Context(), "default", interlock.Ref{Machine: "m", ID: id}, nil)
	require.NoError(t, err)
	require.NotNil(t, f.Instance)
	return f.Instance.Version
}
