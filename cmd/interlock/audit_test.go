package main

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// removeChain takes an instance away with all that speaks of it, as somebody who
// may write to the database could, and puts the triggers back.
func removeChain(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	var id, trigger string
	require.NoError(t, db.QueryRow(`SELECT min(id) FROM interlock_instance`).Scan(&id))
	require.NoError(t, db.QueryRow(`SELECT sql FROM sqlite_schema WHERE name = 'interlock_history_no_delete'`).Scan(&trigger))
	for _, q := range []string{`DROP TRIGGER interlock_history_no_delete`, `DELETE FROM interlock_history WHERE instance = '` + id + `'`,
		`DELETE FROM interlock_texts WHERE instance = '` + id + `'`, `DELETE FROM interlock_instance WHERE id = '` + id + `'`, trigger} {
		_, err := db.Exec(q)
		require.NoError(t, err, q)
	}
}

func TestAuditCheckpoints(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.db")
	store, key, notes := "sqlite:"+path, filepath.Join(dir, "key"), filepath.Join(dir, "notes")
	code, _, errOut := exec(t, "replay", "--machine", permitYAML, "--log", permitLog, "--store", store)
	require.Equal(t, 0, code, errOut)
	code, public, errOut := exec(t, "audit", "keygen", "--name", "example.org/permits", "--out", key)
	require.Equal(t, 0, code, errOut)
	require.True(t, strings.HasPrefix(public, "example.org/permits+"), public)

	posted := 0
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posted++ }))
	defer receiver.Close()
	code, out, errOut := exec(t, "audit", "checkpoint", "--store", store, "--key", key, "--out", notes, "--post", receiver.URL)
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "checkpoint 1 of ")
	require.Equal(t, 1, posted)
	code, _, errOut = exec(t, "audit", "checkpoint", "--store", store, "--key", key, "--out", notes)
	require.Equal(t, 0, code, errOut)

	verify := []string{"audit", "verify", "--store", store, "--checkpoint", notes, "--public-key"}
	code, out, errOut = exec(t, append(verify, strings.TrimSpace(public))...)
	require.Equal(t, 0, code, out+errOut)
	require.Contains(t, out, "2 checkpoints are signed and in order; they mark ")
	code, one, _ := exec(t, "audit", "verify", "--store", store, "--checkpoint", filepath.Join(notes, "00000001.checkpoint"), "--public-key", key+".pub")
	require.Equal(t, 0, code, one)
	_, marks, _ := strings.Cut(strings.Split(out, "\n")[0], "order")
	require.Contains(t, one, marks, "a chain that two of them mark is one chain")
	code, out, _ = exec(t, append(verify, key+".pub", "--json")...)
	require.Equal(t, 0, code, out)
	require.Regexp(t, `"bad": ?\[\]`, out)

	removeChain(t, path)
	code, out, _ = exec(t, "audit", "verify", "--store", store)
	require.Equal(t, 0, code, "the chains alone can't tell: %s", out)
	code, out, _ = exec(t, append(verify, key+".pub")...)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "checkpoint 1 knows this row, and history has it no longer")
	require.Contains(t, out, "BROKEN")
	require.Contains(t, out, "2 checkpoints are signed and in order\n")
	code, out, _ = exec(t, append(verify, key+".pub", "--json")...)
	require.Equal(t, 1, code)
	var report struct {
		Bad         []struct{ Problem string }
		Checkpoints int
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report), out)
	require.Len(t, report.Bad, 2)
	require.Equal(t, 2, report.Checkpoints)
	text, err := os.ReadFile(filepath.Join(notes, "00000001.checkpoint"))
	require.NoError(t, err)
	forged := filepath.Join(notes, "00000003.checkpoint")
	require.NoError(t, os.WriteFile(forged, append([]byte("x"), text...), 0o600))
	code, out, _ = exec(t, append(verify, key+".pub")...)
	require.Equal(t, 1, code, out)
	require.NotContains(t, out, "in order", "one of them isn't")
	require.NoError(t, os.Remove(forged))

	for _, c := range []struct {
		args []string
		err  string
	}{
		{[]string{"audit", "verify", "--store", store, "--checkpoint", notes}, "go together"},
		{append(verify, "none.pub"), "neither a key nor a file"},
		{[]string{"audit", "verify", "--store", store, "--checkpoint", dir, "--public-key", key + ".pub"}, "holds no checkpoints"},
		{[]string{"audit", "checkpoint", "--store", store, "--key", key + ".pub", "--out", notes}, "others may read it"},
		{[]string{"audit", "checkpoint", "--store", store, "--key", key, "--out", notes, "--post", "http://example.org"}, "want https"},
		{[]string{"audit", "checkpoint", "--store", "sqlite:none.db", "--key", key, "--out", notes}, "no store there"},
		{[]string{"audit", "keygen", "--name", "example.org/permits", "--out", key}, "nothing is ever overwritten"},
	} {
		code, out, errOut := exec(t, c.args...)
		require.Equal(t, 2, code, out)
		require.Contains(t, errOut, c.err)
	}
}

