package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/testservice"
)

func TestRunPassesTheExitCodeOn(t *testing.T) {
	t.Setenv(testservice.PostgresEnv, "postgres://given")
	t.Setenv(testservice.RedisEnv, "redis://given")
	for _, c := range []struct {
		name string
		args []string
		code int
		err  string
	}{
		{"success", []string{"--", "true"}, 0, ""},
		{"failure", []string{"sh", "-c", "exit 7"}, 7, ""},
		{"killed", []string{"sh", "-c", "kill -KILL $$"}, 1, "killed"},
		{"nothing to run", []string{"--"}, 2, "give the command"},
		{"no such command", []string{"/no/such/command"}, 2, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, err := run(c.args)
			require.Equal(t, c.code, code)
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
		})
	}
}

func TestRunGivesTheCommandPrivateServers(t *testing.T) {
	t.Setenv(testservice.PostgresEnv, "postgres://given")
	t.Setenv(testservice.RedisEnv, "")
	out := filepath.Join(t.TempDir(), "out")
	code, err := run([]string{"sh", "-c", `echo "$INTERLOCK_TEST_POSTGRES_URL $INTERLOCK_TEST_REDIS_URL" >` + out})
	require.NoError(t, err)
	require.Zero(t, code)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Regexp(t, `^postgres://given redis://127\.0\.0\.1:\d+/0\n$`, string(b))
}

func TestRunSaysWhichServiceIsMissing(t *testing.T) {
	t.Setenv(testservice.PostgresEnv, "postgres://given")
	t.Setenv(testservice.RedisEnv, "")
	t.Setenv("PATH", t.TempDir())
	code, err := run([]string{"/bin/true"})
	require.Equal(t, 2, code)
	require.ErrorContains(t, err, "redis-server is not installed")
}
