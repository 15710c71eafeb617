//go:build !unix

package testservice

import (
	"errors"
	"os/exec"
)

var errNoServers = errors.New("private servers are started on Unix only; set " + PostgresEnv + " and " + RedisEnv)

type account struct{}

func ourselves() (*account, error)    { return nil, errNoServers }
func unprivileged() (*account, error) { return nil, errNoServers }

func (*account) takes(string) error { return errNoServers }

func (*account) command(_ string, argv ...string) *exec.Cmd {
	return exec.Command(argv[0], argv[1:]...)
}

type process struct{}

func startProcess([]string, string, string, *account, string) (*process, error) {
	return nil, errNoServers
}

func (*process) stop(string) error { return errNoServers }
func (*process) stall() error      { return errNoServers }
func (*process) resume() error     { return errNoServers }
func (*process) exited() bool      { return true }

func findBinary(string) (string, bool) { return "", false }
