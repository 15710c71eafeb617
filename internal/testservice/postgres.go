package testservice

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// StartPostgres starts a private PostgreSQL with its crash safety left on:
// what a commit means is what the tests are about. The caller closes it; where
// the caller dies first, it ends too.
func StartPostgres() (*Server, error) {
	initdb, ok := findBinary("initdb")
	if !ok {
		return nil, fmt.Errorf("PostgreSQL's server programs (initdb, postgres) are neither in PATH nor under /usr/lib/postgresql: install them (Debian: apt-get install postgresql), run `make services`, or set %s", PostgresEnv)
	}
	initdb, err := filepath.EvalSymlinks(initdb) // postgres stands beside it
	if err != nil {
		return nil, err
	}
	return start(spec{
		name:    "postgres",
		signal:  "QUIT",
		account: unprivileged,
		prepare: func(dir string, as *account) error {
			cmd := as.command(dir, initdb, "--pgdata", filepath.Join(dir, "data"), "--username", "postgres",
				"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("initdb: %w\n%s", err, out)
			}
			return nil
		},
		command: func(dir string, port int) []string {
			return []string{filepath.Join(filepath.Dir(initdb), "postgres"), "-D", filepath.Join(dir, "data"),
				"-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(port),
				"-c", "unix_socket_directories=", "-c", "max_connections=400", "-c", "shared_buffers=64MB"}
		},
		url: func(port int) string {
			return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
		},
		ready: func(ctx context.Context, url string) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		},
	})
}

// createDatabase makes an empty database with a name of its own in the server.
func createDatabase(server string) (database string, drop func() error, err error) {
	name := "interlock_test_" + strings.ToLower(rand.Text())
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", nil, fmt.Errorf("%s must be a URL like postgres://user:password@host:5432/postgres", PostgresEnv)
	}
	if err := execute(server, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"); err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() error { return execute(server, "DROP DATABASE "+name+" WITH (FORCE)") }, nil
}

func execute(server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
