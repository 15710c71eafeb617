package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/testservice"
)

// Two servers on one database: the second activates new rules strictly, and the
// first is out until its folder has them too.
func TestStrictActivationBetweenServers(t *testing.T) {
	keyFile, token := keys(t)
	database := testservice.Postgres(t)
	server := func(change func(machine string) string, flags ...string) (base, folder string) {
		machines, rego := folders(t)
		require.NoError(t, os.WriteFile(filepath.Join(machines, "desk.yaml"), []byte(change(deskYAML)), 0o600))
		conf := write(t, "interlock.yaml", strings.Join([]string{
			"postgres: " + database, "machines: " + machines, "policies: " + rego, "bootstrap_admin: adam",
			"jwt: {issuer: https://login.example, audience: interlock, algorithms: [ES256], keys: " + keyFile + "}", "",
		}, "\n"))
		m, stop := start(t, `"address":"(127\.0\.0\.1:\d+)"`, append([]string{"serve", "--config", conf, "--listen", "127.0.0.1:0"}, flags...)...)
		t.Cleanup(func() { stop() })
		return "http://" + m[1], machines
	}
	former, folder := server(func(s string) string { return s })
	code, out, errOut := exec(t, "roles", "grant", "carl", "clerk", "--url", former, "--token", token("adam"))
	require.Equal(t, 0, code, out+errOut)
	clerk := "curl -H 'Authorization: Bearer " + token("carl") + "' -H 'Content-Type: application/json' "
	status, body := curl(t, clerk+`-d '{"id":"1"}' `+former+"/v1/machines/desk/instances")
	require.Equal(t, 201, status, body)
	status, body = curl(t, "curl "+former+"/readyz")
	require.Equal(t, 200, status, body)

	titled := func(s string) string { return s + "title: Front desk\n" }
	next, _ := server(titled, "--strict")
	status, body = curl(t, clerk+`-d '{"event":"shut"}' `+former+"/v1/machines/desk/instances/1/events")
	require.Equal(t, 503, status, body)
	require.Contains(t, body, "revision_retired")
	require.Eventually(t, func() bool {
		status, body = curl(t, "curl "+former+"/readyz")
		return status == 503
	}, patience, 10*time.Millisecond)
	require.Contains(t, body, `{"name":"rules","ok":false,`)
	status, body = curl(t, clerk+`-d '{"event":"shut"}' `+next+"/v1/machines/desk/instances/1/events")
	require.Equal(t, 200, status, body)

	require.NoError(t, os.WriteFile(filepath.Join(folder, "desk.yaml"), []byte(titled(deskYAML)), 0o600))
	require.Eventually(t, func() bool {
		status, body = curl(t, clerk+`-d '{"event":"reopen"}' `+former+"/v1/machines/desk/instances/1/events")
		return status == 200
	}, patience, 50*time.Millisecond, body)
	require.Eventually(t, func() bool { // its answer is a second old at most
		status, body = curl(t, "curl "+former+"/readyz")
		return status == 200
	}, patience, 10*time.Millisecond, body)
}
