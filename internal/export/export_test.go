package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/export"
)

func page(note string) interlock.AuditPage {
	return interlock.AuditPage{
		Rows: []interlock.Transition{{ID: "t", Machine: "loan", Instance: "1", Seq: 3, Event: "deny", From: "a", To: "b", Actor: "ann", Person: "Ann",
			Note: note, Input: map[string]any{"n": json.Number("9007199254740993")}, Time: time.UnixMicro(1).UTC(), Hash: []byte{1}}},
		Attempts: []interlock.Attempt{{Machine: "loan", Instance: "1", Event: note, State: "b", Actor: "bob", Stage: "policy", Code: "denied", Reasons: []string{"x", "y"}}},
	}
}

// What a caller wrote must not become a formula, another field or another row.
func TestCSVKeepsTextsTexts(t *testing.T) {
	for _, note := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", `=cmd|'/C calc'!A0`, "a,b", `say "please"`, "two\r\nlines", "'", "plain", "", "ü\u2028x"} {
		var b bytes.Buffer
		require.NoError(t, export.CSVHeader(&b))
		require.NoError(t, export.CSV(&b, export.Rows(page(note))))
		r := csv.NewReader(&b)
		r.TrimLeadingSpace = false
		rows, err := r.ReadAll()
		require.NoError(t, err, note)
		require.Len(t, rows, 3)
		for _, at := range []struct{ row, column int }{{1, 13}, {2, 5}} {
			got := rows[at.row][at.column]
			require.NotContains(t, "=+-@\t\r\n", (got + "x")[:1], note)
			want := strings.ReplaceAll(note, "\r\n", "\n") // as this reader gives line breaks
			require.Contains(t, []string{want, "'" + want}, got)
		}
		require.Equal(t, "note", rows[0][13])
		require.Equal(t, `{"n":9007199254740993}`, rows[1][14])
		require.Equal(t, "x y", rows[2][17])
	}
}

func TestCSVLinesEndAsRFC4180Says(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, export.CSV(&b, export.Rows(page("two\nlines"))))
	require.True(t, strings.HasSuffix(b.String(), "\"\r\n"))
	require.Contains(t, b.String(), "\"two\nlines\"", "a text is not rewritten")
}

func TestNDJSONIsOneObjectALine(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, export.NDJSON(&b, export.Rows(page("two\nlines \x1b[31m"))))
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	require.Len(t, lines, 2)
	require.NotContains(t, b.String(), "\x1b", "no control character reaches a terminal")
	var row map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &row))
	require.Equal(t, "two\nlines \x1b[31m", row["note"])
	require.Equal(t, "1970-01-01T00:00:00.000001Z", row["time"])
	require.Nil(t, row["code"])
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &row))
	require.Equal(t, []any{"refused", "denied", nil}, []any{row["outcome"], row["code"], row["seq"]})
}
