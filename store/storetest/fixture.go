package storetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// fixture is a migrated store with one active revision r1 for each machine.
type fixture struct {
	*testing.T
	ctx      context.Context
	store    interlock.Store
	epoch    string
	postgres bool
	prefix   string // of the store's tables
	ticks    atomic.Int64
}

var states = []string{"new", "open", "done"}

func start(t *testing.T, open func(*testing.T) interlock.Store) *fixture {
	t.Helper()
	f := &fixture{T: t, ctx: t.Context(), store: open(t)}
	f.postgres, f.prefix = true, `"interlock".`
	if err := f.store.Within(f.ctx, func(tx interlock.Tx) error {
		db, ok := tx.Handle().(*sql.Tx)
		if !ok {
			return errors.New("pgx")
		}
		_, err := db.Exec("SELECT sqlite_version()")
		return err
	}); err == nil {
		f.postgres, f.prefix = false, "interlock_"
	}
	f.makeTables()
	if m, ok := f.store.(interface{ Migrate(context.Context) error }); ok {
		require.NoError(t, m.Migrate(f.ctx))
	}
	var err error
	f.epoch, err = f.store.Epoch(f.ctx)
	require.NoError(t, err)
	for _, m := range []string{"doc", "loan", "ticket", "photo", "order", "bare"} {
		require.NoError(t, f.store.Activate(f.ctx, f.revision(m, "r1"), time.Hour))
	}
	return f
}

func (f *fixture) revision(machine, id string) interlock.Revision {
	return interlock.Revision{Machine: machine, ID: id, States: states}
}

func (f *fixture) makeTables() {
	uuid, boolean := "TEXT", "BOOLEAN"
	if f.postgres {
		uuid = "UUID"
	}
	for table, id := range map[string]string{"loans": "TEXT", "tickets": "INTEGER", "photos": uuid, "orders": "TEXT", "bares": "TEXT"} {
		f.exec(`CREATE TABLE ` + table + ` (id ` + id + ` PRIMARY KEY, status TEXT, amount BIGINT, ratio NUMERIC(9,2), note TEXT, flag ` + boolean + `, org TEXT)`)
	}
}

// exec runs raw SQL in the store's own transaction.
func (f *fixture) exec(query string) {
	f.Helper()
	require.NoError(f, f.tryExec(query), query)
}

func (f *fixture) tryExec(query string) error {
	return f.store.Within(f.ctx, func(tx interlock.Tx) error { return execIn(f.ctx, tx, query) })
}

func execIn(ctx context.Context, tx interlock.Tx, query string) error {
	switch db := tx.Handle().(type) {
	case pgx.Tx:
		_, err := db.Exec(ctx, query)
		return err
	case *sql.Tx:
		_, err := db.ExecContext(ctx, query)
		return err
	}
	return fmt.Errorf("unknown handle %T", tx.Handle())
}

// query returns each row as one line.
func (f *fixture) query(query string) (lines []string) {
	f.Helper()
	require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) (err error) {
		lines, err = linesIn(f.ctx, tx, query)
		return err
	}), query)
	return lines
}

func linesIn(ctx context.Context, tx interlock.Tx, query string) (lines []string, err error) {
	switch db := tx.Handle().(type) {
	case pgx.Tx:
		rows, err := db.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return nil, err
			}
			lines = append(lines, fmt.Sprintf("%v", values))
		}
		return lines, rows.Err()
	case *sql.Tx:
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			values, dest := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				dest[i] = &values[i]
			}
			if err := rows.Scan(dest...); err != nil {
				return nil, err
			}
			lines = append(lines, fmt.Sprintf("%v", values))
		}
		return lines, rows.Err()
	}
	return nil, fmt.Errorf("unknown handle %T", tx.Handle())
}

// dump is every row of every table.
func (f *fixture) dump() string {
	f.Helper()
	var b strings.Builder
	tables := []string{"loans", "tickets", "photos", "orders", "bares"}
	for _, t := range []string{"store", "revision", "actor", "instance", "history", "texts", "idempotency", "outbox", "attempt", "attempt_count", "api_key"} {
		tables = append(tables, f.prefix+t)
	}
	require.NoError(f, f.store.Within(f.ctx, func(tx interlock.Tx) error {
		for _, t := range tables {
			lines, err := linesIn(f.ctx, tx, "SELECT * FROM "+t)
			if err != nil {
				return err
			}
			sort.Strings(lines)
			fmt.Fprintf(&b, "%s\n  %s\n", t, strings.Join(lines, "\n  "))
		}
		return nil
	}))
	return b.String()
}

// The gate computes digests and hashes of all content; these do, in its place.

