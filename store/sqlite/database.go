package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

var errReadOnly = errors.New("sqlite: opened read-only")

// database is the readers' pool and the one writer.
type database struct {
	sqlstore.Conn
	writer *writer
	group  *group
	copies *copies
}

func (s *Store) database() database {
	return database{Conn: s.statements, writer: s.writer, group: &s.commits, copies: s.copies}
}

// Write shares a transaction with the commits that are queued.
func (d database) Write(ctx context.Context, fn func(sqlstore.Conn) error) error {
	if d.writer == nil {
		return errReadOnly
	}
	return d.group.do(ctx, &pending{write: fn})
}

func (d database) InTx(ctx context.Context, fn func(sqlstore.Tx) error) error {
	if d.writer == nil {
		return errReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := d.writer.begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer d.writer.end()
	w := &changes{copies: d.copies}
	defer d.copies.settle(w) // before the turn is another's, who would commit the next version
	defer t.end()            // after a commit it does nothing; after a panic it ends the transaction
	if err := fn(watched{t, w}); err != nil {
		return err
	}
	return outcome(t.tx.Commit())
}

// outcome is what the error of a commit says. A transaction that had ended before it has
// certainly left nothing.
func outcome(err error) error {
	if err == nil || errors.Is(err, errEnded) {
		return err
	}
	return &interlock.UnknownOutcome{Err: err}
}

func dialect() *sqlstore.Dialect {
	return &sqlstore.Dialect{
		Prefix: "interlock_",
		Now:    "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
		List:   "json_each",
		Arrays: "json_each",
		Bytes:  "BINARY",
		Guards: guards(),
		// Whole: a trigger of the same name that forbids less isn't one.
		GuardSQL: `SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = $1 AND tbl_name = $2 AND sql = $3`,
		Bind:     bind,
	}
}

// guards are the triggers as SQLite keeps their text.
var guards = sync.OnceValue(func() (list []sqlstore.Guard) {
	for table, names := range map[string][]string{
		"history": {"history_no_update", "history_no_delete", "history_no_replace"},
		"texts":   {"texts_no_update"},
		"epoch":   {"epoch_no_update", "epoch_no_delete", "epoch_no_replace"},
	} {
		for _, name := range names {
			trigger := "CREATE TRIGGER il." + name + " "
			list = append(list, sqlstore.Guard{Name: "interlock_" + name, Table: "interlock_" + table,
				Text: trigger + sqlstore.Made(migrations, trigger, "END;") + "END"})
		}
	}
	slices.SortFunc(list, func(a, b sqlstore.Guard) int { return strings.Compare(a.Name, b.Name) })
	return list
})

// bind reads the declared types of the bound columns: booleans and JSON have
// none of their own in SQLite.
func bind(ctx context.Context, c sqlstore.Conn, b sqlstore.Binding) (sqlstore.Columns, error) {
	types, err := columnTypes(ctx, c, b.Table)
	if err != nil {
		return sqlstore.Columns{}, err
	}
	names := append([]string{b.ID, b.State}, b.Facts...)
	if b.Tenant != "" {
		names = append(names, b.Tenant)
	}
	for _, n := range names {
		if _, ok := types[strings.ToLower(n)]; !ok {
			return sqlstore.Columns{}, fmt.Errorf("it has no column %q", n)
		}
	}
	facts := make([]string, 0, len(b.Facts))
	for _, n := range b.Facts {
		facts = append(facts, "'"+n+"', json("+factExpr("b."+sqlstore.Quote(n), types[strings.ToLower(n)])+")")
	}
	match := func(column string) func(string) string {
		col := "b." + sqlstore.Quote(column)
		// By index first; then by bytes, for the column may compare more loosely: 7 = '007'.
		return func(v string) string {
			return "(" + col + " = " + v + " AND CAST(" + col + " AS TEXT) COLLATE BINARY = " + v + ")"
		}
	}
	anyText := func(string) bool { return true }
	return sqlstore.Columns{
		Table:       sqlstore.Quote(b.Table),
		ID:          "CAST(b." + sqlstore.Quote(b.ID) + " AS TEXT) COLLATE BINARY",
		State:       "CAST(b." + sqlstore.Quote(b.State) + " AS TEXT)",
		SetState:    func(v string) string { return v },
		Facts:       "json_object(" + strings.Join(facts, ", ") + ")",
		Match:       match(b.ID),
		MatchTenant: match(b.Tenant),
		ValidID:     anyText, ValidTenant: anyText,
	}, nil
}

// columnTypes are the declared types by lower-case name.
func columnTypes(ctx context.Context, c sqlstore.Conn, table string) (map[string]string, error) {
	schema, name, ok := strings.Cut(table, ".")
	if !ok {
		schema, name = "main", table
	}
	rows, err := c.Query(ctx, "SELECT lower(name), upper(type) FROM pragma_table_info($1, $2)", name, schema)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types := map[string]string{}
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			return nil, err
		}
		types[name] = typ
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(types) == 0 {
		return nil, errors.New("there is no such table: create it before the gate starts")
	}
	return types, nil
}

// factExpr is the column as JSON text, as PostgreSQL would give it.
func factExpr(col, declared string) string {
	plain := "CASE typeof(" + col + ") WHEN 'blob' THEN json_quote(hex(" + col + ")) ELSE json_quote(" + col + ") END"
	switch {
	case strings.HasPrefix(declared, "BOOL"):
		return "CASE " + col + " WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE " + plain + " END"
	case strings.HasPrefix(declared, "JSON"):
		return "CASE WHEN json_valid(" + col + ") THEN json(" + col + ") ELSE " + plain + " END"
	}
	return plain
}
