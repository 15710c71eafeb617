package main

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/checkpoint"
)

// age makes the database's clock agree with the times of a log that was replayed.
func age(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	var trigger string
	require.NoError(t, db.QueryRow(`SELECT sql FROM sqlite_schema WHERE name = 'interlock_history_no_update'`).Scan(&trigger))
	for _, q := range []string{`DROP TRIGGER interlock_history_no_update`, `UPDATE interlock_history SET stamp_us = time_us`, trigger} {
		_, err := db.Exec(q)
		require.NoError(t, err, q)
	}
}

func TestAuditArchive(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.db")
	store, out, key, notes := "sqlite:"+path, filepath.Join(dir, "archive"), filepath.Join(dir, "key"), filepath.Join(dir, "notes")
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, errOut := exec(t, append([]string{"audit"}, args...)...)
		require.Equal(t, want, code, out+errOut)
		return out + errOut
	}
	code, _, errOut := exec(t, "replay", "--machine", permitYAML, "--policies", permitRego, "--log", permitLog, "--store", store)
	require.Equal(t, 0, code, errOut)
	archive := []string{"archive", "--store", store, "--operator", "olga", "--out", out, "--before"}
	said := run(0, append(archive, "3d")...)
	require.Contains(t, said, "nothing to archive", "the log is old, its rows aren't")
	require.Contains(t, said, "by the database's clock")
	said = run(0, "verify", "--store", store, "--archive", out)
	require.Contains(t, said, "no rows were archived there yet")
	require.Contains(t, said, "history is intact")
	age(t, path)
	run(0, "keygen", "--name", "example.org/permits", "--out", key)
	run(0, "checkpoint", "--store", store, "--key", key, "--out", notes)
	before := strings.Count(run(0, "export", "--store", store, "--outcome", "committed"), "\n")

	since := time.Now().Add(-72 * time.Hour).UTC().Format(time.RFC3339)
	require.Regexp(t, `: \d+ rows of \d+ chains are in .*: 1 files, \d+ bytes`, run(0, append(archive, since, "--machine", "permit", "--reason", "three days")...))
	require.Contains(t, run(0, append(archive, "72h")...), "nothing to archive")
	require.Less(t, strings.Count(run(0, "export", "--store", store, "--outcome", "committed"), "\n"), before)

	said = run(0, "verify", "--store", store)
	require.Contains(t, said, "history is intact")
	require.Regexp(t, `\d+ more rows are archived and were not looked at \(--archive does\); files: history-00000001-[0-9a-f]{12}\.ndjson`, said)
	witnessed := []string{"verify", "--store", store, "--checkpoint", notes, "--public-key", key + ".pub"}
	run(0, witnessed...) // it knows the newest rows, which stay
	said = run(0, append(witnessed, "--archive", out)...)
	require.NotContains(t, said, "not looked at")
	require.Contains(t, said, "1 checkpoints are signed and in order")

	files, err := filepath.Glob(filepath.Join(out, "*.ndjson"))
	require.NoError(t, err)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], bytes.Replace(text, []byte(`"from":"`), []byte(`"from":"x`), 1), 0o600))
	require.Contains(t, run(1, "verify", "--store", store, "--archive", out), "column from isn't what the chain says")
	require.NoError(t, os.WriteFile(files[0], text, 0o600))

	erase := []string{"erase", "--store", store, "--operator", "olga", "--machine", "permit", "--id", instanceIn(t, text), "--reason", "case 1"}
	require.Regexp(t, `\d+ rows are archived and were not looked at: their texts stand in the files`, run(0, erase...))
	run(0, "verify", "--store", store, "--archive", out)
	said = run(0, append(erase, "--archive", out)...)
	require.Contains(t, said, "of them were archived")
	require.NotContains(t, said, "not looked at")
	run(0, append(witnessed, "--archive", out)...)
	require.Contains(t, run(2, append(erase, "--archive", dir)...), "holds no files of history")

	require.Contains(t, run(1, append(archive, "47h")...), "rows of the last 48 hours stay")
	require.Contains(t, run(2, append(archive, "yesterday")...), "--before")
	require.Contains(t, run(2, append(archive, "-3h")...), "--before")
	require.Contains(t, run(2, append(archive, "3d", "--operator", "o/lga")...), "--operator")
	require.Contains(t, run(2, "archive", "--store", "sqlite:none.db", "--before", "3d", "--out", out), "no store there")
	require.Contains(t, run(2, "verify", "--store", store, "--archive", dir), "holds no files of history")
}

// What checkpoints know of archived rows isn't proved without the files.
func TestUnseenMarksAreNoProof(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		report := checkpoint.Report{VerifyReport: interlock.VerifyReport{Archived: 3, Unseen: 2, ArchiveFiles: []string{"history-00000001-000000000000.ndjson"}}, Checkpoints: 1, InOrder: true}
		var found *finding
		require.ErrorAs(t, (&program{out: &out}).printVerify("s", &report, asJSON), &found, "exit 1")
		if asJSON {
			require.Regexp(t, `"unseen": ?2`, out.String())
			continue
		}
		require.Contains(t, out.String(), "history is NOT PROVED")
		require.Contains(t, out.String(), "2 marks of checkpoints are of such rows and were held against nothing")
		require.Contains(t, out.String(), "give --archive DIR")
		require.NotContains(t, out.String(), "they mark")
	}
}

// instanceIn is the instance of a file's first row.
func instanceIn(t *testing.T, text []byte) string {
	t.Helper()
	_, rest, found := strings.Cut(string(text), `"instance":"`)
	require.True(t, found)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
