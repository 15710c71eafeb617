//go:build unix

package testservice

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A killed owner can't clean up: the watchdog must. The owner here is this test
// binary, run again.
func TestServersEndWithTheirOwner(t *testing.T) {
	if os.Getenv("TESTSERVICE_OWNER") == "1" {
		redis, err := StartRedis()
		require.NoError(t, err)
		postgres, err := StartPostgres()
		require.NoError(t, err)
		require.NoError(t, redis.Stall(), "a stalled server must end as well")
		for _, s := range []*Server{redis, postgres} {
			os.Stdout.WriteString("server " + s.Addr() + " " + s.dir + "\n")
		}
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
	}
	owner := exec.Command(os.Args[0], "-test.run=^TestServersEndWithTheirOwner$")
	owner.Env = append(os.Environ(), "TESTSERVICE_OWNER=1")
	out, err := owner.Output()
	require.ErrorContains(t, err, "killed", "%s", out)
	servers := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "server" {
			continue
		}
		servers++
		addr, dir := fields[1], fields[2]
		gone := func() bool {
			_, err := os.Stat(dir)
			return os.IsNotExist(err)
		}
		require.Eventually(t, gone, time.Minute, 50*time.Millisecond, "its folder %s", dir)
		refused := func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				_ = conn.Close()
			}
			return errors.Is(err, syscall.ECONNREFUSED)
		}
		require.Eventually(t, refused, time.Minute, 50*time.Millisecond, "its address %s", addr)
	}
	require.Equal(t, 2, servers, "%s", out)
}