func TestServeTakesCheckpoints(t *testing.T) {
	keyFile, token := keys(t)
	machines, rego := folders(t)
	dir := t.TempDir()
	key, notes, db := filepath.Join(dir, "key"), filepath.Join(dir, "notes"), filepath.Join(dir, "s.db")
	code, public, errOut := exec(t, "audit", "keygen", "--name", "example.org/desk", "--out", key)
	require.Equal(t, 0, code, errOut)
	lines := []string{
		"sqlite: " + db, "machines: " + machines, "policies: " + rego, "bootstrap_admin: adam", "metrics: 127.0.0.1:0",
		"jwt: {issuer: https://login.example, audience: interlock, algorithms: [ES256], keys: " + keyFile + "}",
		"checkpoints: {key: " + key + ", dir: " + notes + ", every: 24h}", "",
	}
	m, stop := start(t, `"address":"(127\.0\.0\.1:\d+)"`, "serve", "--config", write(t, "c.yaml", strings.Join(lines, "\n")), "--listen", "127.0.0.1:0")
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(notes, "00000001.checkpoint"))
		return err == nil
	}, patience, 20*time.Millisecond)
	code, out, errOut := exec(t, "roles", "grant", "carl", "clerk", "--url", "http://"+m[1], "--token", token("adam"))
	require.Equal(t, 0, code, out+errOut)
	// Beside the running server, which goes on writing.
	code, out, errOut = exec(t, "audit", "verify", "--store", "sqlite:"+db, "--checkpoint", notes, "--public-key", strings.TrimSpace(public))
	require.Equal(t, 0, code, out+errOut)
	require.Contains(t, out, "1 checkpoints are signed and in order")
	require.Equal(t, 0, stop())

	require.NoError(t, os.Chmod(key, 0o644))
	code, _, errOut = exec(t, "serve", "--config", write(t, "c.yaml", strings.Join(lines, "\n")), "--listen", "127.0.0.1:0")
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "others may read it")
	for line, want := range map[string]string{
		"checkpoints: {key: k}":                            "checkpoints.dir is missing",
		"checkpoints: {dir: d}":                            "checkpoints.key is missing",
		"checkpoints: {dir: d, key: k, every: 1s}":         "want 1m or more",
		"checkpoints: {dir: d, key: k, url: 'http://x.y'}": "want https",
	} {
		lines[len(lines)-2] = line
		code, _, errOut := exec(t, "serve", "--config", write(t, "c.yaml", strings.Join(lines, "\n")), "--listen", "127.0.0.1:0")
		require.Equal(t, 2, code)
		require.Contains(t, errOut, want)
	}
}

func TestAuditExportAndErase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	store := "sqlite:" + path
	code, _, errOut := exec(t, "replay", "--machine", permitYAML, "--policies", permitRego, "--log", permitLog, "--store", store)
	require.Equal(t, 0, code, errOut)
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, errOut := exec(t, append([]string{"audit"}, args...)...)
		require.Equal(t, want, code, out+errOut)
		return out + errOut
	}
	all := strings.Split(strings.TrimSpace(run(0, "export", "--store", store)), "\n")
	var row struct{ Outcome, Machine, Instance, Actor string }
	require.NoError(t, json.Unmarshal([]byte(all[0]), &row))
	require.Equal(t, "committed", row.Outcome)
	lines := strings.Split(strings.TrimSpace(run(0, "export", "--store", store, "--format", "csv")), "\r\n")
	require.Len(t, lines, len(all)+1)
	require.True(t, strings.HasPrefix(lines[0], `"outcome","time","machine",`), lines[0])
	committed := strings.Count(run(0, "export", "--store", store, "--outcome", "committed"), "\n")
	refused := strings.Count(run(0, "export", "--store", store, "--outcome", "refused"), "\n")
	require.Equal(t, len(all), committed+refused)
	require.Positive(t, refused)
	one := strings.Count(run(0, "export", "--store", store, "--machine", row.Machine, "--id", row.Instance, "--outcome", "committed"), "\n")
	require.Less(t, one, committed)
	require.Empty(t, run(0, "export", "--store", store, "--until", "1970-01-01T00:00:00Z"))
	run(2, "export", "--store", store, "--format", "xml")
	run(2, "export", "--store", store, "--from", "yesterday")
	run(2, "export", "--store", store, "--outcome", "maybe")

	erase := []string{"erase", "--store", store, "--operator", "olga", "--machine", row.Machine, "--id"}
	require.Contains(t, run(0, append(erase, row.Instance, "--reason", "case 1")...), "are erased")
	require.Contains(t, run(0, append(erase, row.Instance, "--reason", "case 1")...), "nothing to erase")
	run(1, append(erase, "none", "--reason", "case 1")...)
	require.Contains(t, run(1, "erase", "--store", store, "--operator", "olga", "--actor", "nobody", "--reason", "case 1"), "no row names this actor")
	require.Contains(t, run(2, "erase", "--store", store, "--operator", "o/lga", "--actor", "nobody", "--reason", "case 1"), "--operator")
	for flags, missing := range map[string]string{"--machine permit": "--id is missing", "--id x": "--machine is missing", "--seq 3": "--machine is missing", "": "--machine and --id are missing"} {
		require.Contains(t, run(2, append([]string{"erase", "--store", store, "--operator", "olga", "--reason", "case 1"}, strings.Fields(flags)...)...), missing)
	}
	run(1, append(erase, row.Instance, "--reason", " ")...)
	run(2, append(erase, row.Instance)...)
	require.Contains(t, run(0, "verify", "--store", store), "intact")
	last := run(0, "export", "--store", store, "--event", "$erase")
	require.Equal(t, 1, strings.Count(last, "\n"))
	require.Contains(t, last, `"actor":"operator~olga"`)

	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.Exec(`DELETE FROM interlock_texts WHERE (instance, seq) = (SELECT instance, seq FROM interlock_texts LIMIT 1)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.Contains(t, run(1, "verify", "--store", store), "no erasure in its chain speaks of them")
}
