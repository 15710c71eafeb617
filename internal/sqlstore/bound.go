package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/interlock-go/interlock"
)

// Binding is the contract's; named here for the dialects.
type Binding = interlock.Binding

// Columns are a binding's columns as expressions of the dialect, over the
// table's alias b. Match and MatchTenant compare with the text expression
// they are given, by index where there is one, and by bytes.
type Columns struct {
	Table       string                // quoted, qualified
	ID          string                // text, compared by its bytes
	State       string                // text
	SetState    func(v string) string // the text expression v as the column's type
	Facts       string                // one JSON object as text
	Match       func(v string) string
	MatchTenant func(v string) string

	// ValidID and ValidTenant tell whether the text can be a value of the column.
	ValidID, ValidTenant func(string) bool
}

// bound is a binding with its statements.
type bound struct {
	Binding
	cols   Columns
	load   string // see loadSQL
	many   string
	lock   string // $1 id, $2 tenant
	read   string
	update string // $3 the state
	drift  string // see driftSQL
}

// bindings resolves each binding once.
type bindings struct {
	mu    sync.Mutex
	known map[string]Binding
	ready map[string]*bound
}

// CheckBinding tells whether the names are identifiers.
func CheckBinding(b Binding) error {
	if b.Machine == "" {
		return fmt.Errorf("binding of table %q: the machine's name is missing", b.Table)
	}
	if n := strings.Count(b.Table, "."); n > 1 {
		return fmt.Errorf("binding of machine %s: table %q: want name or schema.name", b.Machine, b.Table)
	}
	names := append(strings.Split(b.Table, "."), b.ID, b.State)
	names = append(names, b.Facts...)
	if b.Tenant != "" {
		names = append(names, b.Tenant)
	}
	for _, n := range names {
		if err := CheckName(n); err != nil {
			return fmt.Errorf("binding of machine %s: %w", b.Machine, err)
		}
	}
	return nil
}

// CheckName tells whether s may name a schema, table or column.
func CheckName(s string) error {
	ok := s != "" && len(s) <= 63
	for i, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		ok = ok && (letter || i > 0 && '0' <= c && c <= '9')
	}
	if !ok {
		return fmt.Errorf("%q is not a name: want letters, digits and _, at most 63, no digit first", s)
	}
	return nil
}

// Quote quotes a name, or both parts of schema.name.
func Quote(name string) string {
	return `"` + strings.ReplaceAll(name, ".", `"."`) + `"`
}

func newBindings(list []Binding) (*bindings, error) {
	bs := &bindings{known: map[string]Binding{}, ready: map[string]*bound{}}
	for _, b := range list {
		if err := CheckBinding(b); err != nil {
			return nil, err
		}
		if _, twice := bs.known[b.Machine]; twice {
			return nil, fmt.Errorf("machine %s is bound to a table twice", b.Machine)
		}
		bs.known[b.Machine] = b
	}
	return bs, nil
}

// binding is nil for a machine that isn't bound.
func (s *Store) binding(ctx context.Context, c Conn, machine string) (*bound, error) {
	bs := s.bindings
	b, ok := bs.known[machine]
	if !ok {
		return nil, nil
	}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if r := bs.ready[machine]; r != nil {
		return r, nil
	}
	cols, err := s.d.Bind(ctx, c, b)
	if err != nil {
		return nil, fmt.Errorf("machine %s, bound to table %s: %w", machine, b.Table, err)
	}
	r := &bound{Binding: b, cols: cols}
	table := cols.Table + " b"
	where := cols.Match("$1")
	if b.Tenant != "" {
		where += " AND " + cols.MatchTenant("$2")
	} else {
		where += " AND CAST($2 AS TEXT) = '" + interlock.DefaultTenant + "'"
	}
	r.lock = "SELECT 1 FROM " + table + " WHERE " + where + " " + s.d.Update
	r.read = "SELECT " + cols.State + ", " + cols.Facts + " FROM " + table + " WHERE " + where + " " + s.d.Update
	r.update = "UPDATE " + cols.Table + " AS b SET " + Quote(b.State) + " = " + cols.SetState("$3") + " WHERE " + where
	join := " LEFT JOIN " + table + " ON " + cols.Match("r.bid")
	if b.Tenant != "" {
		join += " AND " + cols.MatchTenant("r.btenant")
	}
	b0 := strings.NewReplacer("BOUND_COLUMNS", "CASE WHEN b."+Quote(b.ID)+" IS NULL THEN 0 ELSE 1 END, "+cols.State+", "+cols.Facts, "BOUND_JOIN", join)
	r.load, r.many = b0.Replace(s.q.load), b0.Replace(s.q.loadMany)
	ofTenant := "CAST($1 AS TEXT) = '" + interlock.DefaultTenant + "'"
	if b.Tenant != "" {
		ofTenant = cols.MatchTenant("$1")
	}
	r.drift = strings.NewReplacer("BOUND_ID", cols.ID, "BOUND_STATE", "("+cols.State+") COLLATE "+s.d.Bytes, "BOUND_TABLE", cols.Table, "BOUND_TENANT", ofTenant).Replace(s.q.drift)
	bs.ready[machine] = r
	return r, nil
}

// rowID is the id for the application's table: nil when no row can have it.
func (b *bound) rowID(tenant, id string) *string {
	switch {
	case b == nil || !b.cols.ValidID(id):
		return nil
	case b.Tenant == "" && tenant != interlock.DefaultTenant:
		return nil
	case b.Tenant != "" && !b.cols.ValidTenant(tenant):
		return nil
	}
	return &id
}

// boundRow reads and locks the application's row; nil when there is none.
func (s *Store) boundRow(ctx context.Context, c Conn, b *bound, tenant, id string) (*interlock.BoundRow, error) {
	if b.rowID(tenant, id) == nil {
		return nil, nil
	}
	var state, facts text
	found, err := one(ctx, c, b.read, []any{id, tenant}, &state, &facts)
	if err != nil || !found {
		return nil, err
	}
	return boundOf(state, facts)
}

func boundOf(state, facts text) (*interlock.BoundRow, error) {
	row := &interlock.BoundRow{State: state.s, Facts: map[string]any{}}
	if facts.there {
		var err error
		if row.Facts, err = decodeMembers(facts.s); err != nil {
			return nil, fmt.Errorf("fact columns: %w", err)
		}
	}
	return row, nil
}
