package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/interlock-go/interlock/internal/testservice"
)

const (
	loanYAML   = "../../examples/loan/loan.yaml"
	permitYAML = "../../examples/permit/permit.yaml"
	permitRego = "../../examples/permit/policies"
	permitLog  = "../../examples/permit/permit_log.csv"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// exec runs the program as the shell would.
func exec(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"version"}, 0, ""},
		{[]string{}, 0, ""},
		{[]string{"frobnicate"}, 2, `unknown command "frobnicate" for "interlock"; interlock --help lists what there is`},
		{[]string{"polcy"}, 2, `did you mean "policy"?`},
		{[]string{"policy", "tets"}, 2, `did you mean "test"?`},
		{[]string{"graph"}, 2, "usage: interlock graph FILE"},
		{[]string{"graph", loanYAML, "--format", "png"}, 2, "want mermaid, dot or json"},
		{[]string{"graph", "none.yaml"}, 2, "none.yaml"},
		{[]string{"validate"}, 2, "requires at least 1 arg"},
		{[]string{"validate", t.TempDir()}, 2, "no .yaml or .yml file"},
		{[]string{"validate", loanYAML, "--machine", "account"}, 2, `no machine "account"`},
		{[]string{"replay"}, 2, "required flag"},
		{[]string{"replay", "--machine", permitYAML, "--log", permitLog, "--case", "nr"}, 2, `no column "nr"`},
		{[]string{"replay", "--machine", permitYAML, "--log", permitLog, "--store", "postgres://nobody@127.0.0.1:1/x"}, 2, "doesn't answer"},
		{[]string{"replay", "--machine", permitYAML, "--log", permitLog, "--store", "postgres://a:pass%zz@x/y"}, 2, "can't be read"},
		{[]string{"audit", "verify", "--store", "sqlite:none.db"}, 2, "no store there"},
		{[]string{"demo", "--listen", "0.0.0.0:8080"}, 2, "loopback only"},
		{[]string{"demo", "--listen", "8080"}, 2, "HOST:PORT"},
		{[]string{"explain", "--machine", "loan", "--id", "1", "--event", "x", "--url", "http://127.0.0.1:1"}, 2, "refused"},
		{[]string{"health", "--url", "http://127.0.0.1:1"}, 1, "refused"},
		{[]string{"policy", "check", permitRego}, 2, "required flag"},
	} {
		code, _, errOut := exec(t, c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, errOut)
		require.Contains(t, errOut, c.err, c.args)
		require.NotContains(t, errOut, "pass%zz", "secrets are never shown")
	}
}

func TestValidate(t *testing.T) {
	code, out, _ := exec(t, "validate", loanYAML, "--verbose")
	require.Equal(t, 0, code)
	require.Contains(t, out, "loan: ok: 6 states")
	require.Contains(t, out, "override -> approved (override)  requires manager; checks four_eyes, within_limit  [line ")

	bad := write(t, "bad.yaml", "machine: m\ninitial: a\nstates: {a: {}}\nevents: {go: {from: a, to: nowhere, requires: [r]}}\n")
	code, out, errOut := exec(t, "validate", loanYAML, bad)
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "1 of 2")
	require.Contains(t, out, bad+":4:")
	require.Contains(t, out, "^", "the caret")

	code, out, _ = exec(t, "validate", "--json", loanYAML, bad)
	require.Equal(t, 1, code)
	var report struct {
		Machines []struct {
			OK       bool
			Findings []struct{ Line int }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Len(t, report.Machines, 2)
	require.False(t, report.Machines[1].OK)
	require.Equal(t, 4, report.Machines[1].Findings[0].Line)

	code, _, errOut = exec(t, "validate", loanYAML, loanYAML)
	require.Equal(t, 1, code, "one machine, defined twice: %s", errOut)
}

func TestGraph(t *testing.T) {
	for format, want := range map[string]string{"mermaid": "stateDiagram-v2", "dot": "digraph", "json": `"loan"`} {
		code, out, _ := exec(t, "graph", loanYAML, "--format", format)
		require.Equal(t, 0, code)
		require.Contains(t, out, want)
	}
}

func TestPolicy(t *testing.T) {
	code, out, errOut := exec(t, "policy", "test", permitRego, "-v")
	require.Equal(t, 0, code, errOut)
	require.Regexp(t, `[1-9]\d* passed, 0 failed`, out)
	code, out, _ = exec(t, "policy", "check", permitRego, "--machines", permitYAML)
	require.Equal(t, 0, code, out)
	code, out, _ = exec(t, "policy", "check", permitRego, "--machines", loanYAML)
	require.Equal(t, 1, code, "the loan's checks aren't there")
	require.Contains(t, out, "four_eyes")

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.rego"), []byte("package interlock.lib.x\n\nyes if input.a == 1\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x_test.rego"), []byte("package interlock.lib.x_test\n\nimport data.interlock.lib.x\n\ntest_no if x.yes with input as {\"a\": 2}\n"), 0o600))
	code, out, _ = exec(t, "policy", "test", dir)
	require.Equal(t, 1, code)
	require.Contains(t, out, "FAIL")
	require.Contains(t, out, "test_no")
}

