//go:build unix

package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An administrator makes a key for a service, which then does its work with it.
func TestKeys(t *testing.T) {
	keyFile, token := keys(t)
	machines, rego := folders(t)
	conf := write(t, "interlock.yaml", strings.Join([]string{
		"sqlite: " + filepath.Join(t.TempDir(), "s.db"), "machines: " + machines, "policies: " + rego, "bootstrap_admin: adam",
		"jwt: {issuer: https://login.example, audience: interlock, algorithms: [ES256], keys: " + keyFile + "}", "",
	}, "\n"))
	m, stop := start(t, `"address":"(127\.0\.0\.1:\d+)"`, "serve", "--config", conf, "--listen", "127.0.0.1:0")
	base := "http://" + m[1]
	as := []string{"--url", base, "--token", token("adam")}
	must := func(want int, args ...string) (out, errOut string) {
		t.Helper()
		code, out, errOut := exec(t, append(args, as...)...)
		require.Equal(t, want, code, out+errOut)
		return out, errOut
	}
	out, errOut := must(0, "keys", "create", "billing")
	key := strings.TrimSpace(out)
	require.Regexp(t, `^il_[a-z2-7]{16}_[a-z2-7]{59}$`, key)
	require.NotContains(t, errOut, key)
	id := strings.Split(key, "_")[1]
	must(0, "roles", "grant", "key~billing", "clerk")
	work := func() int {
		status, _ := curl(t, "curl -H 'Authorization: Bearer "+key+"' "+base+"/v1/actors/key~billing")
		return status
	}
	require.Equal(t, 200, work())
	out, _ = must(0, "keys", "list")
	require.Contains(t, out, id+"  key~billing")
	require.Contains(t, out, "holds until")
	require.NotContains(t, out, key[21:])
	must(0, "keys", "revoke", id)
	require.Equal(t, 401, work())
	out, _ = must(0, "keys", "list")
	require.Contains(t, out, "by adam")
	must(1, "keys", "revoke", "absent")
	must(1, "keys", "create", "a/b")
	must(2, "keys", "create", "x", "--for", "-1h")
	require.Equal(t, 0, stop())
}

// At a Unix socket the configured user says who asks; SIGHUP forgets keys that
// were taken away.
func TestServeAtAUnixSocket(t *testing.T) {
	keyFile, token := keys(t)
	set, err := os.ReadFile(keyFile)
	require.NoError(t, err)
	var gone atomic.Bool
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if gone.Load() {
			set = []byte(`{"keys":[]}`)
		}
		_, _ = w.Write(set)
	}))
	defer issuer.Close()
	machines, rego := folders(t)
	socket := filepath.Join(t.TempDir(), "s")
	left, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	left.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process leaves it
	require.NoError(t, left.Close())
	conf := write(t, "interlock.yaml", strings.Join([]string{
		"listen: unix:" + socket, "sqlite: " + filepath.Join(t.TempDir(), "s.db"), "machines: " + machines, "policies: " + rego,
		"jwt: {issuer: https://login.example, audience: interlock, algorithms: [ES256], keys_url: " + issuer.URL + "}",
		"headers: {actor: X-User, peers: ['uid:" + strconv.Itoa(os.Getuid()) + "']}", "",
	}, "\n"))
	_, stop := start(t, `"address":"(.*?)"`, "serve", "--config", conf)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	status := func(name, value string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/v1/machines", nil)
		require.NoError(t, err)
		req.Header.Set(name, value)
		resp, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	carl := "Bearer " + token("carl")
	require.Equal(t, 200, status("X-User", "carl"))
	require.Equal(t, 200, status("Authorization", carl))
	require.Equal(t, 401, status("X-Other", "carl"))

	code, _, errOut := exec(t, "serve", "--config", conf, "--sqlite", filepath.Join(t.TempDir(), "other.db"))
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "somebody listens at")

	gone.Store(true)
	heard := make(chan os.Signal, 1) // the server hears of it soon after it answers; until then it would end the process
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)
	require.Eventually(t, func() bool {
		return syscall.Kill(os.Getpid(), syscall.SIGHUP) == nil && status("Authorization", carl) == 401
	}, patience, 50*time.Millisecond)
	require.Equal(t, 200, status("X-User", "carl"))
	require.Equal(t, 0, stop())
}
