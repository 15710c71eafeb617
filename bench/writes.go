package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/interlock-go/interlock"
)

// The writes of one commit as a program without the gate would make them, into
// the same tables with the same predicates. {name} is a value of the commit;
// SHARE locks where there are row locks.
const (
	updateCase = `UPDATE il.instance SET state = {state}, version = {version}, facts = {facts}, entered = {entered}, did = {did}, actors = {actors},
	last = {last}, created_by = {created_by}, created_at = {created_at}, since = {since}, updated_at = {updated_at}, head = {head}, content_digest = {digest}
	WHERE tenant = {tenant} AND machine = {machine} AND id = {id}
	AND version = {prev_version} AND state = {prev_state} AND content_digest = {prev_digest} AND head = {prev_head}
	AND EXISTS (SELECT 1 FROM a) AND EXISTS (SELECT 1 FROM r) AND EXISTS (SELECT 1 FROM s)`
	predicates = `WITH a AS MATERIALIZED (SELECT 1 FROM il.actor WHERE tenant = {tenant} AND id = {actor} AND version = {actor_version} AND content_digest = {actor_digest} SHARE),
	r AS MATERIALIZED (SELECT 1 FROM il.revision WHERE machine = {machine} AND id = {revision} AND status = 'active' SHARE),
	s AS MATERIALIZED (SELECT 1 FROM il.store WHERE epoch = {epoch} SHARE)`
	insertHistory = `INSERT INTO il.history (tenant, machine, instance, seq, id, event, from_state, to_state, override,
	actor, person, on_behalf_of, on_behalf_of_person, time_us, revision, hash, prev, bytes, has_texts)
	SELECT {tenant}, {machine}, {id}, {version}, {record}, {event}, {from}, {to}, {override},
	{actor}, {person}, {behalf}, {behalf_person}, {time}, {revision}, {hash}, {prev}, {bytes}, {has_texts}`
	insertTexts = `INSERT INTO il.texts (tenant, machine, instance, seq, note, input, facts, salt)
	SELECT {tenant}, {machine}, {id}, {version}, {note}, {input}, {facts}, {salt}`
	insertMessage = `INSERT INTO il.outbox (id, tenant, machine, instance, seq, message)
	SELECT {record}, {tenant}, {machine}, {id}, {version}, {message}`

	// singleStatement is all of it in one round trip, for PostgreSQL.
	singleStatement = predicates + `, u AS (` + updateCase + ` RETURNING 1), h AS (` + insertHistory + ` FROM u), t AS (` + insertTexts + ` FROM u), o AS (` +
		insertMessage + ` FROM u) SELECT count(*) FROM u`
)

// fourStatements are the same in a transaction.
var fourStatements = []string{predicates + " " + updateCase, insertHistory, insertTexts, insertMessage}

// statement is SQL whose parameters are picked from a commit's values.
type statement struct {
	sql  string
	args []int // places in writeNames
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// bind numbers the parameters. prefix is what the tables' names begin with.
func bind(sql, prefix string, share bool) statement {
	s := statement{}
	sql = strings.ReplaceAll(sql, "il.", prefix)
	sql = strings.ReplaceAll(sql, "SHARE", map[bool]string{true: "FOR SHARE"}[share])
	s.sql = placeholder.ReplaceAllStringFunc(sql, func(name string) string {
		i := slices.Index(writeNames, name[1:len(name)-1])
		at := slices.Index(s.args, i)
		if at < 0 {
			s.args = append(s.args, i)
			at = len(s.args) - 1
		}
		return fmt.Sprintf("$%d", at+1)
	})
	return s
}

func (s statement) pick(values []any) []any {
	out := make([]any, len(s.args))
	for i, at := range s.args {
		out[i] = values[at]
	}
	return out
}

// writeNames are the values of a commit, in the order of writeValues.
var writeNames = strings.Fields(`tenant machine id state version facts entered did actors last created_by created_at since updated_at head digest
	actor actor_version actor_digest revision epoch prev_version prev_state prev_digest prev_head
	record event from to override person behalf behalf_person time hash prev bytes has_texts note input salt message`)

func writeValues(c *interlock.Commit) ([]any, error) {
	ch, n, r, a := c.Instance, &c.Instance.Next, &c.Instance.Record, &c.Actors[0]
	texts := make([]string, 6)
	for i, v := range []any{n.Facts, n.Entered, n.Did, n.Actors, n.Last, r.Input} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		texts[i] = string(b)
	}
	return []any{n.Tenant, n.Machine, n.ID, n.State, n.Version, texts[0], texts[1], texts[2], texts[3], texts[4], n.CreatedBy,
		n.CreatedAt.UnixMicro(), n.Since.UnixMicro(), n.UpdatedAt.UnixMicro(), n.Head, ch.NextDigest,
		a.ID, a.Version, a.Digest, c.Revision.ID, c.Epoch, ch.PrevVersion, ch.PrevState, ch.PrevDigest, ch.PrevHead,
		r.ID, r.Event, r.From, r.To, r.Override, r.Person, r.OnBehalfOf, r.OnBehalfOfPerson, r.Time.UnixMicro(), r.Hash, r.Prev, r.Bytes, true,
		r.Note, texts[5], r.Salt, c.Outbox}, nil
}

// pgbenchScript is the single statement for pgbench: each client is an
// actor of its own, and goes through the versions of a case named by the run and the client.
func pgbenchScript(c *interlock.Commit, prefix string) (string, error) {
	values, err := writeValues(c)
	if err != nil {
		return "", err
	}
	own := map[string]string{
		"id":           `'p' || CAST(:run AS text) || '-' || CAST(:client_id AS text)`,
		"actor":        `'ann-' || CAST(:client_id AS text)`,
		"version":      `CAST(:v AS bigint)`,
		"prev_version": `CAST(:v AS bigint) - 1`,
		"record":       `to_hex(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)) || '-' || CAST(:run AS text) || '-' || CAST(:client_id AS text) || '-' || CAST(:v AS text)`,
	}
	sql := strings.ReplaceAll(strings.ReplaceAll(singleStatement, "il.", prefix), "SHARE", "FOR SHARE")
	sql = placeholder.ReplaceAllStringFunc(sql, func(name string) string {
		name = name[1 : len(name)-1]
		if text, ok := own[name]; ok {
			return text
		}
		return sqlLiteral(values[slices.Index(writeNames, name)])
	})
	return "\\set v :v + 1\n" + sql + ";\n", nil
}

// A colon before a word would be a variable of pgbench's.
var colon = regexp.MustCompile(`:(\w)`)

func sqlLiteral(v any) string {
	switch v := v.(type) {
	case string:
		return "'" + colon.ReplaceAllString(strings.ReplaceAll(v, "'", "''"), ": $1") + "'"
	case []byte:
		return `CAST('\x` + hex.EncodeToString(v) + `' AS bytea)`
	}
	return fmt.Sprint(v)
}