func TestReplayAndVerify(t *testing.T) {
	for _, c := range []struct {
		name  string
		store func(t *testing.T) string
	}{
		{"sqlite", func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "r.db") }},
		{"postgres", func(t *testing.T) string { return testservice.Postgres(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := c.store(t)
			replay := func(args ...string) (r replayed) {
				t.Helper()
				code, out, errOut := exec(t, append([]string{"replay", "--machine", permitYAML, "--log", permitLog, "--store", store, "--json"}, args...)...)
				require.Equal(t, 0, code, errOut)
				require.NoError(t, json.Unmarshal([]byte(out), &r))
				return r
			}
			alone := replay()
			require.Zero(t, alone.RefusedPol)
			require.Contains(t, alone.Policies, "left out")
			with := replay("--policies", permitRego, "--tenant", "second", "--redis", testservice.Redis(t))
			require.Positive(t, with.RefusedPol)
			require.Equal(t, alone.Events, with.Accepted+with.RefusedGraph+with.RefusedInput+with.RefusedPol)
			require.True(t, with.Cache)

			code, _, errOut := exec(t, "replay", "--machine", permitYAML, "--log", permitLog, "--store", store)
			require.Equal(t, 2, code)
			require.Contains(t, errOut, "in the store already")

			code, out, errOut := exec(t, "audit", "verify", "--store", store, "--json")
			require.Equal(t, 0, code, errOut)
			var report struct{ Rows, Chains int }
			require.NoError(t, json.Unmarshal([]byte(out), &report))
			require.Greater(t, report.Rows, alone.Accepted+with.Accepted)
		})
	}
}

func TestReplayText(t *testing.T) {
	code, out, errOut := exec(t, "replay", "--machine", permitYAML, "--policies", permitRego, "--log", permitLog, "--store", "sqlite:"+filepath.Join(t.TempDir(), "r.db"))
	require.Equal(t, 0, code, errOut)
	require.Regexp(t, `cases +3\n`, out)
	require.Contains(t, out, "most frequent first refusals")
	code, _, errOut = exec(t, "replay", "--machine", permitYAML, "--store", "sqlite:"+filepath.Join(t.TempDir(), "r.db"),
		"--log", write(t, "l.csv", "case_id,activity,timestamp\nc1,Confirmation of receipt,yesterday\n"))
	require.Equal(t, 2, code)
	require.Contains(t, errOut, `line 2: time "yesterday"`)
}

// output is a writer that can be read while the program still writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// patience is for whatever would be another answer on a busy machine.
const patience = time.Minute

// start runs a command until stop, and waits until it has printed what matches ready.
func start(t *testing.T, ready string, args ...string) (match []string, stop func() int) {
	t.Helper()
	match, _, stop = starting(t, ready, args...)
	return match, stop
}

// starting is start, and tells what the command has printed since.
func starting(t *testing.T, ready string, args ...string) (match []string, said func() string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var out output
	done := make(chan int, 1)
	go func() { done <- run(ctx, args, &out, &out) }()
	t.Cleanup(cancel)
	re := regexp.MustCompile(ready)
	require.Eventually(t, func() bool {
		match = re.FindStringSubmatch(out.String())
		return match != nil || len(done) > 0
	}, patience, 10*time.Millisecond)
	require.NotNil(t, match, out.String())
	return match, out.String, func() int {
		cancel()
		select {
		case code := <-done:
			if args[0] == "serve" {
				require.Contains(t, out.String(), `"msg":"interlock ends","cause":"context canceled"`)
			}
			return code
		case <-time.After(patience):
			t.Fatal("the command doesn't end")
			return -1
		}
	}
}

