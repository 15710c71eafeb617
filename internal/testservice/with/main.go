// Command with runs a command beside a PostgreSQL and a Redis:
//
//	go run ./internal/testservice/with -- go test ./...
//
// The servers are those of INTERLOCK_TEST_POSTGRES_URL and
// INTERLOCK_TEST_REDIS_URL where set; otherwise private ones, which the command
// finds in these variables and which end with it. So all packages of a test run
// share two servers instead of starting two each. The exit code is the
// command's; 2 means that it was not run.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/interlock-go/interlock/internal/testservice"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "with:", err)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return 2, errors.New("give the command to run: with -- COMMAND [ARGUMENT…]")
	}
	// Ctrl-C and timeout(1) reach the command too, or are passed on; we stay to stop the servers.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)

	env := os.Environ()
	for _, service := range []struct {
		env   string
		start func() (*testservice.Server, error)
	}{
		{testservice.PostgresEnv, testservice.StartPostgres},
		{testservice.RedisEnv, testservice.StartRedis},
	} {
		if os.Getenv(service.env) != "" {
			continue
		}
		server, err := service.start()
		if err != nil {
			return 2, err
		}
		defer func() { // the command's result stands, but a server left behind must be heard of
			if err := server.Close(); err != nil {
				fmt.Fprintln(os.Stderr, "with: stop a server:", err)
			}
		}()
		env = append(env, service.env+"="+server.URL())
	}
	return command(args, env, signals)
}

func command(args, env []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 2, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may have ended already
		case err := <-done:
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				if exit.ExitCode() < 0 {
					return 1, exit
				}
				return exit.ExitCode(), nil
			}
			return 0, err
		}
	}
}
