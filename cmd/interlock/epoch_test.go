package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The drill of an operator: serve, back up, serve on, put the backup back, look,
// bump, serve.
func TestEpochAfterARestore(t *testing.T) {
	keyFile, token := keys(t)
	machines, rego := folders(t)
	db := filepath.Join(t.TempDir(), "s.db")
	witness := filepath.Join(t.TempDir(), "witness")
	conf := write(t, "interlock.yaml", strings.Join([]string{
		"sqlite: " + db, "witness: " + witness, "machines: " + machines, "policies: " + rego, "bootstrap_admin: adam",
		"jwt: {issuer: https://login.example, audience: interlock, algorithms: [ES256], keys: " + keyFile + "}", "",
	}, "\n"))
	serve := func() {
		m, stop := start(t, `"address":"(127\.0\.0\.1:\d+)"`, "serve", "--config", conf, "--listen", "127.0.0.1:0")
		status, body := curl(t, "curl -H 'Authorization: Bearer "+token("adam")+"' http://"+m[1]+"/v1/actors/adam")
		require.Equal(t, 200, status, body)
		require.Equal(t, 0, stop())
	}
	serve()
	backup, err := os.ReadFile(db)
	require.NoError(t, err)
	serve()
	require.NoError(t, os.WriteFile(db, backup, 0o600))

	code, _, errOut := exec(t, "serve", "--config", conf, "--listen", "127.0.0.1:0")
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "interlock epoch bump --store STORE --reason TEXT")
	require.NotContains(t, errOut, "interlock: interlock")
	require.Contains(t, errOut, witness)
	code, _, errOut = exec(t, "epoch", "bump", "--store", "sqlite:"+db, "--reason", " ")
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "say why")
	code, out, errOut := exec(t, "epoch", "bump", "--store", "sqlite:"+db, "--reason", "the disk failed", "--witness", witness)
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "the disk failed")
	code, out, errOut = exec(t, "epoch", "show", "--store", db)
	require.Equal(t, 0, code, errOut)
	require.Equal(t, 2, strings.Count(out, "\n"), out)
	require.Contains(t, out, "the store was made")
	serve()
	code, out, errOut = exec(t, "audit", "verify", "--store", "sqlite:"+db)
	require.Equal(t, 0, code, out+errOut)
	code, _, errOut = exec(t, "epoch", "show", "--store", filepath.Join(t.TempDir(), "none.db"))
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "no store there")
}
