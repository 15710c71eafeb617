package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// asProgram makes the test's own binary the program: signals are for processes.
const asProgram = "TEST_AS_INTERLOCK"

// desk is `interlock serve` as a process, with the clerk carl.
type desk struct {
	t           *testing.T
	cmd         *osexec.Cmd
	file        string
	url, bearer string
}

func openDesk(t *testing.T) *desk {
	t.Helper()
	keyFile, token := keys(t)
	machines, rego := folders(t)
	d := &desk{t: t, file: filepath.Join(t.TempDir(), "desk.db"), bearer: token("carl")}
	conf := write(t, "interlock.yaml", strings.Join([]string{
		"sqlite: " + d.file, "drain_timeout: 5m", "machines: " + machines, "policies: " + rego, "bootstrap_admin: adam",
		"jwt: {issuer: https://login.example, audience: interlock, algorithms: [ES256], keys: " + keyFile + "}", "",
	}, "\n"))
	d.cmd = osexec.Command(os.Args[0], "serve", "--config", conf, "--listen", "127.0.0.1:0")
	d.cmd.Env = append(os.Environ(), asProgram+"=1")
	said, err := d.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, d.cmd.Start())
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	lines := bufio.NewScanner(said)
	serves := regexp.MustCompile(`"address":"(127\.0\.0\.1:\d+)"`)
	for d.url == "" {
		require.True(t, lines.Scan(), "the server doesn't start")
		if m := serves.FindStringSubmatch(lines.Text()); m != nil {
			d.url = "http://" + m[1]
		}
	}
	go func() { _, _ = io.Copy(io.Discard, said) }() // a full pipe would stop it
	code, out, errOut := exec(t, "roles", "grant", "carl", "clerk", "--url", d.url, "--token", token("adam"))
	require.Equal(t, 0, code, out+errOut)
	return d
}

func (d *desk) signal() { require.NoError(d.t, d.cmd.Process.Signal(syscall.SIGTERM)) }

// post returns the status of the answer; 0: there was none.
func (d *desk) post(client *http.Client, path, body string) (status int, retry bool) {
	req, err := http.NewRequest(http.MethodPost, d.url+path, strings.NewReader(body))
	if err != nil {
		return 0, false
	}
	req.Header.Set("Authorization", "Bearer "+d.bearer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, false
	}
	return resp.StatusCode, resp.Header.Get("Retry-After") != ""
}

// A process that is told to end under load finishes what it has begun: all that
// was acknowledged is there, what wasn't taken any more is told so, and it ends well.
func TestSignalUnderLoad(t *testing.T) {
	d := openDesk(t)
	const clients = 8
	var acked, unknown [clients]int
	var all atomic.Int64
	var told atomic.Bool
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			status, _ := d.post(client, "/v1/machines/desk/instances", fmt.Sprintf(`{"id":"%d"}`, n))
			if !assert.Equal(t, http.StatusCreated, status) {
				return
			}
			for {
				status, retry := d.post(client, fmt.Sprintf("/v1/machines/desk/instances/%d/events", n), `{"event":"`+[]string{"shut", "reopen"}[acked[n]%2]+`"}`)
				switch status {
				case http.StatusOK:
					acked[n]++
					all.Add(1)
					continue
				case 0:
					unknown[n]++
				case http.StatusServiceUnavailable:
					assert.True(t, retry, "503 says when to come again")
					if !told.Load() {
						continue // so the machine is busy
					}
				default:
					assert.Fail(t, "an answer that nobody expects", "%d", status)
				}
				return
			}
		})
	}
	require.Eventually(t, func() bool { return all.Load() > 100 }, patience, time.Millisecond)
	told.Store(true)
	d.signal()
	wg.Wait()
	require.NoError(t, d.cmd.Wait(), "it ends with 0")

	st, err := sqlite.Open(d.file)
	require.NoError(t, err)
	defer func() { assert.NoError(t, st.Close()) }()
	for n := range clients {
		rows, err := st.History(t.Context(), "default", interlock.Ref{Machine: "desk", ID: fmt.Sprint(n)}, 0, 1<<20)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(rows), 1+acked[n], "client %d", n)
		require.LessOrEqual(t, len(rows), 1+acked[n]+unknown[n], "client %d", n)
	}
	report, err := interlock.Verify(t.Context(), st, nil)
	require.NoError(t, err)
	require.Empty(t, report.Bad)
}

// While a process waits for a request that doesn't end, a second signal ends it.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	d := openDesk(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/machines/desk/instances HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n", d.bearer)
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue", "it waits for the body")
	d.signal()
	require.Eventually(t, func() bool {
		resp, err := http.Get(d.url + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	}, patience, time.Millisecond, "ready no more")
	http.DefaultClient.CloseIdleConnections()
	d.signal()
	var exit *osexec.ExitError
	require.True(t, errors.As(d.cmd.Wait(), &exit))
	status, ok := exit.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.True(t, status.Signaled() && status.Signal() == syscall.SIGTERM, "ended by the signal, and not in order: %v", exit)
}
