package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/interlock-go/interlock/internal/sqlstore"
)

func dialect(schema string) *sqlstore.Dialect {
	return &sqlstore.Dialect{
		Prefix:       sqlstore.Quote(schema) + ".",
		Now:          "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
		List:         "json_array_elements_text",
		Arrays:       "json_array_elements",
		Share:        "FOR SHARE",
		Update:       "FOR UPDATE",
		Skip:         "FOR UPDATE SKIP LOCKED",
		LockTx:       "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
		LockTxShared: "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))",
		LockSchema:   "SELECT " + waiting("0") + ", pg_advisory_xact_lock(hashtextextended($1, 0)), " + waiting(patientWait),
		Notify:       "SELECT pg_notify('" + channel + "', '" + schema + " ' || CAST($1 AS text))",
		Server:       server,
		Bytes:        `"C"`,
		Guards:       guards(),
		GuardSQL:     guardSQL(schema),
		Bind:         bind,
		AtOnce:       newSingle(schema, nil).within,
		Retry:        retry,
	}
}

// channel is where changes of revisions and epochs are told: the schema, and what.
const channel = "interlock"

// The timeline by the name of the file that is being written: the control file
// has it only after a checkpoint.
const serverSQL = `SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' || substring(pg_walfile_name(pg_current_wal_lsn()) FOR 8)`

// server is "" where the role may not ask, or the server has no such functions.
func server(ctx context.Context, c sqlstore.Conn) (string, error) {
	rows, err := c.Query(ctx, serverSQL)
	if err != nil {
		return "", untold(err)
	}
	defer rows.Close()
	var name string
	if rows.Next() {
		err = rows.Scan(&name)
	}
	rows.Close()
	return name, untold(errors.Join(rows.Err(), err))
}

func untold(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "42501", "42883", "0A000", "55000":
			return nil
		}
	}
	return err
}

// guards are the triggers, and the bodies of the functions that they call.
var guards = sync.OnceValue(func() (list []sqlstore.Guard) {
	for _, g := range [][3]string{
		{"history_no_change", "history", "refuse_change"}, {"history_no_delete", "history", "refuse_unarchived"},
		{"history_no_truncate", "history", "refuse_change"}, {"texts_no_update", "texts", "refuse_change"},
		{"texts_no_truncate", "texts", "refuse_change"}, {"epoch_no_change", "epoch", "refuse_change"}, {"epoch_no_truncate", "epoch", "refuse_change"},
	} {
		body := sqlstore.Made(migrations, "CREATE FUNCTION il."+g[2]+"() RETURNS trigger LANGUAGE plpgsql AS $$", "$$")
		list = append(list, sqlstore.Guard{Name: g[0], Table: g[1], Text: body})
	}
	return list
})

// guardSQL: those on history hold in every session (ENABLE ALWAYS), those on
// texts at least in ordinary ones. tgtype is what they fire on: a trigger of the
// same name for less, or that calls something else, isn't the guard.
func guardSQL(schema string) string {
	return `SELECT 1 FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid AND c.relname = $2
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = n.oid AND p.prosrc = $3
	AND p.proconfig IS NULL AND NOT p.prosecdef AND p.prolang = (SELECT l.oid FROM pg_catalog.pg_language l WHERE l.lanname = 'plpgsql')
WHERE n.nspname = '` + schema + `' AND t.tgname = $1 AND t.tgqual IS NULL AND t.tgattr::text = ''
	AND CASE WHEN c.relname IN ('history', 'epoch') THEN t.tgenabled = 'A' ELSE t.tgenabled IN ('O', 'A') END
	AND t.tgtype & 62 = CASE WHEN t.tgname = 'epoch_no_change' THEN 26 WHEN t.tgname IN ('history_no_change', 'texts_no_update') THEN 18
		WHEN t.tgname = 'history_no_delete' THEN 10 ELSE 34 END`
}

// retry: deadlock, serialization failure and lock timeout. The server has
// rolled back; nothing was written.
func retry(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001" || pg.Code == "55P03")
}

// column is the type of a bound column: the base type of a domain.
type column struct {
	schema, name string
}

func (c column) String() string { return sqlstore.Quote(c.schema) + "." + sqlstore.Quote(c.name) }

func (c column) builtin(names ...string) bool {
	if c.schema != "pg_catalog" {
		return false
	}
	for _, n := range names {
		if c.name == n {
			return true
		}
	}
	return false
}