func digest(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // only ever given values that encode
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

func instanceDigest(i interlock.Instance) []byte {
	i.Head = nil
	return digest(i)
}

func actorDigest(a interlock.ActorRecord) []byte {
	a.Head = nil
	return digest(a)
}

// now is another time at each call, in whole µs.
func (f *fixture) now() time.Time {
	return time.UnixMicro(4_000_000_000_000_000 + f.ticks.Add(1)).UTC() // nothing ends before
}

// fresh is an id that this database doesn't have.
func (f *fixture) fresh(prefix string) string { return fmt.Sprintf("%s-%05d", prefix, f.ticks.Add(1)) }

func (f *fixture) record(tenant, machine, id string, seq int64, event, from, to string, prev []byte) interlock.Record {
	r := interlock.Record{Transition: interlock.Transition{
		ID: fmt.Sprintf("t-%d", f.ticks.Add(1)), Tenant: tenant, Machine: machine, Instance: id, Seq: seq,
		Event: event, From: from, To: to, Actor: "ann", Person: "Ann", Note: "because", Input: map[string]any{"n": json.Number("9007199254740993")},
		Time: f.now(), Revision: "r1", Prev: prev,
		Facts: map[string]any{"amount": json.Number("5.0")},
	}, Salt: []byte("salt")}
	r.Bytes = digest(r.Transition)
	sum := sha256.Sum256(r.Bytes)
	r.Hash = sum[:]
	return r
}

// creation makes the commit that creates an instance.
func (f *fixture) creation(tenant, machine, id string) *interlock.Commit {
	at := f.now()
	rec := f.record(tenant, machine, id, 1, "$create", "", "new", []byte("genesis"))
	next := interlock.Instance{
		Tenant: tenant, Machine: machine, ID: id, State: "new", Version: 1,
		Facts: map[string]any{"amount": json.Number("5")}, Entered: map[string][]string{"new": {"Ann"}},
		Did: map[string][]string{"$create": {"Ann"}}, Actors: []string{"Ann"},
		Last:      map[string]interlock.Last{"$create": {Person: "Ann", At: at, Count: 1}},
		CreatedBy: "Ann", CreatedAt: at, Since: at, UpdatedAt: at, Head: rec.Hash,
	}
	return &interlock.Commit{
		Epoch: f.epoch, Revision: f.revision(machine, "r1"),
		Instance: &interlock.InstanceChange{Next: next, NextDigest: instanceDigest(next), Record: rec},
	}
}

// step makes the commit that moves an instance as it was loaded.
func (f *fixture) step(i interlock.Instance, to string) *interlock.Commit {
	rec := f.record(i.Tenant, i.Machine, i.ID, i.Version+1, "go", i.State, to, i.Head)
	next := i
	next.State, next.Version, next.UpdatedAt, next.Head = to, i.Version+1, rec.Time, rec.Hash
	return &interlock.Commit{
		Epoch: f.epoch, Revision: f.revision(i.Machine, "r1"),
		Instance: &interlock.InstanceChange{
			PrevVersion: i.Version, PrevState: i.State, PrevDigest: instanceDigest(i), PrevHead: i.Head,
			Next: next, NextDigest: instanceDigest(next), Record: rec,
		},
	}
}

// actorChange makes the change of an actor; prev nil makes the actor.
func (f *fixture) actorChange(prev *interlock.ActorRecord, next interlock.ActorRecord) *interlock.ActorChange {
	ch := &interlock.ActorChange{PrevHead: []byte("genesis")}
	if prev != nil {
		ch.PrevVersion, ch.PrevDigest, ch.PrevHead = prev.Version, actorDigest(*prev), prev.Head
	}
	next.Version = ch.PrevVersion + 1
	ch.Record = f.record(next.Tenant, interlock.ActorMachine, next.ID, next.Version, "$grant", "", "", ch.PrevHead)
	next.Head = ch.Record.Hash
	ch.Next, ch.NextDigest = next, actorDigest(next)
	return ch
}

func (f *fixture) commitActor(ch *interlock.ActorChange) *interlock.Commit {
	return &interlock.Commit{Epoch: f.epoch, Actor: ch}
}

func (f *fixture) actor(tenant, id string, roles ...string) interlock.ActorRecord {
	a := interlock.ActorRecord{Tenant: tenant, ID: id, Person: "P-" + id, Active: true, Attrs: map[string]any{"limit": json.Number("50000")}, Grants: []interlock.Grant{}}
	for _, r := range roles {
		a.Grants = append(a.Grants, interlock.Grant{Role: r, Since: f.now(), By: "root"})
	}
	return a
}

func check(a interlock.ActorRecord) interlock.ActorCheck {
	return interlock.ActorCheck{ID: a.ID, Version: a.Version, Digest: actorDigest(a)}
}

// must commits.
func (f *fixture) must(c *interlock.Commit) {
	f.Helper()
	require.NoError(f, f.store.Commit(f.ctx, c))
}

// have creates an instance and returns it as loaded.
func (f *fixture) have(tenant, machine, id string) interlock.Instance {
	f.Helper()
	c := f.creation(tenant, machine, id)
	if f.bound(machine) {
		c.Bound = &interlock.BoundChange{From: "new", To: "new"}
	}
	f.must(c)
	return f.get(tenant, machine, id)
}

func (f *fixture) bound(machine string) bool {
	for _, b := range Bindings() {
		if b.Machine == machine {
			return true
		}
	}
	return false
}

func (f *fixture) get(tenant, machine, id string) interlock.Instance {
	f.Helper()
	facts, err := f.store.Load(f.ctx, tenant, interlock.Ref{Machine: machine, ID: id}, nil)
	require.NoError(f, err)
	require.NotNil(f, facts.Instance, "%s/%s/%s", tenant, machine, id)
	return *facts.Instance
}

// haveActor makes an actor and returns it as loaded.
func (f *fixture) haveActor(a interlock.ActorRecord) interlock.ActorRecord {
	f.Helper()
	f.must(f.commitActor(f.actorChange(nil, a)))
	return f.getActor(a.Tenant, a.ID)
}

func (f *fixture) getActor(tenant, id string) interlock.ActorRecord {
	f.Helper()
	a, err := f.store.Actor(f.ctx, tenant, id)
	require.NoError(f, err)
	require.NotNil(f, a)
	return *a
}

const tenant = interlock.DefaultTenant
