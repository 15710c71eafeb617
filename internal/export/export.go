// Package export writes rows of the audit, committed and refused, in the forms
// that other programs read.
package export

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/interlock-go/interlock"
)

// Row is one event that was asked for: committed, or refused.
type Row struct {
	Outcome          string         `json:"outcome"`
	Time             Time           `json:"time"`
	Machine          string         `json:"machine"`
	Instance         string         `json:"instance"`
	Seq              *int64         `json:"seq"` // null: refused
	Event            string         `json:"event"`
	From             string         `json:"from"`
	To               *string        `json:"to"` // null: refused, and no target named
	Override         bool           `json:"override"`
	Actor            string         `json:"actor"`
	Person           string         `json:"person"`
	OnBehalfOf       *string        `json:"on_behalf_of"`
	OnBehalfOfPerson *string        `json:"on_behalf_of_person"`
	Note             *string        `json:"note"`  // null: none, or erased
	Input            map[string]any `json:"input"` // null: none, or erased
	Stage            *string        `json:"stage"` // null: committed
	Code             *string        `json:"code"`
	Reasons          []string       `json:"reasons"`
	Revision         string         `json:"revision"`
	ID               *string        `json:"id"`
	Hash             *string        `json:"hash"`
}

// Time is RFC 3339 in UTC, always with six digits.
type Time time.Time

// MarshalText writes it.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func (t Time) String() string { return time.Time(t).UTC().Format("2006-01-02T15:04:05.000000Z") }

// Rows are a page's, committed first.
func Rows(page interlock.AuditPage) []Row {
	out := make([]Row, 0, len(page.Rows)+len(page.Attempts))
	for _, t := range page.Rows {
		hash := hex.EncodeToString(t.Hash)
		out = append(out, Row{
			Outcome: interlock.Committed, Time: Time(t.Time), Machine: t.Machine, Instance: t.Instance, Seq: &t.Seq, Event: t.Event, From: t.From, To: &t.To,
			Override: t.Override, Actor: t.Actor, Person: t.Person, OnBehalfOf: orNull(t.OnBehalfOf), OnBehalfOfPerson: orNull(t.OnBehalfOfPerson),
			Note: orNull(t.Note), Input: t.Input, Reasons: []string{}, Revision: t.Revision, ID: &t.ID, Hash: &hash,
		})
	}
	for _, a := range page.Attempts {
		stage := string(a.Stage)
		reasons := a.Reasons
		if reasons == nil {
			reasons = []string{}
		}
		out = append(out, Row{
			Outcome: interlock.Refused, Time: Time(a.Time), Machine: a.Machine, Instance: a.Instance, Event: a.Event, From: a.State, To: orNull(a.To),
			Actor: a.Actor, Person: a.Person, Stage: &stage, Code: &a.Code, Reasons: reasons, Revision: a.Revision,
		})
	}
	return out
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// NDJSON writes one JSON object a line.
func NDJSON(w io.Writer, rows []Row) error {
	enc := json.NewEncoder(w)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

var columns = []string{"outcome", "time", "machine", "instance", "seq", "event", "from", "to", "override", "actor", "person", "on_behalf_of", "on_behalf_of_person",
	"note", "input", "stage", "code", "reasons", "revision", "id", "hash"}

// CSVHeader writes the names of the columns.
func CSVHeader(w io.Writer) error { return line(w, columns) }

// CSV writes rows as RFC 4180 says, every field in quotes.
func CSV(w io.Writer, rows []Row) error {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	for _, r := range rows {
		seq, input := "", ""
		if r.Seq != nil {
			seq = strconv.FormatInt(*r.Seq, 10)
		}
		if r.Input != nil {
			b, err := json.Marshal(r.Input)
			if err != nil {
				return err
			}
			input = string(b)
		}
		err := line(w, []string{r.Outcome, r.Time.String(), r.Machine, r.Instance, seq, r.Event, r.From, text(r.To), strconv.FormatBool(r.Override),
			r.Actor, r.Person, text(r.OnBehalfOf), text(r.OnBehalfOfPerson), text(r.Note), input, text(r.Stage), text(r.Code),
			strings.Join(r.Reasons, " "), r.Revision, text(r.ID), text(r.Hash)})
		if err != nil {
			return err
		}
	}
	return nil
}

func line(w io.Writer, fields []string) error {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(harmless(f), `"`, `""`))
		b.WriteByte('"')
	}
	b.WriteString("\r\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// harmless keeps a spreadsheet from taking a text for a formula (CWE-1236).
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}