const columnsSQL = `SELECT n.nspname, c.relname, a.attname, tn.nspname, t.typname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
WHERE c.oid = to_regclass($1)`

func bind(ctx context.Context, c sqlstore.Conn, b sqlstore.Binding) (sqlstore.Columns, error) {
	rows, err := c.Query(ctx, columnsSQL, sqlstore.Quote(b.Table))
	if err != nil {
		return sqlstore.Columns{}, err
	}
	defer rows.Close()
	var schema, table string
	types := map[string]column{}
	for rows.Next() {
		var name string
		var t column
		if err := rows.Scan(&schema, &table, &name, &t.schema, &t.name); err != nil {
			return sqlstore.Columns{}, err
		}
		types[name] = t
	}
	if err := rows.Err(); err != nil {
		return sqlstore.Columns{}, err
	}
	if table == "" {
		return sqlstore.Columns{}, errors.New("there is no such table: create it before the gate starts")
	}
	names := append([]string{b.ID, b.State}, b.Facts...)
	if b.Tenant != "" {
		names = append(names, b.Tenant)
	}
	for _, n := range names {
		if _, ok := types[n]; !ok {
			return sqlstore.Columns{}, fmt.Errorf("it has no column %q", n)
		}
	}
	cols := sqlstore.Columns{
		Table:    sqlstore.Quote(schema) + "." + sqlstore.Quote(table),
		ID:       "b." + sqlstore.Quote(b.ID) + `::text COLLATE "C"`,
		State:    "b." + sqlstore.Quote(b.State) + "::text",
		SetState: func(v string) string { return "CAST(CAST(" + v + " AS text) AS " + types[b.State].String() + ")" },
		Facts:    factsExpr(b.Facts, types),
	}
	cols.Match, cols.ValidID = match(b.ID, types[b.ID])
	if b.Tenant != "" {
		cols.MatchTenant, cols.ValidTenant = match(b.Tenant, types[b.Tenant])
	}
	return cols, nil
}

// factsExpr is one JSON object of the columns. A function takes at most 100
// arguments: wide ones are put together from parts.
func factsExpr(facts []string, types map[string]column) string {
	const most = 40
	parts := []string{"'{}'::jsonb"}
	for len(facts) > 0 {
		n := min(most, len(facts))
		args := make([]string, 0, n)
		for _, f := range facts[:n] {
			args = append(args, "'"+f+"', "+factExpr("b."+sqlstore.Quote(f), types[f]))
		}
		parts = append(parts, "jsonb_build_object("+strings.Join(args, ", ")+")")
		facts = facts[n:]
	}
	return "(" + strings.Join(parts, " || ") + ")::text"
}

// factExpr is the column as JSON, whatever the session's time zone is.
func factExpr(col string, t column) string {
	if t.builtin("timestamptz") {
		return "to_jsonb(to_char(" + col + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))`
	}
	return "to_jsonb(" + col + ")"
}

var (
	uuidText    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	numericText = regexp.MustCompile(`^-?[0-9]{1,100}(\.[0-9]{1,100})?$`)
)

// match compares the column with a text: as the column's type, so that its
// index serves, and by bytes, since the type may hold two texts for the same
// ("7" and "007", letters of either case). valid keeps away what the type
// would refuse with an error: no row has such an id.
func match(name string, t column) (expr func(string) string, valid func(string) bool) {
	col := "b." + sqlstore.Quote(name)
	bytes := func(v string) string { return col + `::text COLLATE "C" = ` + v }
	typed := func(v string) string {
		return "(" + col + " = CAST(CAST(" + v + " AS text) AS " + t.String() + ") AND " + bytes(v) + ")"
	}
	switch {
	case t.builtin("int2"):
		return typed, integer(16)
	case t.builtin("int4"):
		return typed, integer(32)
	case t.builtin("int8"):
		return typed, integer(64)
	case t.builtin("uuid"):
		return typed, uuidText.MatchString
	case t.builtin("numeric"):
		return typed, numericText.MatchString
	case t.builtin("text", "varchar", "bpchar"), t.name == "citext":
		return typed, func(string) bool { return true }
	}
	return bytes, func(string) bool { return true }
}

func integer(bits int) func(string) bool {
	return func(s string) bool {
		n, err := strconv.ParseInt(s, 10, bits)
		return err == nil && strconv.FormatInt(n, 10) == s
	}
}