// The demo's own lines are pasted, from the top to the bottom.
func TestDemo(t *testing.T) {
	for _, c := range []struct {
		name string
		args func(t *testing.T) []string
	}{
		{"sqlite", func(*testing.T) []string { return nil }},
		{"postgres", func(t *testing.T) []string {
			t.Helper()
			return []string{"--postgres", testservice.Postgres(t), "--redis", testservice.Redis(t)}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			printed, stop := start(t, `(?s)at (http://127\.0\.0\.1:\d+)\n.*Ctrl-C ends`, append([]string{"demo", "--listen", "127.0.0.1:0"}, c.args(t)...)...)
			base := printed[1]
			var got []int
			var bodies []string
			for _, line := range regexp.MustCompile(`(?m)^  (curl .*)$`).FindAllStringSubmatch(printed[0], -1) {
				status, body := curl(t, line[1])
				got, bodies = append(got, status), append(bodies, body)
			}
			require.Equal(t, []int{201, 200, 200, 200, 409, 403, 200, 200, 200}, got, bodies)
			require.Contains(t, bodies[4], `"legal_events":["approve","deny","override"]`)
			require.Contains(t, bodies[5], `"four_eyes"`)
			require.Contains(t, bodies[5], "Somebody else must approve what you verified")
			require.Contains(t, bodies[8], `"override":true`)

			for _, address := range []string{base, base + "/", base + "/readyz"} {
				code, out, errOut := exec(t, "health", "--url", address)
				require.Equal(t, 0, code, errOut)
				require.Contains(t, out, "ready")
			}
			readme, err := os.ReadFile("../../README.md")
			require.NoError(t, err)
			batch := regexp.MustCompile(`(?m)^curl .*/v1/available$`).FindString(string(readme))
			status, menus := curl(t, strings.Replace(batch, " localhost:8080", " "+base, 1))
			require.Equal(t, 200, status, menus)
			require.Contains(t, menus, `"event":"override"`)
			code, out, errOut := exec(t, "explain", "--url", base, "--token", "demo-adam", "--machine", "loan", "--id", "L1", "--event", "review")
			require.Equal(t, 1, code, "adam may not see loans: %s %s", out, errOut)
			code, out, errOut = exec(t, "roles", "grant", "evan", "interlock:admin", "--url", base, "--token", "demo-adam")
			require.Equal(t, 0, code, out+errOut)
			explain := []string{"explain", "--url", base, "--token", "demo-evan", "--machine", "loan", "--id", "L1", "--event", "review"}
			code, out, errOut = exec(t, explain...)
			require.Equal(t, 0, code, errOut)
			require.Regexp(t, `(?s)ok  identity.*ok  graph .*review leaves submitted.*allowed\n$`, out)
			code, out, errOut = exec(t, append(explain, "--json")...)
			require.Equal(t, 0, code, errOut)
			require.True(t, json.Valid([]byte(out)), out)
			code, out, errOut = exec(t, "roles", "grant", "adam", "employee", "--url", base, "--token", "demo-adam")
			require.Equal(t, 1, code, "nobody grants himself: %s", out)
			require.Contains(t, errOut, "Another administrator")
			code, out, errOut = exec(t, "roles", "grant", "uma", "employee", "--scope", "instance:loan/L1", "--url", base, "--token", "demo-adam")
			require.Equal(t, 0, code, errOut)
			require.Contains(t, out, "instance:loan/L1")
			code, out, _ = exec(t, "roles", "revoke", "uma", "employee", "--scope", "instance:loan/L1", "--url", base, "--token", "demo-adam")
			require.Equal(t, 0, code)
			require.NotContains(t, out, "instance:loan/L1")
			require.Equal(t, 0, stop(), "Ctrl-C ends cleanly")
		})
	}
}

// curl does what a printed line asks for.
func curl(t *testing.T, line string) (int, string) {
	t.Helper()
	body := regexp.MustCompile(`-d '([^']*)'`).FindStringSubmatch(line)
	method := http.MethodGet
	var in io.Reader
	if body != nil {
		method, in = http.MethodPost, strings.NewReader(body[1])
	}
	fields := strings.Fields(line)
	req, err := http.NewRequestWithContext(t.Context(), method, strings.Trim(fields[len(fields)-1], "'"), in)
	require.NoError(t, err)
	for _, h := range regexp.MustCompile(`-H '([^:]*): ([^']*)'`).FindAllStringSubmatch(line, -1) {
		req.Header.Set(h[1], h[2])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func TestDemoKeepsItsData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	const ready = `(?s)at (http://127\.0\.0\.1:\d+)\n.*Ctrl-C ends`
	first, stop := start(t, ready, "demo", "--listen", "127.0.0.1:0", "--data", dir)
	status, body := curl(t, `curl -H 'Authorization: Bearer demo-erin' -H 'Content-Type: application/json' -d '{"id":"L9","facts":{"amount":1}}' `+first[1]+`/v1/machines/loan/instances`)
	require.Equal(t, 201, status, body)
	require.Equal(t, 0, stop())
	second, stop := start(t, ready, "demo", "--listen", "127.0.0.1:0", "--data", dir)
	status, body = curl(t, `curl -H 'Authorization: Bearer demo-erin' `+second[1]+`/v1/machines/loan/instances/L9`)
	require.Equal(t, 200, status, body)
	require.Equal(t, 0, stop())
	code, out, errOut := exec(t, "audit", "verify", "--store", "sqlite:"+filepath.Join(dir, "interlock.db"))
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "intact")
}
