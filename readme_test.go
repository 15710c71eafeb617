package interlock_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The program that the README shows is compiled and run, and says what the
// README says that it does.
func TestReadmeProgram(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(readme)
	require.NotNil(t, block)
	l, err := net.Listen("tcp", "127.0.84.84:0") // where nobody else takes the port meanwhile
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0") // not every system has more than this
	}
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	src := bytes.Replace(block[1], []byte("127.0.0.1:8084"), []byte(addr), 1)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), src, 0o600))
	bin := filepath.Join(dir, "leave")
	out, err := exec.Command("go", "build", "-o", bin, filepath.Join(dir, "main.go")).CombinedOutput()
	require.NoError(t, err, string(out))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, bin)
	require.NoError(t, cmd.Start())
	defer func() { cancel(); _ = cmd.Wait() }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, patience, 20*time.Millisecond)

	post := func(path, user, body string) (int, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("X-User", user)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(b)
	}
	status, body := post("/leaves/1", "ann", "")
	require.Equal(t, 201, status, body)
	require.Contains(t, body, `{"machine":"leave","id":"1","state":"draft","version":1,"facts":{},"created_by":"ann",`)
	status, body = post("/leaves/1/actions", "ann", `{"event":"ask"}`)
	require.Equal(t, 200, status, body)
	status, body = post("/leaves/1/actions", "ann", `{"event":"grant"}`)
	require.Equal(t, 403, status, body)
	require.Contains(t, body, `"message":"Somebody else must grant what you asked for"`)
	status, body = post("/leaves/1/actions", "", `{"event":"grant"}`)
	require.Equal(t, 401, status, body)
	status, body = post("/leaves/1/actions", "bob", `{"event":"grant"}`)
	require.Equal(t, 200, status, body)
}
