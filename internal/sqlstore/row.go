package sqlstore

import (
	"fmt"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/jsonvalue"
)

// text, number and boolean are columns that may be NULL, which database/sql and
// pgx fill without a pointer for each.
type text struct {
	s     string
	there bool
}

// Scan is sql.Scanner's.
func (t *text) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t = text{}
	case string:
		*t = text{v, true}
	case []byte:
		*t = text{string(v), true}
	default:
		return fmt.Errorf("a column of text holds a %T", src)
	}
	return nil
}

type number struct{ n int64 }

// Scan is sql.Scanner's.
func (n *number) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		n.n = 0
	case int64:
		n.n = v
	default:
		return fmt.Errorf("a column of whole numbers holds a %T", src)
	}
	return nil
}

type boolean struct{ yes bool }

// Scan is sql.Scanner's.
func (b *boolean) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		b.yes = false
	case bool:
		b.yes = v
	case int64:
		b.yes = v != 0
	default:
		return fmt.Errorf("a column of booleans holds a %T", src)
	}
	return nil
}

// nullInstance is an instance's columns when there may be none.
type nullInstance struct {
	tenant, machine, id, state, facts, entered, did, actors, last, createdBy text
	version, createdAt, since, updatedAt                                     number
	head                                                                     []byte
}

func (n *nullInstance) dest() []any {
	return []any{&n.tenant, &n.machine, &n.id, &n.state, &n.version, &n.facts, &n.entered, &n.did, &n.actors, &n.last,
		&n.createdBy, &n.createdAt, &n.since, &n.updatedAt, &n.head}
}

func (n *nullInstance) instance() (*interlock.Instance, error) {
	if !n.id.there {
		return nil, nil
	}
	i := &interlock.Instance{
		Tenant: n.tenant.s, Machine: n.machine.s, ID: n.id.s, State: n.state.s, Version: n.version.n,
		CreatedBy: n.createdBy.s, CreatedAt: fromMicros(n.createdAt.n), Since: fromMicros(n.since.n),
		UpdatedAt: fromMicros(n.updatedAt.n), Head: n.head,
	}
	var errs [5]error
	i.Facts, errs[0] = decodeMembers(n.facts.s)
	i.Entered, errs[1] = decodeSets(n.entered.s)
	i.Did, errs[2] = decodeSets(n.did.s)
	i.Actors, errs[3] = decodeStrings(n.actors.s)
	i.Last, errs[4] = decodeLast(n.last.s)
	for k, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("instance %s/%s/%s, column %s: %w", i.Tenant, i.Machine, i.ID, []string{"facts", "entered", "did", "actors", "last"}[k], err)
		}
	}
	return i, nil
}

type nullActor struct {
	tenant, id, person, attrs, grants text
	active                            boolean
	version                           number
	head                              []byte
}

func (n *nullActor) dest() []any {
	return []any{&n.tenant, &n.id, &n.person, &n.active, &n.attrs, &n.grants, &n.version, &n.head}
}

func (n *nullActor) actor() (*interlock.ActorRecord, error) {
	if !n.id.there {
		return nil, nil
	}
	a := &interlock.ActorRecord{Tenant: n.tenant.s, ID: n.id.s, Person: n.person.s, Active: n.active.yes, Version: n.version.n, Head: n.head}
	var err error
	if a.Attrs, err = decodeMembers(n.attrs.s); err != nil {
		return nil, fmt.Errorf("actor %s/%s, column attrs: %w", a.Tenant, a.ID, err)
	}
	if a.Grants, err = decodeGrants(n.grants.s); err != nil {
		return nil, fmt.Errorf("actor %s/%s, column grants: %w", a.Tenant, a.ID, err)
	}
	return a, nil
}

// factsRow is one row of a load: a place for each of its columns, used again.
type factsRow struct {
	epoch, id    string
	in           nullInstance
	hasRow       int64
	state, facts text
	ac           nullActor
	dest         []any
}

func newFactsRow() *factsRow {
	f := &factsRow{}
	f.dest = append(append([]any{&f.epoch, &f.id}, f.in.dest()...), &f.hasRow, &f.state, &f.facts)
	f.dest = append(f.dest, f.ac.dest()...)
	return f
}

// scan reads one row of a load: all of it into empty facts, else only the actor.
func (row *factsRow) scan(r Rows, f *interlock.Facts) (err error) {
	row.in.head, row.ac.head = nil, nil // what was read into them before isn't ours any more
	if err := r.Scan(row.dest...); err != nil {
		return err
	}
	if f.Epoch == "" {
		f.Epoch = row.epoch
		if f.Instance, err = row.in.instance(); err != nil {
			return err
		}
		if row.hasRow == 1 {
			if f.Bound, err = boundOf(row.state, row.facts); err != nil {
				return err
			}
		}
	}
	a, err := row.ac.actor()
	if err != nil {
		return err
	}
	if a != nil {
		f.Actors = append(f.Actors, *a)
	}
	return nil
}

// The forms that columns have are read in one pass; what isn't written as this
// package does is left to Decode, whose word on it counts.

func decodeMembers(column string) (map[string]any, error) {
	r := jsonvalue.Read(column)
	if m, ok := r.Members(); ok && r.End() {
		return m, nil
	}
	var m map[string]any
	err := Decode(column, &m)
	return m, err
}

func decodeSets(column string) (map[string][]string, error) {
	r := jsonvalue.Read(column)
	if m, ok := r.Sets(); ok && r.End() {
		return m, nil
	}
	var m map[string][]string
	err := Decode(column, &m)
	return m, err
}

func decodeStrings(column string) ([]string, error) {
	r := jsonvalue.Read(column)
	if list, ok := r.Strings(); ok && r.End() {
		return list, nil
	}
	var list []string
	err := Decode(column, &list)
	return list, err
}

func decodeLast(column string) (map[string]interlock.Last, error) {
	r, m := jsonvalue.Read(column), map[string]interlock.Last{}
	ok := r.Object(func(event string) bool {
		var l interlock.Last
		ok := r.Object(func(name string) (ok bool) {
			switch name {
			case "person":
				l.Person, ok = r.String()
			case "at":
				l.At, ok = r.Time()
			case "count":
				l.Count, ok = r.Int()
			}
			return ok
		})
		m[event] = l
		return ok
	})
	if ok && r.End() {
		return m, nil
	}
	m = nil
	if err := Decode(column, &m); err != nil {
		return nil, err
	}
	for e, l := range m {
		l.At = l.At.UTC()
		m[e] = l
	}
	return m, nil
}

func decodeGrants(column string) ([]interlock.Grant, error) {
	r, list := jsonvalue.Read(column), []interlock.Grant{}
	ok := r.Array(func() bool {
		var g interlock.Grant
		ok := r.Object(func(name string) (ok bool) {
			switch name {
			case "role":
				g.Role, ok = r.String()
			case "scope":
				var s string
				if s, ok = r.String(); ok {
					ok = g.Scope.UnmarshalText([]byte(s)) == nil
				}
			case "since":
				g.Since, ok = r.Time()
			case "by":
				g.By, ok = r.String()
			}
			return ok
		})
		list = append(list, g)
		return ok
	})
	if ok && r.End() {
		return list, nil
	}
	list = nil
	if err := Decode(column, &list); err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Since = list[i].Since.UTC()
	}
	return list, nil
}
